"""Training runs against the float64 references in data/trajectories (generate.py has the bound)."""
import json
import os
import sys

import numpy as np

import nets
from common import DATA, LONG, SOURCE, WORK, check, compiled, finish, model, need_shared, read_safetensors, run, steps

HEADS = ["mlp", "resnet18_head", "efficientnet_lite0_head", "resnet50_head", "vgg16_pretrained_head"]
WHOLE = ["mixed", "mixed_adamw", "resnet18_layer4_frozen", "resnet18_layer4_stats", "resnet18_full", "vgg_small"]


def bound(f64, f32, t):
    """The distance allowed at step t (from 0)."""
    own = np.abs(np.array(f32) - np.array(f64))
    seen = float(np.max(own[:t + 2]))
    return max((10 if seen > 1e-3 else 3) * seen, 2e-5 * abs(f64[t]))


def given_values(seed, index, path):
    """Initial values as the reference gives them: what is frozen has none of its own."""
    sys.path.insert(0, os.path.join(DATA, "trajectories"))
    import philox
    position, parts = 0, []
    for name, shape in index:
        if name.endswith(("running_mean", "running_var")):
            parts.append(np.full(shape, name.endswith("var")))
            continue
        if len(shape) == 4:
            parts.append(philox.init_normal(seed, position, shape, np.sqrt(2.0 / (shape[0] * shape[2] * shape[3]))))
        elif name.startswith("fc"):
            parts.append(philox.init_uniform(seed, position, shape, 1 / np.sqrt(512)))
        else:
            parts.append(np.full(shape, name.endswith("weight")))
        position += 1
    np.concatenate([p.astype(np.float32).reshape(-1) for p in parts]).tofile(path)


def source_of(case, info):
    """The network's file, and the options that say what is trained of it."""
    if case == "mlp":
        return os.path.join(SOURCE, "tests/e2e/mlp.tir"), []
    if "head" in info:
        return model(info["net"]), ["--replace-head", info["head"], "--freeze-backbone"]
    path, options = os.path.join(WORK, case + ".tir"), []
    if "unfreeze" in info:
        net, y = nets.resnet18(values=case + ".bin")
        given_values(info["seed"], net.index, os.path.join(WORK, case + ".bin"))
        text = net.text(y)
        options = ["--freeze", "*", "--unfreeze", info["unfreeze"] + "*", "--unfreeze", "fc.*"]
        options += ["--bn", "stats"] if info["bn"] == "stats" else []
    else:
        text = nets.text(info["net"].replace("-", "_"))
    with open(path, "w") as f:
        f.write(text)
    if info["preprocess"] != "none":
        options += ["--preprocess", info["preprocess"]]
    return path, options


def train(case, info, label, *target):
    o = info["optimizer"]
    source, options = source_of(case, info)
    options += ["--optimizer", o["kind"], "--batch", info["batch"], *target]
    options += ["--nesterov"] if o.get("nesterov") else []
    options += ["--label-smoothing", info["label_smoothing"]] if "label_smoothing" in info else []
    folder = compiled(source, f"traj_{label}", *options)
    out = os.path.join(WORK, f"traj_{label}_run")
    base = os.path.join(DATA, "trajectories", case)
    x = np.load(os.path.join(base, info["inputs"]))[:info["samples"]]
    np.save(os.path.join(WORK, "tx.npy"), x)
    labels = os.path.join(base, "labels.npy")
    run("rm", "-rf", out)
    run(os.path.join(folder, "trainer"), "train", "--data", f"{WORK}/tx.npy,{labels}", "--valid", 0, "--epochs", info["epochs"],
        "--seed", info["seed"], "--lr", o["lr"], "--momentum", o.get("momentum", 0), "--weight-decay", o.get("weight_decay", 0),
        "--out", out, "-q")
    evaluation = run(os.path.join(folder, "trainer"), "eval", "--data", f"{WORK}/tx.npy,{labels}", "--run", out, "--json")
    return out, json.loads(evaluation.stdout.splitlines()[-1])


def is_moving(info, name):
    """Is the tensor trained, or a statistic that training moves?"""
    moves = name.startswith((info["unfreeze"], "fc.")) if "unfreeze" in info else True
    return moves or (info.get("bn") == "stats" and "running" in name)


def compare_tensors(case, info, out, f64):
    file = [f for f in os.listdir(out) if f.startswith("last-") and f.endswith(".safetensors")][0]
    tensors = read_safetensors(os.path.join(out, file))
    for name, want in f64["tensors"].items():
        if not is_moving(info, name):
            check(name not in tensors, f"{case} fp64: {name} is frozen")
        elif name not in tensors:
            check(False, f"{case} fp64: tensor {name} is in the checkpoint")
        else:
            a = tensors[name].astype(np.float64).reshape(-1)
            worst = max(abs(a[:4] - want["first"]).max(), abs(a[-4:] - want["last"]).max(), abs(np.sqrt((a * a).sum()) - want["norm"]))
            check(worst <= 1e-8 * want["norm"], f"{case} fp64: {name} within {worst / want['norm']:.1e} of its norm")


def one(case, fp64):
    base = os.path.join(DATA, "trajectories", case)
    info = json.load(open(os.path.join(base, "case.json")))
    f64, f32 = (json.load(open(f"{base}.{k}.json")) for k in ("f64", "f32"))
    out, _ = train(case, info, case)
    losses = [s["loss"] for s in steps(out) if s["type"] == "step"]
    check(len(losses) == len(f64["losses"]), f"{case}: {len(losses)} steps")
    worst = max(abs(l - w) / bound(f64["losses"], f32["losses"], t) for t, (l, w) in enumerate(zip(losses, f64["losses"])))
    check(worst <= 1, f"{case}: losses use {worst:.2f} of the bound")
    if not fp64:
        return
    out, evaluation = train(case, info, case + "_fp64", "--target", "ref", "--precision", "fp64")
    losses = [s["loss"] for s in steps(out) if s["type"] == "step"]
    check(len(losses) == len(f64["losses"]), f"{case} fp64: {len(losses)} steps")
    worst = max(abs(l - w) / abs(w) for l, w in zip(losses, f64["losses"]))
    check(worst <= 1e-8, f"{case} fp64: losses within {worst:.1e} relative, allowed 1e-8")
    compare_tensors(case, info, out, f64)
    off = abs(evaluation["loss"] - f64["evaluation"]["loss"]) / f64["evaluation"]["loss"]
    check(off <= 1e-8 and evaluation["accuracy"] == f64["evaluation"]["accuracy"], f"{case} fp64: evaluation within {off:.1e}")


if __name__ == "__main__":
    need_shared()
    only = sys.argv[1:]
    for c in HEADS if LONG else HEADS[:4]:
        if not only or c in only:
            one(c, c in ("mlp",) or (LONG and c != "vgg16_pretrained_head"))
    for c in WHOLE if LONG else WHOLE[:2]:
        if not only or c in only:
            one(c, True)
    finish()
