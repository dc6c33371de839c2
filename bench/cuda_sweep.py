"""model.cu of the exports and of trained networks through nvcc for every architecture, warnings as errors.

    python3 bench/cuda_sweep.py MODELS_DIR [--sm 75,80,86,89,90] [--nvcc FLAG] [NAME...]     prints a table (Markdown)

MODELS_DIR holds the exports (data/models/build.py makes them).  NAME: rows to take, as resnet18-folded or
resnet18:whole.  Two files that differ in comments alone are compiled once.  Exit code 1 if nvcc warns or fails, or if a
convolution, a product or an update spills or uses the stack; what else does is named at the end.  TLC names the compiler.  Needs nvcc; no card."""
import argparse
import hashlib
import os
import re
import sys
import tempfile

import cuda_model

EXPORTS = [n + form for n in ("resnet18", "resnet50", "efficientnet_lite0") for form in ("", "-folded", "-dynamo")] + ["vgg16", "vgg16-dynamo"]
TRAINING = ["--optimizer", "adam", "--batch", "32"]
HEADS = {"vgg16": "vgg"}


def cases(models):
    """name, MODEL, options of tlc compile"""
    for name in EXPORTS:
        yield name, os.path.join(models, name + ".onnx"), []
    for name in ("resnet18", "resnet50", "efficientnet_lite0", "vgg16"):
        path, head = os.path.join(models, name + ".onnx"), ["--replace-head", HEADS.get(name, "2")]
        yield name + ":head", path, head + ["--freeze-backbone"] + TRAINING
        yield name + ":whole", path, head + ["--unfreeze", "*"] + TRAINING
    yield "vgg-small:whole", "vgg-small", ["--classes", "2"] + TRAINING


def without_comments(model_cu):
    return hashlib.sha256(re.sub(r"/\*.*?\*/", "", model_cu, flags=re.S).encode()).hexdigest()


def row(name, kernels, taken, architectures):
    registers = [max(t.registers for (_, sm), t in taken.items() if sm == a) for a in architectures]
    worst = [max(getattr(t, what) for t in taken.values()) for what in ("shared", "stack", "spilled")]
    print(f"| {name} | {kernels} | " + " | ".join(map(str, registers + worst)) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--sm", default="75,80,86,89,90")
    parser.add_argument("--nvcc", action="append", default=[])
    a = parser.parse_intermixed_args()
    architectures, seen, noted, bad = a.sm.split(","), {}, [], False
    print("| network | kernels | " + " | ".join(f"sm_{s}" for s in architectures) + " | shared bytes | stack bytes | spilled bytes |")
    print("|---|---|" + "---|" * (len(architectures) + 3), flush=True)
    for name, model, options in cases(a.models):
        if a.names and name not in a.names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            text = cuda_model.compile_model(model, f"{folder}/net", options)
            key, kernels = without_comments(text), text.count("__global__")
            if key in seen:
                print(f"| {name} | {kernels} | the text of {seen[key]} |" + " |" * (len(architectures) + 2), flush=True)
                continue
            seen[key] = name
            taken = cuda_model.ask_ptxas(f"{folder}/net", architectures, a.nvcc)
        if len(taken) != kernels * len(architectures):
            raise SystemExit(f"{name}: ptxas speaks of {len(taken)} kernels, there are {kernels} for each of {len(architectures)}")
        row(name, kernels, taken, architectures)
        noted += sorted(f"{name} {kernel} sm_{sm}" for (kernel, sm), t in taken.items() if t.spilled or t.stack)
        bad = bad or any(t.is_bad_in(kernel) for (kernel, _), t in taken.items())
    print("\n" + ("\n".join(f"spills or stack: {b}" for b in noted) or "no kernel spills or uses the stack"))
    return bad


if __name__ == "__main__":
    sys.exit(main())
