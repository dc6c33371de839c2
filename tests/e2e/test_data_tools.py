"""Data in and training options: tlc split, tlc fit, a folder to predict, schedules, patience and
augmentation, whose bits depend neither on threads nor on the cache nor on interruptions."""
import json
import math
import os
import shutil
import subprocess

from common import TLC, check, finish, run, steps
from tiny import DEMO, demo_net, expect, left_behind, scratch, shapes

here = scratch("data_tools")
net, photos = demo_net(), shapes()
trainer = os.path.join(net, "trainer")


def place(name):
    return os.path.join(here, name)


def flat_folder():
    """Pictures as Kaggle gives them: the class in the name; and some without."""
    out = place("flat")
    os.makedirs(out)
    for kind in ("moon", "star"):
        for i, name in enumerate(sorted(os.listdir(os.path.join(photos, "train", kind)))):
            shutil.copy(os.path.join(photos, "train", kind, name), os.path.join(out, f"{kind}.{i}.png"))
    for i in range(3):
        shutil.copy(os.path.join(photos, "valid/star", sorted(os.listdir(os.path.join(photos, "valid/star")))[i]),
                    os.path.join(out, f"{i + 1}.png"))
    with open(os.path.join(out, "notes.txt"), "w") as f:
        f.write("x")
    return out


def files(folder):
    return sorted(os.path.relpath(os.path.join(d, n), folder) for d, _, ns in os.walk(folder) for n in ns)


def test_split(flat):
    before = files(flat)
    out = run(TLC, "split", flat, "-o", place("a"), "--valid", "3", "--json")
    j = json.loads(out.stdout)
    check(j["schema"] == "tlc.split/1" and j["classes"] == ["moon", "star"] and j["train_n"] == 18 and
          j["valid_n"] == 6 and j["unlabelled_n"] == 3 and j["other_n"] == 1, "split: what it says")
    found = files(place("a"))
    check(len(found) == 27 and all(f.split("/")[-1].startswith(f.split("/")[1]) for f in found if "unlab" not in f),
          "split: every picture once, under its class")
    check(sum(f.startswith("valid/moon/") for f in found) == 3, "split: --valid 3 of each class")
    check(all(os.path.islink(os.path.join(place("a"), f)) for f in found), "split: links")
    run(TLC, "split", flat, "-o", place("b"), "--valid", "3", "-q", "--copy")
    check(files(place("b")) == found, "split: same seed, same split")
    check(not any(os.path.islink(os.path.join(place("b"), f)) for f in found), "split --copy: copies")
    run(TLC, "split", flat, "-o", place("c"), "--valid", "3", "-q", "--seed", "1")
    check(files(place("c")) != found, "split: another seed, another split")
    expect("split over a folder that is there", [TLC, "split", flat, "-o", place("a")], 7, "exists")
    expect("split with nothing left", [TLC, "split", flat, "-o", place("d"), "--valid", "12"], 2, "leaves none",
           absent=[place("d")])
    os.makedirs(place("one"))
    shutil.copy(os.path.join(flat, "1.png"), os.path.join(place("one"), "cat.1.png"))
    expect("split of one class", [TLC, "split", place("one"), "-o", place("d")], 4, "1 class", absent=[place("d")])
    expect("split of what is not there", [TLC, "split", place("none"), "-o", place("d")], 3, "cannot read",
           absent=[place("d")])
    check(files(flat) == before and not left_behind(here), "split: the flat folder is as it was, nothing left behind")


def train(name, *options, code=0):
    run(trainer, "train", place("a"), "-o", place(name), "-q", *options, code=code)
    return place(name)


def weights(folder):
    with open(os.path.join(folder, "best.json")) as f:
        return json.load(f)["sha256"]


def lines(folder):
    """metrics.jsonl without times."""
    return [{k: v for k, v in s.items() if k != "time_s"} for s in steps(folder)]


def test_schedules():
    a = train("cos", "--epochs", "4", "--lr", "0.01", "--schedule", "cosine", "--warmup", "1")
    rates = [s["lr"] for s in steps(a) if s["type"] == "step"]
    n = len(rates) // 4
    want = [0.01 * (i + 1) / n for i in range(n)]
    want += [0.01 * (1 + math.cos(math.pi * i / (3 * n))) / 2 for i in range(3 * n)]
    check(all(abs(x - y) < 1e-15 for x, y in zip(rates, want)), "cosine after a warm-up, step by step")
    b = train("step", "--epochs", "4", "--lr", "0.01", "--schedule", "step", "--step-epochs", "2")
    rates = [s["lr"] for s in steps(b) if s["type"] == "epoch"]
    check(all(abs(x - y) < 1e-15 for x, y in zip(rates, [0.01, 0.01, 0.001, 0.001])), "step: a tenth after two epochs")
    for options, core in ((["--schedule", "cosin"], "cosin"), (["--warmup", "10"], "not shorter"),
                          (["--step-epochs", "2"], "schedule step"), (["--augment", "flip,blur"], "blur")):
        expect(" ".join(options), [trainer, "train", place("a"), "-o", place("no"), *options], 2, core,
               absent=[place("no")])


