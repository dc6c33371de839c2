"""Nine old networks of the ONNX zoo, exported by Caffe2, weights by ConstantOfShape: each compiles and gives
NAME_output.npy for the input arange(n)/n.

TLC_LONG=1 runs all nine on both targets.  Where onnxruntime can be imported it also fills their constant
weights with seeded numbers and holds cpu against ONNX Runtime, which a network of constants cannot show."""
import os
import shutil
import sys

import numpy as np

from common import DATA, LONG, SOURCE, WORK, check, compiled, finish, need_shared, run

sys.path.insert(0, os.path.join(SOURCE, "tests/tools"))

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


def against_runtime(name):
    import onnxruntime
    from fill_light import fill
    path = os.path.join(WORK, "light_filled.onnx")
    fill(os.path.join(LIGHT, name + ".onnx"), path)
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
