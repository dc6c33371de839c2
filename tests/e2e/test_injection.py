"""The hostile twin (hostile-inputs 5): names from a model are data.

BASE once with plain names and once with each name a hostile one, compiled to folders of one name:
without comments the two differ in manifest.json and the graphs for `trainer export` alone, and what stands of a name in a comment is
plain."""
import json
import os
import re
import shutil
import subprocess
import sys

from common import LONG, SOURCE, TLC, check, finish, run, sha256
from tiny import base_model, demo_net, left_behind, save, scratch, shapes

HOSTILE = ["plain/name.", '"', "\\", "\n", "*/", "??/", "%s%n", "${HOME}", "$(id)", "`id`", "#include <x>", "</script>", "=1+1", "../x", "int",
           "\u202e", "\x1b[2J", "a" * 3900, "// \\\n", "'; rm -rf x '", "/*", "@x", "%"]
here = scratch("injection")


def twin():
    """BASE with every name hostile, each with CANARY and a number of its own."""
    m = base_model()
    count = iter(range(10000))
    names = {}

    def evil(name):
        if name not in names:
            k = next(count)
            names[name] = f"{HOSTILE[k % len(HOSTILE)]}CANARY{k}"
        return names[name]
    for n in m.graph.node:
        n.name = evil("node " + n.name)
        n.doc_string = evil("doc " + n.name)
        n.input[:] = [evil(x) for x in n.input]
        n.output[:] = [evil(x) for x in n.output]
    for t in [*m.graph.initializer, *m.graph.input, *m.graph.output]:
        t.name = evil(t.name)
        t.doc_string = evil("doc " + t.name)
    m.graph.input[0].type.tensor_type.shape.dim[0].dim_param = evil("n")
    m.graph.output[0].type.tensor_type.shape.dim[0].dim_param = evil("n")
    m.graph.name, m.producer_name, m.producer_version = evil("graph"), evil("producer"), evil("version")
    m.domain, m.doc_string, m.graph.doc_string = evil("domain"), evil("doc"), evil("gdoc")
    p = m.metadata_props.add()
    p.key, p.value = evil("key"), evil("value")
    return m


