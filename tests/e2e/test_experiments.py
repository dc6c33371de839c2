"""TLC_LONG=1: every experiment of the tutorial and its relatives in small, the same bits on 1, 2 and 3 threads.

    TLC_LONG=1 python tests/e2e/test_experiments.py [NAME...]

What is compared is all of a run's last checkpoint: parameters, running statistics and the optimizer's state.  That a policy of
batch norms does what it says shows in what has moved: weights, statistics, or neither."""
import json
import os
import shutil
import sys
import tarfile

import numpy as np

from common import DATA, LONG, TLC, WORK, check, finish, model, need_shared, read_safetensors, run, steps

if not LONG:
    print("skipped: TLC_LONG is not 1")
    sys.exit(77)
need_shared()
place = os.path.join(WORK, "experiments")
os.makedirs(place, exist_ok=True)

LAYER4 = ["--freeze", "*", "--unfreeze", "layer4*", "--unfreeze", "fc*"]
BLOCKS = [word for name in ("_blocks.14*", "_blocks.15*", "_conv_head*", "_bn1*", "_fc*") for word in ("--unfreeze", name)]

# name: (network, options of compile, pictures, options of train, parameters that are trained, statistics that move)
EXPERIMENTS = {
    "vgg-small": ("vgg-small", ["--classes", 2, "--preprocess", "imagenet", "--resize", 64, "--crop", 64, "--batch", 16],
                  ("kaggle64", 150, 25), ["--epochs", 2], None, 0),
    "vgg16": ("vgg16.onnx", ["--replace-head", "vgg", "--freeze-backbone", "--batch", 16], ("photos", 16, 4), ["--epochs", 2], 6, 0),
    "resnet50-head": ("resnet50.onnx", ["--replace-head", 2, "--freeze-backbone"], ("photos", 6, 2), ["--epochs", 2], 2, 0),
    "resnet50-layer4-frozen": ("resnet50.onnx", ["--replace-head", 2, *LAYER4, "--bn", "frozen"], ("photos", 6, 2), [], 12, 0),
    "resnet50-layer4-stats": ("resnet50.onnx", ["--replace-head", 2, *LAYER4, "--bn", "stats"], ("photos", 6, 2), [], 32, 106),
    "resnet50-layer4-train": ("resnet50.onnx", ["--replace-head", 2, *LAYER4, "--bn", "train"], ("photos", 6, 2), [], 32, 20),
    "resnet50-whole": ("resnet50.onnx", ["--replace-head", 2], ("photos", 6, 2), [], 161, 106),
    "lite0-head": ("efficientnet_lite0.onnx", ["--replace-head", 2, "--freeze-backbone"], ("photos", 6, 2), ["--epochs", 2], 2, 0),
    "lite0-blocks": ("efficientnet_lite0.onnx", ["--replace-head", 2, "--freeze", "*", *BLOCKS], ("photos", 6, 2), [], 23, 14),
    "lite0-whole": ("efficientnet_lite0.onnx", ["--replace-head", 2], ("photos", 6, 2), [], None, 98),
}


def kaggle64(part):
    """The tar's pictures as a folder, unpacked once."""
    out = os.path.join(place, "kaggle64")
    if not os.path.exists(os.path.join(out, part)):
        with tarfile.open(os.path.join(DATA, "kaggle64", part + ".tar")) as tar:
            tar.extractall(out + "-" + part, filter="data")
        os.makedirs(out, exist_ok=True)
        os.rename(os.path.join(out + "-" + part, part), os.path.join(out, part))
    return os.path.join(out, part)


def pictures(source, n_train, n_valid):
    """The first so many of each class, as links."""
    out = os.path.join(place, f"{source}-{n_train}-{n_valid}")
    shutil.rmtree(out, ignore_errors=True)
    for part, count in (("train", n_train), ("valid", n_valid)):
        whole = kaggle64(part) if source == "kaggle64" else os.path.join(DATA, source, part)
        for c in ("cat", "dog"):
            os.makedirs(os.path.join(out, part, c))
            for name in sorted(os.listdir(os.path.join(whole, c)))[:count]:
                shutil.copy(os.path.join(whole, c, name), os.path.join(out, part, c))
    return out


def last(out):
    with open(os.path.join(out, "last.json")) as f:
        return read_safetensors(os.path.join(out, json.load(f)["file"]))


def is_statistic(name):
    return name.endswith(("running_mean", "running_var"))


def experiment(name, source, options, data, train, n_trained, n_moved):
    folder, photos = os.path.join(place, name), pictures(*data)
    shutil.rmtree(folder, ignore_errors=True)
    batch = [] if "--batch" in options else ["--batch", 4]
    run(TLC, "compile", model(source) if source.endswith(".onnx") else source, "-q", "-o", folder, *options, *batch)
    run("make", "-s", "-C", folder, "trainer")
    tensors = {}
    for threads in (1, 2, 3):
        out = os.path.join(place, name + "-run")
        shutil.rmtree(out, ignore_errors=True)
        run(os.path.join(folder, "trainer"), "train", photos, *(train or ["--epochs", 1]), "--lr", "1e-4", "--seed", 1,
            "--cache-dir", out + "-cache", "--threads", threads, "-q", "-o", out)
        shutil.rmtree(out + "-cache", ignore_errors=True)
        tensors[threads] = last(out)
        losses = [s["loss"] for s in steps(out) if s["type"] == "step"]
        check(len(losses) > 1 and np.isfinite(losses).all(), f"{name}, {threads} threads: {len(losses)} steps, loss {losses[0]:.4f} to {losses[-1]:.4f}")
        if threads > 1:
            one, other = tensors[1], tensors[threads]
            check(one.keys() == other.keys() and all(one[k].tobytes() == other[k].tobytes() for k in one),
                  f"{name}: the same {len(one)} tensors on {threads} threads")
            del tensors[threads]
    first = {k: v for k, v in tensors[1].items() if not k.endswith((".m", ".v"))}
    moved = [k for k in first if is_statistic(k)]
    trained = [k for k in first if not is_statistic(k)]
    check(n_trained is None or len(trained) == n_trained, f"{name}: {len(trained)} parameters are trained, {n_trained} wanted")
    check(len(moved) == n_moved, f"{name}: {len(moved)} running statistics move, {n_moved} wanted")
    check(all(k + ".m" in tensors[1] for k in trained), f"{name}: each has its optimizer's state")
    check(all(np.abs(tensors[1][k + ".m"]).max() > 0 for k in trained), f"{name}: each was given a gradient")
    shutil.rmtree(place + f"/{name}-run", ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


for name in sys.argv[1:] or EXPERIMENTS:
    experiment(name, *EXPERIMENTS[name])
finish()
