"""The small network and drawn pictures that tests of behaviour use: no ../shared needed."""
import fcntl
import glob
import hashlib
import os
import re
import shutil
import subprocess

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import SOURCE, TLC, WORK, check, run

DEMO = os.path.join(SOURCE, "models/demo.onnx")
os.makedirs(WORK, exist_ok=True)


def once(name, make):
    """WORK/NAME, made by make(path) once for this tlc: other tests share it."""
    with open(TLC, "rb") as f:
        key = hashlib.sha256(f.read()).hexdigest()[:12]
    path = os.path.join(WORK, f"{name}-{key}")
    with open(path + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(path + ".done"):
            for old in glob.glob(os.path.join(WORK, name + "-*")):
                if old != path + ".lock":
                    shutil.rmtree(old) if os.path.isdir(old) else os.unlink(old)
            make(path)
            open(path + ".done", "w").close()
    return path


def demo_net():
    """models/demo.onnx with a new head of two classes, trainer and predictor built."""
    def make(path):
        run(TLC, "compile", DEMO, "--replace-head", "2", "--freeze-backbone", "--name", "catdog", "-o", path)
        run("make", "-s", "-j2", "-C", path)
    return once("tiny_net", make)


def quick_make(folder, *targets, flags="-O0"):
    """Make targets of a compiled folder; what is the same source in demo_net() is not compiled again."""
    net, obj = demo_net(), os.path.join(folder, "obj")
    os.makedirs(obj, exist_ok=True)
    for name in ("library.checked", "tools.checked"):  # older than the objects
        shutil.copy(os.path.join(net, "obj", name), obj)
    for path in glob.glob(os.path.join(folder, "src/runtime/**/*.c"), recursive=True):
        there = os.path.join(net, os.path.relpath(path, folder))
        if os.path.exists(there) and open(there, "rb").read() == open(path, "rb").read():
            for end in ("o", "d"):
                built = os.path.join(net, "obj", os.path.basename(path)[:-1] + end)
                if os.path.exists(built):
                    shutil.copy(built, obj)
    run("make", "-s", "-j2", "-C", folder, f"CFLAGS={flags}", *targets)


def shapes():
    """Drawn pictures: train/ 2 classes of 12, valid/ 2 classes of 8."""
    def make(path):
        os.makedirs(path)
        tool = os.path.join(path, "draw")
        run("cc", "-O2", os.path.join(SOURCE, "examples/demo/draw.c"), "-o", tool, "-lpng", "-lm")
        run(tool, os.path.join(path, "train"), 12, 11, "moon", "star")
        run(tool, os.path.join(path, "valid"), 8, 12, "moon", "star")
        os.unlink(tool)
    return once("tiny_shapes", make)


def scratch(name):
    """A fresh folder of the test's own."""
    path = os.path.join(WORK, name)
    if os.path.isdir(path):
        os.chmod(path, 0o755)
        shutil.rmtree(path)
    os.makedirs(path)
    return path


def left_behind(folder):
    """Temporary files of ours below a folder."""
    return [os.path.join(d, n) for d, ds, fs in os.walk(folder) for n in ds + fs
            if n.startswith(".tlc-") and n.endswith(".part")]


rows = {}  # of expect: what was asked and the exact error line, in order


def hold_rows(name, leave_out=()):
    """Every error line of this test against tests/hostile/NAME.txt; TLC_UPDATE_GOLDEN=1 writes it, for review."""
    path = os.path.join(SOURCE, "tests/hostile", name + ".txt")
    now = [row for row in rows if not any(word in row for word in leave_out)]
    if os.environ.get("TLC_UPDATE_GOLDEN"):
        with open(path, "w") as f:
            f.write("".join(row + "\n" for row in now))
    with open(path) as f:
        golden = f.read()
    text = "".join(row + "\n" for row in now)
    different = next((row for row in now if row not in golden), "") or next((line for line in golden.splitlines() if line not in text), "")
    check(text == golden, f"{name}: {len(now)} error lines as in tests/hostile/{name}.txt {different}")


def expect(what, command, code, core=None, program=None, absent=(), **kw):
    """Exit code, exactly one `error` line with the core (none where the code is 0), nothing in `absent`."""
    kw.setdefault("timeout", 120)
    p = subprocess.run([os.fspath(c) for c in map(str, command)], capture_output=True, **kw)
    err = p.stderr.decode("utf-8", "backslashreplace")
    program = program or os.path.basename(str(command[0]))
    errors = [line for line in err.splitlines() if line.startswith(program + ": error: ")]
    fine = p.returncode == code and len(errors) == (code != 0)
    # Every line is ours: a progress or warning line, or the error.
    fine = fine and all(line.startswith(program + ": ") for line in err.splitlines())
    fine = fine and (not core or (core in (errors[0] if code else err)))
    fine = fine and not any(os.path.lexists(f) for f in absent)
    check(fine, what)
    if code and len(errors) == 1:
        line = re.sub("-[0-9a-f]{12}/", "/", errors[0].replace(WORK + "/", ""))  # once() names by hash
        rows[f"{what}\n       {line}"] = None
    if not fine:
        print(f"        $ {' '.join(map(str, command))}\n        exit {p.returncode}, wanted {code} {core!r}: {err.strip()[-600:]}")
        print(f"        there: {[f for f in absent if os.path.lexists(f)]}")
    return p


# --- BASE of hostile-inputs 4.2 -------------------------------------------------------

def base_model(classes=4):
    """Conv, BatchNormalization, Relu, GlobalAveragePool, Flatten, Gemm on [n,3,8,8]."""
    rng = np.random.default_rng(7)

    def weight(name, *dims):
        return numpy_helper.from_array(rng.standard_normal(dims).astype(np.float32), name)

    weights = [weight("w", 4, 3, 3, 3), weight("scale", 4), weight("shift", 4), weight("mean", 4),
               numpy_helper.from_array(np.ones(4, np.float32), "var"), weight("fc.w", classes, 4), weight("fc.b", classes)]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "var"], ["b"], name="bn", epsilon=1e-5),
        helper.make_node("Relu", ["b"], ["r"], name="relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat", axis=1),
        helper.make_node("Gemm", ["f", "fc.w", "fc.b"], ["y"], name="fc", transB=1),
    ]
    graph = helper.make_graph(nodes, "base", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 8])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", classes])], weights)
    return helper.make_model(graph, producer_name="test", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def save(model, path):
    with open(path, "wb") as f:
        f.write(model if isinstance(model, bytes) else model.SerializeToString())
    return path


# --- faults ------------------------------------------------------------------------------

def fault_shim():
    """fault.c as a library to preload."""
    return once("fault.so", lambda path: run("cc", "-O2", "-fPIC", "-shared", "-o", path, os.path.join(SOURCE, "tests/e2e/fault.c")))


def preloaded(command, call="none", n=0, errno=5, **kw):
    """Run with the Nth `call` failing: the process and the four numbers of fault.c."""
    report = os.path.join(WORK, f"fault-{os.getpid()}.txt")
    env = {**os.environ, "LD_PRELOAD": fault_shim(), "FAULT_CALL": call, "FAULT_N": str(n), "FAULT_ERRNO": str(errno), "FAULT_REPORT": report}
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env, timeout=120, **kw)
    numbers = [0, 0, 0, 0]
    if os.path.exists(report):
        numbers = [int(word) for word in open(report).read().split()]
        os.unlink(report)
    return p, numbers


def fault_below(folder, call, errno):
    """Environment in which every such call on a file below the folder fails."""
    return {"LD_PRELOAD": fault_shim(), "FAULT_CALL": call, "FAULT_BELOW": folder, "FAULT_ERRNO": str(errno)}


def with_fault(command, call="none", n=0, errno=5, **kw):
    """Run with the Nth `call` failing: (process, did it fire, calls of malloc)."""
    p, numbers = preloaded(command, call, n, errno, **kw)
    return p, numbers[0] == 1, numbers[1]
