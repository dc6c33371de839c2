"""Every distinct layer of the eleven exports, made small, through the emulated CUDA kernels beside target ref.

A layer is an operator with its attributes, operands and kernel, as the last pass of `tlc compile` leaves it.  Small are
its channels, divided by a common divisor so that their ratio stays, and the picture's sides, which keep the remainder
by the stride.  Layers of one small form are one; sixteen lie side by side in a network, each over its own part of the input.
In fp32; with precisions among the arguments in those, where convolutions have relayouts around them.
TLC_LONG=1: all of them in fp32, the sample's exports in tf32; otherwise a sample of each operator.  Arguments: exports to take."""
import math
import os
import re
import shutil
import sys

import numpy as np

import test_cuda
from common import LONG, TLC, WORK, check, finish, model, need_shared, run

EXPORTS = ["efficientnet_lite0", "efficientnet_lite0-dynamo", "efficientnet_lite0-folded", "resnet18", "resnet18-dynamo", "resnet18-folded",
           "resnet50", "resnet50-dynamo", "resnet50-folded", "vgg16", "vgg16-dynamo"]
SAMPLE = ["resnet18-folded", "efficientnet_lite0-folded"]
SAMPLE_SIZE = 16
PICTURES = 3
IN_A_NETWORK = 16
LEAST_CHANNELS = 65   # over a product's tile of 64, where the network has so many: its edges are crossed
ALLOWED = {"fp32": 1e-5, **test_cuda.ALLOWED_ROUNDED}

STATEMENT = re.compile(r"^  (%\S+) : (\S+) = (\w+) ([^{;]*?)(?: \{(.*)\})?(?: ; .*)?$")
TYPED = re.compile(r'(%[^\s,()]+) ?: f32\[([n\d,]+)\]')
ATTRIBUTE = re.compile(r"(\w+)=(\[[^\]]*\]|[^,\s]+)")


# --- reading what was compiled ------------------------------------------------------------

def shape_of(text):
    return tuple(d if d == "n" else int(d) for d in text.split(","))


def compile_cuda(source, name, precision):
    """The IR after the last pass, and the kernels of model.cu in order."""
    folder = os.path.join(WORK, name)
    shutil.rmtree(folder, ignore_errors=True)
    text = run(TLC, "compile", source, "-o", folder, "--target", "cuda", "--precision", precision, "--dump-after", "assign_layouts", "-q").stdout
    with open(os.path.join(folder, "model.cu")) as f:
        return folder, text, re.findall(r"constexpr tlk_(\w+) s =", f.read())


def layers_of(text, kernels):
    """(operator, attributes, shapes of operands, kernel) of each statement that has code; a weight's shape has no n."""
    shapes, kernels = {}, iter(kernels)
    for line in text.splitlines():
        shapes.update((name, shape_of(dims)) for name, dims in TYPED.findall(line))
        m = STATEMENT.match(line)
        if m and m.group(3) not in ("flatten", "reshape"):
            operands = [None if o == "_" else shapes[o] for o in m.group(4).split(", ")]
            made = m.group(3), dict(ATTRIBUTE.findall(m.group(5) or "")), operands, next(kernels)
            if m.group(3) != "relayout":
                yield made
    check(next(kernels, None) is None, "every kernel of model.cu has its line of IR")


# --- making it small ------------------------------------------------------------------------

def ints(attributes, name, default):
    return [int(v) for v in attributes[name].strip("[]").split(",")] if name in attributes else default


