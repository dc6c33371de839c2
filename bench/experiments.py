"""One step and the memory of each way to transfer a network, beside PyTorch in the same setting.

    python3 bench/experiments.py [NAME...] [--rounds 3] [--steps 5] [--batch 16] [--threads 2] [--plain]

NAME: vgg16-classifier, vgg16-classifier-plain-adam, resnet50-head, resnet50-layer4-frozen, -stats, -train, resnet50-whole,
lite0-blocks, lite0-whole.  Every measurement is a process of its own, tlc's and PyTorch's in turn; medians of all steps but each
process's first; memory is the largest resident set of a process (ru_maxrss).  Both read the same arrays, mapped, and compute the
frozen part in every step (tlc: --no-cache); "cached" is tlc as it comes, with the features of a frozen part computed once.
PyTorch: frozen parts under no_grad and, but for --bn stats, in eval mode; Adam, fused but for -plain-adam; channels-last memory,
with --plain as it comes.  Needs torch, torchvision; tlc built in build/release.  Only the ratios mean something.
"""
import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from typing import NamedTuple

import numpy as np

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/bench/experiments"))
CLASSES, SIZE, RATE = 2, 224, 1e-4

LAYER4 = ["--freeze", "*", "--unfreeze", "layer4*", "--unfreeze", "fc*"]
LAST_OF_LITE0 = ("_blocks.14", "_blocks.15", "_conv_head", "_bn1")
BLOCKS = [word for name in (*LAST_OF_LITE0, "_fc") for word in ("--unfreeze", name + "*")]


class Experiment(NamedTuple):
    network: str           # built in
    options: list          # of compile
    trained: list | None   # children of PyTorch's module; None: all
    bn: str = "train"      # policy of batch norms
    head: str = str(CLASSES)
    fused: bool = True     # PyTorch's Adam


EXPERIMENTS = {
    "vgg16-classifier": Experiment("vgg16", ["--freeze-backbone"], ["classifier"], head="vgg"),
    "vgg16-classifier-plain-adam": Experiment("vgg16", ["--freeze-backbone"], ["classifier"], head="vgg", fused=False),
    "resnet50-head": Experiment("resnet50", ["--freeze-backbone"], ["fc"]),
    "resnet50-layer4-frozen": Experiment("resnet50", [*LAYER4, "--bn", "frozen"], ["layer4", "fc"], "frozen"),
    "resnet50-layer4-stats": Experiment("resnet50", [*LAYER4, "--bn", "stats"], ["layer4", "fc"], "stats"),
    "resnet50-layer4-train": Experiment("resnet50", [*LAYER4, "--bn", "train"], ["layer4", "fc"]),
    "resnet50-whole": Experiment("resnet50", [], None),
    "lite0-blocks": Experiment("efficientnet_lite0", ["--freeze", "*", *BLOCKS], ["last", "fc"]),
    "lite0-whole": Experiment("efficientnet_lite0", [], None),
}

# --- PyTorch, in a process of its own -------------------------------------------------------


def lite0():
    from torch_side import Lite0
    from torch import nn
    net, parts = Lite0(CLASSES), {"first": [], "last": [], "fc": []}
    for name, child in net.children_in_order():
        late = name in LAST_OF_LITE0 or parts["last"]
        parts["fc" if name == "_fc" else "last" if late else "first"].append(child)
    whole = nn.Module()
    for name, children in parts.items():
        setattr(whole, name, nn.Sequential(*children))
    return whole


def resnet50():
    import torchvision
    from torch import nn
    net = torchvision.models.resnet50(num_classes=CLASSES)
    net.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return net


def vgg16():
    import torchvision
    from torch import nn
    net = torchvision.models.vgg16(num_classes=CLASSES)
    net.flat = nn.Flatten()
    return net


NETWORKS = {"resnet50": resnet50, "efficientnet_lite0": lite0, "vgg16": vgg16}
# Children in the order in which they are run.
PARTS = {"vgg16": ["features", "avgpool", "flat", "classifier"],
         "resnet50": ["conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4", "pool", "fc"],
         "efficientnet_lite0": ["first", "last", "fc"]}


def set_modes(net, frozen, trained, bn, nn):
    """What PyTorch calls the policies: modes and requires_grad of the parts."""
    for part in frozen:
        part.train(bn == "stats").requires_grad_(False)
    for part in trained:
        part.train()
        for m in part.modules():
            if bn == "frozen" and isinstance(m, nn.BatchNorm2d):
                m.eval().requires_grad_(False)


def pytorch(name, a):
    """Print the seconds of each step."""
    import torch
    from torch import nn
    torch.set_num_threads(a.threads)
    e = EXPERIMENTS[name]
    net, order = NETWORKS[e.network](), PARTS[e.network]
    children = [getattr(net, p) for p in order]
    first = order.index(e.trained[0]) if e.trained else 0
    frozen, trained = children[:first], children[first:]
    set_modes(net, frozen, trained, e.bn, nn)
    form = torch.contiguous_format if a.plain else torch.channels_last
    net = net.to(memory_format=form)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], RATE, fused=e.fused or None)
    x, y = (np.load(f"{a.folder}/{n}.npy", mmap_mode="r") for n in "xy")
    for at in range(0, len(y), a.batch):
        began = time.perf_counter()
        value = torch.from_numpy(np.array(x[at:at + a.batch])).to(memory_format=form)
        label = torch.from_numpy(np.array(y[at:at + a.batch]))
        with torch.no_grad():
            for part in frozen:
                value = part(value)
        for part in trained:
            value = part(value)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(value, label)
        loss.backward()
        optimizer.step()
        loss.item()
        print(time.perf_counter() - began, flush=True)


