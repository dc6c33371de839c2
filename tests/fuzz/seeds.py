"""What the fuzz harnesses begin with, made anew: OUT/HARNESS/NAME, small files of each kind that
work, files with one thing wrong, and a hostile megabyte.

    python3 seeds.py OUT

The same bytes each time.  ONNX's own node tests come along where Debian's libonnx-testdata is."""
import glob
import hashlib
import json
import os
import random
import re
import shutil
import struct
import sys
import zlib

OUT = os.path.abspath(sys.argv[1]) if __name__ == "__main__" else ""
HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
if OUT:
    os.environ.setdefault("TLC_WORK", os.path.join(OUT, ".work"))
sys.path.insert(0, os.path.join(TESTS, "e2e"))
import nets  # noqa: E402
import onnx  # noqa: E402
from tiny import base_model  # noqa: E402

MIB = 1 << 20
WAYS = 7  # of fuzz_pipeline.c
NODE_TESTS = "/usr/share/libonnx-testdata/data/node/*/model.onnx"
MOST_NODE_TEST = 4096  # bytes: larger ones carry weights, which teach a fuzzer nothing


def put(harness, name, content):
    folder = os.path.join(OUT, harness)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name), "wb") as f:
        f.write(content)


# --- ONNX, IR text, the pipeline ------------------------------------------------------

def varint(v):
    out = bytearray()
    while v > 0x7f:
        out.append(v & 0x7f | 0x80)
        v >>= 7
    return bytes(out + bytes([v]))


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def filled(part, n=MIB):
    return part * (n // len(part))


def megabytes():
    """Graphs of one smallest part, a megabyte of them."""
    head = b"\x08\x08"
    parts = {"nodes": field(1, b""), "tensors": field(5, b""), "inputs": field(11, b""), "values": field(13, b""),
             "annotations": field(14, b""), "attributes": field(1, field(5, b"")), "unknown": b"\xf8\x7f\x01",
             "names": field(1, field(1, b"a") + field(2, b"b")), "dims": field(5, field(1, b"\x01\x01\x01"))}
    for name, part in parts.items():
        put("onnx", f"mib_{name}", head + field(7, filled(part)))
    put("onnx", "mib_deep", head + filled(b"\x3a\x00"))
    put("onnx", "mib_ff", head + filled(b"\xff"))


def ir_texts():
    """Every module of the golden cases, and the networks of the training tests."""
    for path in sorted(glob.glob(os.path.join(TESTS, "passes/*.tir")) + glob.glob(os.path.join(TESTS, "emit/*.tir"))):
        text = open(path).read()
        for k, case in enumerate(re.split(r"^// .*\n", text, flags=re.M)):
            if case.startswith("module"):
                yield f"{os.path.basename(path)[:-4]}_{k}", case
    yield "mixed", nets.text("mixed")


def with_constants(path):
    """A node test whose operands but the first are initialisers: weights, shapes and axes as a network has them."""
    m = onnx.load(path)
    known = {t.name for t in m.graph.initializer}
    inputs = [v for v in m.graph.input if v.name not in known]
    for k, v in enumerate(inputs):
        file = os.path.join(os.path.dirname(path), f"test_data_set_0/input_{k}.pb")
        if k and os.path.exists(file) and v.type.HasField("tensor_type"):
            t = onnx.TensorProto.FromString(open(file, "rb").read())
            t.name = v.name
            m.graph.initializer.append(t)
            m.graph.input.remove(v)
    return os.path.basename(os.path.dirname(path)) + "_constants", m.SerializeToString(deterministic=True)


def onnx_files():
    yield "base", base_model().SerializeToString()
    for path in sorted(glob.glob(NODE_TESTS)):
        for name, content in ((os.path.basename(os.path.dirname(path)), open(path, "rb").read()), with_constants(path)):
            if len(content) <= MOST_NODE_TEST:
                yield name, content


def graphs():
    megabytes()
    for k, (name, content) in enumerate(onnx_files()):
        put("onnx", name, content)
        for way in range(WAYS) if name == "base" else (k % WAYS,):
            put("pipeline", f"{name}_{way}", bytes([way]) + content)
    for k, (name, text) in enumerate(ir_texts()):
        put("tir", name, text.encode())
        put("pipeline", f"{name}_{k % WAYS}", bytes([k % WAYS]) + text.encode())
    for name, part in (("brackets", "["), ("parentheses", "("), ("digits", "9"), ("comments", "//\n"), ("names", "%a "), ("quotes", '"')):
        put("tir", f"mib_{name}", b'module "m"\n' + filled(part.encode()))
        put("pipeline", f"mib_{name}", b'\0module "m"\n' + filled(part.encode()))
    relus = "".join(f"  %{i} : f32[n,4] = relu %{i - 1 if i else 'x'}\n" for i in range(20000))
    put("pipeline", "mib_relus", b'\2module "m"\nfunc @forward(%x: f32[n,4]) -> f32[n,4] {\n' + relus.encode() + b"  return %19999\n}\n")


# --- PyTorch ----------------------------------------------------------------------------

def unicode(s):
    return b"X" + struct.pack("<I", len(s)) + s.encode()


def ints(values):
    return b"(" + b"".join(b"K" + bytes([v]) for v in values) + b"t"


def tensor(key, size, stride, elems, old, storage="FloatStorage"):
    where = b"(" + unicode("storage") + f"ctorch\n{storage}\n".encode() + unicode(key) + unicode("cpu") + b"K" + bytes([elems])
    return (b"ctorch._utils\n_rebuild_tensor_v2\n(" + where + (b"NtQ" if old else b"tQ") + b"K\0" + ints(size) + ints(stride) +
            b"\x89ccollections\nOrderedDict\n)RtR")


def state_dict(old=False, extra=b"", wrap=None, prefix="", storage="FloatStorage"):
    body = (b"ccollections\nOrderedDict\n)R(" + unicode(prefix + "fc.weight") + tensor("0", (2, 3), (3, 1), 6, old, storage) +
            unicode(prefix + "fc.bias") + tensor("1", (2,), (1,), 2, old, storage) + extra + b"u")
    return b"\x80\x02" + (b"}" + unicode(wrap) + body + b"s" if wrap else body) + b"."


WEIGHT, BIAS = struct.pack("<6f", 1, 2, 3, 4, 5, 6), struct.pack("<2f", 7, 8)


def archive(pickle):
    """Stored entries, sizes behind them as torch writes."""
    out, directory = b"", b""
    parts = [("net/data.pkl", pickle), ("net/byteorder", b"little"), ("net/data/0", WEIGHT), ("net/data/1", BIAS)]
    for name, content in parts:
        crc, n, at = zlib.crc32(content), len(content), len(out)
        sizes = struct.pack("<IIIHH", crc, n, n, len(name), 0)
        out += struct.pack("<IHHHI", 0x04034b50, 0, 0, 0, 0) + sizes + name.encode() + content
        directory += struct.pack("<IHHHHI", 0x02014b50, 0, 0, 0, 0, 0) + sizes + struct.pack("<HHHII", 0, 0, 0, 0, at) + name.encode()
    return out + directory + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, len(parts), len(parts), len(directory), len(out), 0)


