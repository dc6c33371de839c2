"""torchvision's classifiers through both of PyTorch's exporters, tlc, and ONNX Runtime; writes docs/families.md.

    TLC=build/release/tlc python tests/tools/families.py WORK [NAME...] > table

Needs torch, torchvision, onnx and onnxruntime (a virtual environment; no part of the product).  Weights are random
with the statistics of the batch norms drawn too, so that every layer counts; three pictures, target cpu."""
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import onnxruntime
import torch
import torchvision

warnings.filterwarnings("ignore")
TLC = os.environ.get("TLC", "build/release/tlc")
FAMILIES = ["alexnet", "convnext_tiny", "densenet121", "efficientnet_b0", "efficientnet_v2_s", "googlenet",
            "inception_v3", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
            "regnet_x_400mf", "regnet_y_400mf", "resnext50_32x4d", "shufflenet_v2_x1_0", "squeezenet1_1",
            "vgg11_bn", "wide_resnet50_2", "vit_b_16", "swin_t", "maxvit_t"]
SIZE = {"inception_v3": 299}


def make(name):
    """The network with seeded weights, ready for inference."""
    torch.manual_seed(3)
    extra = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    net = getattr(torchvision.models, name)(weights=None, **extra)
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
    return net.eval()


def export(net, x, path, dynamo):
    if dynamo:
        torch.onnx.export(net, (x,), path, dynamo=True, verbose=False, external_data=False)
    else:
        torch.onnx.export(net, x, path, dynamo=False, opset_version=17, input_names=["input"],
                          dynamic_axes={"input": {0: "n"}})


def call(*command):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr.strip().splitlines()


def error_of(lines):
    return next((l for l in lines if "error" in l), lines[0] if lines else "?").split("error: ")[-1][:110]


def distance(path, folder, x, work):
    """Largest difference from ONNX Runtime over the largest value, picture by picture where its batch is 1."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    step = feed.shape[0] if isinstance(feed.shape[0], int) else len(x)
    want = np.concatenate([session.run(None, {feed.name: x[i:i + step]})[0] for i in range(0, len(x), step)])
    np.save(work + "/x.npy", x)
    code, _, err = call(folder + "/predictor", "infer", "--input", work + "/x.npy", "--output", work + "/y.npy")
    if code:
        return f"infer: {error_of(err)}"
    y = np.load(work + "/y.npy").reshape(want.shape)
    return f"{np.max(np.abs(y - want)) / np.max(np.abs(want)):.1e}"


def head_of(path, folder):
    code, out, err = call(TLC, "compile", path, "--replace-head", "2", "--freeze-backbone", "-o", folder)
    if code:
        return "none: " + error_of(err)
    line = next((l for l in out.splitlines() if l.startswith("head")), "?")
    return line[4:].strip()


def row(name, dynamo, work):
    size = SIZE.get(name, 224)
    path, folder = f"{work}/{name}.onnx", f"{work}/net"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        export(make(name), torch.zeros(1, 3, size, size), path, dynamo)
    except Exception as e:  # the exporter's failure is a result of its own
        return f"export fails: {type(e).__name__}", "", ""
    code, out, err = call(TLC, "compile", path, "-o", folder)
    if code:
        return f"refused: {error_of(err)}", "", ""
    code, _, err = call("make", "-s", "-C", folder, "predictor")
    if code:
        return "build fails", "", ""
    x = np.random.default_rng(5).standard_normal((3, 3, size, size)).astype(np.float32)
    result = distance(path, folder, x, work)
    relayouts = next((l.split()[0] for l in out.splitlines() if " relayout " in l + " "), "0")
    head = head_of(path, f"{work}/head")
    os.remove(path)
    return result, relayouts, head


def main():
    work, names = sys.argv[1], sys.argv[2:] or FAMILIES
    os.makedirs(work, exist_ok=True)
    print("| network | exporter | from ONNX Runtime | relayouts | head of `--replace-head 2` |\n|---|---|---|---|---|")
    for dynamo in (False, True):
        for name in names:
            print(f"| {name} | {'dynamo' if dynamo else 'TorchScript'} | " + " | ".join(row(name, dynamo, work)) + " |",
                  flush=True)


main()
