"""EfficientNet-Lite0, pretrained, on photographs: its head, its last two blocks, and all of it trained, tlc's and PyTorch's run of each.

    python3 bench/lite0_experiment.py LITE0.pth PHOTOS [head blocks whole] [--epochs 5] [--seeds 1,2,3]

Both: Adam, batch 16, batch norms of trained parts by the batch, torchvision's 256 and 224 pixels, frozen parts computed once.
Both draw their own order and initial head by the seed.  Valid accuracy after each epoch and seconds (PyTorch's without decoding;
channels-last memory, fused optimizer).  Needs torch and torchvision; tlc built in build/release.
"""
import argparse
import json
import os
import subprocess
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/bench/lite0"))
BATCH, MEAN, STD = 16, 0.498039, 0.501961
LAST = ["_blocks.14", "_blocks.15", "_conv_head", "_bn1", "_fc"]
# name: (rate, names of what is trained; None: all)
PARTS = {"head": (1e-3, ["_fc"]), "blocks": (1e-4, LAST), "whole": (1e-4, None)}


def report(side, part, seed, accuracies, seconds):
    print(f"{side} {part}, seed {seed}: {' '.join(f'{100 * a:.1f}' for a in accuracies)} %; {seconds:.0f} s", flush=True)


def tlc(part, seeds, a):
    rate, trained = PARTS[part]
    folder = os.path.join(WORK, part)
    options = [] if trained is None else ["--freeze", "*", *(w for t in trained for w in ("--unfreeze", t + ".*"))]
    subprocess.run([TLC, "compile", "efficientnet_lite0", "--weights", a.weights, "--replace-head", "2", *options, "--batch", str(BATCH),
                    "--mean", str(MEAN), "--std", str(STD), "-q", "-o", folder], check=True)
    subprocess.run(["make", "-s", "-j2", "-C", folder, "trainer"], check=True)
    for seed in seeds:
        out, begin = os.path.join(WORK, f"run-{part}-{seed}"), time.perf_counter()
        subprocess.run(["rm", "-rf", out, os.path.join(WORK, "cache")], check=True)
        subprocess.run([os.path.join(folder, "trainer"), "train", a.photos, "--epochs", str(a.epochs), "--lr", str(rate), "--seed", str(seed),
                        "--threads", str(a.threads), "--cache-dir", os.path.join(WORK, "cache"), "-q", "--out", out], check=True)
        seconds = time.perf_counter() - begin
        lines = map(json.loads, open(os.path.join(out, "metrics.jsonl")))
        report("tlc", part, seed, [e["valid_accuracy"] for e in lines if e["type"] == "epoch"], seconds)


def pytorch(part, seeds, data, a):
    import torch
    from torch import nn
    from torch_side import Lite0
    rate, trained = PARTS[part]
    for seed in seeds:
        torch.manual_seed(seed)
        net = Lite0(1000)
        net.load_state_dict(torch.load(a.weights, weights_only=True))
        net._fc = nn.Linear(1280, 2)
        net = net.to(memory_format=torch.channels_last)
        order = net.children_in_order()
        cut = 0 if trained is None else next(i for i, (name, _) in enumerate(order) if name == trained[0])
        frozen = nn.Sequential(*(child for _, child in order[:cut])).eval().requires_grad_(False)
        live = nn.Sequential(*(child for _, child in order[cut:])).train()
        optimizer = torch.optim.Adam(live.parameters(), rate, fused=True)
        begin = time.perf_counter()

        def given(pixels):
            return ((pixels.float() / 255 - MEAN) / STD).to(memory_format=torch.channels_last)

        def features(x):
            with torch.no_grad():
                return torch.cat([frozen(given(x[at:at + BATCH])) for at in range(0, len(x), BATCH)])

        def value(x, at):
            return x[at] if cut else given(x[at])

        (x, y), (valid_x, valid_y) = data
        if cut:
            x, valid_x = features(x), features(valid_x)
        accuracies = []
        for _ in range(a.epochs):
            shuffled = torch.randperm(len(y))
            for at in shuffled.split(BATCH):
                optimizer.zero_grad()
                nn.functional.cross_entropy(live(value(x, at)), y[at]).backward()
                optimizer.step()
            live.eval()
            with torch.no_grad():
                right = sum((live(value(valid_x, at)).argmax(1) == valid_y[at]).sum().item() for at in torch.arange(len(valid_y)).split(BATCH))
            live.train()
            accuracies.append(right / len(valid_y))
        report("PyTorch", part, seed, accuracies, time.perf_counter() - begin)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("weights")
    p.add_argument("photos")
    p.add_argument("parts", nargs="*", default=list(PARTS))
    p.add_argument("--epochs", type=int, default=5)
    p.add_argument("--seeds", default="1")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    import torch
    from torch_side import pictures
    torch.set_num_threads(a.threads)
    seeds = [int(s) for s in a.seeds.split(",")]
    os.makedirs(WORK, exist_ok=True)
    data = [pictures(os.path.join(a.photos, part), 256, 224) for part in ("train", "valid")]
    for part in a.parts:
        tlc(part, seeds, a)
        pytorch(part, seeds, data, a)


main()
