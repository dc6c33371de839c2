"""Runs of a folder of target cuda, on the emulated device: begun on one target and gone on with on another; --device;
kernels compiled beforehand; graphs."""
import json
import os
import shutil
import sys

import numpy as np

import nets
import test_cuda
from common import LONG, SOURCE, TLC, WORK, check, compiled, finish, read_safetensors, run, sha256, steps

ALLOWED = 1e-4  # of the loss of an epoch; what two targets round differently is about 1e-6
EPOCHS = 4
DATA = f"{WORK}/cuda_run_x.npy,{WORK}/cuda_run_y.npy"


def values_of(net, path):
    """Random initial values of a network, as its text asks for them."""
    random = np.random.default_rng(1)
    np.concatenate([np.full(shape, name.endswith("running_var")) if "running" in name else
                    np.full(shape, 1) if name.startswith("bn") and name.endswith("weight") else
                    random.standard_normal(shape).ravel() * (2 / max(1, np.prod(shape[1:]))) ** 0.5
                    for name, shape in ((name, tuple(shape)) for name, shape in net.index)]).astype(np.float32).tofile(path)


def network():
    """What each target lays out and computes in its own way: a frozen stem, a 3x3 layer of stride 1 (Winograd's on
    the CPU), a batch norm, dropout, a linear layer.  Values from a file."""
    path, values = os.path.join(WORK, "cuda_run.tir"), os.path.join(WORK, "cuda_run.bin")
    n = nets.Net("run", (3, 16, 16), values="cuda_run.bin")
    x = n.relu(n.conv("x", "stem", 16, 3, stride=2, pad=1))
    x = n.relu(n.norm(n.conv(x, "conv", 32, 3, pad=1, bias=False), "bn"))
    x = n.relu(n.conv(x, "wide", 24, 3, stride=2, pad=1))
    x = n.dropout(n.flatten(x), 0.25)
    with open(path, "w") as f:
        f.write(n.text(n.linear(x, "fc", 3)))
    values_of(n, values)
    return path


def residual_network():
    """Convolution, batch norm, pool and residual in NHWC on matrix units."""
    path = os.path.join(WORK, "cuda_run_residual.tir")
    n = nets.Net("residual", (3, 16, 16), values="cuda_run_residual.bin")
    x = n.max_pool(n.relu(n.norm(n.conv("x", "stem", 16, 3, pad=1, bias=False), "bn0")), 3, 2, 1)
    y = n.norm(n.conv(x, "conv", 16, 3, pad=1, bias=False), "bn1")
    x = n.relu(n.conv(n.relu(n.sum(y, x)), "wide", 24, 3, stride=2))
    x = n.add([24], "reduce_mean", x, axes=[2, 3], keepdims="false")
    with open(path, "w") as f:
        f.write(n.text(n.linear(x, "fc", 3)))
    values_of(n, os.path.join(WORK, "cuda_run_residual.bin"))
    return path


def folder_of(source, target, *options):
    return compiled(source, f"cuda_run_{target}", "--target", target, "--batch", 8, "--optimizer", "adamw", "--freeze", "*",
                    "--unfreeze", "conv*", "--unfreeze", "bn*", "--unfreeze", "wide*", "--unfreeze", "fc*", *options)


def identities(folders):
    m = {t: json.load(open(os.path.join(f, "manifest.json"))) for t, f in folders.items()}
    check(len({x["graph_sha256"] for x in m.values()}) == 1, "the graph is the same, whatever the target")
    check(len({x["code_sha256"] for x in m.values()}) == len(m), "what is emitted of it is not")


def train(folder, out, *options, code=0, env=None):
    return run(f"{folder}/trainer", "train", "--data", DATA, "--valid", 0.25, "--seed", 5, "--lr", 0.003, "--out", out,
               "--cache-dir", f"{WORK}/cuda_run_cache", "-q", *options, code=code, env=env)


def train_over(name, *folders):
    """A run whose epochs are trained by one folder after another; the losses of its epochs and its last weights."""
    out = os.path.join(WORK, f"cuda_run_{name}")
    shutil.rmtree(out, ignore_errors=True)
    for i, folder in enumerate(folders):
        file = os.path.join(out, "run.json")
        if i > 0: # the run as it would stand if it had been asked for more epochs and stopped
            j = json.load(open(file))
            j["options"]["epochs"] = i + 1
            with open(file, "w") as f:
                json.dump(j, f)
        train(folder, out, *(["--resume"] if i > 0 else ["--epochs", 1]))
    losses = [[s["train_loss"], s["valid_loss"]] for s in steps(out) if s["type"] == "epoch"]
    last = json.load(open(os.path.join(out, "last.json")))
    return np.array(losses), sha256(os.path.join(out, last["file"])), out


