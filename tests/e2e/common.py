"""What the end-to-end tests share: where things are, running the programs, checking."""
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np

SOURCE = os.environ.get("TLC_SOURCE", os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
SHARED = os.environ.get("TLC_SHARED", os.path.join(SOURCE, "..", "shared"))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.environ.get("TLC_WORK", os.path.join(SOURCE, "build/e2e"))
LONG = os.environ.get("TLC_LONG") == "1"
DATA = os.path.join(SHARED, "data")

passed = failed = 0


def need_shared():
    if not os.path.isdir(DATA):
        print("skipped: no ../shared")
        sys.exit(77)
    os.makedirs(WORK, exist_ok=True)


def check(condition, what):
    global passed, failed
    if condition:
        passed += 1
    else:
        failed += 1
    print(("ok      " if condition else "FAILED  ") + what, flush=True)
    return condition


def finish():
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed else 0)


def run(*command, code=0, **kw):
    """Run and return the completed process; another exit code than `code` ends the test."""
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True, **kw)
    if code is not None and p.returncode != code:
        print(f"$ {' '.join(map(str, command))}\n{p.stdout[-3000:]}{p.stderr[-3000:]}exit {p.returncode}, wanted {code}")
        sys.exit(1)
    return p


def model(name):
    """The filled export NAME.onnx, built once."""
    out = os.path.join(WORK, "models", name)
    if not os.path.exists(out):
        os.makedirs(os.path.dirname(out), exist_ok=True)
        run(sys.executable, os.path.join(DATA, "models/build.py"), name, out)
    return out


def compiled(source, name, *options, targets=("all",)):
    """Compile a network to WORK/NAME and build it; returns the folder."""
    out = os.path.join(WORK, name)
    shutil.rmtree(out, ignore_errors=True)
    run(TLC, "compile", source, "-o", out, *options)
    run("make", "-s", "-C", out, *targets)
    return out


def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def read_safetensors(path):
    with open(path, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        header, data = json.loads(f.read(n)), f.read()
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
    return {k: np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], kinds[v["dtype"]]).reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


def steps(run_folder):
    with open(os.path.join(run_folder, "metrics.jsonl")) as f:
        return [json.loads(line) for line in f]
