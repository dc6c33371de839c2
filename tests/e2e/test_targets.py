"""The same output bits from every compiler and instruction set at hand: gcc and clang, AVX2, plain SSE,
and NEON by emulation (gcc-aarch64-linux-gnu, qemu-user); AVX-512 is compiled, and run where there is one.

A network that trains convolutions by Winograd's kernels is compiled by each without a warning.

What is missing is named and left out.  TLC_MODEL=FILE tries another network than the demo's."""
import glob
import os
import platform
import shutil
import sys

from common import SOURCE, TLC, WORK, check, finish, run

BUILDS = [  # name, compiler, options, runner
    ("gcc, this machine", "gcc", ["-march=native"], []),
    ("gcc, x86-64-v3", "gcc", ["-march=x86-64-v3"], []),
    ("gcc, x86-64 without FMA", "gcc", ["-march=x86-64"], []),
    ("clang, this machine", "clang", ["-march=native"], []),
    ("gcc, AVX-512", "gcc", ["-march=skylake-avx512"], None),
    ("clang, AVX-512", "clang", ["-march=skylake-avx512"], None),
    ("gcc, NEON emulated", "aarch64-linux-gnu-gcc", ["-static"], ["qemu-aarch64-static"]),
]


def has_avx512():
    with open("/proc/cpuinfo") as f:
        return "avx512f" in f.read()


if platform.machine() != "x86_64":
    print("skipped: compares instruction sets of x86-64")
    sys.exit(77)
os.makedirs(WORK, exist_ok=True)
folder = os.path.join(WORK, "bits")
shutil.rmtree(folder, ignore_errors=True)
run(TLC, "compile", os.environ.get("TLC_MODEL", os.path.join(SOURCE, "models/demo.onnx")), "--name", "bits", "-o", folder)
shutil.copy(os.path.join(SOURCE, "tests/e2e/hash_output.c"), folder)
os.makedirs(os.path.join(folder, "xxhash"))
for header in glob.glob("/usr/include/xxh*.h"):  # a cross compiler does not search /usr/include
    shutil.copy(header, os.path.join(folder, "xxhash"))
include = [f"-I{d}" for d in (".", "src/kernels", "src/kernels/cpu", "src/kernels/ref", "src/runtime/infer", "src/runtime/base", "xxhash")]
trained = os.path.join(WORK, "warnings")
shutil.rmtree(trained, ignore_errors=True)
run(TLC, "compile", "vgg-small", "--classes", "2", "-o", trained)
hashes = {}
for name, compiler, options, runner in BUILDS:
    missing = [p for p in [compiler] + (runner or []) if not shutil.which(p)]
    if missing:
        print(f"left out {name}: no {missing[0]}")
        continue
    warned = run(compiler, "-O2", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra", *options, *include, "-c", "model.c", "-o", "model.o",
                 cwd=trained).stderr
    check(not warned, f"{name}: no warning at vgg-small's training{warned and ': ' + warned.splitlines()[0]}")
    sources = ["hash_output.c", "model.c"] + sorted(glob.glob("src/runtime/infer/*.c", root_dir=folder))
    run(compiler, "-O2", "-std=gnu11", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", *options, *include, *sources, "-lpthread", "-lm",
        "-o", "hash_output", cwd=folder)
    if runner is None and not has_avx512():
        print(f"compiled, not run: {name}")
        continue
    hashes[name] = run(*(runner or []), "./hash_output", cwd=folder).stdout.strip()
first = next(iter(hashes.values()))
for name, value in hashes.items():
    check(value == first, f"{name}: {value}")
finish()
