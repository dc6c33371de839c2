"""A training run killed at random moments and resumed, over and over: nothing is lost, and the bits at
the end are those of a run that nobody disturbed (hostile-inputs 6).

The network is drawn at random and the pictures are noise, so that no ../shared is needed.  TLC_LONG=1
kills two hundred times, otherwise ten."""
import json
import os
import random
import shutil
import signal
import subprocess
import time

from common import LONG, TLC, check, finish, run, sha256
from tiny import left_behind, scratch

KILLS, EPOCHS = (200, 400) if LONG else (10, 60)
# Parameters of conv1 move too: weights, moments and a batch norm's statistics are in a checkpoint.
NETWORK = """module "killed"
param %c.weight : f32[8,3,3,3] init uniform fan_in=27
param %c.bias : f32[8] init uniform fan_in=27
param %n.weight : f32[8] init constant 1
param %n.bias : f32[8] init constant 0
const %n.mean : f32[8] = splat 0
const %n.var : f32[8] = splat 1
param %fc.weight : f32[2,8] init uniform fan_in=8
param %fc.bias : f32[2] init uniform fan_in=8
func @forward(%x: f32[n,3,32,32]) -> f32[n,2] {
  %0 : f32[n,8,32,32] = conv2d %x, %c.weight, %c.bias {pad=[1,1,1,1]}
  %1 : f32[n,8,32,32] = batch_norm %0, %n.weight, %n.bias, %n.mean, %n.var
  %2 : f32[n,8,32,32] = relu %1
  %3 : f32[n,8] = reduce_mean %2 {axes=[2,3], keepdims=false}
  %4 : f32[n,8] = dropout %3 {p=0.25}
  %5 : f32[n,2] = linear %4, %fc.weight, %fc.bias
  return %5
}
"""


def trainer_of(here):
    path, net = os.path.join(here, "net.tir"), os.path.join(here, "net")
    with open(path, "w") as f:
        f.write(NETWORK)
    run(TLC, "compile", path, "-o", net, "--batch", "8", "-q")
    run("make", "-s", "-j2", "-C", net, "CAIRO=no", "trainer")
    return os.path.join(net, "trainer")


def pictures(here):
    """Noise: bright on the one side or the other."""
    rng = random.Random(1)
    for part, count in (("train", 20), ("valid", 6)):
        for side in range(2):
            folder = os.path.join(here, "photos", part, ("left", "right")[side])
            os.makedirs(folder)
            for k in range(count):
                rows = [bytes([0]) + bytes(rng.randrange(90) + 120 * ((x // 16) == side) for x in range(32) for _ in range(3))
                        for _ in range(32)]
                save_png(os.path.join(folder, f"{k}.png"), rows)
    return os.path.join(here, "photos")


def save_png(path, rows):
    import struct
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    with open(path, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)) +
                chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


def results(out):
    """Bits of both checkpoints and every step and epoch, without times."""
    bits = []
    for name in ("best.json", "last.json"):
        j = json.load(open(os.path.join(out, name)))
        assert sha256(os.path.join(out, j["file"])) == j["sha256"]
        bits.append(j["sha256"])
    lines = [json.loads(line) for line in open(os.path.join(out, "metrics.jsonl"))]
    return bits, [{k: v for k, v in line.items() if k != "time_s"} for line in lines]


def saved_step(out):
    """Where --resume would go on; 0: the run had not begun."""
    path = os.path.join(out, "last.json")
    return json.load(open(path))["step"] if os.path.exists(path) else 0


def killed_run(command, out, most, longest, rng):
    """Kill it up to `most` times, each within `longest` seconds, and start it again until it ends by itself:
    how often it was killed, and what went wrong."""
    kills, wrong, reached = 0, [], 0
    while True:
        words = command + ["-o", out] + (["--resume"] if os.path.exists(out) else [])
        p = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if kills < most:
            time.sleep(rng.uniform(0, longest))
            p.send_signal(signal.SIGKILL if rng.random() < 0.8 else signal.SIGINT)
        err = p.communicate(timeout=300)[1]
        if p.returncode == 0:
            return kills, wrong
        if p.returncode not in (-signal.SIGKILL, -signal.SIGINT, 8):
            wrong.append((p.returncode, err[-200:]))
        kills += 1
        step = saved_step(out)
        if step < reached:
            wrong.append((f"step {reached} was saved, now {step}", err[-200:]))
        reached = step
        if len(wrong) > 5:
            return kills, wrong


here = scratch("kill")
trainer, photos = trainer_of(here), pictures(here)
command = [trainer, "train", photos, "--epochs", str(EPOCHS), "--seed", "3", "--threads", "1", "-q"]
began = time.time()
run(*command, "-o", os.path.join(here, "whole"))
seconds = time.time() - began
want = results(os.path.join(here, "whole"))
kills, rng = 0, random.Random(7)
# A run that is done before it was killed often enough is followed by another.
for attempt in range(KILLS):
    if kills >= KILLS:
        break
    out = os.path.join(here, "killed")
    n, wrong = killed_run(command, out, KILLS - kills, 2 * seconds / KILLS + 0.02, rng)
    got = results(out)
    kills += n
    check(not wrong, f"{n} kills of a run of {seconds:.1f} s, each resumed {wrong[:3]}")
    check(got[0] == want[0], "the same bits at the end, best and last")
    check(got[1] == want[1], f"and the same {len(want[1])} lines of metrics, none lost, none twice")
    check(not left_behind(here), "nothing temporary left")
    shutil.rmtree(out)
check(kills >= KILLS, f"{kills} kills in all")
shutil.rmtree(here)
finish()