def test_patience():
    out = place("patience")
    said = run(trainer, "train", place("a"), "-o", out, "--epochs", "60", "--lr", "1e-9", "--patience", "2").stdout
    epochs = [s for s in steps(out) if s["type"] == "epoch"]
    best = max(i for i, s in enumerate(epochs) if s["best"])
    check(len(epochs) == best + 3 < 60 and "--patience" in said, "patience: two epochs after the best, and it says so")
    before = lines(out)
    run(trainer, "train", place("a"), "-o", out, "--resume", "-q")
    check(lines(out) == before, "patience: resumed, it stays ended")


def test_augment():
    options = ["--epochs", "5", "--lr", "0.01", "--augment", "flip,crop,color", "--views", "3",
               "--schedule", "cosine", "--warmup", "1"]
    a = train("aug1", *options, "--threads", "1")
    check(weights(train("aug3", *options, "--threads", "3")) == weights(a), "augment: threads do not matter")
    check(weights(train("augn", *options, "--no-cache")) == weights(a), "augment: the cache does not matter")
    check(weights(train("plain", "--epochs", "5", "--lr", "0.01", "--schedule", "cosine", "--warmup", "1"))
          != weights(a), "augment: it changes what is learned")
    check(lines(train("again", *options)) == lines(a), "augment: the same run again, from the cache")
    out = place("cut")
    p = subprocess.Popen([trainer, "train", place("a"), "-o", out, "-q", "--epochs", "2000", *options[2:]],
                         stderr=subprocess.DEVNULL)
    while p.poll() is None and not (os.path.exists(os.path.join(out, "metrics.jsonl")) and len(
            open(os.path.join(out, "metrics.jsonl")).read().splitlines()) > 20):
        pass
    p.send_signal(2)
    check(p.wait() == 8, "augment: interrupted")
    with open(os.path.join(out, "run.json")) as f:
        check(json.load(f)["options"]["augment"] == "flip,crop,color", "augment: run.json has it")
    expect("resumed with other views", [trainer, "train", place("a"), "-o", out, "--resume", "--views", "4"], 2, "views")


def test_memory():
    with open(os.path.join(place("aug1"), "run.json")) as f:
        cached = json.load(f)["cost"]["peak_bytes"]
    with open(os.path.join(place("augn"), "run.json")) as f:
        uncached = json.load(f)["cost"]["peak_bytes"]
    with open(os.path.join(net, "manifest.json")) as f:
        said = json.load(f)["memory"]
    check(cached == said["peak_train_bytes"], "memory: a run uses what the compiler said")
    check(uncached >= said["peak_train_uncached_bytes"] >= cached, "memory: with --no-cache too")


def test_predict():
    out = run(trainer, "predict", place("a/unlabelled"), os.path.join(place("a"), "valid"), "--run", place("cos"),
              "--csv").stdout.splitlines()
    paths = [line.split(",")[0] for line in out[1:]]
    check(len(paths) == 9 and paths[:3] == sorted(paths[:3]) and paths[3:] == sorted(paths[3:]),
          "predict FOLDER: every picture below it, sorted, folders in the order given")
    os.makedirs(place("empty"))
    expect("predict an empty folder", [trainer, "predict", place("empty"), "--run", place("cos")], 3, "no picture")


def test_fit():
    out = place("fitted")
    said = run(TLC, "fit", DEMO, place("a"), "-o", out, "--epochs", "2", "--mean", "0.4", "--bgr").stdout
    check(all(f"{i}/4  $ " in said for i in (1, 2, 3, 4)) and "# moon, star" in said, "fit: shows its commands")
    check(" --mean 0.4 --bgr  #" in said, "fit: passes on what pictures become")
    check(os.path.exists(out + "-run/best.json") and os.path.exists(out + "-app/weights.bin"), "fit: run and app")
    classes = run(os.path.join(out, "predictor"), "classify", "--weights", out + "-app/weights.bin",
                  os.path.join(photos, "valid/moon/000.png")).stdout
    check(classes.split()[0] in ("moon", "star"), "fit: what it exported predicts")
    expect("fit without classes", [TLC, "fit", DEMO, place("flat"), "-o", place("no")], 4, "class folders",
           absent=[place("no")])
    expect("fit without make", [TLC, "fit", DEMO, place("a"), "-o", place("no")], 3, "not found in PATH",
           env=dict(os.environ, PATH="/nowhere"), absent=[place("no")])


test_split(flat_folder())
test_schedules()
test_patience()
test_augment()
test_memory()
test_predict()
test_fit()
finish()
