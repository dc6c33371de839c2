"""Training steps of built-in networks, trained whole, beside PyTorch: same network, batch and threads.

    python3 bench/training_step.py [NAME...] [--rounds 3] [--steps 4] [--batch 16] [--threads 2] [--no-compile]

NAME: a built-in network, with @SIZE for another input: vgg-small, resnet18@64.  Blocks of steps in turn, Adam,
medians of all steps of a kind; PyTorch as it comes, with channels-last memory and a fused optimizer, and with
torch.compile on top of that, the best of which counts.  Needs torch, torchvision; tlc built in build/release.
Only the ratios mean something.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import time

import numpy as np
import torch
import torchvision
from torch import nn

from torch_side import vgg_small

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/bench/training"))
SIZES = {"vgg-small": 64}
CLASSES = 10


class Pytorch:
    """One network and its optimizer; block() goes on training it."""

    def __init__(self, name, size, batch, tuned, compiled):
        make = vgg_small if name == "vgg-small" else getattr(torchvision.models, name)
        net = make(num_classes=CLASSES).train()
        self.x, self.y = torch.randn(batch, 3, size, size), torch.arange(batch) % CLASSES
        if tuned:
            net, self.x = net.to(memory_format=torch.channels_last), self.x.to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.Adam(net.parameters(), 1e-4, fused=tuned)
        self.net = torch.compile(net) if compiled else net
        self.step()

    def step(self):
        self.optimizer.zero_grad()
        nn.functional.cross_entropy(self.net(self.x), self.y).backward()
        self.optimizer.step()

    def block(self, steps):
        times = []
        for _ in range(steps + 1):
            t = time.perf_counter()
            self.step()
            times.append(time.perf_counter() - t)
        return times[1:]


def peers(name, size, batch, compiled):
    kinds = {"default": (False, False), "channels-last, fused": (True, False)}
    if compiled:
        kinds["torch.compile"] = (True, True)
    made = {}
    for kind, options in kinds.items():
        try:
            made[kind] = Pytorch(name, size, batch, *options)
        except Exception as e:  # torch.compile wants a compiler that may be absent
            print(f"{name}: no {kind}: {str(e).splitlines()[0]}", flush=True)
    return made


def build(name, size, batch, folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    subprocess.run([TLC, "compile", name, "-q", "--batch", str(batch), "--input", f"3x{size}x{size}", "--classes", str(CLASSES),
                    "--preprocess", "none", "--optimizer", "adam", "-o", f"{folder}/net"], check=True)
    subprocess.run(["make", "-s", "-C", f"{folder}/net", "trainer"], check=True)


def tlc(folder, size, batch, steps, threads):
    count = batch * (steps + 2)
    np.save(f"{folder}/x.npy", np.random.default_rng(0).standard_normal((count, 3, size, size), dtype=np.float32))
    np.save(f"{folder}/y.npy", (np.arange(count) % CLASSES).astype(np.int64))
    shutil.rmtree(f"{folder}/run", ignore_errors=True)
    subprocess.run([f"{folder}/net/trainer", "train", "--data", f"{folder}/x.npy,{folder}/y.npy", "--valid", "0", "--epochs", "1",
                    "--lr", "1e-4", "--threads", str(threads), "--out", f"{folder}/run", "-q"], check=True)
    at = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
    at = [s["time_s"] for s in at if s["type"] == "step"]
    return [b - a for a, b in zip(at, at[1:])][1:]


def measure(what, a):
    name, _, size = what.partition("@")
    size, folder = int(size or SIZES.get(name, 224)), f"{WORK}/{what}"
    build(name, size, a.batch, folder)
    others = peers(name, size, a.batch, a.compile)
    got = {"tlc": [], **{kind: [] for kind in others}}
    for _ in range(a.rounds):
        got["tlc"] += tlc(folder, size, a.batch, a.steps, a.threads)
        for kind, peer in others.items():
            got[kind] += peer.block(a.steps)
    m = {k: statistics.median(v) * 1e3 for k, v in got.items()}
    best = min(v for k, v in m.items() if k != "tlc")
    print(f"{what} b{a.batch}: tlc {m.pop('tlc'):.1f} ms, PyTorch " + ", ".join(f"{k} {v:.1f}" for k, v in m.items()) +
          f": {best / (statistics.median(got['tlc']) * 1e3):.2f}x the best", flush=True)


def main():
    a = argparse.ArgumentParser()
    a.add_argument("names", nargs="*", default=["vgg-small", "resnet18", "resnet50"])
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=4)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--no-compile", dest="compile", action="store_false", help="leave torch.compile out, which takes minutes")
    a = a.parse_args()
    torch.set_num_threads(a.threads)
    for what in a.names:
        measure(what, a)


main()
