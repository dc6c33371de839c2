"""What the CUDA scripts here share: compiling a network for target cuda, reading model.cu, asking ptxas.

TLC names the compiler.  Needs nvcc; no card."""
import os
import re
import shutil
import subprocess

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(ROOT, "build/release/tlc"))
NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
HEAVY = ("conv2d", "linear", "matmul", "sgd_update", "adam_update")
BYTES = {"float": 4, "double": 8, "int64_t": 8, "int32_t": 4, "uint8_t": 1, "bool": 1}

ENTRY = re.compile(r"Compiling entry function '(\w+)' for 'sm_(\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
KERNEL = re.compile(r"/\* (?P<ir>[^\n]*?)\n \*   kernel (?P<report>[^;\n]*?)(?:;[^\n]*?)?(?: \*/)?\n(?: \*   (?!kernel)[^\n]*\n)*"
                    r"/\*   blocks \((?P<count>[^)]*)\) / (?P<per_block>\d+) rounded up, (?P<y>\d+), (?P<z>\d+) \*/\n"
                    r"extern \"C\" __global__ [^\n]*\n(?P<name>\w+)\((?P<body>.*?)\n}\n", re.S)
OPERAND = re.compile(r"(ACT|FIX|VAR|CONST)(_NEW)?\((\w+), \d+, (\d+)\)")


def compile_model(model, folder, options):
    subprocess.run([TLC, "compile", model, "-o", folder, "--target", "cuda", "-q", *options], check=True)
    with open(os.path.join(folder, "model.cu")) as f:
        return f.read()


class Taken:
    """What ptxas says a kernel takes."""

    def __init__(self, text):
        self.stack, stores, loads = map(int, STACK.search(text).groups())
        shared = re.search(r"(\d+) bytes smem", text)
        self.registers, self.shared = int(re.search(r"Used (\d+) registers", text).group(1)), int(shared.group(1)) if shared else 0
        self.spilled = stores + loads

    def is_bad_in(self, kernel):
        """Convolutions, products and updates, where a step's time goes, may use no memory of their own."""
        return bool(self.spilled or self.stack) and kernel.split("_", 1)[1].startswith(HEAVY)


def ask_ptxas(folder, architectures, flags=()):
    """{(kernel, "90"): Taken}; a warning or an error of nvcc ends the program."""
    code = [f"-gencode=arch=compute_{a},code=sm_{a}" for a in architectures]
    p = subprocess.run([NVCC, "-std=c++20", "--fmad=false", *code, "-fatbin", "-Werror", "all-warnings", "-Xptxas", "-v", *flags,
                        f"-I{folder}/src/kernels/cuda", f"{folder}/model.cu", "-o", f"{folder}/model.fatbin"], capture_output=True, text=True)
    said = [line for line in p.stderr.splitlines() if "warning" in line or "error" in line]
    if p.returncode != 0 or said:
        raise SystemExit(f"nvcc of {folder}: " + "\n".join(said or p.stderr.splitlines()[-5:]))
    pieces = ENTRY.split(p.stderr)[1:]
    return {(name, sm): Taken(text) for name, sm, text in zip(pieces[::3], pieces[1::3], pieces[2::3])}


class Kernel:
    """A kernel of model.cu: its launch and what it moves at the least, every operand once; (a picture, fixed)."""

    def __init__(self, match):
        self.name, self.operator, self.report = match["name"], match["name"].split("_", 1)[1], match["report"].strip()
        self.y, self.z, self.per_block = int(match["y"]), int(match["z"]), int(match["per_block"])
        cost = re.search(r"cost +(\d+) multiply-adds a picture", match[0])
        self.multiply_adds, self.moved = int(cost.group(1)) if cost else 0, [0, 0]
        terms = [t.strip() for t in match["count"].split("+")]
        self.blocks = [sum(int(t.split()[0]) for t in terms if t.endswith("n")), sum(int(t) for t in terms if not t.endswith("n"))]
        updates = self.operator.endswith(("_sgd", "_adam", "_update", "accumulate"))
        for region, _, kind, elems in OPERAND.findall(match["body"]):
            self.moved[region != "ACT"] += BYTES[kind] * int(elems) * (2 if updates and region == "VAR" else 1)

    def blocks_for(self, n):
        return -(-(self.blocks[0] * n + self.blocks[1]) // self.per_block) * self.y * self.z

    def bytes_for(self, n):
        return self.moved[0] * n + self.moved[1]


def read_kernels(model_cu):
    found = [Kernel(m) for m in KERNEL.finditer(model_cu)]
    if len(found) != model_cu.count("__global__"):
        raise SystemExit(f"model.cu has {model_cu.count('__global__')} kernels, {len(found)} of them were understood")
    return found
