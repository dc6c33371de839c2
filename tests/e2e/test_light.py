"""Nine old networks of the ONNX zoo, exported by Caffe2, weights by ConstantOfShape: each compiles and gives
NAME_output.npy for the input arange(n)/n.

TLC_LONG=1 runs all nine on both targets.  Where onnxruntime can be imported it also fills their constant
weights with seeded numbers and holds cpu against ONNX Runtime, which a network of constants cannot show."""
import os
import shutil

import numpy as np

from common import DATA, LONG, WORK, check, compiled, finish, need_shared, run

ALL = ["bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet",
       "vgg19", "zfnet512"]
SHORT = ["densenet121", "inception_v1", "shufflenet", "squeezenet"]
LIGHT = os.path.join(DATA, "light")
BOUND = 1e-4  # of the largest; expected outputs are float32 of another implementation


def distance(y, want):
    return float(np.max(np.abs(y.astype(np.float64) - want)) / np.max(np.abs(want)))


def infer(folder, x):
    src, dst = os.path.join(WORK, "light_x.npy"), os.path.join(WORK, "light_y.npy")
    np.save(src, x)
    run(os.path.join(folder, "predictor"), "infer", "--input", src, "--output", dst)
    return np.load(dst)


def ramp(path):
    import onnx
    graph = onnx.load(path).graph
    stored = {i.name for i in graph.initializer}
    shape = [d.dim_value for i in graph.input if i.name not in stored for d in i.type.tensor_type.shape.dim]
    n = int(np.prod(shape))
    return (np.arange(n, dtype=np.float32) / np.float32(n)).reshape(shape)


def constant(name, target):
    path = os.path.join(LIGHT, name + ".onnx")
    folder = compiled(path, "light_net", "--target", target, targets=("predictor",))
    want = np.load(os.path.join(LIGHT, name + "_output.npy")).astype(np.float64)
    y = infer(folder, ramp(path)).reshape(want.shape)
    d = distance(y, want)
    check(d <= BOUND, f"{name} {target}: {d:.1e} of the largest, allowed {BOUND:.0e}")
    shutil.rmtree(folder)


def filled(name, out):
    """The network with every constant weight drawn anew: He for matrices, around 1 for variances and scales."""
    import onnx
    from onnx import numpy_helper
    rng = np.random.default_rng(7)
    net = onnx.load(os.path.join(LIGHT, name + ".onnx"))
    graph = net.graph
    shapes = {i.name: numpy_helper.to_array(i) for i in graph.initializer}
    roles = {n.input[k]: k for n in graph.node if n.op_type == "BatchNormalization" for k in range(1, 5)}
    kept = []
    for n in graph.node:
        if n.op_type != "ConstantOfShape":
            kept.append(n)
            continue
        shape = shapes[n.input[0]]
        w = rng.standard_normal(shape) * (np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 1 else 0.1)
        if roles.get(n.output[0]) in (1, 4):
            w = rng.uniform(0.5, 1.5, shape)
        graph.initializer.append(numpy_helper.from_array(w.astype(np.float32), n.output[0]))
    del graph.node[:]
    graph.node.extend(kept)
    net.ir_version = max(net.ir_version, 4)  # initialisers need not be inputs
    onnx.save(net, out)


def against_runtime(name):
    import onnxruntime
    path = os.path.join(WORK, "light_filled.onnx")
    filled(name, path)
    x = np.random.default_rng(8).standard_normal(ramp(path).shape).astype(np.float32)
    folder = compiled(path, "light_net", "--target", "cpu", targets=("predictor",))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    want = session.run(None, {session.get_inputs()[0].name: x})[0].astype(np.float64)
    d = distance(infer(folder, x).reshape(want.shape), want)
    check(d <= BOUND, f"{name} with seeded weights: {d:.1e} of the largest from ONNX Runtime")
    shutil.rmtree(folder)
    os.remove(path)


need_shared()
for net in ALL if LONG else SHORT:
    constant(net, "cpu")
for net in ALL if LONG else ("squeezenet",):
    constant(net, "ref")
if LONG:
    try:
        import onnxruntime  # noqa: F401
    except ImportError:
        print("skipped: no onnxruntime")
    else:
        for net in ALL:
            against_runtime(net)
finish()
