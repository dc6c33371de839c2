"""Training runs against the float64 references in data/trajectories (generate.py has the bound)."""
import json
import os

import numpy as np

from common import DATA, LONG, SOURCE, WORK, check, compiled, finish, model, need_shared, read_safetensors, run, steps

CASES = ["mlp", "resnet18_head", "efficientnet_lite0_head", "resnet50_head", "vgg16_pretrained_head"]


def bound(f64, f32, t):
    """The distance allowed at step t (from 0)."""
    own = np.abs(np.array(f32) - np.array(f64))
    seen = float(np.max(own[:t + 2]))
    return max((10 if seen > 1e-3 else 3) * seen, 2e-5 * abs(f64[t]))


def train(case, info, label, *target):
    o = info["optimizer"]
    source = os.path.join(SOURCE, "tests/e2e/mlp.tir") if case == "mlp" else model(info["net"])
    options = ["--optimizer", o["kind"], "--batch", info["batch"], *target]
    if "head" in info:
        options += ["--replace-head", info["head"], "--freeze-backbone"]
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
    worst = max(abs(l - w) / abs(w) for l, w in zip(losses, f64["losses"]))
    check(worst <= 1e-8, f"{case} fp64: losses within {worst:.1e} relative, allowed 1e-8")
    tensors = read_safetensors([os.path.join(out, f) for f in os.listdir(out) if f.startswith("last-") and f.endswith(".safetensors")][0])
    for name, want in f64["tensors"].items():
        if name not in tensors:
            check(False, f"{case} fp64: tensor {name} is in the checkpoint")
            continue
        a = tensors[name].astype(np.float64).reshape(-1)
        worst = max(abs(a[:4] - want["first"]).max(), abs(a[-4:] - want["last"]).max(), abs(np.sqrt((a * a).sum()) - want["norm"]))
        check(worst <= 1e-8 * want["norm"], f"{case} fp64: {name} within {worst / want['norm']:.1e} of its norm")


need_shared()
for c in CASES if LONG else CASES[:4]:
    one(c, c in ("mlp",) or (LONG and c != "vgg16_pretrained_head"))
finish()
