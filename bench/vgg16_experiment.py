"""The tutorial's second experiment whole: VGG16's convolutions frozen, its classifier trained for ten epochs.

    python3 bench/vgg16_experiment.py VGG16.onnx PHOTOS [--epochs 10] [--steps 6] [--threads 2]

tlc: `trainer train` from nothing, wall time of the process, decoding, features, validation and pictures drawn included.
PyTorch: the tutorial's own loop, which runs the frozen part again in every step of every epoch, default Adam; the median of
--steps training steps and of as many batches of validation, multiplied by the batches that the run has.  Decoding is left
out of PyTorch's time.  Needs torch and torchvision; tlc built in build/release.
"""
import argparse
import glob
import os
import shutil
import statistics
import subprocess
import time

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/bench/vgg16"))
BATCH, RATE = 16, "1e-5"


def tlc(a):
    folder, out = os.path.join(WORK, "vgg16"), os.path.join(WORK, "run")
    shutil.rmtree(WORK, ignore_errors=True)
    os.makedirs(WORK)
    subprocess.run([TLC, "compile", a.model, "--replace-head", "vgg", "--freeze-backbone", "--batch", str(BATCH), "-q", "-o", folder], check=True)
    subprocess.run(["make", "-s", "-j2", "-C", folder], check=True)
    begin = time.perf_counter()
    subprocess.run([os.path.join(folder, "trainer"), "train", a.photos, "--epochs", str(a.epochs), "--lr", RATE, "--seed", "1", "--threads",
                    str(a.threads), "--cache-dir", os.path.join(WORK, "cache"), "-q", "--out", out], check=True)
    return time.perf_counter() - begin


def pytorch(a):
    """Seconds a step of training, and a batch of validation."""
    import torch
    import torchvision
    torch.set_num_threads(a.threads)
    net = torchvision.models.vgg16(weights=None)
    net.classifier[6] = torch.nn.Linear(4096, 2)
    for p in net.features.parameters():
        p.requires_grad = False
    optimizer, loss = torch.optim.Adam(net.classifier.parameters(), float(RATE)), torch.nn.CrossEntropyLoss()
    x, y = torch.randn(BATCH, 3, 224, 224), torch.arange(BATCH) % 2

    def step():
        optimizer.zero_grad()
        loss(net(x), y).backward()
        optimizer.step()

    def validate():
        with torch.no_grad():
            net(x)

    def seconds(run):
        times = []
        for _ in range(a.steps + 1):
            begin = time.perf_counter()
            run()
            times.append(time.perf_counter() - begin)
        return statistics.median(times[1:])

    return seconds(step), seconds(validate)


def batches(photos, part):
    return -(-len([f for f in glob.glob(os.path.join(photos, part, "*", "*")) if os.path.isfile(f)]) // BATCH)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("model")
    p.add_argument("photos")
    p.add_argument("--epochs", type=int, default=10)
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    ours = tlc(a)
    step, validation = pytorch(a)
    n, m = batches(a.photos, "train"), batches(a.photos, "valid")
    theirs = a.epochs * (n * step + m * validation)
    print(f"tlc {ours:.0f} s; PyTorch {step:.2f} s a step, {validation:.2f} s a batch of validation: {a.epochs} x ({n} + {m}) of them make "
          f"{theirs:.0f} s: {theirs / ours:.1f}x")


main()
