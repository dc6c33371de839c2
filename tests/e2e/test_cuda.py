"""Target cuda without a GPU: its kernels run on the CPU under tests/cuda/tlk_cuda_emu.h, which checks every access.

The programs are those that a user builds; only the driver and NVRTC that they open by name are the tests' own
(tests/cuda/fake_driver.c, fake_nvrtc.c).  TLC_LONG=1: every operator's case.
Arguments: cases of test_gradients.py to try alone."""
import json
import os
import random
import re
import shutil
import sys

import numpy as np

import test_gradients
import test_trajectories
from common import DATA, LONG, SOURCE, TLC, WORK, check, compiled, finish, run, steps

CUDA = os.path.join(SOURCE, "tests/cuda")
DEVICE = os.path.join(WORK, "device_of_" + os.path.splitext(os.path.basename(sys.argv[0]))[0])   # each script has its own
FAKE = os.path.join(DEVICE, "lib")
LOG = os.path.join(DEVICE, "compiled")
HOST_ALONE = {"resize": "resize", "resize_nearest": "resize", "resize_cubic": "resize", "resize_inside": "resize",
              "where": "where", "batch_matmul": "batch_matmul", "batch_matmul_square": "batch_matmul", "batch_matmul_both": "batch_matmul"}  # case, operator
SHORT = ["conv2d_groups", "batch_norm_train"]
# Planes large enough that the sums of the weights' gradients are cut in parts (split_sums): 3 of 195 windows; 3 of 208.
PARTED = [("parts", (3, 13, 15), (5, 13, 15), "PARAM:w:5,3,3,3 %z = conv2d %a, %w {pad=[1,1,1,1]}"),
          ("parts_one", (4, 16, 13), (6, 16, 13), "PARAM:w:6,2,1,1 %z = conv2d %a, %w {groups=2}")]
