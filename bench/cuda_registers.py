"""Registers, shared memory, stack and spills of each CUDA kernel of a network, as ptxas reports them.

    python3 bench/cuda_registers.py MODEL [SM] [-- OPTIONS of tlc compile]     prints a table (Markdown)

TLC names the compiler.  Needs nvcc; no card."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(ROOT, "build/release/tlc"))
NVCC = shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"


def kernels(text):
    """Name, registers, shared bytes, stack bytes, spilled bytes of each entry."""
    for part in text.split("Compiling entry function ")[1:]:
        stack, stores, loads = map(int, re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", part).groups())
        shared = re.search(r"(\d+) bytes smem", part)
        yield part.split("'")[1], int(re.search(r"Used (\d+) registers", part).group(1)), int(shared.group(1)) if shared else 0, stack, stores + loads


def main():
    arguments, options = sys.argv[1:], []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, options = arguments[:at], arguments[at + 1:]
    sm = arguments[1] if len(arguments) > 1 else "86"
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "net")
        subprocess.run([TLC, "compile", arguments[0], "-o", out, "--target", "cuda", "-q", *options], check=True)
        p = subprocess.run([NVCC, "-std=c++20", "--fmad=false", f"-arch=sm_{sm}", "-cubin", "-Xptxas", "-v", f"-I{out}/src/kernels/cuda",
                            f"{out}/model.cu", "-o", f"{out}/model.cubin"], capture_output=True, text=True, check=True)
    worst = {}
    for name, *numbers in kernels(p.stderr):
        operator = name.split("_", 1)[1]
        before = worst.get(operator, [0] * 5)
        worst[operator] = [before[0] + 1] + [max(a, b) for a, b in zip(before[1:], numbers)]
    print(f"sm_{sm}, {sum(w[0] for w in worst.values())} kernels; the largest of each operator\n")
    print("| operator | kernels | registers | shared bytes | stack bytes | spilled bytes |\n|---|---|---|---|---|---|")
    for operator, numbers in sorted(worst.items()):
        print(f"| {operator} | " + " | ".join(map(str, numbers)) + " |")


main()
