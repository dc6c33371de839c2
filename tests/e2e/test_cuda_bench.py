"""The scripts that say without a card what CUDA kernels take: bench/cuda_registers.py, cuda_sweep.py, cuda_roofline.py.

An nvcc of this test's own says what ptxas would; where a real one is installed, an export goes through it for every
architecture.  TLC_LONG=1: all eleven and the trained networks, which takes an hour of a processor."""
import os
import shutil
import sys

from common import DATA, LONG, SOURCE, WORK, check, finish, model, run

BENCH = os.path.join(SOURCE, "bench")
MODEL = os.path.join(SOURCE, "models/demo.onnx")
STUB = """#!{python}
import re, sys
source = next(a for a in sys.argv if a.endswith("model.cu"))
wide = {wide!r}
for sm in re.findall(r"code=sm_(\\d+)", " ".join(sys.argv)):
    for name in re.findall(r"^(\\w+)\\(const tlk_cuda_frame f\\)", open(source).read(), re.M):
        spilled = 8 if wide and wide in name else 0
        print(f"ptxas info    : Compiling entry function '{{name}}' for 'sm_{{sm}}'\\n    {{spilled}} bytes stack frame, {{spilled}} bytes spill stores, "
              f"0 bytes spill loads\\nptxas info    : Used 64 registers, used 1 barriers, 8320 bytes smem", file=sys.stderr)
{more}
"""


def bench(script, *arguments, code=0, path=None):
    env = dict(os.environ, PATH=f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"])
    return run(sys.executable, os.path.join(BENCH, script), *arguments, code=code, env=env)


def stub(name, wide="", more=""):
    """A folder with an nvcc that reports a spill in kernels whose name has `wide` in it."""
    folder = os.path.join(WORK, f"nvcc_{name}")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "nvcc"), "w") as f:
        f.write(STUB.format(python=sys.executable, wide=wide, more=more))
    os.chmod(f.name, 0o755)
    return folder


def registers():
    p = bench("cuda_registers.py", MODEL, "90", path=stub("right"))
    check("| conv2d |" in p.stdout and "| 64 | 8320 | 0 | 0 |" in p.stdout, "cuda_registers.py prints what ptxas says")
    p = bench("cuda_registers.py", MODEL, "90", path=stub("spills", "conv2d"), code=1)
    check("| 64 | 8320 | 8 | 8 |" in p.stdout, "a convolution that spills: exit code 1")
    p = bench("cuda_registers.py", MODEL, "90", path=stub("warns", more='print("model.cu(7): warning #177-D: unused", file=sys.stderr)'), code=1)
    check("warning #177-D" in p.stderr, "a warning of nvcc: exit code 1")


def sweep():
    """Two exports whose text differs in nothing but comments are compiled once."""
    folder = os.path.join(WORK, "cuda_sweep")
    os.makedirs(folder, exist_ok=True)
    for name in ("resnet18", "resnet18-folded"):
        shutil.copy(MODEL, os.path.join(folder, name + ".onnx"))
    rows = bench("cuda_sweep.py", folder, "--sm", "75,90", "resnet18", "resnet18-folded", path=stub("right")).stdout
    check("| 64 | 64 | 8320 | 0 | 0 |" in rows and "| the text of resnet18 |" in rows and "no kernel spills" in rows, "cuda_sweep.py: a row a network")
    rows = bench("cuda_sweep.py", folder, "--sm", "90", "resnet18", path=stub("spills", "conv2d"), code=1).stdout
    check("spills or stack: resnet18 n" in rows, "cuda_sweep.py names a convolution that spills: exit code 1")
    rows = bench("cuda_sweep.py", folder, "--sm", "90", "resnet18", path=stub("spills_little", "reduce_mean")).stdout
    check("spills or stack: resnet18 n" in rows, "another kernel that spills is named alone")


def roofline():
    sys.path.insert(0, BENCH)
    import cuda_roofline
    from cuda_model import Taken
    a100, h100 = cuda_roofline.CARDS["A100"], cuda_roofline.CARDS["H100"]

    def taken(registers, shared):
        return Taken(f"0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads Used {registers} registers, {shared} bytes smem")
    held = [cuda_roofline.resident_blocks(c, taken(*t)) for c, t in ((a100, (64, 8320)), (a100, (65, 8320)), (a100, (32, 0)), (h100, (32, 100 << 10)))]
    check(held == [4, 3, 8, 2], f"blocks on a multiprocessor: {held}")
    check([cuda_roofline.busy(a100, b) for b in (54, 108, 162)] == [0.5, 1, 0.75], "multiprocessors with a block to run")
    out = bench("cuda_roofline.py", MODEL, "--batch", 8, "--layers", path=stub("right")).stdout
    rows = [r.split(" | ") for r in out.splitlines()]
    moved, total = [float(r[2]) for r in rows if r[0].startswith("| n")], [float(r[2]) for r in rows if r[0] == "| all"]
    check(out.startswith("Estimate, not measured"), "cuda_roofline.py says that it estimates")
    check(len(moved) > 3 and abs(total[0] - sum(moved)) <= 0.005 * (len(moved) + 1) + 1e-9, f"its sum is that of its {len(moved)} layers")


def by_nvcc():
    if not (shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")) or not os.path.isdir(DATA):
        print("left out: no nvcc or no ../shared")
        return
    import cuda_sweep
    names = [c[0] for c in cuda_sweep.cases("")] if LONG else ["vgg16-dynamo"]
    models = os.path.dirname([model(n + ".onnx") for n in (cuda_sweep.EXPORTS if LONG else names)][0])
    out = bench("cuda_sweep.py", models, *names).stdout
    check(all(f"| {n} |" in out for n in names), f"nvcc for every architecture: {', '.join(names)}")
    trained = ["--replace-head", "2", "--unfreeze", "*", "--optimizer", "sgd"]
    for source, precision, sm in [(model(n + ".onnx"), p, sm) for n in ("resnet18", "efficientnet_lite0") for p in ("tf32", "bf16")
                                  for sm in ("80", "90")] if LONG else [(MODEL, "bf16", "80")]:
        out = bench("cuda_registers.py", source, sm, "--", "--precision", precision, *trained).stdout
        check("| conv2d_grad_x |" in out, f"{os.path.basename(source)} trained in {precision}, sm_{sm}: no warning, no spill in a product")


if __name__ == "__main__":
    os.makedirs(WORK, exist_ok=True)
    registers()
    sweep()
    roofline()
    by_nvcc()
    finish()
