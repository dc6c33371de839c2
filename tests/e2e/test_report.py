"""The pictures and the page that a run leaves, trainer report and preview, tlc compare."""
import html.parser
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time

import common as c
from common import check

BAD = '<script>alert("1")&\'\u202e\x1b[2J</script>'.replace("/", "\u2215")
PICTURES = ["curves.png", "confusion.png", "worst.png", "preview.png"]
os.makedirs(c.WORK, exist_ok=True)
here = os.path.join(c.WORK, "report")
shutil.rmtree(here, ignore_errors=True)
os.makedirs(here)


class Page(html.parser.HTMLParser):
    """Tags must close in order; keeps every address and the text."""
    VOID = {"meta", "img", "source", "br"}

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.tags, self.text, self.fine = [], [], set(), "", True
        self.feed(text)
        self.close()
        self.fine = self.fine and not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "srcset", "href", "data", "action")]
        self.fine = self.fine and not any(k.startswith("on") for k, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        self.fine = self.fine and bool(self.open) and self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text += data


def png_size(path):
    with open(path, "rb") as f:
        head = f.read(24)
        f.seek(-8, 2)
        whole = f.read(4) == b"IEND"
    return struct.unpack(">II", head[16:24]) if whole and head[:8] == b"\x89PNG\r\n\x1a\n" else None


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as f:
        return f.read()


def check_page(run, what):
    text = read(run, "report.html")
    page = Page(text)
    check(page.fine, f"{what}: report.html parses")
    check(len(text.encode()) <= 2 << 20, f"{what}: at most 2 MiB")
    check("script" not in page.tags and "<script" not in text, f"{what}: no script")
    check(page.addresses and all(a.startswith("data:image/") for a in page.addresses),
          f"{what}: every address is a data URI")
    check("://" not in text, f"{what}: nothing remote")
    check("prefers-color-scheme" in text, f"{what}: light and dark")
    return page


def files(run):
    return [p for p in PICTURES if os.path.exists(os.path.join(run, p))]


# --- pictures, a network, a run that is not perfect
draw = os.path.join(here, "draw")
c.run("cc", "-O2", os.path.join(c.SOURCE, "examples/demo/draw.c"), "-o", draw, "-lpng", "-lm")
photos = os.path.join(here, "photos")
os.makedirs(photos)
c.run(draw, os.path.join(photos, "train"), 20, 1, "moon", "star")
c.run(draw, os.path.join(photos, "valid"), 25, 2, "moon", "star")
for part in ("train", "valid"):
    os.rename(os.path.join(photos, part, "star"), os.path.join(photos, part, BAD))
net = c.compiled(os.path.join(c.SOURCE, "models/demo.onnx"), "report/net", "--replace-head", "2",
                 "--freeze-backbone")
trainer = os.path.join(net, "trainer")
cairo = subprocess.run(["pkg-config", "--exists", "cairo"]).returncode == 0
run = os.path.join(here, "run")
out = c.run(trainer, "train", "photos", "--epochs", 1, "--lr", "1e-3", "--seed", 3, "--out", "run", cwd=here)
check("report.html" in out.stdout, "train names report.html")
page = check_page(run, "train") if cairo else None
if not cairo:
    print("skipped: pictures: no cairo")
    c.finish()
check(files(run) == PICTURES, "all pictures are there")
check(png_size(os.path.join(run, "curves.png")) == (1600, 800), "curves.png is 1600x800")
check(all(png_size(os.path.join(run, p)) for p in PICTURES), "pictures are whole PNG files")
check('<script>alert(\\"1\\")&\'\\u{202E}\\x1B[2J' in page.text, "class names are text, escaped")
accuracy = json.loads(read(run, "run.json"))["result"]["accuracy"]
check(f"{100 * accuracy:.1f} % right" in page.text, "the verdict is run.json's accuracy")
wrong = [json.loads(l) for l in read(run, "predictions.jsonl").splitlines()]
wrong = [p for p in wrong if p["label"] != p["class"]]
check(len(wrong) > 0 and page.text.count("predicted: ") == min(20, len(wrong)),
      "each wrong picture, at most 20, is shown")

# --- report: the same bytes again; what is not there is not shown
before = {p: c.sha256(os.path.join(run, p)) for p in PICTURES + ["report.html"]}
for p in before:
    os.remove(os.path.join(run, p))
out = c.run(trainer, "report", "--run", "run", "--json", cwd=here)
check(sorted(json.loads(out.stdout)["files"]) == sorted(before), "report --json names the files")
check(before == {p: c.sha256(os.path.join(run, p)) for p in before}, "report draws the same bytes")
out = c.run(trainer, "report", "--run", run, cwd=c.WORK)
check("50 pictures" not in out.stderr and "not shown" in out.stderr and
      files(run) == ["curves.png", "confusion.png"], "photographs that are gone: a warning, no stale picture")
check_page(run, "report without photographs")
out = c.run(trainer, "report", "--run", "run", "-q", cwd=here)
check(out.stdout == "" and out.stderr == "", "report -q is silent")
for name, text in (("run.json", "[]"), ("metrics.jsonl", '{"type":"epoch"}\n'), ("predictions.jsonl", "{}\n")):
    broken = os.path.join(here, "broken")
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(run, broken)
    with open(os.path.join(broken, name), "w") as f:
        f.write(text)
    out = c.run(trainer, "report", "--run", "broken", code=4, cwd=here)
    check(out.stderr.count("\n") == 1, f"report of a damaged {name}: 4, one line")

# --- a run folder that cannot take pictures does not fail the training
full = subprocess.run([trainer, "train", "photos", "--epochs", "1", "--out", "full"], cwd=here,
                      capture_output=True, text=True)
check(full.returncode == 0, "a second training")
os.remove(os.path.join(here, "full", "curves.png"))
os.mkdir(os.path.join(here, "full", "curves.png"))
resumed = c.run(trainer, "train", "photos", "--out", "full", "--resume", cwd=here)
check("warning" in resumed.stderr and "report.html" not in resumed.stdout,
      "a picture that cannot be written is a warning")

# --- interrupted: what is known is drawn
stopped = os.path.join(here, "stopped")
p = subprocess.Popen([trainer, "train", "photos", "--epochs", "1000000", "--lr", "1e-3", "--out", "stopped"],
                     cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
for _ in range(600):
    metrics = os.path.join(stopped, "metrics.jsonl")
    if os.path.exists(metrics) and '"epoch","epoch":2' in read(metrics):
        break
    time.sleep(0.05)
p.send_signal(signal.SIGINT)
_, err = p.communicate(timeout=60)
check(p.returncode == 8, "interrupted: exit code 8")
check(files(stopped) == ["curves.png", "preview.png"], "interrupted: curves and preview")
check("Interrupted" in check_page(stopped, "interrupted").text, "interrupted: the page says so")

# --- preview
c.run(trainer, "preview", "photos", "-o", "p.png", "--seed", 3, cwd=here)
check(c.sha256(os.path.join(here, "p.png")) == before["preview.png"], "preview shows the batch that is trained on")
c.run(trainer, "preview", "nosuch", code=3, cwd=here)

# --- compare
supp = os.path.join(here, "lsan")  # fontconfig keeps what it read until the process ends
with open(supp, "w") as f:
    f.write("leak:libfontconfig\n")
env = dict(os.environ, LSAN_OPTIONS=f"suppressions={supp}:print_suppressions=0")
out = c.run(c.TLC, "compare", "run", "full", "stopped", cwd=here, env=env)
check(png_size(os.path.join(here, "compare.png")) == (1600, 1200), "compare.png is 1600x1200")
check(re.search(r"^run +network +trained +accuracy \(95 %\) +time +peak MiB$", out.stdout, re.M) and
      "wrote compare.png" in out.stdout, "compare prints a table")
check(all(len(l) <= 80 for l in out.stdout.splitlines()), "in 80 columns")
first = c.sha256(os.path.join(here, "compare.png"))
out = c.run(c.TLC, "compare", "run", "full", "stopped", "--json", "-o", "again.png", cwd=here, env=env)
lines = [json.loads(l) for l in out.stdout.splitlines()]
check([l["run"] for l in lines] == ["run", "full", "stopped"] and lines[0]["accuracy"] == accuracy and
      lines[2]["accuracy"] is None and all(l["schema"] == "tlc.compare/1" for l in lines), "compare --json")
check(first == c.sha256(os.path.join(here, "again.png")), "compare draws the same bytes")
many = ["run", "full"] * 7
c.run(c.TLC, "compare", *many, "-o", "many.png", cwd=here, env=env)
check(png_size(os.path.join(here, "many.png")) == (1600, 1200), "14 runs fit")
check(c.run(c.TLC, "compare", "nosuch", code=3, cwd=here).stderr.startswith("tlc: error: nosuch: run.json"),
      "compare: no such run")
with open(os.path.join(here, "broken", "run.json"), "w") as f:
    f.write("[]")
c.run(c.TLC, "compare", "broken", code=4, cwd=here)
c.run(c.TLC, "compare", "run", "-o", "nosuch/x.png", code=7, cwd=here, env=env)

# --- without cairo all else works
c.run("make", "-s", "-C", net, "clean")
c.run("make", "-s", "-C", net, "CAIRO=no", "trainer")
out = c.run(trainer, "train", "photos", "--epochs", 1, "--out", "plain", cwd=here)
check(out.stderr.count("no pictures") == 1, "no cairo: one warning")
check(files(os.path.join(here, "plain")) == [] and "built without cairo" in read(here, "plain/report.html"),
      "no cairo: the page without pictures")
c.finish()
