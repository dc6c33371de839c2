"""The tutorial's first experiment whole: vgg-small from nothing on a folder of photographs, tlc's and PyTorch's run of it.

    python3 bench/scratch_experiment.py PHOTOS [--epochs 10] [--lr 1e-5] [--schedule cosine] [--augment flip] [--side tlc|pytorch]

tlc: `trainer train` from nothing.  PyTorch: the same network, default initial values, Adam, batch, rates, changes of
pictures and split; decoded once before its time begins; channels-last memory and a fused optimizer, its quicker form here.
A line an epoch from each: loss of its steps, loss and accuracy on PHOTOS/valid, seconds since the beginning.  Hours.
Needs torch and torchvision; tlc built in build/release.
"""
import argparse
import json
import math
import os
import subprocess
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/bench/scratch"))
BATCH, SIDE = 16, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def report(side, epoch, loss, valid_loss, accuracy, seconds):
    print(f"{side}: epoch {epoch}, loss {loss:.4f}; valid loss {valid_loss:.4f}, accuracy {100 * accuracy:.2f} %; {seconds:.0f} s", flush=True)


def tlc(a):
    folder, out = os.path.join(WORK, "scratch"), os.path.join(WORK, "run")
    subprocess.run(["rm", "-rf", WORK], check=True)
    os.makedirs(WORK)
    subprocess.run([TLC, "compile", "vgg-small", "--classes", "2", "--batch", str(BATCH), "--preprocess", "imagenet", "--resize", str(SIDE),
                    "--crop", str(SIDE), "-q", "-o", folder], check=True)
    subprocess.run(["make", "-s", "-j2", "-C", folder, "trainer"], check=True)
    subprocess.run([os.path.join(folder, "trainer"), "train", a.photos, "--epochs", str(a.epochs), "--lr", str(a.lr), "--schedule", a.schedule,
                    *(["--augment", a.augment] if a.augment else []), "--seed", str(a.seed), "--threads", str(a.threads), "-q", "--out", out],
                   check=True)
    for e in map(json.loads, open(os.path.join(out, "metrics.jsonl"))):
        if e["type"] == "epoch":
            report("tlc", e["epoch"], e["train_loss"], e["valid_loss"], e["valid_accuracy"], e["time_s"])


def pytorch(a):
    import torch
    from torch import nn
    from torch_side import pictures, vgg_small
    torch.set_num_threads(a.threads)
    torch.manual_seed(a.seed)
    (x, y), (valid_x, valid_y) = (pictures(os.path.join(a.photos, part), SIDE, SIDE) for part in ("train", "valid"))
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    net = vgg_small(2).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), a.lr, fused=True)
    steps = -(-len(y) // BATCH)
    begin = time.perf_counter()

    def batch(pixels, flip):
        pixels = pixels.float() / 255
        if flip:
            chosen = torch.rand(len(pixels)) < 0.5
            pixels[chosen] = pixels[chosen].flip(3)
        return ((pixels - mean) / std).to(memory_format=torch.channels_last)

    def validate():
        net.eval()
        loss = right = 0
        with torch.no_grad():
            for at in range(0, len(valid_y), BATCH):
                logits, labels = net(batch(valid_x[at:at + BATCH], False)), valid_y[at:at + BATCH]
                loss += nn.functional.cross_entropy(logits, labels, reduction="sum").item()
                right += (logits.argmax(1) == labels).sum().item()
        net.train()
        return loss / len(valid_y), right / len(valid_y)

    for epoch in range(a.epochs):
        order, loss = torch.randperm(len(y)), 0
        for step in range(steps):
            if a.schedule == "cosine":
                for group in optimizer.param_groups:
                    group["lr"] = a.lr / 2 * (1 + math.cos(math.pi * (epoch * steps + step) / (a.epochs * steps)))
            at = order[step * BATCH:(step + 1) * BATCH]
            optimizer.zero_grad()
            value = nn.functional.cross_entropy(net(batch(x[at], a.augment == "flip")), y[at])
            value.backward()
            optimizer.step()
            loss += value.item() * len(at)
        if (epoch + 1) % a.every == 0 or epoch + 1 == a.epochs:
            report("PyTorch", epoch + 1, loss / len(y), *validate(), time.perf_counter() - begin)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("photos")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--lr", type=float, default=1e-5)
    p.add_argument("--schedule", choices=["constant", "cosine"], default="constant")
    p.add_argument("--augment", choices=["", "flip"], default="")
    p.add_argument("--every", type=int, default=1, help="epochs from one validation of PyTorch's to the next")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--side", choices=["tlc", "pytorch"])
    a = p.parse_args()
    for side in (tlc, pytorch):
        if a.side in (None, side.__name__):
            side(a)


main()
