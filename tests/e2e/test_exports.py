"""Tiny networks as exporters write them (tests/exports, made by tests/tools/tiny_exports.py): outputs on both targets, a new head,
and, of PyTorch's, the gradient by every tensor."""
import glob
import os
import shutil

import numpy as np
import onnx
from onnx import numpy_helper

from common import SOURCE, TLC, check, finish, read_safetensors, run
from tiny import quick_make, scratch

here = scratch("exports")
RATE = 1000.0  # so that a tensor's step shows its gradient to all digits


def outputs(model, want, target):
    folder = os.path.join(here, "net")
    run(TLC, "compile", model, "--preprocess", "none", "--target", target, "-o", folder)
    quick_make(folder, "predictor", flags="-O1")
    np.save(f"{here}/x.npy", want["x"])
    run(f"{folder}/predictor", "infer", "--input", f"{here}/x.npy", "-o", f"{here}/y.npy", "-q")
    y = np.load(f"{here}/y.npy").reshape(want["y"].shape)
    return np.max(np.abs(y - want["y"])) / np.max(np.abs(want["y"]))


def steps(model, want):
    """Everything trained, one step of SGD in double: what moved, by the file's names."""
    folder, out = os.path.join(here, "gradient"), os.path.join(here, "run")
    run(TLC, "compile", model, "--unfreeze", "*", "--bn", "frozen", "--optimizer", "sgd", "--batch", "2", "--target", "ref", "--precision",
        "fp64", "--preprocess", "none", "-o", folder)
    quick_make(folder, "trainer", flags="-O1")
    np.save(f"{here}/x.npy", want["x"])
    np.save(f"{here}/labels.npy", want["labels"])
    shutil.rmtree(out, ignore_errors=True)
    run(f"{folder}/trainer", "train", "--data", f"{here}/x.npy,{here}/labels.npy", "--valid", "0", "--epochs", "1", "--lr", RATE,
        "--momentum", "0", "--no-cache", "-q", "-o", out)
    return read_safetensors(glob.glob(f"{out}/last-*.safetensors")[0])


def worst_gradient(model, want):
    start = {i.name: numpy_helper.to_array(i).astype(np.float64) for i in onnx.load(model).graph.initializer}
    after = steps(model, want)
    gradients = {k[2:]: v.astype(np.float64) for k, v in want.items() if k.startswith("d ")}
    floor, worst = 1e-6 * max(np.max(np.abs(g)) for g in gradients.values()), 0.0
    for name, g in gradients.items():
        first, last = start[name], after[name]
        if first.shape != g.shape:  # a matrix that the file has transposed; tlc keeps it or makes it a 1x1 convolution in PyTorch's order
            first, last = first.T, last.T if last.ndim == 2 else last.reshape(g.shape)
        got = (first.reshape(g.shape) - last.reshape(g.shape)) / RATE
        worst = max(worst, np.max(np.abs(got - g)) / max(np.max(np.abs(g)), floor))
    return worst


def head(model):
    said = run(TLC, "compile", model, "--replace-head", "2", "--freeze-backbone", "--preprocess", "none", "-o", f"{here}/head").stdout
    return next((l for l in said.splitlines() if l.startswith("head ")), "")


models = sorted(glob.glob(os.path.join(SOURCE, "tests/exports/*.onnx")))
check(len(models) == 8, f"{len(models)} exports")
for file in models:
    name, of = os.path.basename(file).removesuffix(".onnx"), dict(np.load(file.replace(".onnx", ".npz")))
    for target in ("ref", "cpu"):
        far = outputs(file, of, target)
        check(far < 2e-6, f"{name}: outputs on {target}, {far:.1e} of the largest away")
    line = head(file)
    check("becomes linear" in line and "-> 2 (" in line, f"{name}: {line}")
    if "labels" in of:
        far = worst_gradient(file, of)
        check(far < 2e-7, f"{name}: gradients, {far:.1e} of a tensor's largest away")
finish()
