"""Hostile inputs through the real programs: models (a sample of 4.1 and 4.2; all rows are unit
tests), pictures (4.5), checkpoint, run folder and feature cache (4.6)."""
import errno
import gzip
import json
import os
import random
import shutil
import struct
import subprocess
import zlib

import numpy as np
from onnx import AttributeProto, numpy_helper

from common import LONG, SOURCE, TLC, check, finish, run, sha256
from tiny import base_model, demo_net, expect, fault_below, hold_rows, left_behind, save, scratch, shapes

here = scratch("hostile")
net, photos = demo_net(), shapes()
trainer = os.path.join(net, "trainer")
PICTURES = os.path.join(SOURCE, "tests/data/pictures")


# --- 4.1, 4.2: models -------------------------------------------------------------------

def edited(edit):
    m = base_model()
    edit(m)
    return m


def attribute(m, node, name):
    return next(a for n in m.graph.node if n.name == node for a in n.attribute if a.name == name)


def weight(m, name):
    return next(t for t in m.graph.initializer if t.name == name)


def external(m, **keys):
    t = weight(m, "w")
    t.ClearField("raw_data")
    t.data_location = 1
    for k, v in keys.items():
        e = t.external_data.add()
        e.key, e.value = k, v


def nested(m, depth):
    g = m.graph
    for _ in range(depth):
        a = g.node[0].attribute.add() if g.node else g.node.add().attribute.add()
        a.name, a.type = "body", AttributeProto.GRAPH
        g = a.g


def model_rows():
    base = base_model().SerializeToString()
    def inf(m):
        a = numpy_helper.to_array(weight(m, "w")).copy()
        a[0, 0, 0, 0] = np.nan
        weight(m, "w").raw_data = a.tobytes()
    rows = [
        ("0 bytes", b"", 4, "empty file"), ("hello", b"hello", 4, "not a model"), ("zeros", bytes(1024), 4, "not a model"),
        ("gzip of BASE", gzip.compress(base), 4, "gzip"),
        ("Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", 4, "Git LFS"),
        ("truncated varint", bytes.fromhex("08 08 28 ff"), 4, "truncated varint"),
        ("length -1", bytes.fromhex("08083a" + "ff" * 9 + "01"), 4, "length past end"),
        ("BASE cut", base[:len(base) // 2], 4, "length past end"), ("graph twice", base + base, 4, "field repeated"),
        ("nothing more", bytes.fromhex("0808"), 4, "no graph"),
        ("65 graphs deep", edited(lambda m: nested(m, 65)), 6, "depth"),
        ("500,000 nodes", bytes.fromhex("08083a") + b"\xc0\x84\x3d" + b"\x0a\x00" * 500000, 6, "nodes"),
        ("a node reads itself", edited(lambda m: m.graph.node[2].input.__setitem__(0, "r")), 4, "defined later"),
        ("undefined", edited(lambda m: m.graph.node[2].input.__setitem__(0, "zz")), 4, "undefined"),
        ("defined twice", edited(lambda m: m.graph.node[2].output.__setitem__(0, "c")), 4, "defined twice"),
        ("dimension -1", edited(lambda m: weight(m, "w").dims.__setitem__(2, -1)), 4, "dimension"),
        ("raw_data short", edited(lambda m: setattr(weight(m, "w"), "raw_data", weight(m, "w").raw_data[:-1])), 4, "bytes"),
        ("no opset", edited(lambda m: m.ClearField("opset_import")), 4, "opset"),
        ("opset 999", edited(lambda m: setattr(m.opset_import[0], "version", 999)), 5, "opset"),
        ("ir_version 999", edited(lambda m: setattr(m, "ir_version", 999)), 5, "ir_version"),
        ("operator Foo", edited(lambda m: setattr(m.graph.node[2], "op_type", "Foo")), 5, "Foo"),
        ("stride 0", edited(lambda m: attribute(m, "conv", "strides").ints.__setitem__(0, 0)), 4, "strides"),
        ("pad 2^62", edited(lambda m: attribute(m, "conv", "pads").ints.__setitem__(0, 2 ** 62)), 4, "pads"),
        ("NaN weight", edited(inf), 0, "not finite"),
        ("name not UTF-8", base.replace(b"relu", b"re\xffu"), 4, "name"),
        ("location ../w", edited(lambda m: external(m, location="../w")), 4, "location"),
        ("location /w", edited(lambda m: external(m, location="/etc/passwd")), 4, "location"),
        ("w missing", edited(lambda m: external(m, location="none")), 3, "external data"),
        ("w a symlink", edited(lambda m: external(m, location="symlink")), 4, "not a plain file"),
        ("w a FIFO", edited(lambda m: external(m, location="fifo")), 4, "not a plain file"),
        ("w with two links", edited(lambda m: external(m, location="two")), 4, "not a plain file"),
        ("w in a linked folder", edited(lambda m: external(m, location="d/w")), 4, "not a plain file"),
        ("offset past end", edited(lambda m: external(m, location="w", offset="999999", length="432")), 4, "outside"),
        ("unknown key", edited(lambda m: external(m, location="w", key="1")), 4, "key"),
    ]
    place = scratch("hostile/models")
    open(os.path.join(place, "w"), "wb").write(bytes(432))
    os.symlink("w", os.path.join(place, "symlink"))
    os.mkfifo(os.path.join(place, "fifo"))
    os.makedirs(os.path.join(place, "real"))
    os.symlink("real", os.path.join(place, "d"))
    shutil.copy(os.path.join(place, "w"), os.path.join(place, "real/w"))
    open(os.path.join(place, "two"), "wb").write(bytes(432))
    os.link(os.path.join(place, "two"), os.path.join(place, "other"))
    out = os.path.join(place, "out")
    for what, model, code, core in rows:
        path = save(model, os.path.join(place, "net.onnx"))
        # The bound on CPU time (hostile-inputs 3) is the kernel's to watch here.
        expect(f"model {what}: {code}, {core}", [TLC, "compile", path, "-o", out], code, core, absent=[out] if code else [],
               preexec_fn=bounded, timeout=20)
        shutil.rmtree(out, ignore_errors=True)
        check(not left_behind(place), f"model {what}: nothing temporary left")


def bounded():
    import resource
    resource.setrlimit(resource.RLIMIT_CPU, (2, 3))


# --- 4.5: pictures -------------------------------------------------------------------------

def png(w=20, h=16, kind=2, depth=8, data=None, chunks=b"", interlace=0, crc=0, after=b""):
    def chunk(name, body, wrong=0):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body) ^ wrong)
    if data is None:
        row = bytes([0]) + bytes(random.Random(1).randrange(256) for _ in range(w * 3))
        data = zlib.compress(row * h)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlace)) + chunks +
            chunk(b"IDAT", data, crc) + after + chunk(b"IEND", b""))


