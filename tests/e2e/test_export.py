"""`trainer export FILE.onnx` and `FILE.safetensors`: the checker takes them, ONNX Runtime (where it is installed) and the file
compiled again give our outputs, and training goes on from the file as it does from the run."""
import errno
import glob
import json
import os
import re

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import SOURCE, TLC, check, finish, read_safetensors, run, sha256, steps
from tiny import base_model, expect, left_behind, quick_make, save, scratch, with_fault

try:
    import onnxruntime
except ImportError:
    onnxruntime = None
    print("skipped: ONNX Runtime's outputs: no onnxruntime")
try:
    import torch
    import torchvision
except ImportError:
    torchvision = None
    print("skipped: FILE.safetensors in PyTorch: no torchvision")

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
    add("Resize", "", const("twice", np.float32([1, 1, 2, 2])), mode="linear")
    add("Resize", "", const("half", np.float32([1, 1, 0.5, 0.5])), mode="cubic", coordinate_transformation_mode="align_corners", cubic_coeff_a=-0.5)
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
    rows = at[0]
    add("Transpose", perm=[0, 2, 1])
    add("MatMul", rows)
    add("Add", weight("plus", 1, 12))
    add("Mul", weight("times", 12))
    add("Sub", weight("minus", 12))
    add("Div", weight("over", 12))
    add("Unsqueeze", const("u", np.int64([1])))
    add("Squeeze", const("s", np.int64([1])))
    add("ReduceMean", axes=[1], keepdims=0)
    add("Max", const("floor", np.float32(0.1)))
    add("Min", weight("roof", 12))
    add("Abs")
    add("Relu")
    add("Gemm", weight("fc.weight", 4, 12), weight("fc.bias", 4), transB=1)
    graph = helper.make_graph(nodes, "many", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 8, 8])],
                              [helper.make_tensor_value_info(at[0], TensorProto.FLOAT, ["n", 4])], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def compiled(model, name, *options, targets=("trainer", "predictor")):
    out = os.path.join(here, name)
    run(TLC, "compile", model, "-o", out, "--preprocess", "none", "--name", "net", *options, cwd=here)
    quick_make(out, *targets)
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


def onnx_tensors(file):
    return {t.name: numpy_helper.to_array(t) for t in onnx.load(file).graph.initializer}


def best_of(trained):
    return read_safetensors(max(glob.glob(os.path.join(trained, "best-*.safetensors"))))


def exports(name, model, opset, *dims, options=(), again=(), norms=(False, False), replaces=("--replace-head", "2")):
    """Both forms of the file, held against the predictor's outputs; `again`: those that are compiled again."""
    data = arrays(name, *dims)
    folder = compiled(model, name, *replaces, *options)
    trained = train(folder, os.path.join(here, name + "-run"), data)
    trainer, x = os.path.join(folder, "trainer"), data.split(",")[0]
    run(trainer, "export", "--run", trained, "-o", os.path.join(here, name + "-app"))
    want = outputs(folder, x, os.path.join(here, name + "-app/weights.bin"))
    for form, norm in zip(("unfolded", "folded"), norms):
        file = os.path.join(here, f"{name}-{form}.onnx")
        run(trainer, "export", file, "--run", trained, *(["--folded"] if form == "folded" else []))
        m = onnx.load(file)
        if m.opset_import[0].version <= onnx.defs.onnx_opset_version():
            onnx.checker.check_model(m, full_check=True)
        else:
            print(f"left out: onnx.checker of {name}, opset {m.opset_import[0].version}: this one knows {onnx.defs.onnx_opset_version()}")
        kinds = [n.op_type for n in m.graph.node]
        check(("BatchNormalization" in kinds) == norm, f"{name}, {form}: batch norms")
        check(m.opset_import[0].version == opset, f"{name}, {form}: opset {m.opset_import[0].version}")
        check({p.key: p.value for p in m.metadata_props}["classes"] == '["0","1"]', f"{name}, {form}: class names in the metadata")
        if form in again:
            compare(f"{name}, {form}: compiled again", outputs(compiled(file, f"{name}-{form}", targets=["predictor"]), x), want)
        if onnxruntime:
            session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
            compare(f"{name}, {form}: ONNX Runtime", session.run(None, {session.get_inputs()[0].name: np.load(x).astype(np.float32)})[0], want)
    return folder, trained, data, want


def names_kept(name, old, head="fc."):
    """The original's names, and its values where nothing was trained."""
    new = onnx_tensors(os.path.join(here, name + "-unfolded.onnx"))
    kept = [k for k in old if k in new and not k.startswith(head)]
    check(set(kept) == {k for k in old if not k.startswith(head)}, f"{name}: the original's initialisers by name")
    check(all(np.array_equal(old[k], new[k]) for k in kept), f"{name}: frozen weights are the original's, bit by bit")
    return new


