"""The files of tests/exports: tiny networks of torchvision's own blocks as PyTorch's exporters write them, one of Keras' by
tf2onnx, and what they compute.  tests/e2e/test_exports.py reads them without PyTorch.

    python tests/tools/tiny_exports.py tests/exports            # torch, torchvision, onnx, onnxscript
    python tests/tools/tiny_exports.py tests/exports --keras    # tensorflow, tf2onnx: best in an environment of their own

NAME.onnx; NAME.npz: pictures x, outputs y (PyTorch: in double) and, of PyTorch's, labels and `d NAME`, the gradient of the cross entropy by
each trained tensor in double, stored in single precision: everything but batch norms' scales and biases (--bn frozen)."""
import os
import sys

import numpy as np

from parameters import draw_keras, draw_torch, stored_under

SIDE, CLASSES = 16, 5


def pictures():
    return np.random.default_rng(5).standard_normal((2, 3, SIDE, SIDE)).astype(np.float32)


# --- PyTorch ---------------------------------------------------------------------------------


def networks():
    """name: (exporter, network)"""
    from functools import partial

    from torch import nn
    from torchvision.models import convnext, mobilenetv3, resnet, shufflenetv2
    from torchvision.models.googlenet import Inception

    def stem(c, stride=2):
        return [nn.Conv2d(3, c, 3, stride, 1, bias=False), nn.BatchNorm2d(c), nn.ReLU(inplace=True)]

    def head(c):
        return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, CLASSES)]

    def residual():
        short = nn.Sequential(nn.Conv2d(4, 8, 1, 2, bias=False), nn.BatchNorm2d(8))
        return nn.Sequential(*stem(4), nn.MaxPool2d(3, 2, 1), resnet.BasicBlock(4, 4), resnet.BasicBlock(4, 8, 2, short), *head(8))

    def mobile():
        shape = mobilenetv3.InvertedResidualConfig(8, 3, 16, 8, True, "HS", 1, 1, 1.0)
        block = mobilenetv3.InvertedResidual(shape, partial(nn.BatchNorm2d, eps=1e-3))
        return nn.Sequential(*stem(8), block, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 12), nn.Hardswish(), nn.Dropout(0.2),
                             nn.Linear(12, CLASSES))

    def shuffle():
        return nn.Sequential(*stem(8), shufflenetv2.InvertedResidual(8, 16, 2), shufflenetv2.InvertedResidual(16, 16, 1), *head(16))

    def layer_norm():
        norm = partial(convnext.LayerNorm2d, eps=1e-6)
        return nn.Sequential(nn.Conv2d(3, 8, 4, 4), norm(8), convnext.CNBlock(8, 0.5, 0.0), nn.AdaptiveAvgPool2d(1), norm(8), nn.Flatten(),
                             nn.Linear(8, CLASSES))

    def branches():
        return nn.Sequential(*stem(6), nn.MaxPool2d(3, 2, ceil_mode=True), Inception(6, 4, 3, 4, 2, 4, 4), nn.Dropout(0.2),
                             *head(16))

    return {"residual_torchscript": ("TorchScript", residual()), "residual_dynamo": ("dynamo", residual()),
            "mobile_dynamo": ("dynamo", mobile()), "shuffle_dynamo": ("dynamo", shuffle()),
            "shuffle_torchscript": ("TorchScript", shuffle()), "layer_norm_torchscript": ("TorchScript", layer_norm()),
            "branches_torchscript": ("TorchScript", branches())}


def without_places(model):
    """The dynamo exporter writes the files and lines that called it into each node."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return model


def reference(net, stored, x, labels, torch):
    """Outputs, and gradients under the names of the file, of the network with the file's values, in double."""
    norms = {f"{m}.{p}" for m, of in net.named_modules() if isinstance(of, torch.nn.BatchNorm2d) for p in ("weight", "bias")}
    places = {}
    for name, p in net.named_parameters():
        p.requires_grad_(True)
        if name not in norms:
            key, turned = places[name] = stored_under(name, p.detach().numpy(), stored, stored)
            if key is None:
                sys.exit(f"{name} is not in the file")
            p.data.copy_(torch.from_numpy((stored[key].T if turned else stored[key]).reshape(p.shape).copy()))
    net = net.double()
    y = net(torch.from_numpy(x).double())
    torch.nn.functional.cross_entropy(y, torch.from_numpy(labels)).backward()
    gradients = {places[k][0]: p.grad.numpy() for k, p in net.named_parameters() if k in places}
    return y.detach().numpy(), {f"d {k}": g.astype(np.float32) for k, g in gradients.items()}


def from_pytorch(out):
    import onnx
    import torch
    from onnx import numpy_helper
    from torch.fx.experimental.optimization import fuse
    torch.manual_seed(3)
    x, labels = pictures(), np.array([1, 3], np.int64)
    for name, (exporter, net) in networks().items():
        draw_torch(net)
        net.eval()
        path = os.path.join(out, name + ".onnx")
        if exporter == "dynamo":
            torch.onnx.export(net, (torch.from_numpy(x),), path, dynamo=True, verbose=False, external_data=False)
            net = fuse(net)  # as the exporter does
        else:
            torch.onnx.export(net, torch.from_numpy(x), path, dynamo=False, opset_version=17, input_names=["input"],
                              dynamic_axes={"input": {0: "n"}}, training=torch.onnx.TrainingMode.PRESERVE)
        model = without_places(onnx.load(path))
        onnx.save(model, path)
        y, gradients = reference(net, {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}, x, labels, torch)
        np.savez_compressed(os.path.join(out, name + ".npz"), x=x, labels=labels, y=y, **gradients)


# --- Keras -----------------------------------------------------------------------------------


def from_keras(out):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import keras
    from keras import layers
    keras.utils.set_random_seed(3)
    net = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False),
                            layers.BatchNormalization(), layers.ReLU(6.0), layers.DepthwiseConv2D(3, strides=2, padding="same"),
                            layers.BatchNormalization(), layers.Activation("swish"), layers.GlobalAveragePooling2D(), layers.Dropout(0.2),
                            layers.Dense(CLASSES, activation="softmax")])
    draw_keras(net)
    x = pictures().transpose(0, 2, 3, 1).copy()
    y = net(x).numpy()
    net.export(os.path.join(out, "keras_tf2onnx.onnx"), format="onnx", verbose=False)
    np.savez_compressed(os.path.join(out, "keras_tf2onnx.npz"), x=x, y=y)


os.makedirs(sys.argv[1], exist_ok=True)
(from_keras if "--keras" in sys.argv[2:] else from_pytorch)(sys.argv[1])