def png_chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def picture(name):
    with open(os.path.join(PICTURES, name), "rb") as f:
        return f.read()


def segments(jpeg):
    """Offsets of (marker, start) in a JPEG."""
    at, found = 2, []
    while at < len(jpeg) - 1:
        if jpeg[at] == 0xFF and jpeg[at + 1] not in (0, 0xFF) and not 0xD0 <= jpeg[at + 1] <= 0xD8:
            found.append((jpeg[at + 1], at))
            if jpeg[at + 1] == 0xD9:
                break
            at += 2 + int.from_bytes(jpeg[at + 2:at + 4], "big")
        else:
            at += 1
    return found


def frame(jpeg):
    return next(at for m, at in segments(jpeg) if 0xC0 <= m <= 0xCF and m not in (0xC4, 0xC8, 0xCC))


def sized(jpeg, w, h):
    at = frame(jpeg)
    return jpeg[:at + 5] + struct.pack(">HH", h, w) + jpeg[at + 9:]


def with_byte(jpeg, offset, value):
    at = frame(jpeg) + offset
    return jpeg[:at] + bytes([value]) + jpeg[at + 1:]


def scans(jpeg, n):
    """The last scan repeated until there are n."""
    starts = [at for m, at in segments(jpeg) if m == 0xDA]
    end = segments(jpeg)[-1][1]
    return jpeg[:end] + jpeg[starts[-1]:end] * (n - len(starts)) + jpeg[end:]


def holed(jpeg):
    """20 bytes of the scan zeroed."""
    at = next(at for m, at in segments(jpeg) if m == 0xDA) + 16
    return jpeg[:at] + bytes(20) + jpeg[at + 20:]


