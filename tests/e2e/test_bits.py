"""The same trained bits on 1, 2, 3 threads, with and without cache, twice, and killed and resumed."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np

from common import DATA, LONG, WORK, check, compiled, finish, model, need_shared, run, sha256


def weights_of(out):
    best = json.load(open(os.path.join(out, "last.json")))
    return sha256(os.path.join(out, best["file"]))


need_shared()
folder = compiled(model("resnet18.onnx"), "bits_net", "--replace-head", "64,relu,dropout=0.5,2", "--freeze-backbone")
frozen = sha256(os.path.join(folder, "weights.bin"))
photos = os.path.join(WORK, "bits_photos")
shutil.rmtree(photos, ignore_errors=True)
for part, count in (("train", 24), ("valid", 8)):
    for c in ("cat", "dog"):
        os.makedirs(os.path.join(photos, part, c))
        source = os.path.join(DATA, "photos", part, c)
        for f in sorted(os.listdir(source))[:count]:
            shutil.copy(os.path.join(source, f), os.path.join(photos, part, c))
trainer = os.path.join(folder, "trainer")
base = [trainer, "train", photos, "--epochs", 6, "--seed", 3, "-q"]


def train(name, *options):
    out = os.path.join(WORK, f"bits_{name}")
    shutil.rmtree(out, ignore_errors=True)
    run(*base, "--out", out, *options)
    return weights_of(out)


first = train("first", "--threads", 1)
for name, options in (("again", ["--threads", 1]), ("two", ["--threads", 2]), ("three", ["--threads", 3]),
                      ("uncached", ["--no-cache", "--threads", 2])):
    check(train(name, *options) == first, f"same bits: {name}")

random.seed(5)
out = os.path.join(WORK, "bits_killed")
shutil.rmtree(out, ignore_errors=True)
kills = 0
for attempt in range(400):
    resume = ["--resume"] if os.path.exists(os.path.join(out, "last.json")) else []
    if not resume:
        shutil.rmtree(out, ignore_errors=True)
    p = subprocess.Popen([str(c) for c in base] + ["--out", out, "--no-cache"] + resume, stderr=subprocess.PIPE)
    try:
        p.wait(random.uniform(0.3, 4.0) if kills < (200 if LONG else 8) else 600)
    except subprocess.TimeoutExpired:
        p.send_signal(signal.SIGKILL if random.random() < 0.7 else signal.SIGINT)
        p.wait()
        kills += 1
        continue
    if p.returncode == 8:
        continue
    check(p.returncode == 0, f"resumed run ended with {p.returncode}")
    break
check(kills > 0 and weights_of(out) == first, f"same bits after {kills} kills and resumes")
check(sha256(os.path.join(folder, "weights.bin")) == frozen, "frozen bytes are the same after training")
finish()