PRODUCTS = ["conv2d", "conv2d_stride", "conv2d_groups", "conv2d_dilation", "conv2d_one", "conv2d_frozen", "linear", "matmul", "residual"]
SHORT_PRODUCTS = {"tf32": ["conv2d_groups"], "bf16": ["residual"]}
# What may stand between convolutions of eight channels and more, so that all lies in NHWC: name, picture, %z, operations.  The picture
# is laid out anew once in @step and once in @head, the gradient of what is flattened once, that of a convolution to twelve channels, and
# what lrn's gradient sees in another shape; a mean over planes takes NHWC.
CHAINS = [
    ("chain", (8, 9, 7), (24,), "PARAM:w1:16,8,3,3 PARAM:b1:16 %c1 : f32[n,16,9,7] = conv2d %a, %w1, %b1 {pad=[1,1,1,1]} "
     "%r1 : f32[n,16,9,7] = relu %c1 %p1 : f32[n,16,5,4] = max_pool2d %r1 {kernel=[3,3], stride=[2,2], pad=[1,1,1,1]} "
     "PARAM:w2:16,16,3,3 NORM:bn:16 %c2 : f32[n,16,5,4] = conv2d %p1, %w2 {pad=[1,1,1,1]} "
     "%n2 : f32[n,16,5,4] = batch_norm %c2, %bn.weight, %bn.bias, %bn.mean, %bn.var %s2 : f32[n,16,5,4] = add %n2, %p1 "
     "%r2 : f32[n,16,5,4] = relu %s2 PARAM:w3:24,16,1,1 %c3 : f32[n,24,3,2] = conv2d %r2, %w3 {stride=[2,2]} "
     "%z = reduce_mean %c3 {axes=[2,3], keepdims=false}", 2),
    ("chain_depthwise", (3, 9, 8), (8, 2, 2), "PARAM:w1:8,3,3,3 %c1 : f32[n,8,5,4] = conv2d %a, %w1 {stride=[2,2], pad=[1,1,1,1]} "
     "%r1 : f32[n,8,5,4] = clip %c1 {lo=0, hi=0.7} PARAM:w2:16,1,5,5 PARAM:b2:16 %c2 : f32[n,16,5,4] = conv2d %r1, %w2, %b2 "
     "{groups=8, pad=[2,2,2,2]} %r2 : f32[n,16,5,4] = clip %c2 {lo=-0.2, hi=0.9} PARAM:w4:16,1,3,3 %c4 : f32[n,16,5,4] = conv2d %r2, %w4 "
     "{groups=16, pad=[1,1,1,1]} PARAM:w3:8,16,1,1 %c3 : f32[n,8,5,4] = conv2d %c4, %w3 "
     "%z = avg_pool2d %c3 {kernel=[3,2], stride=[2,2], pad=[0,0,0,0]}", 1),
    ("chain_excite", (8, 4, 5), (16,), "PARAM:w1:16,8,1,1 %c1 : f32[n,16,4,5] = conv2d %a, %w1 %m : f32[n,16,1,1] = reduce_mean %c1 {axes=[2,3]} "
     "PARAM:w2:16,16,1,1 %e : f32[n,16,1,1] = conv2d %m, %w2 %s : f32[n,16,1,1] = sigmoid %e %g : f32[n,16,4,5] = mul %c1, %s "
     "PARAM:k:16,1,1 %h : f32[n,16,4,5] = mul %g, %k PARAM:w3:16,16,3,3 %c3 : f32[n,16,4,5] = conv2d %h, %w3 {pad=[1,1,1,1]} "
     "%t : f32[n,16,4,5] = hard_swish %c3 %z = reduce_mean %t {axes=[2,3], keepdims=false}", 2),
    ("chain_branches", (8, 6, 5), (15,), "PARAM:w1:12,8,1,1 PARAM:b1:12 NORM:bn:12 %c1 : f32[n,12,6,5] = conv2d %a, %w1, %b1 "
     "%n1 : f32[n,12,6,5] = batch_norm %c1, %bn.weight, %bn.bias, %bn.mean, %bn.var PARAM:w2:16,8,3,3 "
     "%q : f32[n,8,8,8] = pad %a {pads=[0,0,0,1,0,0,2,2]} %c2 : f32[n,16,6,6] = conv2d %q, %w2 "
     "%u : f32[n,4,6,5] = slice %c2 {starts=[0,1,0,5], ends=[n,16,6,0], steps=[1,4,1,-1]} %j : f32[n,24,6,5] = concat %n1, %u, %a {axis=1} "
     "PARAM:w3:15,8,2,2 %c3 : f32[n,15,5,4] = conv2d %j, %w3 {groups=3} %z = reduce_mean %c3 {axes=[2,3], keepdims=false}", 3),
    ("chain_frozen", (8, 5, 6), (9,), "PARAM:w1:16,8,3,3 %c1 : f32[n,16,3,4] = conv2d %a, %w1 NORM:bn:16 "
     "%n1 : f32[n,16,3,4] = batch_norm %c1, %bn.weight, %bn.bias, %bn.mean, %bn.var %r1 : f32[n,16,3,4] = tanh %n1 PARAM:w2:9,16,3,3 "
     "%c2 : f32[n,9,3,4] = conv2d %r1, %w2 {pad=[1,1,1,1]} %z = reduce_mean %c2 {axes=[2,3], keepdims=false}", 2),
    ("chain_stats", (8, 5, 6), (8,), "PARAM:w1:16,8,3,3 %c1 : f32[n,16,3,4] = conv2d %a, %w1 FIXED:bn:16 "
     "%n1 : f32[n,16,3,4] = batch_norm %c1, %bn.weight, %bn.bias, %bn.mean, %bn.var %r1 : f32[n,16,3,4] = tanh %n1 PARAM:w2:8,16,3,3 "
     "%c2 : f32[n,8,3,4] = conv2d %r1, %w2 {pad=[1,1,1,1]} %z = reduce_mean %c2 {axes=[2,3], keepdims=false}", 2),
    ("chain_dropout", (8, 5, 6), (8,), "PARAM:w1:16,8,3,3 %c1 : f32[n,16,3,4] = conv2d %a, %w1 %d : f32[n,16,3,4] = dropout %c1 {p=0.3} "
     "PARAM:w2:8,16,3,3 %c2 : f32[n,8,3,4] = conv2d %d, %w2 {pad=[1,1,1,1]} %z = reduce_mean %c2 {axes=[2,3], keepdims=false}", 2),
    ("chain_lrn", (8, 5, 6), (8,), "PARAM:w1:16,8,3,3 %c1 : f32[n,16,3,4] = conv2d %a, %w1 %l : f32[n,16,3,4] = lrn %c1 {size=5, alpha=0.3} "
     "PARAM:w2:8,16,3,3 %c2 : f32[n,8,3,4] = conv2d %l, %w2 {pad=[1,1,1,1]} %z = reduce_mean %c2 {axes=[2,3], keepdims=false}", 6),
    ("chain_parts", (8, 16, 13), (8,), "PARAM:w1:8,8,3,3 %c1 : f32[n,8,16,13] = conv2d %a, %w1 {pad=[1,1,1,1]} %r1 : f32[n,8,16,13] = relu %c1 "
     "PARAM:w2:8,8,1,1 %c2 : f32[n,8,16,13] = conv2d %r1, %w2 %z = reduce_mean %c2 {axes=[2,3], keepdims=false}", 2),
]
SHORT_CHAINS = {"chain": ("tf32", 3), "chain_depthwise": ("bf16", 1)}   # precision, pictures
ARCHITECTURES = [75, 80, 86, 89, 90]
PARTS = ("kernels", "kernels/ref", "kernels/cpu", "kernels/cuda", "runtime/infer", "runtime/base", "runtime/cuda")
ALLOWED = 1e-5
EMULATED = ("-std=c++20", "-O2", "-U_FORTIFY_SOURCE", "-ffp-contract=off", "-Wall", "-Werror", "-march=native") # as fake_nvrtc.c, which takes -O3
# A rounded product is off by two roundoffs of its magnitude; a value of a step comes through four of them at most (forward,
# the head, back through both), and the largest value is at least half the magnitude of what is summed.
ALLOWED_ROUNDED = {"tf32": 16 * 2.0 ** -11, "bf16": 16 * 2.0 ** -8}


