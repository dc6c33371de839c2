"""A training step of VGG16's classifier (119,554,050 parameters, Adam, batch 16) beside PyTorch's.

    python3 bench/classifier_step.py [--rounds 3] [--steps 8]

Blocks of steps of tlc, PyTorch's default Adam and fused=True in turn; medians of all steps of a kind.
Needs torch; tlc built in build/release.
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
from torch import nn

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.path.join(SOURCE, "build/bench/classifier")
TIR = os.path.join(SOURCE, "bench/vgg_classifier.tir")


def pytorch(fused, steps, threads):
    torch.set_num_threads(threads)
    net = nn.Sequential(nn.Linear(25088, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 2))
    opt = torch.optim.Adam(net.parameters(), 1e-5, fused=fused)
    x, y, times = torch.randn(16, 25088), torch.arange(16) % 2, []
    for _ in range(steps + 1):
        t = time.perf_counter()
        opt.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        opt.step()
        times.append(time.perf_counter() - t)
    return times[1:]


def tlc(steps, threads):
    np.save(f"{WORK}/x.npy", np.random.default_rng(0).standard_normal((16 * (steps + 1), 25088), dtype=np.float32))
    np.save(f"{WORK}/y.npy", (np.arange(16 * (steps + 1)) % 2).astype(np.int64))
    shutil.rmtree(f"{WORK}/run", ignore_errors=True)
    subprocess.run([f"{WORK}/net/trainer", "train", "--data", f"{WORK}/x.npy,{WORK}/y.npy", "--valid", "0", "--epochs", "1", "--lr", "1e-5",
                    "--threads", str(threads), "--out", f"{WORK}/run", "-q"], check=True)
    at = [json.loads(line) for line in open(f"{WORK}/run/metrics.jsonl")]
    at = [s["time_s"] for s in at if s["type"] == "step"]
    return [b - a for a, b in zip(at, at[1:])]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=8)
    a.add_argument("--threads", type=int, default=2)
    a = a.parse_args()
    os.makedirs(WORK, exist_ok=True)
    subprocess.run([TLC, "compile", TIR, "-q", "--optimizer", "adam", "--batch", "16", "-o", f"{WORK}/net"], check=True)
    subprocess.run(["make", "-s", "-C", f"{WORK}/net", "trainer"], check=True)
    got = {"tlc": [], "adam": [], "fused": []}
    for _ in range(a.rounds):
        got["tlc"] += tlc(a.steps, a.threads)
        got["adam"] += pytorch(False, a.steps, a.threads)
        got["fused"] += pytorch(True, a.steps, a.threads)
    m = {k: statistics.median(v) * 1e3 for k, v in got.items()}
    print(f"ms a step: tlc {m['tlc']:.1f}, PyTorch Adam {m['adam']:.1f} ({m['adam'] / m['tlc']:.2f}x), "
          f"fused=True {m['fused']:.1f} ({m['fused'] / m['tlc']:.2f}x)")


main()