def bomb(name, body):
    """A chunk that would inflate to 1 GB."""
    z = zlib.compressobj(9)
    packed = b"".join(z.compress(bytes(1 << 20)) for _ in range(1024 if LONG else 64)) + z.flush()
    return png_chunk(name, body + packed)


def picture_rows():
    good, prog = picture("baseline.jpg"), picture("progressive.jpg")
    big = scans(prog, 20)
    wide = with_byte(sized(big, 8000, 8000), 11, 0x22)          # 4:2:0
    return [
        ("0 bytes", "x.jpg", b"", 4, "empty file"), ("text", "x.jpg", b"hello, this is text\n" * 9, 4, "not a picture"),
        ("GIF", "x.jpg", b"GIF89a" + bytes(99), 5, "GIF"), ("WebP", "x.jpg", b"RIFF\x64\0\0\0WEBPVP8 " + bytes(90), 5, "WebP"),
        ("BMP", "x.jpg", b"BM" + bytes(99), 5, "BMP"), ("12-bit JPEG", "x.jpg", with_byte(with_byte(good, 1, 0xC1), 4, 12), 5, "12"),
        ("lossless JPEG", "x.jpg", with_byte(good, 1, 0xC3), 5, "lossless"), ("arithmetic JPEG", "x.jpg", with_byte(good, 1, 0xC9), 5, "arithmetic"),
        ("PNG named x.jpg", "x.jpg", png(), 0, None), ("JPEG named x.png", "x.png", good, 0, None),
        ("JPEG cut in half", "x.jpg", picture("turned.jpg")[:len(picture("turned.jpg")) // 2 + 120], 4, "truncated"),
        ("PNG cut", "x.png", png()[:-30], 4, "truncated"), ("IDAT CRC wrong", "x.png", png(crc=1), 4, "damaged"),
        ("width 0", "x.png", png(w=0), 4, "size"), ("width 0 JPEG", "x.jpg", sized(good, 0, 9), 4, "size"),
        ("20 bytes of a scan zeroed", "x.jpg", holed(good), 0, "damaged"),
        ("65500x65500", "x.jpg", sized(good, 65500, 65500), 6, "pixels"), ("1x65501", "x.jpg", sized(good, 1, 65501), 6, "side"),
        ("101 scans", "x.jpg", scans(prog, 101), 6, "scans"), ("8000x8000 4:2:0 of 20 scans", "x.jpg", wide, 6, "scans"),
        ("8000x8000 4:4:4 progressive", "x.jpg", with_byte(sized(prog, 8000, 8000), 11, 0x11), 6, "picture-memory"),
        ("CMYK", "x.jpg", picture("cmyk.jpg"), 0, None), ("gray", "x.jpg", picture("gray.jpg"), 0, None),
        ("16 bit", "x.png", picture("rgb16.png"), 0, None), ("palette", "x.png", picture("palette.png"), 0, None),
        ("APNG", "x.png", png(chunks=png_chunk(b"acTL", struct.pack(">II", 2, 0)) +
                              png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 20, 16, 0, 0, 1, 10, 0, 0))), 0, None),
        ("iCCP of much", "x.png", png(chunks=bomb(b"iCCP", b"a\0\0")), 0, None),
        ("zTXt of much", "x.png", png(chunks=bomb(b"zTXt", b"a\0\0")), 0, None),
        ("iTXt of much", "x.png", png(chunks=bomb(b"iTXt", b"a\0\1\0\0\0")), 0, None),
    ]


def photos_copy(name):
    data = os.path.join(here, name)
    shutil.copytree(photos, data)
    return data


def try_pictures(data, what, path, code, core):
    """Among good ones, stopping and skipping."""
    out = os.path.join(here, "run")
    words = [trainer, "train", data, "--epochs", "1", "-o", out]
    p = expect(f"picture {what}, stop: {code}, {core}", words, code, core, absent=[out] if code else [], timeout=60)
    if core:
        check(os.path.basename(path).encode() in p.stderr, f"picture {what}: the file is named")
    shutil.rmtree(out, ignore_errors=True)
    if code == 0 and core:
        expect(f"picture {what}, no cache: 0", [*words, "--no-cache"], 0, core, timeout=60)
        shutil.rmtree(out, ignore_errors=True)
    p = expect(f"picture {what}, skip: 0", [*words, "--bad-images", "skip"], 0, "skipped" if code else core, timeout=60)
    if code:
        run_json = json.load(open(os.path.join(out, "run.json")))
        check(run_json["data"]["skipped"] == 1, f"picture {what}: counted in run.json")
    shutil.rmtree(out, ignore_errors=True)