def interchange(folders):
    cpu, cuda = folders["cpu"], folders["cuda"]
    whole = os.path.join(WORK, "cuda_run_whole")
    shutil.rmtree(whole, ignore_errors=True)
    train(cpu, whole, "--epochs", EPOCHS)
    want, bits, _ = train_over("same", *[cpu] * EPOCHS)
    last = json.load(open(os.path.join(whole, "last.json")))
    check(sha256(os.path.join(whole, last["file"])) == bits, "cpu gone on with on cpu: the same bits")
    got, other, out = train_over("both", cpu, cpu, cuda, cpu)
    off = np.max(np.abs(got - want) / want) if got.shape == want.shape else np.inf
    check(off <= ALLOWED and other != bits, f"cpu, cpu, cuda, cpu: losses of epochs are off by {off:.1e}, allowed {ALLOWED:.0e}")
    accuracy = [json.loads(run(f"{f}/trainer", "eval", "--data", DATA, "--run", out, "--json").stdout)["accuracy"] for f in (cpu, cuda)]
    check(accuracy[0] == accuracy[1], f"eval of the run by both: {accuracy}")
    got, _, _ = train_over("begun", cuda, cpu, cpu, cuda)
    off = np.max(np.abs(got - want) / want) if got.shape == want.shape else np.inf
    check(off <= ALLOWED, f"cuda, cpu, cpu, cuda: losses of epochs are off by {off:.1e}, allowed {ALLOWED:.0e}")
    check(len(os.listdir(f"{WORK}/cuda_run_cache")) == 2, "each target has features of its own in the cache")
    p = train(compiled(os.path.join(SOURCE, "tests/e2e/mlp.tir"), "cuda_run_other", "--target", "cpu"), out, "--resume", code=5)
    check("run of another model" in p.stderr, f"another network: {p.stderr.strip()}")
    p = train(folder_of(os.path.join(WORK, "cuda_run.tir"), "cpu", "--label-smoothing", 0.1), out, "--resume", code=5)
    check("run of another model" in p.stderr, f"other options: {p.stderr.strip()}")


def rounded():
    """Runs on matrix units, with values and weights in NHWC, beside the CPU's; gone on with there and back."""
    options = ["--batch", 8, "--optimizer", "sgd"]
    source = residual_network()
    cpu = compiled(source, "cuda_run_residual_cpu", "--target", "cpu", *options)
    want, _, _ = train_over("rounded_cpu", *[cpu] * EPOCHS)
    for precision in ("tf32", "bf16") if LONG else ("tf32",):
        folder = compiled(source, f"cuda_run_residual_{precision}", "--target", "cuda", "--precision", precision, *options)
        with open(os.path.join(folder, "model.cu")) as f:
            text = f.read()
        check("[16,16,3,3]{nhwc}" in text and "relayout" not in text, f"{precision}: weights in NHWC, no value is laid out anew")
        identities({"cpu": cpu, precision: folder})
        for name, over in (("", [folder] * EPOCHS), ("_both", [folder, cpu, folder, cpu])):
            got, _, out = train_over(precision + name, *over)
            off, allowed = np.max(np.abs(got - want) / want), test_cuda.ALLOWED_ROUNDED[precision]
            check(1e-6 < off <= allowed, f"{precision}{name}: losses of {EPOCHS} epochs are off by {off:.1e}, allowed {allowed:.0e}")
        accuracy = [json.loads(run(f"{f}/trainer", "eval", "--data", DATA, "--run", out, "--json").stdout)["accuracy"] for f in (cpu, folder)]
        check(accuracy[0] == accuracy[1], f"{precision}: eval of the run by both: {accuracy}")
        files = [os.path.join(out, f"{side}.safetensors") for side in ("cpu", precision)]
        for f, file in zip((cpu, folder), files):
            run(f"{f}/trainer", "export", file, "--run", out)
        a, b = map(read_safetensors, files)
        check(a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a), f"{precision}: both export the same {len(a)} tensors of the run")


def fresh(name):
    out = os.path.join(WORK, f"cuda_run_{name}")
    shutil.rmtree(out, ignore_errors=True)
    return out


def last_of(out):
    return sha256(os.path.join(out, json.load(open(os.path.join(out, "last.json")))["file"]))


def trained_on(out):
    return json.load(open(os.path.join(out, "run.json")))["model"]["target"]


def device_of(out):
    return json.load(open(os.path.join(out, "run.json")))["cost"]["device"]