def divisor(*channels):
    """The largest common divisor that leaves LEAST_CHANNELS."""
    g = math.gcd(*channels)
    return max(d for d in range(1, g + 1) if g % d == 0 and (d == 1 or min(channels) // d >= LEAST_CHANNELS))


def small_side(side, extent, stride):
    least = extent + 3 * stride
    return side if side <= least else least + (side - least) % stride


def small_picture(shape, kernel, stride, dilation=(1, 1)):
    """Height and width; a square becomes oblong, so that no axis is taken for the other."""
    h, w = (small_side(side, (k - 1) * d + 1, s) for side, k, d, s in zip(shape[2:], kernel, dilation, stride))
    return [h, w + 2 * stride[1]]


def small_conv2d(attributes, operands):
    x, w = operands[:2]
    groups = int(attributes.get("groups", 1))
    f = divisor(groups) if groups > 1 else divisor(w[0], w[1])
    per_group = w[1] if groups > 1 else w[1] // f
    stride, dilation, pad = (ints(attributes, k, d) for k, d in (("stride", [1, 1]), ("dilation", [1, 1]), ("pad", [0] * 4)))
    size = small_picture(x, w[2:], stride, dilation)
    if groups > 1:
        attributes = dict(attributes, groups=groups // f)
    out = [(size[i] + pad[i] + pad[i + 2] - (w[2 + i] - 1) * dilation[i] - 1) // stride[i] + 1 for i in range(2)]
    y = ("n", w[0] // f, *out)
    shapes = [("n", x[1] // f, *size), (w[0] // f, per_group, *w[2:]), (w[0] // f,), y]
    return attributes, [o and s for o, s in zip(operands, shapes)], y


def small_linear(attributes, operands):
    f = divisor(*operands[1])
    out, into = (d // f for d in operands[1])
    return attributes, [o and s for o, s in zip(operands, (("n", into), (out, into), (out,)))], ("n", out)


def small_max_pool2d(attributes, operands):
    kernel, stride, pad = ints(attributes, "kernel", None), ints(attributes, "stride", [1, 1]), ints(attributes, "pad", [0] * 4)
    size = small_picture(operands[0], kernel, stride)
    c = operands[0][1] // divisor(operands[0][1])
    out = [(size[i] + pad[i] + pad[i + 2] - kernel[i]) // stride[i] + 1 for i in range(2)]
    return attributes, [("n", c, *size)], ("n", c, *out)


def small_reduce_mean(attributes, operands):
    x = operands[0]
    c = x[1] // divisor(x[1])
    kept = (1, 1) if attributes.get("keepdims", "true") == "true" else ()
    return attributes, [("n", c, *x[2:])], ("n", c, *kept)


SMALL = {"conv2d": small_conv2d, "linear": small_linear, "max_pool2d": small_max_pool2d, "reduce_mean": small_reduce_mean}


def attributes_text(attributes):
    return " {" + ", ".join(f"{k}={v}" for k, v in attributes.items()) + "}" if attributes else ""


class Layer:
    def __init__(self, op, attributes, operands, kernel):
        self.op, self.kernel = op, kernel
        self.attributes, self.operands, self.y = SMALL[op](attributes, operands)
        self.wanted = (op, {k: str(v) for k, v in self.attributes.items()}, self.operands, kernel)

    def __str__(self):
        return f"{self.op}{attributes_text(self.attributes)} of {', '.join('x'.join(map(str, o)) for o in self.operands if o)} by {self.kernel}"


# --- a network of them ------------------------------------------------------------------------

def dims(shape):
    return ",".join(map(str, shape))


def elems(shape):
    return math.prod(d for d in shape if d != "n")


def network(layers, rng, weights):
    """IR text: each layer reads its part of %x, and the results lie one after another in what is returned.

    Constants are written to the open file `weights`."""
    top, body, at, results = [], [], 0, []
    for i, layer in enumerate(layers):
        names = []
        for j, shape in enumerate(layer.operands):
            name = f"%v{i}.{j}"
            names.append(name if shape else "_")
            if not shape:
                continue
            n = elems(shape)
            if shape[0] != "n":
                values = (rng.standard_normal(n) / math.sqrt(max(elems(shape[1:]), 1))).astype("<f4")
                top.append(f'const {name} : f32[{dims(shape)}] data "{os.path.basename(weights.name)}" {weights.tell()}')
                values.tofile(weights)
                continue
            body.append(f"  {name}.part : f32[n,{n}] = slice %x {{starts=[0,{at}], ends=[n,{at + n}], steps=[1,1]}}")
            body.append(f"  {name} : f32[{dims(shape)}] = reshape {name}.part {{shape=[{dims(shape)}]}}")
            at += n
        body.append(f"  %y{i} : f32[{dims(layer.y)}] = {layer.op} {', '.join(names)}{attributes_text(layer.attributes)}")
        body.append(f"  %r{i} : f32[n,{elems(layer.y)}] = reshape %y{i} {{shape=[n,{elems(layer.y)}]}}")
        results.append(f"%r{i}")
    total = sum(elems(layer.y) for layer in layers)
    body.append(f"  %all : f32[n,{total}] = concat {', '.join(results)} {{axis=1}}")
    return "\n".join([*top, f"func @forward(%x: f32[n,{at}]) -> f32[n,{total}] {{", *body, "  return %all", "}", ""]), at


def outputs(folder, x):
    run("make", "-s", "-C", folder, "predictor")
    out = os.path.join(WORK, "layers_y.npy")
    run(os.path.join(folder, "predictor"), "infer", "--input", x, "-o", out)
    return np.load(out)


def compare(layers, number, precision):
    """Compile, run and compare one network of layers."""
    rng = np.random.default_rng(number)
    source, x = os.path.join(WORK, "layers.tir"), os.path.join(WORK, "layers_x.npy")
    with open(source, "w") as f, open(os.path.join(WORK, "layers.bin"), "wb") as weights:
        text, n = network(layers, rng, weights)
        f.write(text)
    np.save(x, rng.standard_normal((PICTURES, n)).astype(np.float32))
    folder, ir, kernels = compile_cuda(source, "layers_cuda", precision)
    made = list(layers_of(ir, kernels))
    kept = [layer for layer in layers if layer.wanted in made]
    check(len(kept) == len(layers), f"network {number}: its {len(layers)} layers stand in model.cu as in the export's: "
                                    f"{'; '.join(str(k) for k in layers if k not in kept) or 'all'}")
    reference = os.path.join(WORK, "layers_ref")
    shutil.rmtree(reference, ignore_errors=True)
    run(TLC, "compile", source, "-o", reference, "--target", "ref", "-q")
    got, want, at = outputs(folder, x), outputs(reference, x), 0
    for layer in layers:
        a, b = (v[:, at:at + elems(layer.y)] for v in (got, want))
        at += elems(layer.y)
        off = np.abs(a - b).max() / np.abs(b).max()
        check(off <= ALLOWED[precision], f"{layer}: off by {off:.1e} of the largest, allowed {ALLOWED[precision]:.0e}")


# --- all of them --------------------------------------------------------------------------------

def distinct(exports, precision):
    layers = {}
    for export in exports:
        folder, text, kernels = compile_cuda(model(export + ".onnx"), "layers_export", precision)
        shutil.rmtree(folder)
        count = len(layers)
        for found in layers_of(text, kernels):
            if found[0] in SMALL or check(False, f"{export}: it is known how {found[0]} is made small"):
                layer = Layer(*found)
                layers.setdefault(str(layer), layer)
        print(f"{export}: {len(kernels)} kernels, {len(layers) - count} layers that were not there before", flush=True)
    return list(layers.values())


def sample(layers):
    """SAMPLE_SIZE of them, taken from the operators in turn."""
    by_op = {}
    for layer in layers:
        by_op.setdefault((layer.op, layer.kernel), []).append(layer)
    turns = [layer for turn in range(len(layers)) for group in by_op.values() for layer in group[turn:turn + 1]]
    return turns[:SAMPLE_SIZE]


if __name__ == "__main__":
    need_shared()
    if not shutil.which("g++"):
        print("skipped: no g++")
        sys.exit(77)
    test_cuda.libraries()
    test_cuda.with_device()
    asked = [a for a in sys.argv[1:] if a not in ALLOWED]
    for precision in [a for a in sys.argv[1:] if a in ALLOWED] or (["fp32", "tf32"] if LONG else ["fp32"]):
        layers = distinct(asked or (EXPORTS if LONG and precision == "fp32" else SAMPLE), precision)
        if not LONG and not asked:
            layers = sample(layers)
        for number, at in enumerate(range(0, len(layers), IN_A_NETWORK)):
            compare(layers[at:at + IN_A_NETWORK], number, precision)
    finish()
