"""Training steps of whole convolutional networks beside PyTorch: same network, batch and threads.

    python3 bench/training_step.py [NAME...] [--rounds 3] [--steps 4] [--batch 16] [--threads 2]

NAME: vgg_small, resnet18_64, resnet18_224.  Blocks of steps in turn, medians of all steps of a kind;
PyTorch as it comes and with channels-last memory and a fused optimizer, the better of which counts.
Needs torch, torchvision, onnx; tlc built in build/release.  Only the ratios mean something.
"""
import argparse
import json
import os
import shutil
import statistics
import subprocess
import time
import warnings

import numpy as np
import torch
from torch import nn
from torchvision.models import resnet18

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/bench/training"))


def vgg_small():
    layers, c = [], 3
    for width in (32, 64, 128):
        for _ in range(2):
            layers += [nn.Conv2d(c, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            c = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(c, 10))


NETS = {"vgg_small": (vgg_small, 32), "resnet18_64": (lambda: resnet18(num_classes=10), 64),
        "resnet18_224": (lambda: resnet18(num_classes=10), 224)}


def pytorch(net, size, batch, steps, threads, tuned):
    torch.set_num_threads(threads)
    x, y, times = torch.randn(batch, 3, size, size), torch.arange(batch) % 10, []
    if tuned:
        net, x = net.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
    net.train()
    optimizer = torch.optim.Adam(net.parameters(), 1e-4, fused=tuned)
    for _ in range(steps + 1):
        t = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
        times.append(time.perf_counter() - t)
    return times[1:]


def build(name, batch):
    make, size = NETS[name]
    folder = f"{WORK}/{name}"
    os.makedirs(folder, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(make().eval(), torch.randn(1, 3, size, size), f"{folder}/net.onnx", input_names=["x"], output_names=["y"],
                          dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False,
                          dynamo=False)
    subprocess.run([TLC, "compile", f"{folder}/net.onnx", "-q", "--batch", str(batch), "--preprocess", "none", "--optimizer", "adam",
                    "-o", f"{folder}/net"], check=True)
    subprocess.run(["make", "-s", "-C", f"{folder}/net", "trainer"], check=True)


def tlc(name, batch, steps, threads):
    folder, size = f"{WORK}/{name}", NETS[name][1]
    count = batch * (steps + 1)
    np.save(f"{folder}/x.npy", np.random.default_rng(0).standard_normal((count, 3, size, size), dtype=np.float32))
    np.save(f"{folder}/y.npy", (np.arange(count) % 10).astype(np.int64))
    shutil.rmtree(f"{folder}/run", ignore_errors=True)
    subprocess.run([f"{folder}/net/trainer", "train", "--data", f"{folder}/x.npy,{folder}/y.npy", "--valid", "0", "--epochs", "1",
                    "--lr", "1e-4", "--threads", str(threads), "--out", f"{folder}/run", "-q"], check=True)
    at = [json.loads(line) for line in open(f"{folder}/run/metrics.jsonl")]
    at = [s["time_s"] for s in at if s["type"] == "step"]
    return [b - a for a, b in zip(at, at[1:])]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("names", nargs="*", default=list(NETS))
    a.add_argument("--rounds", type=int, default=3)
    a.add_argument("--steps", type=int, default=4)
    a.add_argument("--batch", type=int, default=16)
    a.add_argument("--threads", type=int, default=2)
    a = a.parse_args()
    for name in a.names or NETS:
        make, size = NETS[name]
        build(name, a.batch)
        got = {"tlc": [], "default": [], "channels-last, fused": []}
        for _ in range(a.rounds):
            got["tlc"] += tlc(name, a.batch, a.steps, a.threads)
            got["default"] += pytorch(make(), size, a.batch, a.steps, a.threads, False)
            got["channels-last, fused"] += pytorch(make(), size, a.batch, a.steps, a.threads, True)
        m = {k: statistics.median(v) * 1e3 for k, v in got.items()}
        best = min(m["default"], m["channels-last, fused"])
        print(f"{name} b{a.batch}: tlc {m['tlc']:.1f} ms, PyTorch {m['default']:.1f} ms, channels-last and fused "
              f"{m['channels-last, fused']:.1f} ms: {best / m['tlc']:.2f}x the better", flush=True)


main()