def devices(folders):
    """--device of a folder of target cuda: with a device, without one, and of a folder without kernels for one."""
    cpu, cuda = folders["cpu"], folders["cuda"]
    bare = dict(os.environ, FAKE_CUDA_NO_DEVICE="1")
    bits = fresh("device_bits")
    train(cpu, bits, "--epochs", 2)
    p = train(cuda, fresh("device_none"), "--epochs", 2, code=5, env=bare)
    check(len(p.stderr.splitlines()) <= 2 and "no CUDA device" in p.stderr, f"no device: {p.stderr.strip()}")
    for device in ("auto", "cpu"):
        out = fresh(f"device_{device}")
        p = train(cuda, out, "--epochs", 2, "--device", device, env=bare)
        check(not p.stderr and last_of(out) == last_of(bits) and trained_on(out) == "cpu",
              f"no device, --device {device}: the bits of target cpu {p.stderr}")
    on_cpu, out = out, fresh("device_auto_gpu")
    p = train(cuda, out, "--epochs", 2, "--device", "auto")
    check(not p.stderr and last_of(out) != last_of(bits) and trained_on(out) == "cuda", f"a device, --device auto: runs there {p.stderr}")
    check("emulated device 0, compute capability" in device_of(out) and device_of(on_cpu) == "cpu", f"run.json says where: {device_of(out)}")
    p = run(f"{cuda}/trainer", "train", "--data", DATA, "--valid", 0.25, "--epochs", 1, "--out", fresh("device_said"))
    check(p.stdout.startswith(f"device    {device_of(out)}\n"), f"the report begins with the device: {p.stdout[:60]!r}")
    p = train(cuda, out, "--resume", "--device", "cpu")
    check(trained_on(out) == "cpu", "a run on the device is taken up with --device cpu")
    got = [run(f"{cuda}/trainer", "eval", "--data", DATA, "--run", out, "--json", "--device", d, env=e)
           for d, e in (("auto", os.environ), ("cpu", bare), ("auto", bare))]
    check([p.stderr for p in got] == ["", "", "trainer: warning: no CUDA device; going on on the CPU\n"],
          "one line where --device auto goes on on the CPU")
    check(got[1].stdout == got[2].stdout and json.loads(got[0].stdout)["accuracy"] == json.loads(got[1].stdout)["accuracy"],
          "eval --device")
    exported = fresh("device_export")
    run(f"{cuda}/trainer", "export", "-o", exported, "--run", out, "--device", "cpu", env=bare)
    infer = [f"{cuda}/predictor", "infer", "--input", f"{WORK}/cuda_run_x8.npy", "-o", f"{WORK}/cuda_run_o.npy", "--weights",
             f"{exported}/weights.bin"]
    run(*infer, "--device", "cpu", env=bare)
    p = run(*infer, code=5)
    check("weights of another model" in p.stderr, "weights exported for the one are refused by the other")
    for device, code, what in (("cuda", 5, "compiled for target cpu alone"), ("gpu", 2, "--device is cuda, cpu or auto")):
        p = train(cpu, fresh("device_cpu"), "--device", device, code=code)
        check(what in p.stderr, f"a folder of target cpu, --device {device}: {p.stderr.strip()}")
    train(cpu, fresh("device_cpu"), "--epochs", 1, "--device", "auto")


def emulated(source, name):
    """Kernels as a library that the fake driver takes for a fatbin's."""
    library = os.path.join(WORK, f"cuda_run_{name}.so")
    run("g++", *test_cuda.EMULATED, "-shared", "-fPIC", "-x", "c++", source, f"-I{SOURCE}/kernels/cuda", f"-I{test_cuda.CUDA}", "-o", library)
    return library


def misuse():
    """The fake driver finds wrong uses of streams and graphs."""
    program = os.path.join(WORK, "cuda_misuse")
    run("cc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{SOURCE}/kernels/cuda", "-include", "stdint.h",
        os.path.join(test_cuda.CUDA, "misuse.c"), os.path.join(test_cuda.FAKE, "libcuda.so.1"), "-o", program)
    library = emulated(os.path.join(test_cuda.CUDA, "misuse.cu"), "misuse")
    lines = run(program, env=dict(os.environ, FAKE_CUDA_FATBIN=library)).stdout.splitlines()
    for line in lines:
        check(line.startswith("ok"), f"the fake driver: {line[7:]}")
    check(len(lines) == 16, f"the fake driver: {len(lines)} uses")


