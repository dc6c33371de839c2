"""Pictures as other frameworks lay them: TensorFlow's [n,H,W,3], Caffe's blue first.  Each network has a twin that takes
[n,3,H,W] of red, green, blue: photographs, arrays and exports give the same."""
import glob
import json
import os

import numpy as np
import onnx
from onnx import helper, numpy_helper

from common import TLC, check, finish, read_safetensors, run
from tiny import DEMO, demo_net, expect, quick_make, save, scratch, shapes

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
    print("skipped: ONNX Runtime's outputs: no onnxruntime")

here = scratch("nhwc")
twin, photos = demo_net(), shapes()
rng = np.random.default_rng(4)


def with_nhwc_input():
    """The demo's network behind a Transpose, as tf2onnx writes it."""
    model = onnx.load(DEMO)
    graph, name = model.graph, model.graph.input[0].name
    batch, c, h, w = (d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim)
    graph.node.insert(0, helper.make_node("Transpose", ["picture"], [name], name="to_nchw", perm=[0, 3, 1, 2]))
    graph.input[0].CopyFrom(helper.make_tensor_value_info("picture", onnx.TensorProto.FLOAT, [batch, h, w, c]))
    return save(model, os.path.join(here, "nhwc.onnx")), (h, w)


def trained(folder, name, data, *options):
    out = os.path.join(here, name)
    run(os.path.join(folder, "trainer"), "train", *data, "--epochs", "3", "--seed", "5", "-q", "-o", out, *options)
    return out


def best(out):
    return read_safetensors(max(glob.glob(os.path.join(out, "best-*.safetensors"))))


def same_weights(what, a, b):
    a, b = best(a), best(b)
    check(a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a), f"{what}: the same weights, bit for bit")


def infer(folder, x, weights):
    np.save(os.path.join(here, "x.npy"), x)
    run(os.path.join(folder, "predictor"), "infer", "--input", os.path.join(here, "x.npy"), "-o", os.path.join(here, "y.npy"), "-q",
        "--weights", weights)
    return np.load(os.path.join(here, "y.npy"))


def from_photographs():
    runs = {folder: trained(folder, f"run_{name}", [photos]) for name, folder in both.items()}
    same_weights("trained on photographs", runs[net], runs[twin])
    views = [trained(folder, f"views_{name}", [photos], "--augment", "flip", "--views", "2") for name, folder in both.items()]
    same_weights("trained on changed views", *views)
    pictures = sorted(glob.glob(os.path.join(photos, "valid/*/*.png")))
    texts, logits = [], []
    for folder, out in runs.items():
        app = out + "_app"
        run(os.path.join(folder, "trainer"), "export", "--run", out, "-o", app)
        texts.append([run(os.path.join(folder, "predictor"), "classify", "--weights", app + "/weights.bin", *pictures).stdout,
                      run(os.path.join(folder, "trainer"), "predict", "--run", out, *pictures).stdout])
        turned = x if folder == twin else x.transpose(0, 2, 3, 1)
        logits.append(infer(folder, turned, app + "/weights.bin"))
    check(texts[0] == texts[1] and "moon" in texts[0][0], "classify and predict say the same of photographs")
    check(np.array_equal(*logits), "infer of arrays, each in its file's order: the same logits, bit for bit")
    with open(runs[net] + "_app/preprocess.json") as f:
        described = json.load(f)
    check(described["layout"] == "NHWC" and described["input"] == [*side, 3], "preprocess.json: NHWC")
    return runs[net], logits[0]


def from_arrays():
    labels = np.arange(20, dtype=np.int64) % 2
    np.save(os.path.join(here, "labels.npy"), labels)
    pixels = rng.integers(0, 256, (20, *side, 3), dtype=np.uint8)
    for what, of_twin, of_net in (("uint8", pixels, pixels), ("larger uint8", *[np.repeat(np.repeat(pixels, 2, 1), 2, 2)] * 2),
                                  ("float", many, many.transpose(0, 2, 3, 1))):
        runs = []
        for folder, array in ((twin, of_twin), (net, of_net)):
            np.save(os.path.join(here, "data.npy"), array)
            data = ["--data", f"{here}/data.npy,{here}/labels.npy", "--valid", "0.3"]
            runs.append(trained(folder, f"{what}_{os.path.basename(folder)}".replace(" ", "_"), data))
        same_weights(f"trained on {what} arrays", *runs)


