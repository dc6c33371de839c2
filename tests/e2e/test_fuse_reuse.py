"""What fusion, the reuse of memory and the target do to a trained network: rounding, nothing, rounding.

A gradient that is used where it is made leaves the bits as they are, and is never in memory."""
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


def trained(source, data, label, *options, threads=1):
    """The last tensors, optimizer state among them."""
    where, out = os.path.join(place, label), os.path.join(place, label + "_run")
    if not os.path.exists(os.path.join(where, "trainer")):
        run(TLC, "compile", source, "-o", where, "--batch", 4, *options)
        quick_make(where, "trainer")
    shutil.rmtree(out, ignore_errors=True)
    run(os.path.join(where, "trainer"), "train", "--data", data, "--valid", 0, "--epochs", 2, "--lr", 0.01, "--threads", threads,
        "--out", out, "-q")
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

# Every way to a convolution's weight: a stem, Winograd's, direct ones, by the channel.
WAYS = [("stem", 16, 3, 3, 2, 1), ("wino", 32, 16, 3, 1, 1), ("strided", 48, 32, 3, 2, 1), ("point", 32, 48, 1, 1, 1),
        ("depth", 32, 1, 3, 1, 32), ("sparse", 16, 32, 1, 2, 1)]


def ways():
    """IR text of a network of them, each with a batch norm."""
    globals_, body, side, channels, at = "", "", 32, 3, "x"
    for k, (name, out, of_group, size, stride, groups) in enumerate(WAYS):
        shape = f"{out},{of_group},{size},{size}"
        globals_ += f"param %{name}.weight : f32[{shape}] init uniform fan_in={of_group * size * size}\n"
        for stat, value in (("scale", 1), ("bias", 0)):
            globals_ += f"param %{name}.{stat} : f32[{out}] = splat {value}\n"
        for stat, value in (("mean", 0), ("var", 1)):
            globals_ += f"param %{name}.{stat} : f32[{out}] = splat {value}\n"
        side = (side - 1) // stride + 1
        value = f"f32[n,{out},{side},{side}]"
        pad = size // 2
        body += f"""  %c{k} : {value} = conv2d %{at}, %{name}.weight {{stride=[{stride},{stride}], pad=[{pad},{pad},{pad},{pad}], groups={groups}}}
  %b{k} : {value} = batch_norm %c{k}, %{name}.scale, %{name}.bias, %{name}.mean, %{name}.var
  %r{k} : {value} = relu %b{k}
"""
        at, channels = f"r{k}", out
    return f"""module "ways"

{globals_}param %fc.weight : f32[5,{channels}] init uniform fan_in={channels}
param %fc.bias : f32[5] init constant 0

func @forward(%x: f32[n,3,32,32]) -> f32[n,5] {{
{body}  %m : f32[n,{channels}] = reduce_mean %{at} {{axes=[2,3], keepdims=false}}
  %y : f32[n,5] = linear %m, %fc.weight, %fc.bias
  return %y
}}
"""


def peak(label):
    with open(os.path.join(place, label, "manifest.json")) as f:
        return json.load(f)["memory"]["peak_train_bytes"]


def same(a, b):
    return all(a[k].tobytes() == b[k].tobytes() for k in a if not k.endswith(".gradient"))


def gradients_never_in_memory():
    rng = np.random.default_rng(3)
    np.save(os.path.join(place, "x.npy"), rng.standard_normal((10, 3, 32, 32)).astype(np.float32))
    np.save(os.path.join(place, "y.npy"), np.arange(10, dtype=np.int64) % 3)
    data = ",".join(os.path.join(place, n) for n in ("x.npy", "y.npy"))
    source = os.path.join(place, "ways.tir")
    with open(source, "w") as f:
        f.write(ways())
    for label, options in (("adam", []), ("adamw", ["--optimizer", "adamw"]), ("sgd", ["--optimizer", "sgd", "--nesterov"])):
        options = ["--replace-head", "3", *options]
        joined = trained(source, data, label, *options)
        with open(os.path.join(place, label, "model.c")) as f:
            text = f.read()
        check(("tlk_conv2d_sgd_c16" if label == "sgd" else "tlk_conv2d_adam_c16") in text and "tlk_conv2d_grad_w" not in text and
              "tlk_winograd_grad_w_item" not in text, f"{label}: no kernel makes a convolution's gradient alone")
        kept = trained(source, data, label + "_kept", "--keep-gradients", *options)
        check(same(joined, kept), f"{label}: the bits of gradients that are kept")
        apart = trained(source, data, label + "_apart", "--no-fuse", *options)
        check(same(joined, apart), f"{label}: the bits of --no-fuse")
        gradients = 4 * sum(out * of_group * size * size for _, out, of_group, size, _, _ in WAYS)
        less = [peak(f"{label}_{other}") - peak(label) for other in ("kept", "apart")]
        check(less[0] >= gradients, f"{label}: {less[0]} bytes less than with kept gradients, {gradients} of weights")
        check(less[1] > 0, f"{label}: {less[1]} bytes less than without fusion")
        for threads in (2, 3):
            other = trained(source, data, label, *options, threads=threads)
            check(same(joined, other), f"{label}: same bits on {threads} threads")


gradients_never_in_memory()
finish()