def libraries():
    """The driver and compiler that programs find in FAKE."""
    os.makedirs(FAKE, exist_ok=True)
    for source, name in (("fake_driver.c", "libcuda.so.1"), ("fake_nvrtc.c", "libnvrtc.so.13")):
        run("cc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{SOURCE}/kernels/cuda",
            os.path.join(CUDA, source), "-o",
            os.path.join(FAKE, name), "-ldl")


def with_device():
    os.environ.update(CFLAGS="-O0", LD_LIBRARY_PATH=FAKE, TLC_CUDA_EMU=CUDA, FAKE_NVRTC_LOG=LOG,
                      XDG_CACHE_HOME=os.path.join(DEVICE, "cache"))
    shutil.rmtree(os.environ["XDG_CACHE_HOME"], ignore_errors=True)
    os.makedirs(os.environ["XDG_CACHE_HOME"])


def compilations():
    return len(open(LOG).readlines()) if os.path.exists(LOG) else 0


def under_emulation(name):
    """planted: the emulation finds what is planted, and nothing where nothing is; products: matrix units beside double."""
    program = os.path.join(WORK, f"cuda_{name}")
    run("g++", "-std=c++20", "-O1", "-U_FORTIFY_SOURCE", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-x", "c++", f"-I{CUDA}",
        f"-I{SOURCE}/kernels/cuda", os.path.join(CUDA, f"{name}.cu"), "-o", program)
    p = run(program, code=None)
    lines = p.stdout.splitlines()
    check(p.returncode == 0 and len(lines) > 10, f"{name}: {len(lines)} cases, exit {p.returncode}")
    for line in lines:
        check(line.startswith("ok"), line)


def device_sources(folder):
    place = os.path.join(folder, "src/runtime/cuda")
    return [os.path.join(place, f) for f in os.listdir(place) if f.endswith(".c")]


def dump(source, name, n, target, *options, weighted=()):
    """Losses, logits and tensors after one step on `target`."""
    folder = os.path.join(WORK, name)
    shutil.rmtree(folder, ignore_errors=True)
    run(TLC, "compile", source, "-o", folder, "--target", target, "--optimizer", "sgd", "--batch", 3, "-q", *options)
    device = [f"{folder}/model_cpu.c", *device_sources(folder)] if target == "cuda" else []
    program, out = os.path.join(folder, "stepdump"), os.path.join(folder, "step.bin")
    run("cc", "-std=gnu11", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *includes(folder), f"{folder}/model.c",
        f"{folder}/src/the_model.c", f"{folder}/src/runtime/infer/tlr_pack.c", *device, os.path.join(SOURCE, "tests/e2e/stepdump.c"), "-lm", "-o", program)
    run(program, f"{folder}/weights.bin", n, out, *weighted)
    return np.fromfile(out, np.float32)


