"""Class weights, clipping, accumulation, the backbone's rate and stages against PyTorch in float64."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys

import numpy as np

from common import LONG, SOURCE, TLC, WORK, check, finish, read_safetensors, run, steps
from tiny import demo_net, quick_make

sys.path.insert(0, os.path.join(SOURCE, "tests/tools"))
import training_options as options

os.makedirs(WORK, exist_ok=True)
place = os.path.join(WORK, "options")
shutil.rmtree(place, ignore_errors=True)
os.makedirs(place)
for net in options.SHAPES:
    with open(os.path.join(place, net + ".tir"), "w") as f:
        f.write(options.network(net))
x, y = os.path.join(place, "x.npy"), os.path.join(place, "y.npy")
np.save(x, options.samples()[0])
np.save(y, options.samples()[1])
with open(os.path.join(SOURCE, "tests/data/training_options.json")) as f:
    wanted = json.load(f)
FP64 = ["--target", "ref", "--precision", "fp64"]


def folder(net, kind, keeps, *target):
    where = os.path.join(place, "_".join([net, kind, "kept" if keeps else "fused", *(t.strip("-") for t in target)]))
    if not os.path.exists(os.path.join(where, "trainer")):
        run(TLC, "compile", os.path.join(place, net + ".tir"), "-o", where, "--replace-head", options.CLASSES, "--optimizer", kind,
            "--batch", options.BATCH, "--label-smoothing", options.SMOOTHING, *(["--keep-gradients"] if keeps else []), *target)
        quick_make(where, "trainer")
    return where


def command(where, given, out, *more):
    return [os.path.join(where, "trainer"), "train", "--data", f"{x},{y}", "--valid", 0, "--epochs", options.EPOCHS, "--seed",
            options.SEED, *(s for o, v in given.items() for s in ("--" + o, v)), "--out", out, "-q", *more]


def last(out):
    """The run's last tensors, by name."""
    with open(os.path.join(out, "last.json")) as f:
        return read_safetensors(os.path.join(out, json.load(f)["file"]))


def train(where, given, name, *more):
    out = os.path.join(place, name)
    shutil.rmtree(out, ignore_errors=True)
    run(*command(where, given, out, *more))
    return out


def distance(out, want):
    """Largest relative error of the losses; largest of a tensor, against its largest element."""
    losses = np.array([s["loss"] for s in steps(out) if s["type"] == "step"])
    if len(losses) != len(want["losses"]):
        return np.inf, np.inf
    tensors = last(out)
    off = max(np.abs(tensors[n].reshape(-1) - v).max() / np.abs(v).max() for n, v in want["tensors"].items())
    return np.abs(losses / want["losses"] - 1).max(), off


def same(a, b):
    one, two = last(a), last(b)
    return one.keys() == two.keys() and all(one[k].tobytes() == two[k].tobytes() for k in one)


def killed(where, given, name):
    """The run again, killed at random times and resumed without the options."""
    random.seed(7)
    out, kills = os.path.join(place, name), 0
    shutil.rmtree(out, ignore_errors=True)
    for attempt in range(100):
        resume = os.path.exists(os.path.join(out, "run.json"))
        if not resume:
            shutil.rmtree(out, ignore_errors=True)
        more = command(where, {} if resume else given, out, *(["--resume"] if resume else []))
        p = subprocess.Popen([str(c) for c in more], stderr=subprocess.PIPE)
        try:
            p.wait(random.uniform(0.005, 0.05) if attempt < 8 else 60)
        except subprocess.TimeoutExpired:
            p.send_signal(signal.SIGKILL if kills % 3 else signal.SIGINT)
            p.wait()
            kills += 1
            continue
        if p.returncode == 0:
            return out, kills
    return out, -1


for case, (net, kind, keeps, given) in options.CASES.items():
    if keeps or net == "norm" or LONG:
        loss, tensor = distance(train(folder(net, kind, keeps, *FP64), given, case + "_fp64"), wanted[case])
        check(loss <= 1e-8 and tensor <= 1e-8, f"{case} fp64: losses within {loss:.1e}, tensors within {tensor:.1e}, allowed 1e-8")
    where = folder(net, kind, keeps)
    one = train(where, given, case + "_1", "--threads", 1)
    loss, tensor = distance(one, wanted[case])
    check(loss <= 1e-4 and tensor <= 2e-4, f"{case} cpu: losses within {loss:.1e}, tensors within {tensor:.1e}")
    for threads in (2, 3):
        check(same(one, train(where, given, case + "_n", "--threads", threads)), f"{case} cpu: same bits on {threads} threads")
    if case not in ("all", "stages", "norm_stages"):
        continue
    again, kills = killed(where, given, case + "_killed")
    check(kills >= 0 and same(one, again), f"{case} cpu: same bits after {kills} kills and resumes")

# What a model or a run cannot do is refused in one line.
adam, sgd = folder("plain", "adam", False), folder("plain", "sgd", True)
frozen = demo_net()
REFUSED = [(adam, {"clip-norm": 1}, 5, "--keep-gradients"), (adam, {"accumulate": 2}, 5, "--keep-gradients"),
           (frozen, {"lr-backbone": 0.1}, 5, "nothing beside a new head"), (frozen, {"head-epochs": 1}, 5, "--unfreeze"),
           (sgd, {"head-epochs": 3}, 2, "not shorter than the run"), (sgd, {"class-weights": "1,2"}, 2, "there are 3 classes"),
           (sgd, {"class-weights": "1,x,2"}, 2, "no list of weights"), (sgd, {"class-weights": "1,0,2"}, 2, "no list of weights")]
for where, given, code, text in REFUSED:
    p = run(*command(where, given, os.path.join(place, "refused")), code=None)
    check(p.returncode == code and text in p.stderr and p.stderr.count("\n") == 1, f"refused: {given}: {p.stderr.strip()}")
    check(not os.path.exists(os.path.join(place, "refused")), f"refused: {given}: no run is left")
done = os.path.join(place, "all_1")
p = run(*command(sgd, {"clip-norm": 2}, done, "--resume"), code=None)
check(p.returncode == 2 and "--clip-norm differs" in p.stderr, "a resumed run has the options it began with")
with open(os.path.join(done, "run.json")) as f:
    noted = json.load(f)["options"]
check(all(str(noted[o]) == str(v) for o, v in options.CASES["all"][3].items()), "run.json has the options")
finish()