# --- measuring -------------------------------------------------------------------------------


def measured(command):
    """Output of a process and its largest resident set in MiB."""
    p = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        sys.exit(f"{command[0]}: exit {p.returncode}")
    return out, usage.ru_maxrss / 1024


def run_pytorch(name, folder, a):
    out, peak = measured([sys.executable, os.path.abspath(__file__), name, "--process", "--folder", folder, "--batch", a.batch,
                          "--threads", a.threads, *(["--plain"] if a.plain else [])])
    return [float(line) for line in out.split()][1:], peak


def run_tlc(folder, a, *options):
    run = f"{folder}/run"
    shutil.rmtree(run, ignore_errors=True)
    _, peak = measured([f"{folder}/net/trainer", "train", "--data", f"{folder}/x.npy,{folder}/y.npy", "--valid", 0, "--epochs", 1,
                        "--lr", RATE, "--threads", a.threads, "-o", run, "-q", *options])
    at = [s["time_s"] for s in map(json.loads, open(f"{run}/metrics.jsonl")) if s["type"] == "step"]
    return [b - a for a, b in zip(at, at[1:])], peak


def write_weights(source, path):
    """Any values for all parameters of a built-in network, as safetensors: what is frozen must have some."""
    rng, header, at, parts = np.random.default_rng(1), {}, 0, []
    with open(os.path.join(SOURCE, "models", source + ".tir")) as f:
        params = re.findall(r"^(?:param|const) %(\S+) : f32\[([0-9,]+)\]", f.read(), re.M)
    for param, dims in params:
        shape = [int(d) for d in dims.split(",")]
        if len(shape) > 1:
            value = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(np.prod(shape[1:])))
        else:
            value = np.full(shape, param.endswith(("running_var", "weight")), np.float32)
        header[param] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + value.nbytes]}
        at += value.nbytes
        parts.append(value.tobytes())
    text = json.dumps(header).encode()
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little") + text + b"".join(parts))


def build(name, folder, a):
    e = EXPERIMENTS[name]
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    weights = f"{folder}/weights.safetensors"
    write_weights(e.network, weights)
    subprocess.run([TLC, "compile", e.network, "-q", "--weights", weights, "--replace-head", e.head, *e.options, "--batch", str(a.batch),
                    "--preprocess", "none", "-o", f"{folder}/net"], check=True)
    subprocess.run(["make", "-s", "-C", f"{folder}/net", "trainer"], check=True)
    n = a.batch * (a.steps + 1)
    x = np.lib.format.open_memmap(f"{folder}/x.npy", "w+", np.float32, (n, 3, SIZE, SIZE))
    for i in range(n):  # so that this process does not hold them
        x[i] = np.random.default_rng(i).standard_normal((3, SIZE, SIZE), np.float32)
    x.flush()
    np.save(f"{folder}/y.npy", np.arange(n) % CLASSES)


def measure(name, a):
    folder = os.path.join(WORK, name)
    build(name, folder, a)
    ways = {"tlc": lambda: run_tlc(folder, a, "--no-cache"), "PyTorch": lambda: run_pytorch(name, folder, a)}
    if EXPERIMENTS[name].trained:
        ways["cached"] = lambda: run_tlc(folder, a, "--cache-dir", f"{folder}/cache")
    times, peaks = {way: [] for way in ways}, {way: [] for way in ways}
    for _ in range(a.rounds):
        for way, go in ways.items():
            seconds, peak = go()
            times[way] += seconds
            peaks[way].append(peak)
    ms = {way: 1e3 * statistics.median(t) for way, t in times.items()}
    mib = {way: statistics.median(p) for way, p in peaks.items()}
    cached = f"; cached {ms['cached']:.1f} ms, {mib['cached']:.0f} MiB" if "cached" in ways else ""
    print(f"{name} b{a.batch}: tlc {ms['tlc']:.1f} ms, {mib['tlc']:.0f} MiB; PyTorch {ms['PyTorch']:.1f} ms, {mib['PyTorch']:.0f} MiB: "
          f"{ms['PyTorch'] / ms['tlc']:.2f}x the speed, {mib['PyTorch'] / mib['tlc']:.2f}x less memory{cached}", flush=True)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*", default=list(EXPERIMENTS))
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--plain", action="store_true", help="PyTorch without channels-last memory")
    p.add_argument("--process", action="store_true", help=argparse.SUPPRESS)
    p.add_argument("--folder", help=argparse.SUPPRESS)
    a = p.parse_args()
    unknown = [n for n in a.names if n not in EXPERIMENTS]
    if unknown:
        p.error(f"no experiment {unknown[0]}")
    for name in a.names:
        (pytorch if a.process else measure)(name, a)


main()
