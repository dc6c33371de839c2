"""tlc explain: the table of a small network word for word, its sums against other commands, JSON and picture."""
import json
import os
import re
import struct

from common import SOURCE, TLC, WORK, check, finish, run

DEMO = os.path.join(SOURCE, "models/demo.onnx")
OPTIONS = ("--replace-head", "2", "--freeze-until", "/last/Conv", "--target", "ref", "--batch", "4")
TABLE = """\
layer              state    because            bn  fwd M  bwd M  kept KiB  kernel
/stem/stem.0/Conv  frozen   before /last/Conv  -    0.44      -         -  ref
/stem/stem.3/Conv  frozen   before /last/Conv  -    1.18      -         -  ref
/stem/stem.6/Conv  frozen   before /last/Conv  -    1.18      -         -  ref
-- cache ends: 64x8x8, 16.0 KiB a picture; ends before /last/Conv, the first trained layer
/last/Conv         trained  from /last/Conv    -    2.36   2.36      16.2  ref
fc                 trained  from /last/Conv    -    0.00   0.00      0.01  ref
total     5 layers; a picture: 5.16 M forward, 2.36 M backward, 16.3 KiB kept
with /stem/stem.6: +18,496 trained, +1.18 M forward and +3.54 M backward a picture and step, peak P -> P
"""


def explain(*options):
    return run(TLC, "explain", DEMO, *OPTIONS, *options).stdout


def rows(*options):
    return [json.loads(line) for line in explain("--json", *options).splitlines()]


def picture(path):
    with open(path, "rb") as f:
        head = f.read(24)
    return head[:8] == b"\x89PNG\r\n\x1a\n" and struct.unpack(">II", head[16:24]) == (1600, 900)


def compiled(until):
    options = [until if o == "/last/Conv" else o for o in OPTIONS]
    return json.loads(run(TLC, "compile", DEMO, *options, "--json", "-o", os.path.join(WORK, "explain_net")).stdout)


os.makedirs(WORK, exist_ok=True)
text = re.sub(r"peak .*", "peak P -> P", explain())
check(text == TABLE, "the table of the demo's network")
if text != TABLE:
    print(text)
layers = rows()
total = layers[-2]
inspected = [json.loads(line) for line in run(TLC, "inspect", DEMO, "--json").stdout.splitlines()]
old_head = next(r["multiply_adds"] for r in inspected if r["layer"] == "/fc/Gemm")
check(total["forward"] == inspected[-1]["multiply_adds"] - old_head + 64 * 2,
      f"forward multiply-adds are inspect's, with the new head's: {total['forward']:,}")
now, more = compiled("/last/Conv"), compiled("/stem/stem.6/Conv")
check(total["trained"] == now["trained"] and total["peak_bytes"] == now["peak_bytes"], "trained and peak are compile's")
check(layers[-1]["with"] == "/stem/stem.6" and layers[-1]["trained"] == more["trained"] - now["trained"]
      and layers[-1]["peak_bytes"] == more["peak_bytes"], "one more block is what compiling so gives")
frozen = [r for r in layers if r.get("state") == "frozen"]
check(all(r["backward"] == 0 and r["kept_bytes"] == 0 and r["cached"] for r in frozen) and len(frozen) == 3,
      "a frozen layer has no backward, keeps nothing, is cached")
out = os.path.join(WORK, "explain.png")
explain("--picture", out)
check(picture(out), "the picture is a PNG of 1600x900")
mlp = run(TLC, "explain", os.path.join(SOURCE, "tests/e2e/mlp.tir"), "--target", "ref").stdout
check("0.weight" in mlp and "-- no cache" in mlp, "layers without names go by their parameters'")
p = run(TLC, "explain", DEMO, "--unfreeze", "nope*", code=None)
check(p.returncode == 2 and "matches nothing" in p.stderr, "what matches nothing is refused")
finish()
