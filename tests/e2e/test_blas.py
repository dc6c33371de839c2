"""`--blas openblas`: the same results within rounding as our own linear layers, the same bits on any
number of threads, and a picture's result whatever its batch and place in it."""
import os
import sys

import numpy as np

from common import SOURCE, TLC, check, finish, run, sha256, steps
from tiny import DEMO, scratch

if not any(os.path.exists(os.path.join(d, "cblas.h")) for d in ("/usr/include", "/usr/include/x86_64-linux-gnu", "/usr/include/aarch64-linux-gnu")):
    print("skipped: no libopenblas-dev")
    sys.exit(77)
here = scratch("blas")
rng = np.random.default_rng(4)
np.save(os.path.join(here, "x.npy"), rng.standard_normal((37, 3, 64, 64)).astype(np.float32))
np.save(os.path.join(here, "y.npy"), np.arange(37, dtype=np.int64) % 2)
data = os.path.join(here, "x.npy") + "," + os.path.join(here, "y.npy")


def net(blas):
    """Layers 2048 -> 1000 -> 300 -> 2: two are large enough, neither a multiple of 16 wide."""
    folder = os.path.join(here, blas)
    report = run(TLC, "compile", DEMO, "--replace-head", "2048,relu,1000,relu,300,relu,2", "--freeze-backbone", "--blas", blas, "--name", "net",
                 "-o", folder).stdout
    run("make", "-s", "-j2", "-C", folder)
    linked = "libopenblas" in run("readelf", "-d", os.path.join(folder, "trainer")).stdout
    check(linked == (blas == "openblas"), f"--blas {blas}: OpenBLAS is linked: {linked}")
    calls = open(os.path.join(folder, "model.c")).read()
    check(("tlk_linear_blas_item" in calls and "tlk_linear_grad_x_blas_item" in calls) == linked, f"--blas {blas}: its kernels are called: {linked}")
    check(("openblas" in report) == linked, f"--blas {blas}: the report names it: {linked}")
    return folder


def trained(folder, threads):
    out = f"{folder}-run{threads}"
    run(os.path.join(folder, "trainer"), "train", "--data", data, "--valid", "0", "--epochs", "2", "--seed", "1", "--lr", "1e-4", "--threads", threads, "-q", "-o", out)
    file = next(f for f in sorted(os.listdir(out)) if f.endswith(".safetensors"))
    return out, os.path.join(out, file)


def logits(folder, weights, pictures, threads=1):
    src, dst = os.path.join(here, "in.npy"), os.path.join(here, "out.npy")
    np.save(src, pictures)
    run(os.path.join(folder, "predictor"), "infer", "--weights", weights, "--input", src, "--output", dst, "--threads", threads)
    return np.load(dst)


ours, theirs = net("none"), net("openblas")
own_run, want = trained(ours, 1)
run_folder, got = trained(theirs, 1)
for threads in (2, 3):
    check(sha256(trained(theirs, threads)[1]) == sha256(got), f"trained weights have the same bits on {threads} threads")
check(sha256(want) != sha256(got), "the two round apart somewhere, so both were run")
a, b = ([s["loss"] for s in steps(d) if s["type"] == "step"] for d in (own_run, run_folder))
far = max(abs(p - q) for p, q in zip(a, b))
check(len(a) == len(b) == 6 and far < 1e-4, f"losses of training steps: {far:.1e} apart")

run(os.path.join(theirs, "trainer"), "export", "--run", run_folder, "-o", os.path.join(here, "app"))
weights = os.path.join(here, "app/weights.bin")
x = np.load(os.path.join(here, "x.npy"))[:16]
whole, own = logits(theirs, weights, x), logits(ours, weights, x)
distance = np.max(np.abs(whole - own)) / np.max(np.abs(own))
check(0 < distance < 2e-6, f"logits: {distance:.1e} of the largest apart")
for threads in (2, 3):
    check(np.array_equal(logits(theirs, weights, x, threads), whole), f"the same bits on {threads} threads")
for n in (1, 3, 7, 9, 15):
    check(np.array_equal(logits(theirs, weights, x[16 - n:]), whole[16 - n:]), f"the last {n} of 16 pictures alone: the same bits")
p = run(TLC, "compile", DEMO, "--target", "ref", "--blas", "openblas", "-o", os.path.join(here, "no"), code=2)
check("--blas openblas needs --target cpu" in p.stderr, "not on target ref")
finish()