def step_of(case, precision="fp32", n=3):
    """One operator, forward and backward, beside the reference's; rounded operands show, and no more than they must."""
    name, shape, z, ops = case
    source = os.path.join(WORK, "cuda.tir")
    random.seed(name)
    with open(source, "w") as f:
        f.write(test_gradients.text(shape, z, ops))
    policy = name.split("_")[-1] if name.endswith(("norm_frozen", "norm_stats", "chain_frozen", "chain_stats")) else "train"
    want, got = (dump(source, f"cuda_step_{t}", n, t, "--bn", policy, "--precision", p) for t, p in (("ref", "fp32"), ("cuda", precision)))
    off = float(np.max(np.abs(got - want))) / max(1.0, float(np.max(np.abs(want)))) if got.shape == want.shape else np.inf
    allowed = ALLOWED_ROUNDED.get(precision, ALLOWED)
    check(off <= allowed and (precision == "fp32" or off > ALLOWED),
          f"{name}: a step in {precision} is off by {off:.1e} of the largest, allowed {allowed:.0e}")


def chain(case, precision, n=3):
    """A step through a chain in NHWC, and no more relayouts than at its ends."""
    *case, relayouts = case
    step_of(case, precision, n)
    text = open(f"{WORK}/cuda_step_cuda/model.cu").read()
    found = re.findall(r"^/\* %\S+ : (\S+) = relayout ", text, re.M)
    check(len(found) == relayouts and ".x_nhwc = true" in text and ".y_nhwc = true" in text,
          f"{case[0]}: {relayouts} values are laid out anew: {', '.join(found)}")


def declined(case):
    """An operator that has no kernel for a device: named, and nothing of the host's stands in."""
    source = os.path.join(WORK, "cuda.tir")
    with open(source, "w") as f:
        f.write(test_gradients.text(*case[1:]))
    p = run(TLC, "compile", source, "-o", f"{WORK}/cuda_no", "--target", "cuda", "--optimizer", "sgd", code=5)
    check(f"operator {HOST_ALONE[case[0]]} has no kernel" in p.stderr, f"{case[0]} is declined")


def class_weights():
    """A step with a weight for each class, with and without smoothing; a run of the trainer; all beside the reference's."""
    mlp = os.path.join(SOURCE, "tests/e2e/mlp.tir")
    for smoothing in (0, 0.1):
        options = ["--label-smoothing", smoothing] if smoothing else []
        want, got, plain = (dump(mlp, f"cuda_step_{t}", 3, t, *options, weighted=w)
                            for t, w in (("ref", ["weighted"]), ("cuda", ["weighted"]), ("cuda", [])))
        off = float(np.max(np.abs(got - want))) / float(np.max(np.abs(want)))
        check(off <= ALLOWED < np.max(np.abs(got - plain)), f"class weights, smoothing {smoothing}: a step is off by {off:.1e}, allowed {ALLOWED:.0e}")
    rng = np.random.default_rng(3)
    np.save(f"{WORK}/cuda_x.npy", rng.standard_normal((22, 20)).astype(np.float32))
    np.save(f"{WORK}/cuda_y.npy", np.arange(22) % 7 % 3)
    losses = []
    for target in ("ref", "cuda"):
        folder = compiled(mlp, f"cuda_weighted_{target}", "--target", target, "--batch", 5, "--optimizer", "adam", "-q", targets=("trainer",))
        out = os.path.join(WORK, f"cuda_weighted_{target}_run")
        shutil.rmtree(out, ignore_errors=True)
        run(f"{folder}/trainer", "train", "--data", f"{WORK}/cuda_x.npy,{WORK}/cuda_y.npy", "--valid", 0, "--epochs", 2, "--lr", 0.01,
            "--class-weights", "balanced", "--out", out, "-q")
        losses.append([s["loss"] for s in steps(out) if s["type"] == "step"])
    off = max(abs(a - b) / a for a, b in zip(*losses))
    check(len(losses[0]) == len(losses[1]) == 10 and off <= ALLOWED,
          f"--class-weights balanced: {len(losses[1])} steps, losses off by {off:.1e} of the reference's, allowed {ALLOWED:.0e}")


