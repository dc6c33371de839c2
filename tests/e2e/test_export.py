"""`trainer export FILE.onnx` and `FILE.safetensors`: the checker takes them, ONNX Runtime (where it is installed) and the file
compiled again give our outputs, and training goes on from the file as it does from the run."""
import os

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import TLC, check, finish, read_safetensors, run, steps
from tiny import base_model, expect, left_behind, save, scratch

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
    print("skipped: ONNX Runtime's outputs: no onnxruntime")

here = scratch("export")
rng = np.random.default_rng(5)


def many_operators():
    """A chain that has each operator with a form in ONNX at least once."""
    weights, nodes, at = [], [], ["x"]

    def const(name, value):
        weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weight(name, *dims):
        return const(name, rng.uniform(0.5, 1, dims).astype(np.float32))

    def add(op, *operands, **attrs):
        nodes.append(helper.make_node(op, [at[0], *operands], [f"v{len(nodes)}"], name=f"{op}_{len(nodes)}", **attrs))
        at[0] = nodes[-1].output[0]

    add("Conv", weight("conv.weight", 8, 1, 3, 3), weight("conv.bias", 8), group=4, kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    add("BatchNormalization", *(weight(f"bn.{k}", 8) for k in ("weight", "bias", "running_mean", "running_var")), epsilon=1e-3)
    for op, attrs in (("HardSwish", {}), ("LeakyRelu", {"alpha": 0.1}), ("Elu", {"alpha": 0.7}), ("Tanh", {}), ("Sigmoid", {}), ("Exp", {}), ("Log", {}),
                      ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}), ("Erf", {}), ("Sqrt", {})):
        add(op, **attrs)
    add("LRN", size=3, alpha=0.1, beta=0.6, bias=1.5)
    add("Pow", const("three", np.float32(3)))
    add("Clip", const("low", np.float32(0.01)), const("high", np.float32(2)))
    add("Pad", const("pads", np.int64([0, 0, 1, 0, 0, 0, 0, 2])), const("fill", np.float32(0.5)))
    add("MaxPool", kernel_shape=[2, 2], strides=[1, 1], ceil_mode=1)
    add("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    whole = at[0]
    add("Slice", const("from", np.int64([5, 6])), const("to", np.int64([-100, 1])), const("axes", np.int64([1, 3])), const("steps", np.int64([-1, -2])))
    part = at[0]
    at[0] = whole
    add("Slice", const("from2", np.int64([2, 1])), const("to2", np.int64([8, 7])), const("axes2", np.int64([1, 3])), const("steps2", np.int64([1, 2])))
    add("Concat", part, axis=1)
    at[0] = nodes[-1].output[0]
    add("Transpose", perm=[0, 2, 3, 1])
    add("LayerNormalization", weight("ln.weight", 12), weight("ln.bias", 12), axis=-1)
    add("Softmax", axis=3)
    add("Reshape", const("shape", np.int64([0, -1, 12])))
    add("Add", weight("plus", 1, 12))
    add("Mul", weight("times", 12))
    add("Sub", weight("minus", 12))
    add("Div", weight("over", 12))
    add("Unsqueeze", const("u", np.int64([1])))
    add("Squeeze", const("s", np.int64([1])))
    add("ReduceMean", axes=[1], keepdims=0)
    add("Relu")
    add("Gemm", weight("fc.weight", 4, 12), weight("fc.bias", 4), transB=1)
    graph = helper.make_graph(nodes, "many", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 8, 8])],
                              [helper.make_tensor_value_info(at[0], TensorProto.FLOAT, ["n", 4])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compiled(model, name, *options, targets=("trainer", "predictor")):
    out = os.path.join(here, name)
    run(TLC, "compile", model, "-o", out, "--preprocess", "none", "--name", "net", *options)
    run("make", "-s", "-j2", "-C", out, *targets)
    return out


def arrays(name, *dims):
    np.save(os.path.join(here, name + "x.npy"), rng.standard_normal((20, *dims)).astype(np.float32))
    np.save(os.path.join(here, name + "y.npy"), np.arange(20, dtype=np.int64) % 2)
    return f"{here}/{name}x.npy,{here}/{name}y.npy"


def train(folder, out, data, *options):
    run(os.path.join(folder, "trainer"), "train", "--data", data, "--valid", "0.3", "--epochs", "2", "--seed", "3", "-q", "-o", out, *options)
    return out


def outputs(folder, x, weights=None):
    y = os.path.join(here, "y.npy")
    run(os.path.join(folder, "predictor"), "infer", "--input", x, "-o", y, "-q", *(["--weights", weights] if weights else []))
    return np.load(y)


def compare(what, got, want):
    far = np.abs(got - want).max() / np.abs(want).max()
    check(got.shape == want.shape and far <= 1e-5, f"{what}: {far:.1e} of the largest away")


def exports(name, model, opset, *dims, head=()):
    """Both forms of the file, held against the predictor's outputs."""
    data = arrays(name, *dims)
    folder = compiled(save(model, os.path.join(here, name + ".onnx")), name, "--replace-head", "2", *head)
    trained = train(folder, os.path.join(here, name + "-run"), data)
    trainer, x = os.path.join(folder, "trainer"), data.split(",")[0]
    run(trainer, "export", "--run", trained, "-o", os.path.join(here, name + "-app"))
    want = outputs(folder, x, os.path.join(here, name + "-app/weights.bin"))
    for form in ("unfolded", "folded"):
        file = os.path.join(here, f"{name}-{form}.onnx")
        run(trainer, "export", file, "--run", trained, *(["--folded"] if form == "folded" else []))
        m = onnx.load(file)
        onnx.checker.check_model(m, full_check=True)
        kinds = [n.op_type for n in m.graph.node]
        check(("BatchNormalization" in kinds) == (form == "unfolded" or not head), f"{name}, {form}: batch norms")
        check(m.opset_import[0].version == opset, f"{name}, {form}: opset {m.opset_import[0].version}")
        check({p.key: p.value for p in m.metadata_props}["classes"] == '["0","1"]', f"{name}, {form}: class names in the metadata")
        if form == "unfolded" or head:
            compare(f"{name}, {form}: compiled again", outputs(compiled(file, f"{name}-{form}", targets=["predictor"]), x), want)
        if onnxruntime:
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            compare(f"{name}, {form}: ONNX Runtime", session.run(None, {session.get_inputs()[0].name: np.load(x)})[0], want)
    return folder, trained, data


def names_kept(name, model):
    """The original's names, and its values where nothing was trained."""
    old = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    new = {t.name: numpy_helper.to_array(t) for t in onnx.load(os.path.join(here, name + "-unfolded.onnx")).graph.initializer}
    kept = [k for k in old if k in new and not k.startswith("fc.")]
    check(set(kept) == {k for k in old if not k.startswith("fc.")}, f"{name}: the original's initialisers by name")
    check(all(np.array_equal(old[k], new[k]) for k in kept), f"{name}: frozen weights are the original's, bit by bit")
    return new


def round_trip(name, folder, trained, data, *options):
    """Going on from the run, and from the file with the same options: the same steps, the same weights."""
    back = compiled(os.path.join(here, name + "-unfolded.onnx"), name + "-back", *options, targets=["trainer"])
    a = train(folder, os.path.join(here, name + "-on"), data, "--from", trained)
    b = train(back, os.path.join(here, name + "-on2"), data)
    losses = [[s["loss"] for s in steps(r) if s["type"] == "step"] for r in (a, b)]
    check(losses[0] == losses[1] and len(losses[0]) > 0, f"{name}: the losses of going on")
    best = [read_safetensors(next(os.path.join(r, f) for f in sorted(os.listdir(r)) if f.startswith("best-") and f.endswith(".safetensors"))) for r in (a, b)]
    check(best[0].keys() == best[1].keys() and all(np.array_equal(best[0][k], best[1][k]) for k in best[0]), f"{name}: the weights of going on, bit by bit")


base = base_model()
folder, trained, data = exports("base", base, 13, 3, 8, 8, head=("--freeze-backbone",))
new = names_kept("base", base)
round_trip("base", folder, trained, data, "--freeze", "*", "--unfreeze", "fc.*")
wide = many_operators()
exports("many", wide, 17, 4, 8, 8)

trainer, app = os.path.join(folder, "trainer"), os.path.join(here, "base.safetensors")
run(trainer, "export", app, "--run", trained)
found = read_safetensors(app)
check(found.keys() == new.keys() and all(np.array_equal(found[k], new[k]) for k in found), "FILE.safetensors has the tensors of FILE.onnx")

out = os.path.join(here, "none.onnx")
expect("no FILE and no -o", [trainer, "export", "--run", trained], 2, "nothing to write to")
expect("FILE and -o", [trainer, "export", out, "-o", here + "/none", "--run", trained], 2, "both", absent=[out])
expect("FILE.txt", [trainer, "export", here + "/none.txt", "--run", trained], 2, "no kind of file", absent=[here + "/none.txt"])
expect("FILE exists", [trainer, "export", app, "--run", trained], 7, "exists")
expect("a folder that is not there", [trainer, "export", here + "/no/a.onnx", "--run", trained], 7, "cannot write")
expect("run of another model", [os.path.join(here, "many/trainer"), "export", out, "--run", trained], 5, "another model", absent=[out])
moved = os.path.join(here, "base.moved")
os.rename(os.path.join(here, "base.onnx"), moved)
expect("the original is gone", [trainer, "export", out, "--run", trained], 3, "--original", absent=[out])
expect("--folded needs none", [trainer, "export", out, "--run", trained, "--folded"], 0)
os.unlink(out)
expect("--original says where", [trainer, "export", out, "--run", trained, "--original", moved], 0)
os.unlink(out)
for tensor in base.graph.initializer:
    tensor.raw_data = bytes(len(tensor.raw_data))
expect("another original", [trainer, "export", out, "--run", trained, "--original", save(base, moved)], 5, "not the file that was compiled", absent=[out])
with open(os.path.join(folder, "export.bin"), "r+b") as f:
    f.write(b"\xff")
expect("export.bin is broken", [trainer, "export", out, "--run", trained, "--folded"], 4, "checksum", absent=[out])
check(not left_behind(here), "nothing is left behind")
finish()