def pictures():
    data = photos_copy("photos")
    for what, name, content, code, core in picture_rows():
        path = os.path.join(data, "train/moon", name)
        open(path, "wb").write(content)
        try_pictures(data, what, path, code, core)
        os.unlink(path)
    path = os.path.join(data, "train/moon/x.jpg")
    for what, make in (("FIFO", os.mkfifo), ("dangling link", lambda p: os.symlink("none", p)), ("link to itself", lambda p: os.symlink("x.jpg", p))):
        make(path)
        try_pictures(data, what, path, 3, "cannot read")
        os.unlink(path)
    if os.getuid() != 0:
        open(path, "wb").write(picture("baseline.jpg"))
        os.chmod(path, 0)
        try_pictures(data, "mode 000", path, 3, "cannot read")
        os.unlink(path)


def folders():
    data = photos_copy("folders")
    out = os.path.join(here, "run")
    words = [trainer, "train", data, "--epochs", "1", "--no-cache", "-o", out]
    moon = os.path.join(data, "train/moon")
    os.makedirs(os.path.join(moon, "x.jpg"))
    os.link(os.path.join(moon, "000.png"), os.path.join(moon, "x.jpg/inner.png"))
    os.symlink("..", os.path.join(moon, "up"))
    p = expect("a folder named x.jpg is entered, a link to a parent is not: 0, loop", words, 0, "loop")
    check(json.load(open(os.path.join(out, "run.json")))["data"]["train_n"] == 25, "a folder named x.jpg: its picture counts")
    shutil.rmtree(out)
    os.makedirs(os.path.join(data, "train/zempty"))
    os.makedirs(os.path.join(data, "valid/zempty"))
    expect("empty class: 4, class", words, 4, "class", absent=[out])
    for part in ("train", "valid"):
        os.link(os.path.join(moon, "001.png"), os.path.join(data, part, "zempty/1.png"))
    p = expect("3 classes, head of 2: 5, class", words, 5, "class", absent=[out])
    check(b"compile with --replace-head 3" in p.stderr, "and what would help")
    for part in ("train", "valid"):
        for name in ("zempty", "star"):
            shutil.rmtree(os.path.join(data, part, name))
    expect("one class: 4, class", words, 4, "class", absent=[out])
    shutil.rmtree(moon)
    shutil.rmtree(os.path.join(data, "valid/moon"))
    expect("no class: 4, class", words, 4, "class", absent=[out])
    many = scratch("hostile/many")
    source = os.path.join(photos, "train/moon/000.png")
    for k in range(60000 if LONG else 30):
        os.makedirs(os.path.join(many, f"c{k}"))
        os.symlink(source, os.path.join(many, f"c{k}/a.png"))
    limit = [] if LONG else ["--limit", "classes=20"]
    expect("60,000 classes: 6, classes", [trainer, "train", many, "-o", out, *limit], 6, "classes", absent=[out])
    shutil.rmtree(many)
    expect("--limit folder: 6, folder", [trainer, "train", photos, "-o", out, "--limit", "folder=9"], 6, "folder", absent=[out])


# --- 4.6: checkpoint, run folder, cache ------------------------------------------------------

def finished(name, *options):
    out = os.path.join(here, name)
    shutil.rmtree(out, ignore_errors=True)
    run(trainer, "train", photos, "--epochs", "3", "--seed", "5", "-o", out, *options)
    return out


def bits(out):
    return [json.load(open(os.path.join(out, n)))["sha256"] for n in ("best.json", "last.json")]


