"""tools/gpu_check on the emulated device: what it says where a part is missing, fails or differs, and its exit code.

Programs that it looks for are this test's own: nvidia-smi, compute-sanitizer, a PyTorch that is not there.
TLC_LONG=1: tools/gpu_speed.py beside PyTorch on the processor, where PyTorch is installed."""
import importlib.util
import os
import shutil
import sys

import test_cuda
from common import LONG, SOURCE, TLC, WORK, check, finish, run

TOOLS = os.path.join(SOURCE, "tools")
PLACE = os.path.join(WORK, "gpu_check")
TLC_PATH = os.path.abspath(TLC)
# Compiles as tlc does; the products of target cuda then are a hundredth too large.
SPOILT = """#!/bin/sh
{tlc} "$@" || exit
for a in "$@"; do
    [ ! -e "$a/src/model_cu.h" ] || sed -i 's/fmaf(x\\[i\\], y\\[j\\],/fmaf(1.01f * x[i], y[j],/' "$a/src/model_cu.h"
done
"""


def program(folder, name, text):
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path


def gpu_check(*folders, **variables):
    """The lines of a report, and the exit code; `folders` come first in PATH."""
    path = ":".join([*folders, "/usr/bin", "/bin"])
    p = run(os.path.join(TOOLS, "gpu_check"), code=None, cwd=PLACE, env={**os.environ, "PATH": path, "PYTHON": sys.executable, "TLC": TLC_PATH, **variables})
    with open(os.path.join(PLACE, "gpu_check.txt")) as f:
        report = f.read()
    check(report == p.stdout, "the report holds what was printed")
    return p.stdout.splitlines(), p.returncode


def words(lines):
    return " ".join(line.split()[0] for line in lines)


def no_torch():
    """A PYTHONPATH on which PyTorch does not import."""
    folder = os.path.join(PLACE, "no_torch")
    program(folder, "torch.py", "raise ImportError(\"No module named 'torch'\")\n")
    return folder


def missing(card):
    if not shutil.which("nvidia-smi", path="/usr/bin:/bin"):
        lines, code = gpu_check()
        check((lines, code) == (["FAILED  no nvidia-smi: no NVIDIA driver on this machine"], 1), "no driver: one line, exit code 1")
    lines, code = gpu_check(card, PYTHONPATH=no_torch())
    check(code == 0 and words(lines) == "card tlc model ok ok left speed speed left report", f"on a card without the rest: {words(lines)}, {code}")
    check("left    no compute-sanitizer" in lines and "left    PyTorch beside tlc: No module named 'torch'" in lines, "what is missing is said")
    check(not any("PyTorch" in line and " ms" in line for line in lines), "no figure of PyTorch's without PyTorch")


def failing(card):
    tools = os.path.join(PLACE, "sanitizer")
    program(tools, "compute-sanitizer", '#!/bin/sh\nt=$2; shift 4; "$@"; [ $t != racecheck ] || { echo "===== a hazard"; exit 9; }\n')
    lines, code = gpu_check(card, tools, NETWORKS="")
    check(code == 1 and words(lines) == "card tlc model ok ok ok FAILED ok speed speed left report", f"a sanitizer's finding: {words(lines)}, {code}")
    check("FAILED  compute-sanitizer racecheck: ===== a hazard" in lines, "it is said, and the rest still runs")
    spoilt = program(os.path.join(PLACE, "spoilt"), "tlc", SPOILT.format(tlc=TLC_PATH))
    lines, code = gpu_check(card, NETWORKS="", TLC=spoilt)
    check(code == 1 and words(lines) == "card tlc model ok FAILED left speed speed left report", f"other values: {words(lines)}, {code}")


def beside_pytorch():
    """On the processor: the same weights give the same logits; what has no CUDA is left out, not timed."""
    if not importlib.util.find_spec("torch"):
        print("left out: no PyTorch")
        return
    p = run(sys.executable, os.path.join(TOOLS, "gpu_speed.py"), "vgg-small", "nonesuch", "--target", "cpu", "--device", "cpu", "--batch", 2,
            "--seconds", 0.2, "--steps", 2, env=dict(os.environ, LD_LIBRARY_PATH=""))
    lines = p.stdout.splitlines()
    check(lines[0].startswith("ok      vgg-small: logits beside PyTorch's"), lines[0])
    check(sum(line.startswith("speed   vgg-small") and "PyTorch eager" in line for line in lines) == 2, "inference and a step are timed")
    check(sum("PyTorch's CUDA graph: none on cpu" in line for line in lines) == 2 and "CUDA graph " not in p.stdout, "no figure of a CUDA graph's")
    check(lines[-1].startswith("left    nonesuch"), lines[-1])


if __name__ == "__main__":
    if not shutil.which("g++"):
        print("skipped: no g++")
        sys.exit(77)
    shutil.rmtree(PLACE, ignore_errors=True)
    os.makedirs(PLACE)
    test_cuda.libraries()
    test_cuda.with_device()
    card = os.path.join(PLACE, "card")
    program(card, "nvidia-smi", "#!/bin/sh\necho emulated\n")
    missing(card)
    failing(card)
    if LONG:
        beside_pytorch()
    finish()