def without_comments(text):
    """C comments go; strings stay, so that a name in one would be seen."""
    return re.sub(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', lambda m: m.group() if m.group()[0] == '"' else " ", text, flags=re.S)


def comments(text):
    return [m.group() for m in re.finditer(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*|#[^\n]*CANARY[^\n]*', text, re.S) if m.group()[0] != '"']


def compare(options, what):
    folders = []
    for name, model in (("plain", base_model()), ("evil", twin())):
        place = scratch(f"injection/{what}-{name}")
        path = save(model, os.path.join(place, "net.onnx"))
        run(TLC, "compile", path, *options, "-o", os.path.join(place, "same"))
        folders.append(os.path.join(place, "same"))
    plain, evil = folders
    files = sorted(os.path.relpath(os.path.join(d, f), plain) for d, _, fs in os.walk(plain) for f in fs)
    check(files == sorted(os.path.relpath(os.path.join(d, f), evil) for d, _, fs in os.walk(evil) for f in fs),
          f"{what}: the same file names")
    differ = []
    for f in files:
        a, b = (open(os.path.join(x, f), "rb").read() for x in folders)
        if a != b and (not f.endswith((".c", ".h")) or without_comments(a.decode()) != without_comments(b.decode())):
            differ.append(f)
        if f in ("manifest.json", "export.json"):
            check(b.isascii() and b"CANARY" in b, f"{what}: {f} is ASCII and holds the names")
            json.loads(b)
            continue
        if f == "export.bin":  # an ONNX graph: names as data
            continue
        marks = b.count(b"CANARY")
        if marks:
            text = b.decode()
            found = "".join(comments(text)).count("CANARY")
            words = re.findall(r"\S*CANARY\S*", text)
            plain_words = all(re.fullmatch(r"[A-Za-z0-9_./:?,;()-]+", w) and len(w) <= 84 for w in words)
            check(found == marks and plain_words, f"{what}: CANARY in {f} only in comments, as part of a plain name {words[:1]}")
    named = [f for f in ("export.bin", "export.json", "manifest.json") if f in files]
    check(sorted(differ) == named, f"{what}: with comments stripped, files of names alone differ: {differ}")
    check(sha256(os.path.join(plain, "weights.bin")) == sha256(os.path.join(evil, "weights.bin")), f"{what}: the same weights.bin")
    check(os.listdir(os.path.dirname(evil)) and not left_behind(here), f"{what}: nothing else was written")
    return evil


def weights_files():
    """Entries of .pth and .safetensors that no parameter asks for, hostile names all: not a byte differs."""
    sys.path.insert(0, os.path.join(SOURCE, "tests/fuzz"))
    import seeds
    place = scratch("injection/weights")
    net = os.path.join(place, "net.tir")
    with open(net, "w") as f:
        f.write('module "linear"\nparam %fc.weight : f32[2,3] init uniform fan_in=3\nparam %fc.bias : f32[2] init uniform fan_in=3\n'
                "func @forward(%x: f32[n,3]) -> f32[n,2] {\n  %0 : f32[n,2] = linear %x, %fc.weight, %fc.bias\n  return %0\n}\n")
    evil = [f"{name}CANARY{k}" for k, name in enumerate(HOSTILE)]
    extra = b"".join(b"X" + len(n.encode()).to_bytes(4, "little") + n.encode() + b"K\1" for n in evil)
    header = {"fc.weight": seeds.entry("F32", [2, 3], 0, 24), "fc.bias": seeds.entry("F32", [2], 24, 32)}
    more = {"__metadata__": {n: n for n in evil}, **header, **{n: seeds.entry("U8", [0], 32, 32) for n in evil}}
    data = seeds.WEIGHT + seeds.BIAS
    for kind, plain, twin_bytes in (("pth", seeds.archive(seeds.state_dict()), seeds.archive(seeds.state_dict(extra=extra))),
                                    ("safetensors", seeds.sealed(header, data), seeds.sealed(more, data))):
        outs = []
        for name, content in (("plain", plain), ("evil", twin_bytes)):
            os.makedirs(os.path.join(place, kind, name))
            path = save(content, os.path.join(place, kind, name, "w." + kind))
            out = os.path.join(place, kind, name, "same")
            p = subprocess.run([TLC, "compile", net, "--weights", path, "-o", out], capture_output=True)
            check(p.returncode == 0 and b"\x1b" not in p.stdout + p.stderr, f"{kind}, {name}: compiles, escaped")
            outs.append(out)
        p = subprocess.run(["diff", "-r", *outs], capture_output=True, text=True)
        check(p.returncode == 0, f"{kind}: entries of hostile names change no byte {p.stdout[:300]}")


def model_file_name():
    """The name of the model's file stands in manifest.json alone."""
    place = scratch("injection/file")
    outs = []
    for k, name in enumerate(("net.onnx", "=* $(id)\n\x1b[2J\"CANARY??.onnx")):
        path = save(base_model(), os.path.join(place, name))
        outs.append(os.path.join(place, str(k), "same"))
        os.makedirs(os.path.dirname(outs[-1]))
        p = subprocess.run([TLC, "compile", path, "-o", outs[-1]], capture_output=True)
        check(p.returncode == 0 and b"\x1b" not in p.stdout + p.stderr, f"a model called {name!r} compiles, escaped")
    p = subprocess.run(["diff", "-rq", *outs], capture_output=True, text=True)
    check(p.stdout.count("\n") == 1 and "manifest.json" in p.stdout, f"the model's file name: manifest.json alone differs {p.stdout[:300]}")


def reports():
    """What is printed of the twin: escaped, one line each, JSON in ASCII."""
    path = os.path.join(here, "infer-evil/net.onnx")
    for command in (["inspect", path], ["inspect", path, "--json"], ["opt", path],
                    ["compile", path, "--replace-head", "2", "--freeze-backbone", "-o", os.path.join(here, "reported")],
                    ["compile", path, "--replace-head", "2", "--freeze", "no*CANARY", "-o", os.path.join(here, "none")]):
        p = subprocess.run([TLC, *command], capture_output=True)
        raw = p.stdout + p.stderr
        check(p.returncode in (0, 2) and b"\x1b" not in raw and "\u202e".encode() not in raw, f"{' '.join(command[:1] + command[2:3])}: escaped")
        if "--json" in command:
            check(raw.isascii() and all(json.loads(line) for line in raw.splitlines()), "inspect --json: ASCII")
    text = run(TLC, "opt", path).stdout
    again = os.path.join(here, "again.tir")
    run(TLC, "opt", path, "-o", again)
    check(os.path.exists(again) and open(again).read() == text, "opt -o: what it prints")


def folder_names():
    """Class and file names of photographs: CSV, JSON and the report keep them apart."""
    net, photos = demo_net(), shapes()
    trainer = os.path.join(net, "trainer")
    data = os.path.join(here, "photos")
    # The second is no UTF-8: what run.json keeps of it has to fit the folder again.
    evil = {"moon": '=1+1"</script>,\n\x1b[2J', "star": "x\udcff$(id) `id`"}
    for part in ("train", "valid"):
        for old, new in evil.items():
            shutil.copytree(os.path.join(photos, part, old), os.path.join(data, part, new))
    cell = "@SUM(1),\"a\n.png"
    bad = os.path.join(data, "valid", evil["moon"], cell)
    shutil.copy(os.path.join(data, "valid", evil["moon"], "000.png"), bad)
    raw = os.path.join(os.fsencode(data), b"valid", os.fsencode(evil["star"]), b"\xff\xfe.png")
    shutil.copy(os.path.join(data, "valid", evil["star"], "000.png"), raw)
    out = os.path.join(here, "run")
    p = subprocess.run([trainer, "train", data, "--epochs", "1", "-o", out], capture_output=True)
    text = p.stdout + p.stderr
    check(p.returncode == 0 and b"\x1b" not in text, "train on hostile folder names")
    for name in ("run.json", "metrics.jsonl", "predictions.jsonl", "best.json", "last.json"):
        content = open(os.path.join(out, name), "rb").read()
        check(content.isascii() and all(json.loads(x) for x in ([content] if name.endswith(".json") else content.splitlines())),
              f"{name}: ASCII JSON")
    for name in os.listdir(out):
        if name.endswith(".html"):
            html = open(os.path.join(out, name), encoding="utf-8").read()
            check("</script>," not in html and "<script" not in html.lower() and "\x1b" not in html, f"{name}: escaped, no script")
    cwd = os.path.dirname(bad)
    p = subprocess.run([trainer, "predict", "--run", out, "--csv", cell, b"000.png"], capture_output=True, cwd=cwd)
    import csv
    import io
    rows = list(csv.reader(io.StringIO(p.stdout.decode(), newline="")))
    check(p.returncode == 0 and len(rows) == 3 and all(len(r) == len(rows[0]) for r in rows), f"predict --csv: RFC 4180, {len(rows)} rows")
    check(all(not re.match(r"[=+\-@\t\r]", field) for row in rows for field in row), "predict --csv: no field begins a formula")
    check(b"\x1b" not in p.stdout, "predict --csv: no escape")
    p = subprocess.run([trainer, "eval", os.path.join(data, "valid"), "--run", out], capture_output=True)
    check(p.returncode == 0 and b"\x1b" not in p.stdout + p.stderr, f"eval with these class folders {p.stderr[-200:]}")
    p = subprocess.run([trainer, "predict", "--run", out, "--json", raw], capture_output=True)
    check(p.returncode == 0 and p.stdout.isascii() and json.loads(p.stdout), "predict --json of a name that is no UTF-8")
    export = os.path.join(here, "export")
    p = subprocess.run([trainer, "export", "--run", out, "-o", export], capture_output=True)
    check(p.returncode == 0 and b"\x1b" not in p.stdout + p.stderr, "export with hostile class names")
    check(all(re.fullmatch(r"[A-Za-z0-9_.-]+", n) for n in os.listdir(export)), "export: no file is named after input")


evil = compare([], "infer")
compare(["--replace-head", "2", "--freeze-backbone"], "train")
compare(["--keep-values", "--target", "ref"], "ref")
if LONG:
    compare(["--replace-head", "8,relu,dropout=0.5,3", "--freeze-backbone", "--optimizer", "sgd"], "sgd")
run("make", "-s", "-C", evil, "predictor")
check(os.path.exists(os.path.join(evil, "predictor")), "the twin builds")
weights_files()
model_file_name()
reports()
folder_names()
finish()