def graphs(source):
    """A function's launches as one graph: the same bits as one by one, whatever changes from step to step."""
    folder = compiled(source, "cuda_run_head", "--target", "cuda", "--batch", 8, "--optimizer", "adamw", "--replace-head", "3",
                      "--freeze", "*", "--unfreeze", "wide*", "--unfreeze", "fc*")
    bits, said = [], []
    for name, wanted in (("graphs", {}), ("one_by_one", {"FAKE_CUDA_NO_GRAPHS": "1"})):
        out, log = fresh(name), os.path.join(WORK, f"cuda_run_log_{name}")
        shutil.rmtree(f"{WORK}/cuda_run_cache", ignore_errors=True)
        if os.path.exists(log):
            os.remove(log)
        train(folder, out, "--epochs", 4, "--head-epochs", 2, "--schedule", "cosine", env=dict(os.environ, FAKE_CUDA_LOG=log, **wanted))
        bits.append(last_of(out))
        said.append(open(log).read().splitlines() if os.path.exists(log) else [])
    made, launched = (sum(line.startswith(word) for line in said[0]) for word in ("graph", "launch"))
    moved = [line for line in said[1] if line.startswith("move")]
    # a picture is 3 x 16 x 16 floats; a step of 8 leaves as many losses and 3 logits each
    check({"move of 24576 to the device", "move of 32 to the host", "move of 96 to the host"} <= set(moved) and
          "move refused" not in moved, f"pictures and results are moved whole: {len(moved)} moves")
    check(len(set(bits)) == 1 and len(moved) == len(said[1]), "graphs or launches one by one: the same bits")
    # 64 samples by 8, 16 of them to evaluate: 8 times features, 12 steps of the head, 12 of all, 8 evaluations; all but the first of each
    check(made == 4 and launched >= 7 + 11 + 11 + 7, f"{made} graphs, launched {launched} times")


def beforehand(folders):
    """make CUDA=1: the driver loads what nvcc made, and NVRTC is not opened."""
    nvcc = test_cuda.nvcc_of_toolkit()
    if not nvcc:
        print("left out: no nvcc")
        return
    folder, alone, log = folders["cuda"], os.path.join(WORK, "cuda_run_driver"), os.path.join(WORK, "cuda_run_loaded")
    bits = fresh("beforehand_bits")
    train(folder, bits, "--epochs", 1)
    devices = test_cuda.ARCHITECTURES if LONG else [75, 90]
    run("make", "-s", "-C", folder, "CUDA=1", f"NVCC={nvcc}", *([] if LONG else ["CUDA_ARCH=75 90"]))
    stands_for = emulated(f"{folder}/model.cu", "kernels") # the emulation runs no machine code of a device
    os.makedirs(alone, exist_ok=True)
    shutil.copy(os.path.join(test_cuda.FAKE, "libcuda.so.1"), alone)
    if os.path.exists(log):
        os.remove(log)
    cache = fresh("beforehand_cache")
    os.makedirs(cache)
    before, env = test_cuda.compilations(), dict(os.environ, XDG_CACHE_HOME=cache, FAKE_CUDA_LOG=log)
    out = fresh("beforehand")
    train(folder, out, "--epochs", 1, env=dict(env, LD_LIBRARY_PATH=alone, FAKE_CUDA_FATBIN=stands_for))
    loaded = open(log).readline().strip()
    check(loaded == "fatbin " + " ".join(f"sm_{a}" for a in devices[:-1]) + " compute_90 sm_90", f"loaded: {loaded}")
    check(last_of(out) == last_of(bits) and not os.listdir(cache), "make CUDA=1: the same bits, without NVRTC and cache")
    out = fresh("beforehand_refused")
    train(folder, out, "--epochs", 1, env=env)
    check(test_cuda.compilations() == before + 1 and last_of(out) == last_of(bits), "where the driver refuses it NVRTC compiles")


if __name__ == "__main__":
    os.makedirs(WORK, exist_ok=True)
    if not shutil.which("g++"):
        print("skipped: no g++")
        sys.exit(77)
    test_cuda.libraries()
    test_cuda.with_device()
    random = np.random.default_rng(2)
    labels = np.arange(64) % 3
    np.save(f"{WORK}/cuda_run_x.npy", (random.standard_normal((64, 3, 16, 16)) + labels[:, None, None, None]).astype(np.float32))
    np.save(f"{WORK}/cuda_run_x8.npy", random.standard_normal((8, 3, 16, 16)).astype(np.float32))
    np.save(f"{WORK}/cuda_run_y.npy", labels)
    shutil.rmtree(f"{WORK}/cuda_run_cache", ignore_errors=True)
    source = network()
    folders = {target: folder_of(source, target) for target in ("cpu", "cuda")}
    identities(folders)
    interchange(folders)
    rounded()
    folders["cpu"] = folder_of(source, "cpu") # as it was: the last of them smoothed labels
    devices(folders)
    misuse()
    graphs(source)
    beforehand(folders)
    finish()