def old_file():
    return (b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + b"\x80\x02M\xe9\x03." +
            b"\x80\x02}" + unicode("little_endian") + b"\x88s." + state_dict(old=True) +
            b"\x80\x02](" + unicode("0") + unicode("1") + b"e." + struct.pack("<q", 6) + WEIGHT + struct.pack("<q", 2) + BIAS)


def pth_files():
    put("pth", "zip", archive(state_dict()))
    put("pth", "old", old_file())
    pickles = {"plain": state_dict(), "state_dict": state_dict(wrap="state_dict"), "model": state_dict(wrap="model"),
               "module": state_dict(prefix="module."), "half": state_dict(storage="HalfStorage"),
               "bf16": state_dict(storage="BFloat16Storage"), "double": state_dict(storage="DoubleStorage"),
               "extra": state_dict(extra=unicode("epoch") + b"K\5" + unicode("lr") + b"G" + struct.pack(">d", 0.1)),
               "system": b"\x80\x02cos\nsystem\n" + unicode("id") + b"\x85R.",
               "itself": b"\x80\x02]q\6h\6a."}
    for name, pickle in pickles.items():
        put("pth", f"pickle_{name}", b"Z" + pickle)
    for name, part in (("marks", b"("), ("nones", b"N"), ("puts", b"q\0"), ("lists", b"]"), ("globals", b"ctorch\nFloatStorage\n0"),
                       ("strings", b"X\0\0\0\x000")):
        put("pth", f"mib_{name}", b"Z\x80\x02" + (b"N" if name == "puts" else b"") + filled(part))
    put("pth", "mib_zip", b"PK\3\4" + filled(b"PK\1\2" + bytes(42)) + struct.pack("<IHHHHIIH", 0x06054b50, 0, 0, 22000, 22000, 22000 * 46, 4, 0))
    put("pth", "mib_old", b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." + filled(b"\x80\x02M\xe9\x03."))


# --- safetensors, checkpoints ----------------------------------------------------------------

def entry(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def sealed(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + data


def safetensors():
    header = {"__metadata__": {"format": "pt"}, "fc.weight": entry("F32", [2, 3], 0, 24), "fc.bias": entry("F32", [2], 24, 32)}
    half = {"fc.weight": entry("F16", [2, 3], 0, 12), "fc.bias": entry("BF16", [2], 12, 16)}
    whole = {"plain": sealed(header, WEIGHT + BIAS), "half": sealed(half, bytes(16)), "nothing": sealed({}, b""),
             "escapes": sealed(b'{"\\u0061\\ud83d\\ude00\\"":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}', b""),
             "double": sealed({"fc.weight": entry("F64", [2, 3], 0, 48), "fc.bias": entry("I64", [2], 48, 64)}, bytes(64))}
    whole.update({
        "mib_brackets": sealed(filled(b"["), b""), "mib_spaces": sealed(b"{}" + filled(b" "), b""),
        "mib_keys": sealed(b"{" + b",".join(b'"%x":1' % i for i in range(100000)) + b"}", b""),
        "mib_escapes": sealed(b'{"' + filled(b"\\u0061") + b'":1}', b""),
        "mib_tensors": sealed(b"{" + b",".join(b'"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}' % i for i in range(18000)) + b"}", b""),
        "mib_shape": sealed(b'{"a":{"dtype":"U8","shape":[' + filled(b"1,") + b'1],"data_offsets":[0,1]}}', b"\0")})
    for name, content in whole.items():
        put("safetensors", name, content)
        n = 8 + struct.unpack("<Q", content[:8])[0]
        put("safetensors_import", name, content[8:n] + b"\n" + content[n + 1:])


def checkpoints():
    """tests/unit/tiny_model.h, as the trainer keeps it."""
    shapes = {"fc.weight": [3, 4], "fc.bias": [3], "fc.weight.m": [3, 4], "fc.weight.v": [3, 4], "fc.bias.m": [3], "fc.bias.v": [3]}
    header, at = {}, 0
    for name, shape in shapes.items():
        n = 4 * shape[0] * (shape + [1])[1]
        header[name] = entry("F32", shape, at, at + n)
        at += n
    tensors = sealed(header, bytes(at))
    fields = {"schema": "tlc.checkpoint/1", "graph_sha256": "00112233445566778899aabbccddeeff" * 2, "file": "last-1.safetensors",
              "sha256": hashlib.sha256(tensors).hexdigest(), "epoch": 0, "step": 1, "position": 0, "loss_sum": 0, "correct": 0,
              "metrics_bytes": 0}
    put("checkpoint", "whole", b"\0" + json.dumps(fields).encode() + b"\0" + tensors)
    put("checkpoint", "sealed", b"\1\0" + tensors)
    put("checkpoint", "names_a_path", b"\0" + json.dumps({**fields, "file": "../x"}).encode() + b"\0" + tensors)
    put("checkpoint", "huge_step", b"\0" + json.dumps({**fields, "step": 2 ** 62}).encode() + b"\0" + tensors)
    put("checkpoint", "mib_json", b"\0" + filled(b"["))
    put("checkpoint", "mib_objects", b"\0" + filled(b'{"a":'))
    put("checkpoint", "mib_strings", b"\0[" + filled(b'"",') + b'""]')
    put("checkpoint", "mib_tensors", b"\1\0" + sealed(filled(b"["), b""))


def saved_learner(what=1, graph="00112233445566778899aabbccddeeff" * 2, n_train=5, epoch=2, position=2, step=7, correct=1, best=(1, 2, 6), loss=0.5,
                  head_steps=0, keeps=0):
    """runtime/train/learner_save.c; the harness puts the checksum in."""
    payload = struct.pack("<96f", *[k / 97 for k in range(96)])[:384 if what else 128] + bytes(128 * (keeps == 1))
    has_best, best_epoch, best_step = best
    return (b"tlct\r\n\x1a\n" + struct.pack("<II", 2, what) + graph.encode() + struct.pack("<QQ", 9, len(payload)) +
            struct.pack("<10q", n_train, epoch, position, step, head_steps, correct, has_best, best_epoch, best_step, keeps) +
            struct.pack("<3d", loss, 0.5, 1.25) + bytes(8) + payload)


def learners():
    """tests/unit/tiny_model.h, as an application keeps it."""
    whole = saved_learner()
    rows = {"state": whole, "weights": saved_learner(0, best=(0, 0, 0)), "cut": whole[:-1], "header": whole[:-384],
            "longer": whole + b"\0", "other_network": saved_learner(graph="f" * 64), "no_such_thing": saved_learner(2),
            "last_step": saved_learner(step=2 ** 63 - 1), "last_epoch": saved_learner(epoch=2 ** 63 - 1),
            "position": saved_learner(position=6), "loss": saved_learner(loss=float("nan")), "best": saved_learner(best=(2, 1, 1)),
            "other_pictures": saved_learner(n_train=2 ** 62, position=2 ** 61), "head_steps": saved_learner(head_steps=8),
            "keeps_best": saved_learner(keeps=1), "weights_keep": saved_learner(0, best=(0, 0, 0), keeps=1), "keeps_two": saved_learner(keeps=2)}
    for name, content in rows.items():
        put("learner", name, b"\1" + content)
    put("learner", "unsealed", b"\0" + whole)
    put("learner", "mib", b"\1" + whole[:-384] + filled(b"\x7f"))


# --- pictures ----------------------------------------------------------------------------------

def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(w, h, kind, depth, interlace, data, before=b""):
    head = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, interlace)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + before + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def pictures():
    for path in sorted(glob.glob(os.path.join(TESTS, "data/pictures/*.jpg")) + glob.glob(os.path.join(TESTS, "data/pictures/*.png"))):
        content = open(path, "rb").read()
        name = os.path.basename(path)
        put("image", name, content)
        put("image", name + "_cut", content[:len(content) // 2])
    rng = random.Random(1)
    for kind, depth, channels in ((0, 1, 1), (0, 16, 1), (2, 8, 3), (2, 16, 3), (4, 8, 2), (6, 8, 4)):
        row = b"\0" + bytes(rng.randrange(256) for _ in range((9 * channels * depth + 7) // 8))
        put("image", f"png_{kind}_{depth}", png(9, 7, kind, depth, 0, zlib.compress(row * 7)))
    palette = chunk(b"PLTE", bytes(range(12))) + chunk(b"tRNS", b"\0\x80")
    put("image", "png_palette", png(8, 4, 3, 2, 0, zlib.compress(b"\0\x1b\xe4" * 4), palette))
    put("image", "png_interlaced", png(8, 8, 0, 8, 1, zlib.compress(bytes(300))))
    put("image", "mib_chunks", b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 9, 9, 8, 2, 0, 0, 0)) + filled(chunk(b"tEXt", b"")))
    put("image", "mib_bomb", png(400, 600, 6, 8, 0, zlib.compress(bytes(600 * 1601)), filled(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(9999))))))
    put("image", "mib_markers", b"\xff\xd8" + filled(b"\xff\xfe\0\2"))
    jpeg = open(os.path.join(TESTS, "data/pictures/progressive.jpg"), "rb").read()
    put("image", "mib_scan", jpeg[:-2] + filled(b"\0"))
    put("image", "mib_restarts", jpeg[:-2] + filled(b"\xff\xd0"))


# --- words that libFuzzer puts in (-dict=) -----------------------------------------------------------

WORDS = {
    "pth": ["torch", "torch._utils", "_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter", "collections", "OrderedDict",
            "FloatStorage", "HalfStorage", "BFloat16Storage", "DoubleStorage", "LongStorage", "storage", "cpu", "fc.weight", "fc.bias",
            "state_dict", "model", "module.", "data.pkl", "byteorder", "data/0", "PK\x01\x02", "PK\x03\x04", "PK\x05\x06", "PK\x06\x06",
            "tQ", ")R", "K\x02K\x03t", "\x8a\x08", "X\x01\0\0\0", "\x80\x02"],
    "safetensors": ["{", "}", "[", "]", '":', ",", '"dtype":', '"shape":', '"data_offsets":', '"__metadata__":', '"F32"', '"F16"', '"BF16"',
                    '"F64"', '"I64"', '"U8"', '"fc.weight":', '"fc.bias":', "\\u0061", "\\ud83d\\ude00", "9223372036854775808", "1e999",
                    '"step":', '"epoch":', '"sha256":', '"file":', '"position":', "last-1.safetensors"],
    "tir": ["module", "param", "const", "state", "func", "return", "data", "splat", "zero", "init", "uniform", "normal", "constant", "fan_in=",
            "fan_out=", "f32", "f64", "i64", "bool", "[n,", "->", "{", "}", "%x", "%0", "@forward", "@step", "kernel=", "stride=", "pad=",
            "dilation=", "groups=", "axis=", "axes=", "perm=", "shape=", "pads=", "epsilon=", "act=relu", "keepdims=true", "lo=0", "hi=6",
            "9223372036854775807", "1e308", "0x1p-149", "nan", "inf", "blocked16", "halo"],
}


def dictionaries():
    source = os.path.dirname(TESTS)
    operators = re.findall(r"^TLC_OP\((\w+)", open(os.path.join(source, "compiler/ops/ops.def")).read(), flags=re.M)
    for kind, words in {**WORDS, "tir": WORDS["tir"] + operators}.items():
        with open(os.path.join(OUT, kind + ".dict"), "w") as f:
            for word in words:
                f.write('"' + "".join(c if c.isalnum() else f"\\x{ord(c):02x}" for c in word) + '"\n')


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    graphs()
    pth_files()
    safetensors()
    checkpoints()
    learners()
    pictures()
    dictionaries()
    for harness in sorted(os.listdir(OUT)):
        if os.path.isdir(os.path.join(OUT, harness)) and not harness.startswith("."):
            print(harness, len(os.listdir(os.path.join(OUT, harness))))