def trajectory(case, precision="fp32"):
    """A whole run within the bound of generate.py, the loss of every step; with rounded operands within theirs."""
    base = os.path.join(DATA, "trajectories", case)
    info = json.load(open(os.path.join(base, "case.json")))
    f64, f32 = (json.load(open(f"{base}.{k}.json")) for k in ("f64", "f32"))
    before = compilations()
    out, evaluation = test_trajectories.train(case, info, case + "_cuda", "--target", "cuda", "--precision", precision)
    losses = [s["loss"] for s in steps(out) if s["type"] == "step"]
    check(len(losses) == len(f64["losses"]), f"{case}: {len(losses)} steps")
    if precision != "fp32":
        off, allowed = max(abs(l - w) / w for l, w in zip(losses, f64["losses"])), ALLOWED_ROUNDED[precision]
        check(off <= allowed, f"{case} in {precision}: losses are off by {off:.1e}, allowed {allowed:.0e}")
        return
    worst = max(abs(l - w) / test_trajectories.bound(f64["losses"], f32["losses"], t) for t, (l, w) in enumerate(zip(losses, f64["losses"])))
    check(worst <= 1, f"{case}: losses use {worst:.2f} of the bound")
    check(evaluation["accuracy"] == f64["evaluation"]["accuracy"], f"{case}: accuracy {evaluation['accuracy']}")
    check(compilations() == before + 1, f"{case}: training and evaluation compiled the kernels once")


def without_device(folder):
    """One line and exit code 5."""
    np.save(f"{WORK}/cuda_x.npy", np.zeros((8, 20), np.float32))
    np.save(f"{WORK}/cuda_y.npy", np.arange(8) % 3)
    out = os.path.join(WORK, "cuda_run")
    shutil.rmtree(out, ignore_errors=True)
    train = [f"{folder}/trainer", "train", "--data", f"{WORK}/cuda_x.npy,{WORK}/cuda_y.npy", "--valid", 0, "--epochs", 1, "--out", out, "-q"]
    infer = [f"{folder}/predictor", "infer", "--input", f"{WORK}/cuda_x.npy", "--value", "features", "-o", f"{WORK}/cuda_f.npy"]
    plain = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    if shutil.which("nvidia-smi") is None:
        for command in (train, infer):
            p = run(*command, code=5, env=plain)
            check(len(p.stderr.strip().splitlines()) <= 2 and "no CUDA driver" in p.stderr, f"no driver: {p.stderr.strip()}")
    return train, infer


def with_fakes(train, infer):
    p = run(*train, code=5, env=dict(os.environ, FAKE_CUDA_NO_DEVICE="1"))
    check("no CUDA device" in p.stderr, f"no device: {p.stderr.strip()}")
    shutil.rmtree(os.environ["XDG_CACHE_HOME"])
    os.makedirs(os.environ["XDG_CACHE_HOME"])
    run(*train)
    before = compilations()
    cache = os.path.join(os.environ["XDG_CACHE_HOME"], "tlc")
    run(*infer)
    check(compilations() == before and len(os.listdir(cache)) == 1, "kernels come from the cache the second time")
    file = os.path.join(cache, os.listdir(cache)[0])
    with open(file, "r+b") as f:
        f.seek(100)
        f.write(b"damaged")
    run(*infer)
    check(compilations() == before + 1, "a damaged file of the cache is as if absent")


def includes(folder):
    return [f"-I{folder}", *(f"-I{folder}/src/{d}" for d in PARTS)]