def round_trip(name, folder, trained, data, want, *options):
    """The file compiled with the same options gives the same outputs; going on from the run, and from the file: the
    same steps, the same weights."""
    back = compiled(os.path.join(here, name + "-unfolded.onnx"), name + "-back", *options)
    check(np.array_equal(outputs(back, data.split(",")[0]), want), f"{name}: compiled again, the outputs bit by bit")
    a = train(folder, os.path.join(here, name + "-on"), data, "--from", trained)
    b = train(back, os.path.join(here, name + "-on2"), data)
    losses = [[s["loss"] for s in steps(r) if s["type"] == "step"] for r in (a, b)]
    check(losses[0] == losses[1] and len(losses[0]) > 0, f"{name}: the losses of going on")
    best = [best_of(r) for r in (a, b)]
    check(best[0].keys() == best[1].keys() and all(np.array_equal(best[0][k], best[1][k]) for k in best[0]), f"{name}: the weights of going on, bit by bit")


def plain_network():
    """No batch norms: a convolution that trains, MatMul with a bias beside it, Dropout in what is trained."""
    def weight(name, *dims):
        return numpy_helper.from_array(rng.uniform(-0.5, 0.5, dims).astype(np.float32), name)

    node = helper.make_node
    nodes = [node("Conv", ["x", "c.weight"], ["c"], name="c", kernel_shape=[3, 3]), node("Relu", ["c"], ["r"], name="relu"),
             node("GlobalAveragePool", ["r"], ["p"], name="pool"), node("Flatten", ["p"], ["f"], name="flat"),
             node("MatMul", ["f", "m.weight"], ["m"], name="m"), node("Add", ["m", "m.bias"], ["a"], name="a"),
             node("Dropout", ["a"], ["d"], name="drop"), node("Gemm", ["d", "fc.weight"], ["y"], name="fc", transB=1)]
    graph = helper.make_graph(nodes, "plain", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
                              [weight("c.weight", 8, 3, 3, 3), weight("m.weight", 8, 6), weight("m.bias", 6), weight("fc.weight", 4, 6)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def resnet18_weights():
    """FILE.safetensors with a random tensor for each that the built-in network has."""
    tensors = {}
    for name, dims in re.findall(r"^(?:param|const) %(\S+) : f32\[([\d,]+)\]", open(os.path.join(SOURCE, "models/resnet18.tir")).read(), re.M):
        shape = [int(d) for d in dims.split(",")]
        low, high = (-1, 1) if len(shape) > 1 else (0.5, 1.5)
        tensors[name] = (rng.uniform(low, high, shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return tensors, save(len(text).to_bytes(8, "little") + text + b"".join(t.tobytes() for t in tensors.values()), os.path.join(here, "resnet18.safetensors"))


def built_in():
    """A built-in network with PyTorch's weights: what comes out loads where they came from."""
    old, file = resnet18_weights()
    if torchvision:
        file = os.path.join(here, "resnet18.pth")
        torch.save({k: torch.from_numpy(t) for k, t in old.items()}, file)
    folder, trained, data, want = exports("resnet18", "resnet18", 13, 3, 32, 32, options=("--weights", file, "--input", "3x32x32", "--freeze-backbone"),
                                          norms=(True, False))
    new = names_kept("resnet18", old)
    round_trip("resnet18", folder, trained, data, want, "--freeze", "*", "--unfreeze", "fc.*")
    out = os.path.join(here, "resnet18-out.safetensors")
    run(os.path.join(folder, "trainer"), "export", out, "--run", trained)
    found = read_safetensors(out)
    check(found.keys() == old.keys() and all(np.array_equal(found[k], new[k]) for k in found), "resnet18: FILE.safetensors has the tensors of PyTorch, by name")
    check(all(found[k].shape == old[k].shape[:1] * (not k.startswith("fc.")) + (2,) * k.startswith("fc.") + old[k].shape[1:] for k in old), "resnet18: of their shapes")
    if torchvision:
        net = torchvision.models.resnet18(num_classes=2)
        net.load_state_dict({k: torch.from_numpy(t.copy()) for k, t in found.items()}, strict=True)
        with torch.no_grad():
            compare("resnet18: torchvision's own class", net.eval()(torch.from_numpy(np.load(data.split(",")[0]))).numpy(), want)


def trained_whole(name, model, trained):
    """All of the network is in the file as the run left it, running statistics too."""
    old, new, best = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}, onnx_tensors(os.path.join(here, name + "-unfolded.onnx")), best_of(trained)
    check(all(np.array_equal(new[k], best[k]) for k in best), f"{name}: the run's tensors, bit by bit")
    moved = [k for k in ("conv.weight", "bn.weight", "bn.running_mean", "bn.running_var", "ln.weight") if not np.array_equal(old[k], new[k])]
    check(len(moved) == 5, f"{name}: trained and in the file: {moved}")


def faults(trainer, trained):
    """A disk that is full, or fails, and missing memory: one line, and the file whole (its folder's fsync comes last) or none of it."""
    place = os.path.join(here, "faults")
    os.makedirs(place)
    for out in (os.path.join(place, "a.onnx"), os.path.join(place, "a.safetensors")):
        command = [trainer, "export", out, "--run", trained, "-q"]
        run(*command)
        whole = sha256(out)
        for call, number, code, step in (("write", errno.ENOSPC, 7, 1), ("short", 0, 7, 1), ("fsync", errno.EIO, 7, 1), ("close", errno.EIO, 7, 1),
                                         ("rename", errno.EIO, 7, 1), ("malloc", 0, 6, 61)):
            bad, n = [], 1
            while True:
                if os.path.exists(out):
                    os.unlink(out)
                p, fired, _ = with_fault(command, call, n, number)
                errors = [line for line in p.stderr.splitlines() if line.startswith("trainer: error: ")]
                there = {name: sha256(os.path.join(place, name)) for name in os.listdir(place)}
                fine = p.returncode == code and len(errors) == 1 and (not there or (call, n) == ("fsync", 2)) or p.returncode == 0 and there
                if not fine or there not in ({}, {os.path.basename(out): whole}):
                    bad.append((n, p.returncode, p.stderr[-200:], there))
                if not fired or bad:
                    break
                n += step
            check(not bad and n > 1, f"{os.path.basename(out)}: {call} fails, number {n} is the first that is not there {bad}")
        os.unlink(out)


base = base_model()
save(base, os.path.join(here, "base.onnx"))
# Compiled by a path that counts from `here`; exported from elsewhere.
folder, trained, data, want = exports("base", "base.onnx", 13, 3, 8, 8, options=["--freeze-backbone"], again=["folded"], norms=(True, False))
new = names_kept("base", {t.name: numpy_helper.to_array(t) for t in base.graph.initializer})
round_trip("base", folder, trained, data, want, "--freeze", "*", "--unfreeze", "fc.*")
wide = many_operators()
_, run_of_many, _, _ = exports("many", save(wide, os.path.join(here, "many.onnx")), 18, 4, 8, 8, again=["unfolded"], norms=(True, True))
trained_whole("many", wide, run_of_many)
exports("plain", save(plain_network(), os.path.join(here, "plain.onnx")), 13, 3, 8, 8, again=["unfolded"])
exports("double", "base.onnx", 13, 3, 8, 8, options=["--freeze-backbone", "--target", "ref", "--precision", "fp64"], again=["unfolded"], norms=(True, True))
mlp = exports("mlp", os.path.join(SOURCE, "tests/e2e/mlp.tir"), 13, 20)
round_trip("mlp", *mlp, "--unfreeze", "*")
built_in()

trainer, app = os.path.join(folder, "trainer"), os.path.join(here, "base.safetensors")
run(trainer, "export", app, "--run", trained)
found = read_safetensors(app)
check(found.keys() == new.keys() and all(np.array_equal(found[k], new[k]) for k in found), "FILE.safetensors has the tensors of FILE.onnx")

faults(trainer, trained)
out = os.path.join(here, "none.onnx")
expect("no FILE and no -o", [trainer, "export", "--run", trained], 2, "nothing to write to")
expect("FILE and -o", [trainer, "export", out, "-o", here + "/none", "--run", trained], 2, "both", absent=[out])
expect("FILE.txt", [trainer, "export", here + "/none.txt", "--run", trained], 2, "no kind of file", absent=[here + "/none.txt"])
expect("FILE exists", [trainer, "export", app, "--run", trained], 7, "exists")
expect("a folder that is not there", [trainer, "export", here + "/no/a.onnx", "--run", trained], 7, "cannot write")
expect("run of another model", [os.path.join(here, "many/trainer"), "export", out, "--run", trained], 5, "another model", absent=[out])
moved = os.path.join(here, "base.moved")
os.rename(os.path.join(here, "base.onnx"), moved)
expect("the original is gone", [trainer, "export", out, "--run", trained], 3, "from this folder or one above the compiled one", absent=[out])
expect("a wrong --original", [trainer, "export", out, "--run", trained, "--original", "base.onnx"], 3, "base.onnx: cannot read: No such file or directory;", absent=[out])
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