def exported(out, logits):
    """The file keeps its own input."""
    for form in ([], ["--folded"]):
        file = os.path.join(here, "".join(["out", *form]) + ".onnx")
        run(os.path.join(net, "trainer"), "export", "--run", out, file, *form, cwd=here)
        graph = onnx.load(file)
        onnx.checker.check_model(graph)
        dims = [d.dim_value for d in graph.graph.input[0].type.tensor_type.shape.dim][1:]
        props = {p.key: p.value for p in graph.metadata_props}
        check(dims == [*side, 3] and props["layout"] == "NHWC", f"exported {form}: input {dims}, layout {props['layout']}")
        if onnxruntime:
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            got = session.run(None, {session.get_inputs()[0].name: x.transpose(0, 2, 3, 1)})[0]
            far = np.abs(got - logits).max() / np.abs(logits).max()
            check(far < 1e-5, f"and ONNX Runtime's outputs of it: {far:.1e} of the largest away")


def blue_first():
    """The demo's network with the channels of its first layer turned: it wants --bgr."""
    model = onnx.load(DEMO)
    first = next(n for n in model.graph.node if n.op_type == "Conv").input[1]
    w = next(t for t in model.graph.initializer if t.name == first)
    w.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(numpy_helper.to_array(w)[:, ::-1]), first))
    turned = save(model, os.path.join(here, "bgr.onnx"))
    heads = []
    for name, file, options in (("rgb", DEMO, ["--mean", "0.1,0.2,0.3", "--std", "0.5,0.6,0.7"]),
                                ("bgr", turned, ["--bgr", "--mean", "0.3,0.2,0.1", "--std", "0.7,0.6,0.5"])):
        out = os.path.join(here, name)
        run(TLC, "compile", file, *options, "--replace-head", "2", "--freeze-backbone", "--name", name, "-o", out)
        quick_make(out, "trainer", flags="-O2")
        heads.append(best(trained(out, "run_" + name, [photos])))
        said = run(os.path.join(out, "trainer"), "info").stdout
        check(f"; {name.upper()}\n" in said, f"trainer info: {name.upper()}")
    far = max(np.abs(heads[0][k] - heads[1][k]).max() for k in heads[0])
    check(far < 1e-4, f"blue first: the head that red first gives, {far:.1e} away at most")


def presets():
    for name, order, mean, std in (("caffe", "BGR", 103.939 / 255, 1 / 255), ("tf", "RGB", 0.5, 0.5), ("bytes", "RGB", 0, 1 / 255)):
        out = os.path.join(here, "preset")
        run(TLC, "compile", DEMO, "-o", out, "--preprocess", name)
        with open(os.path.join(out, "manifest.json")) as f:
            p = json.load(f)["preprocess"]
        check(p["channel_order"] == order and abs(p["mean"][0] - mean) < 1e-7 and abs(p["std"][2] - std) < 1e-7, f"--preprocess {name}: {p}")


def refusals():
    expect("--crop that is not the input: 2", [TLC, "compile", model, "-o", os.path.join(here, "no"), "--crop", "9"], 2, "network's input is")
    out = os.path.join(here, "resized")
    run(TLC, "compile", model, "-o", out, "--input", "3x32x48", "--replace-head", "2", "--preprocess", "imagenet")
    with open(os.path.join(out, "manifest.json")) as f:
        described = json.load(f)["preprocess"]
    check(described["crop"] == [32, 48] and described["layout"] == "NHWC", f"--input 3x32x48 is channels, height, width: {described}")


model, side = with_nhwc_input()
net = os.path.join(here, "net")
both = {"nchw": twin, "nhwc": net}
x, many = (rng.standard_normal((n, 3, *side)).astype(np.float32) for n in (5, 20))
run(TLC, "compile", model, "--replace-head", "2", "--freeze-backbone", "--name", "nhwc", "-o", net)
quick_make(net, "trainer", "predictor", flags="-O2")
exported(*from_photographs())
from_arrays()
blue_first()
presets()
refusals()
finish()