def checkpoints():
    whole = finished("whole")
    last = json.load(open(os.path.join(whole, "last.json")))["file"]
    size = os.path.getsize(os.path.join(whole, last))
    rng = random.Random(3)
    def resumed(what, spoil, code, core):
        out = os.path.join(here, "spoiled")
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(whole, out)
        spoil(out)
        expect(f"checkpoint {what}: {code}, {core}", [trainer, "train", photos, "-o", out, "--resume"], code, core)
    def cut(n):
        return lambda out: os.truncate(os.path.join(out, last), n)
    def flip(n):
        def spoil(out):
            with open(os.path.join(out, last), "r+b") as f:
                f.seek(n)
                b = f.read(1)[0]
                f.seek(n)
                f.write(bytes([b ^ 1 << n % 8]))
        return spoil
    def edit(name, **fields):
        def spoil(out):
            path = os.path.join(out, name)
            j = json.load(open(path))
            j.update(fields)
            json.dump(j, open(path, "w"))
        return spoil
    def link(name):
        def spoil(out):
            os.rename(os.path.join(out, name), os.path.join(out, "moved"))
            os.symlink("moved", os.path.join(out, name))
        return spoil
    for n in [0, 7, 8, size // 2, size - 1] + [rng.randrange(size) for _ in range(200 if LONG else 3)]:
        resumed(f"cut to {n}", cut(n), 4, "checksum")
    for n in [0, 9, size - 1] + [rng.randrange(size) for _ in range(200 if LONG else 3)]:
        resumed(f"bit of byte {n} flipped", flip(n), 4, "checksum")
    resumed("without its JSON", lambda out: os.unlink(os.path.join(out, "last.json")), 3, "checkpoint")
    resumed("JSON a link", link("last.json"), 4, "not a plain file")
    resumed("a link", link(last), 4, "not a plain file")
    resumed("gone", lambda out: os.unlink(os.path.join(out, last)), 3, "checkpoint")
    resumed("JSON names ../x", edit("last.json", file="../x"), 4, "")
    resumed("JSON of a newer version", edit("last.json", schema="tlc.checkpoint/9"), 5, "version")
    resumed("run.json of a newer version", edit("run.json", schema="tlc.run/9"), 5, "version")
    resumed("run.json is no JSON", lambda out: open(os.path.join(out, "run.json"), "w").write("{"), 4, "not a JSON object")
    resumed("run.json nested deep", lambda out: open(os.path.join(out, "run.json"), "w").write("[" * 5000), 6, "depth")
    def model(out):
        j = json.load(open(os.path.join(out, "run.json")))
        j["model"]["graph_sha256"] = "0" * 64
        json.dump(j, open(os.path.join(out, "run.json"), "w"))
    resumed("of another model", model, 5, "model")
    other = subprocess.Popen([trainer, "train", photos, "--epochs", "100000", "--no-cache", "-o", os.path.join(here, "busy")],
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not os.path.exists(os.path.join(here, "busy/metrics.jsonl")) and other.poll() is None:
        pass
    expect("second trainer on RUN: 7, in use", [trainer, "train", photos, "-o", os.path.join(here, "busy"), "--resume"], 7, "in use")
    other.kill()
    other.wait()
    return whole


def xxh64(data):
    """XXH64 of up to 32-byte stripes and whole words, as a cache's header wants it."""
    p1, p2, p3, p4, p5 = (11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579, 2870177450012600261)
    most = (1 << 64) - 1

    def turned(x, r):
        return (x << r | x >> 64 - r) & most

    def mixed(acc, word):
        return turned((acc + word * p2) & most, 31) * p1 & most
    acc, at = [(p1 + p2) & most, p2, 0, -p1 & most], 0
    for at in range(0, len(data) - 31, 32):
        acc = [mixed(a, int.from_bytes(data[at + 8 * k:at + 8 * k + 8], "little")) for k, a in enumerate(acc)]
    h = sum(turned(a, r) for a, r in zip(acc, (1, 7, 12, 18))) & most
    for a in acc:
        h = ((h ^ mixed(0, a)) * p1 + p4) & most
    h = (h + len(data)) & most
    for k in range(len(data) // 32 * 32, len(data), 8):
        h = (turned(h ^ mixed(0, int.from_bytes(data[k:k + 8], "little")), 27) * p1 + p4) & most
    h = (h ^ h >> 33) * p2 & most
    h = (h ^ h >> 29) * p3 & most
    return h ^ h >> 32


def cache_files(folder):
    return [os.path.join(d, f) for d, _, fs in os.walk(folder) for f in fs]


def caches(whole):
    want = bits(whole)
    def cached(what, spoil, warned=True):
        folder = os.path.join(here, "cache")
        shutil.rmtree(folder, ignore_errors=True)
        finished("first", "--cache-dir", folder)
        files = cache_files(folder)
        check(files, f"cache {what}: there is one")
        spoil(folder, files[0])
        out = os.path.join(here, "second")
        shutil.rmtree(out, ignore_errors=True)
        p = expect(f"cache {what}: 0", [trainer, "train", photos, "--epochs", "3", "--seed", "5", "-o", out, "--cache-dir", folder], 0)
        check(bits(out) == want, f"cache {what}: the same bits")
        check((b"warning" in p.stderr) == warned, f"cache {what}: {'a warning' if warned else 'no warning'}")
    def cut(folder, file):
        os.truncate(file, os.path.getsize(file) - 100)
    def flip(at):
        def spoil(folder, file):
            with open(file, "r+b") as f:
                f.seek(at if at >= 0 else os.path.getsize(file) + at)
                b = f.read(1)[0]
                f.seek(-1, 1)
                f.write(bytes([b ^ 4]))
        return spoil
    def path_a_file(folder, file):
        shutil.rmtree(folder)
        open(folder, "w").write("x")
    def header(at):
        """Another value in the header, which is sealed anew: whole, and not for us."""
        def spoil(folder, file):
            data = bytearray(open(file, "rb").read())
            data[at] ^= 1
            data[56:64] = xxh64(bytes(data[:56])).to_bytes(8, "little")
            open(file, "wb").write(data)
        return spoil
    cached("of another model", header(16))
    cached("of an old version", header(8))
    cached("whole", lambda folder, file: None, warned=False)
    cached("cut", cut)
    cached("bit of its head flipped", flip(3))
    cached("bit of its data flipped", flip(-77))
    cached("a folder", lambda folder, file: (os.unlink(file), os.makedirs(file)))
    cached("path a file", path_a_file)
    os.unlink(os.path.join(here, "cache"))
    cached("clock a year back", lambda folder, file: os.utime(file, (1e9, 1e9)), warned=False)
    full = os.path.join(here, "full_cache")
    for call, error in (("write", errno.ENOSPC), ("fsync", errno.EIO)):
        out = os.path.join(here, "disk_full")
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(full, ignore_errors=True)
        p = subprocess.run([trainer, "train", photos, "--epochs", "3", "--seed", "5", "-o", out, "--cache-dir", full],
                           capture_output=True, env={**os.environ, **fault_below(full, call, error)})
        check(p.returncode == 0 and bits(out) == want and p.stderr.count(b"warning") == 1,
              f"cache, {call} fails: 0, the same bits, a warning {p.stderr[-200:]}")
        check(not left_behind(full) and not cache_files(full), f"cache, {call} fails: nothing left")
    pair = [subprocess.Popen([trainer, "train", photos, "--epochs", "3", "--seed", "5", "-o", os.path.join(here, f"pair{k}"),
                              "--cache-dir", os.path.join(here, "shared_cache")], stdout=subprocess.DEVNULL) for k in range(2)]
    check([p.wait() for p in pair] == [0, 0] and all(bits(os.path.join(here, f"pair{k}")) == want for k in range(2)),
          "cache shared by two trainers: the same bits")


def numbers():
    """A loss that is no number ends the run: 9, the step named, the last good checkpoint kept."""
    x = np.ones((32, 3, 64, 64), np.float32)
    x[20:] = 3e38
    np.save(os.path.join(here, "x.npy"), x)
    np.save(os.path.join(here, "y.npy"), np.arange(32, dtype=np.int64) % 2)
    out = os.path.join(here, "nan")
    data = ",".join(os.path.join(here, n) for n in ("x.npy", "y.npy"))
    expect("a loss that is not finite: 9, step", [trainer, "train", "--data", data, "--no-cache", "--epochs", "5", "-o", out], 9, "step")
    last = json.load(open(os.path.join(out, "last.json")))
    check(not last["file"] or sha256(os.path.join(out, last["file"])) == last["sha256"], "and the last good checkpoint is kept")
    check(json.load(open(os.path.join(out, "run.json")))["exit_code"] == 9, "and run.json says so")


model_rows()
pictures()
folders()
caches(checkpoints())
numbers()
if not LONG:  # which cuts and flips there are hangs on the length of a checkpoint, other rows on LONG alone
    hold_rows("programs", ("cut to ", "bit of byte ", "in use", "mode 000"))
finish()
