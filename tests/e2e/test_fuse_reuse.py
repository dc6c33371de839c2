"""What fusion, the reuse of memory and the target do to a trained network: rounding, nothing, rounding."""
import json
import os
import shutil
import sys

import numpy as np

from common import SOURCE, TLC, WORK, check, finish, read_safetensors, run
from tiny import quick_make

sys.path.insert(0, os.path.join(SOURCE, "tests/tools"))
import training_options as net

place = os.path.join(WORK, "fuse_reuse")
shutil.rmtree(place, ignore_errors=True)
os.makedirs(place)
x, y = net.samples()


def trained(source, data, label, *options):
    """The last tensors, optimizer state among them."""
    where, out = os.path.join(place, label), os.path.join(place, label + "_run")
    run(TLC, "compile", source, "-o", where, "--optimizer", "adam", "--batch", 4, *options)
    quick_make(where, "trainer")
    run(os.path.join(where, "trainer"), "train", "--data", data, "--valid", 0, "--epochs", 2, "--lr", 0.01, "--out", out, "-q")
    with open(os.path.join(out, "last.json")) as f:
        return read_safetensors(os.path.join(out, json.load(f)["file"]))


def compare(name, source, inputs):
    np.save(os.path.join(place, "x.npy"), inputs)
    np.save(os.path.join(place, "y.npy"), y)
    data = ",".join(os.path.join(place, n) for n in ("x.npy", "y.npy"))
    plain = trained(source, data, name)
    for label, options, exact in (("no-reuse", ["--no-reuse"], True), ("no-fuse", ["--no-fuse"], False), ("ref", ["--target", "ref"], False)):
        other = trained(source, data, f"{name}_{label}", *options)
        check(other.keys() == plain.keys(), f"{name} {label}: the same tensors")
        if exact:
            check(all(other[k].tobytes() == plain[k].tobytes() for k in plain), f"{name} {label}: the same bits")
        off = max(np.abs(other[k] - plain[k]).max() / np.abs(plain[k]).max() for k in plain)
        check(off < 1e-4, f"{name} {label}: within {off:.1e}")


with open(os.path.join(place, "net.tir"), "w") as f:
    f.write(net.network())
compare("conv", os.path.join(place, "net.tir"), x)
compare("mlp", os.path.join(SOURCE, "tests/e2e/mlp.tir"), np.ascontiguousarray(x.reshape(net.N, -1)[:, :20]))
finish()