def nvcc_of_toolkit():
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def by_nvcc(folder, architectures):
    """model.cu for every architecture and as PTX, without a warning."""
    nvcc = nvcc_of_toolkit()
    if not nvcc:
        print("left out: no nvcc")
        return
    code = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures] + [f"-gencode=arch=compute_{architectures[-1]},code=compute_{architectures[-1]}"]
    p = run(nvcc, "-std=c++20", "--fmad=false", *code, "-fatbin", "-Werror", "all-warnings", f"-I{folder}/src/kernels/cuda",
            f"{folder}/model.cu", "-o", f"{folder}/model.fatbin", code=None)
    check(p.returncode == 0 and not p.stderr.strip(), f"nvcc compiles {os.path.basename(folder)} for {architectures} and PTX {p.stderr.strip()[:200]}")


def by_nvrtc(folder, architectures):
    """The machine's own NVRTC compiles the same text; the second time the cache has it."""
    if not any(os.path.exists(f"/usr/local/cuda/lib64/{n}") for n in ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12")):
        print("left out: no NVRTC")
        return
    program, env = os.path.join(folder, "nvrtc_check"), {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    cache = env["XDG_CACHE_HOME"] = os.path.join(WORK, "cuda_cache_nvrtc")
    shutil.rmtree(cache, ignore_errors=True)
    os.makedirs(cache)
    run("cc", "-std=gnu11", "-O0", *includes(folder), f"{folder}/model.c", f"{folder}/model_cpu.c", f"{folder}/src/the_model.c",
        f"{folder}/src/runtime/infer/tlr_pack.c", *device_sources(folder), os.path.join(CUDA, "nvrtc_check.c"), "-lm", "-o", program)
    out = run(program, *(a for a in architectures for _ in range(2)), env=env, code=None).stdout.split("\n")[:-1]
    check(out == [f"{a} {w}" for a in architectures for w in ("compiled", "cached")], f"NVRTC: {', '.join(out)}")


def every_operator():
    """One network of all that has a case, for the compilers: what they say of the text does not depend on shapes."""
    for name in ("prelu", "concat", "slice", "conv2d_depthwise", "layer_norm", "lrn", "avg_pool_counted", "softmax"):
        case = next(c for c in test_gradients.CASES if c[0] == name)
        source, folder = os.path.join(WORK, "cuda.tir"), os.path.join(WORK, f"cuda_text_{name}")
        random.seed(name)
        with open(source, "w") as f:
            f.write(test_gradients.text(*case[1:]))
        shutil.rmtree(folder, ignore_errors=True)
        run(TLC, "compile", source, "-o", folder, "--target", "cuda", "--optimizer", "sgd", "--batch", 3, "-q")
        by_nvcc(folder, ARCHITECTURES if name == "prelu" else [90])
        by_nvrtc(folder, [86])


def refused():
    for precision, target, needs in (("fp64", "cuda", "ref"), ("fp64", "cpu", "ref"), ("tf32", "cpu", "cuda"), ("bf16", "ref", "cuda")):
        p = run(TLC, "compile", os.path.join(SOURCE, "tests/e2e/mlp.tir"), "-o", f"{WORK}/cuda_no", "--target", target, "--precision",
                precision, code=2)
        check(f"--precision {precision} needs --target {needs}" in p.stderr, f"--precision {precision} --target {target} is refused")


def of_small_network(name, *options):
    """A convolution and linear layers, so that every kernel of products is in it."""
    case = next(c for c in test_gradients.CASES if c[0] == "conv2d_one")
    source, folder = os.path.join(WORK, "cuda.tir"), os.path.join(WORK, name)
    random.seed("small")
    with open(source, "w") as f:
        f.write(test_gradients.text(*case[1:]))
    shutil.rmtree(folder, ignore_errors=True)
    run(TLC, "compile", source, "-o", folder, "--target", "cuda", "--optimizer", "adam", "--batch", 3, "-q", *options)
    return folder


def matrix_units():
    """Devices and compilers that have none are refused in one line; fp32 asks for none and has no text of them."""
    for precision in ("tf32", "bf16"):
        folder = of_small_network(f"cuda_{precision}", "--precision", precision)
        run("make", "-s", "-C", folder, "predictor")
        np.save(f"{WORK}/cuda_x.npy", np.zeros((2, 3, 3, 3), np.float32))
        infer = [f"{folder}/predictor", "infer", "--input", f"{WORK}/cuda_x.npy", "-o", f"{WORK}/cuda_y.npy"]
        p = run(*infer, code=5, env=dict(os.environ, FAKE_CUDA_CAPABILITY="75"))
        check(f"compute capability 7.5: --precision {precision} needs 8.0" in p.stderr and len(p.stderr.strip().splitlines()) == 1,
              f"{precision} on an older device: {p.stderr.strip()}")
        run(*infer)
        by_nvcc(folder, [a for a in ARCHITECTURES if a >= 80] if LONG else [80])
        by_nvrtc(folder, [86])
        if nvcc_of_toolkit():
            p = run(nvcc_of_toolkit(), "-std=c++20", "-arch=sm_75", "-cubin", f"-I{folder}/src/kernels/cuda", f"{folder}/model.cu", "-o",
                    f"{folder}/model.cubin", code=None)
            check(p.returncode != 0 and "need compute capability 8.0" in p.stderr, f"nvcc for sm_75, {precision}: {p.stderr[:100]}")
    folder = of_small_network("cuda_fp32")
    files = os.listdir(f"{folder}/src/kernels/cuda")
    check("tlk_cuda_gemm.h" in files and not any("mma" in f for f in files) and "mma" not in open(f"{folder}/model.cu").read(),
          "fp32 has no text of matrix units")
    graphs = {json.load(open(f"{WORK}/cuda_{p}/manifest.json"))["graph_sha256"] for p in ("fp32", *ALLOWED_ROUNDED)}
    check(len(graphs) == 1, "the graph is one for every precision, so weights and checkpoints fit")
    run("make", "-s", "-C", folder, "predictor")
    run(f"{folder}/predictor", "infer", "--input", f"{WORK}/cuda_x.npy", "-o", f"{WORK}/cuda_y.npy",
        env=dict(os.environ, FAKE_CUDA_CAPABILITY="75"))


if __name__ == "__main__":
    os.makedirs(WORK, exist_ok=True)
    if not shutil.which("g++"):
        print("skipped: no g++")
        sys.exit(77)
    if os.path.exists(LOG):
        os.remove(LOG)
    libraries()
    if not sys.argv[1:]:
        under_emulation("planted")
        under_emulation("products")
        refused()
        with_device()
        folder = os.path.join(WORK, "traj_mlp_cuda")
        if os.path.isdir(DATA):
            trajectory("mlp")
        else:
            compiled(os.path.join(SOURCE, "tests/e2e/mlp.tir"), "traj_mlp_cuda", "--target", "cuda", "--batch", 4, "--optimizer", "adam")
        with_fakes(*without_device(folder))
        class_weights()
        by_nvcc(folder, ARCHITECTURES if LONG else [86])
        by_nvrtc(folder, [86])
        matrix_units()
        if LONG:
            every_operator()
    else:
        with_device()
    for case in PARTED:
        for precision in ["fp32", *ALLOWED_ROUNDED] if LONG else ["tf32" if case[0] == "parts_one" else "fp32"]:
            if case[0] in (sys.argv[1:] or [case[0]]):
                step_of(case, precision)
                check("conv2d_grad_w_parts" in open(f"{WORK}/cuda_step_cuda/model.cu").read(), f"{case[0]}: the sum is cut")
    for case in CHAINS:
        if case[0] in (sys.argv[1:] or (SHORT_CHAINS if not LONG else [c[0] for c in CHAINS])):
            for precision, n in (("tf32", 3), ("bf16", 1)) if LONG or sys.argv[1:] else (SHORT_CHAINS[case[0]],):
                chain(case, precision, n)
            if not sys.argv[1:]:
                by_nvcc(f"{WORK}/cuda_step_cuda", [a for a in ARCHITECTURES if a >= 80] if LONG else [80])
                by_nvrtc(f"{WORK}/cuda_step_cuda", [86])
    for case in test_gradients.CASES:
        if case[0] in HOST_ALONE and not sys.argv[1:]:
            declined(case)
        elif case[0] in (sys.argv[1:] or (SHORT if not LONG else [c[0] for c in test_gradients.CASES])):
            step_of(case)
        for precision, short in SHORT_PRODUCTS.items():
            if case[0] in (PRODUCTS if LONG else short) and case[0] in (sys.argv[1:] or PRODUCTS):
                step_of(case, precision)
    finish()
