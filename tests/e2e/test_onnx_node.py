"""ONNX's own tests of its operators, from Debian's libonnx-testdata, through the generated code.

A test is a model, its inputs and the outputs wanted.  tlc compiles networks of one float input with the batch in
front, so a test is taken like this:

- Its first float input that is no list of numbers for shapes is the network's input; its first dimension counts
  as the batch.  All other inputs become initialisers with the values of the test (a node test of Conv has its
  weight as an input, a network has it stored; as it stands the test would be refused as "not constant").
- Opsets before 7 are stamped 7 where the operator did not change in between.
- Each output is a network of its own, since `infer` gives one.
- Where that is refused, the input becomes one picture: a dimension of 1 is put in front of it, axes move by one
  (FRONT below).  So operators that broadcast, reduce or permute their first axis are tested too.
- Supported is what tlc compiles; then every output that compiles must be right.  Everything else must be refused:
  exit code 4 or 5, one line that says error.  Refused by design are other element types than float, operators on
  the batch axis, more operators than docs/operators.md lists, training.

TLC_ONNX_CASES names a folder with the tests of another release (tests/tools/onnx_cases.py writes one).

One C program holds all networks of a target, so that the runtime is compiled once.  Target ref runs every test,
cpu every third one of those, with TLC_LONG=1 every one."""
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from common import LONG, TLC, WORK, check, finish, run

try:
    import onnx
    from onnx import numpy_helper
except ImportError:
    print("skipped: no onnx package")
    sys.exit(77)

OTHER = os.environ.get("TLC_ONNX_CASES")
ROOT = OTHER or "/usr/share/libonnx-testdata/data"
SUITES = ("node", "simple", "pytorch-converted", "pytorch-operator")
# What must not fall: tests that are supported, of all there are in release 1.12.
TOTAL, LEAST = (0, 0) if OTHER else (1072, 241)
BOUND = 1e-5  # of the largest output
# Not compared: align_corners with the scale 0.6 of four elements.  The test's last position is that of 2.4 elements, ours is
# that of the two that there are, as in PyTorch and ONNX Runtime.  A pooling test of later releases gives what it wants in four digits.
DIFFERS = ("node/test_resize_downsample_scales_cubic_align_corners", "node/test_resize_downsample_scales_linear_align_corners",
           "node/test_averagepool_2d_ceil_last_window_starts_on_pad")
UNCHANGED = ("Elu", "HardSigmoid", "GlobalAveragePool", "GlobalMaxPool", "Softplus", "Softsign", "Selu")
HERE = os.path.join(WORK, "onnx_node")

DRIVER = """
#include "tlr.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct test { const struct tlr_model *model; const char *folder; };
MODELS

static float *read_floats(const char *folder, long *count)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/x.bin", folder);
    FILE *f = fopen(path, "rb");
    fseek(f, 0, SEEK_END);
    *count = ftell(f) / 4;
    rewind(f);
    float *x = malloc((size_t)*count * 4 + 64);
    if (fread(x, 4, (size_t)*count, f) != (size_t)*count)
        exit(1);
    fclose(f);
    return x;
}

static int run(const struct test *t)
{
    char path[4096];
    long count;
    tlr_info info;
    tlr_session *s = NULL;
    float *x = read_floats(t->folder, &count);
    tlr_model_info(t->model, &info);
    int n = (int)(count / info.input_elems);
    tlr_config config = { .max_batch = n };
    float *y = calloc((size_t)n * (size_t)info.output_elems + 16, 4);
    snprintf(path, sizeof path, "%s/weights.bin", t->folder);
    int status = tlr_open_file(t->model, path, &config, &s);
    if (!status)
        status = tlr_run(s, n, x, y);
    snprintf(path, sizeof path, "%s/y.bin", t->folder);
    FILE *f = fopen(path, "wb");
    if (!status)
        fwrite(y, 4, (size_t)n * (size_t)info.output_elems, f);
    fclose(f);
    tlr_close(s);
    free(x);
    free(y);
    return status;
}

int main(void)
{
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; ++i) {
        int status = -1;
        pid_t child = fork(); /* one that crashes fails alone */
        if (child == 0)
            _exit(run(&tests[i]));
        waitpid(child, &status, 0);
        if (status)
            printf("%s: status %d\\n", tests[i].folder, status);
    }
}
"""


def load_value(path, proto):
    """The test's tensor, or None: a sequence, an absent optional."""
    if not os.path.exists(path) or not proto.type.HasField("tensor_type"):
        return None
    with open(path, "rb") as f:
        t = onnx.TensorProto()
        t.ParseFromString(f.read())
    t.name = proto.name
    return t


def shift(axis):
    return axis + 1 if axis >= 0 else axis


def shift_list(attr_or_tensor, f):
    """Rewrite a list of integers, be it an attribute or an initialiser."""
    if isinstance(attr_or_tensor, onnx.TensorProto):
        old = attr_or_tensor
        new = numpy_helper.from_array(np.array(f(numpy_helper.to_array(old).tolist()), np.int64), old.name)
        old.CopyFrom(new)
    else:
        new = f(list(attr_or_tensor.ints))
        del attr_or_tensor.ints[:]
        attr_or_tensor.ints.extend(new)


def shift_axes(v):
    return [shift(a) for a in v]


def grow(v):
    """Begins, then ends (pads), for one more axis in front."""
    return [0] + v[:len(v) // 2] + [0] + v[len(v) // 2:]


# Operators that work on one picture when a dimension of 1 stands in front: where each keeps its axes.
FRONT = {op: () for op in ("Add", "Sub", "Mul", "Div", "Pow", "Sum", "PRelu", "Elu", "Expand", "Where", "Clip",
                           "Sigmoid", "Sqrt", "Exp", "Log", "Relu", "LeakyRelu", "MatMul", "Min", "Max", "Abs", "Floor", "Ceil", "Round",
                           "Neg", "Reciprocal")}
FRONT.update({
    "Concat": (("axis", shift),), "Softmax": (("axis", shift),), "Split": (("axis", shift),),
    "LayerNormalization": (("axis", shift),), "Transpose": (("perm", lambda v: [0] + shift_axes(v)),),
    "ReduceMean": (("axes", shift_axes),), "Squeeze": ((1, shift_axes),), "Unsqueeze": ((1, shift_axes),),
    "Slice": ((3, shift_axes),), "Reshape": ((1, lambda v: [1] + v),), "Pad": ((1, grow),),
})


def front_node(node, graph, rank):
    """Move the axes of one node; False where it cannot be done."""
    if node.op_type not in FRONT:
        return False
    stored = {i.name: i for i in graph.initializer}
    attrs = {a.name: a for a in node.attribute}
    defaults = {"Split": ("axis", 1), "ReduceMean": ("axes", list(range(1, rank + 1))),
                "Transpose": ("perm", [0] + list(range(rank, 0, -1)))}
    name, value = defaults.get(node.op_type, (None, None))
    if name and name not in attrs:
        node.attribute.append(onnx.helper.make_attribute(name, value))
        return True
    for where, f in FRONT[node.op_type]:
        if isinstance(where, int):
            if where >= len(node.input) or node.input[where] not in stored:
                return False
            shift_list(stored[node.input[where]], f)
        elif where in attrs and attrs[where].type == onnx.AttributeProto.INT:
            attrs[where].i = f(attrs[where].i)
        elif where in attrs:
            shift_list(attrs[where], f)
    return True


def front(net, x):
    """The network of one picture, or None; x with a dimension of 1 in front."""
    if x is None or len(net.graph.node) != 1:
        return None
    one = onnx.ModelProto()
    one.CopyFrom(net)
    node = one.graph.node[0]
    value = numpy_helper.to_array(x)
    if not front_node(node, one.graph, value.ndim):
        return None
    if node.op_type == "Concat":
        for i in one.graph.initializer:
            i.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(i)[None], i.name))
    for v in (one.graph.input[0], one.graph.output[0]):
        v.type.tensor_type.shape.dim.insert(0, onnx.TensorShapeProto.Dimension(dim_value=1))
    return one, numpy_helper.from_array(value[None], x.name)


def is_float(t):
    return t is not None and t.data_type == onnx.TensorProto.FLOAT


def is_half(t):
    """Float16, bfloat16 and the 8-bit floats: computed in float, so the bits of the test are not met."""
    other = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
    return t is not None and t.data_type not in other and (t.data_type == onnx.TensorProto.FLOAT16 or t.data_type >= onnx.TensorProto.BFLOAT16)


def networks(folder):
    """(model, input, wanted) for each output; None where the test does not fit at all."""
    net = onnx.load(os.path.join(folder, "model.onnx"))
    data = os.path.join(folder, "test_data_set_0")
    graph = net.graph
    stored = {i.name for i in graph.initializer}
    free = [i for i in graph.input if i.name not in stored]
    values = [load_value(os.path.join(data, f"input_{k}.pb"), i) for k, i in enumerate(free)]
    main = next((k for k, t in enumerate(values) if is_float(t)), 0)
    for k, t in enumerate(values):
        if k != main and t is not None:
            graph.initializer.append(t)
    kept = [i for k, i in enumerate(free) if k == main or values[k] is None]
    del graph.input[:]
    graph.input.extend(kept)
    net.ir_version = max(net.ir_version, 4)
    for o in net.opset_import:
        if o.domain in ("", "ai.onnx") and all(n.op_type in UNCHANGED for n in graph.node):
            o.version = max(o.version, 7)
    outputs = list(graph.output)
    result = []
    for k, out in enumerate(outputs):
        want = load_value(os.path.join(data, f"output_{k}.pb"), out)
        one = onnx.ModelProto()
        one.CopyFrom(net)
        del one.graph.output[:]
        one.graph.output.append(out)
        x = values[main] if main < len(values) else None
        result.append((one, x, want))
    return result


def compile_one(job):
    """Exit code and message of tlc for one network, whose folder is filled."""
    name, (net, x, want), target, folder = job
    if is_half(x) or is_half(want) or any(w in net.graph.name for w in ("training_dropout", "BFLOAT16")):
        return 5, "error: not compared: half precision, which tlc computes in float, or random"
    if x is None or want is None:
        return 5, "error: not compared: the test gives no tensor"
    code, message = try_one(name, net, x, target, folder)
    changed = front(net, x) if code else None
    if changed and try_one(name, *changed, target, folder)[0] == 0:
        return 0, ""
    return code, message


def try_one(name, net, x, target, folder):
    os.makedirs(os.path.dirname(folder), exist_ok=True)
    onnx.save(net, folder + ".onnx")
    batch = x.dims[0] if x is not None and len(x.dims) else 1
    p = subprocess.run([TLC, "compile", folder + ".onnx", "-o", folder, "--name", name, "--target", target,
                        "--batch", str(max(1, min(batch, 1024)))], capture_output=True, text=True)
    if p.returncode == 0:
        numpy_helper.to_array(x).astype(np.float32).tofile(os.path.join(folder, "x.bin"))
    return p.returncode, p.stderr


def build(jobs, target):
    """One program of all networks that compiled; it writes y.bin into each folder."""
    flags = ["-std=gnu11", "-ffp-contract=off", "-w", "-march=native", "-O1"]
    below = ("kernels", "kernels/cpu", "kernels/ref", "runtime/infer", "runtime/base")
    runtime = os.path.join(jobs[0][3], "src/runtime/infer")
    units = [os.path.join(runtime, f) for f in os.listdir(runtime) if f.endswith(".c")]
    units += [os.path.join(j[3], "model.c") for j in jobs]
    driver = os.path.join(HERE, f"driver_{target}.c")
    with open(driver, "w") as f:
        table = "".join(f"extern const struct tlr_model {j[0]}_model;\n" for j in jobs)
        table += "static const struct test tests[] = {\n"
        table += "".join(f'{{ &{j[0]}_model, "{j[3]}" }},\n' for j in jobs) + "};\n"
        f.write(DRIVER.replace("MODELS", table))
    units.append(driver)

    def compile_unit(k):
        folder = os.path.dirname(units[k]) if units[k].endswith("/model.c") else jobs[0][3]
        run("cc", *flags, *(f"-I{folder}/src/{d}" for d in below), "-c", units[k], "-o", os.path.join(HERE, f"{target}_{k}.o"))
        return os.path.join(HERE, f"{target}_{k}.o")

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compile_unit, range(len(units))))
    program = os.path.join(HERE, "run_" + target)
    run("cc", *objects, "-o", program, "-lm", "-lpthread")
    print(run(program).stdout, end="")


def is_right(job):
    want = numpy_helper.to_array(job[1][2]).astype(np.float64).ravel()
    path = os.path.join(job[3], "y.bin")
    if not os.path.exists(path):
        return False
    y = np.fromfile(path, np.float32).astype(np.float64)
    if y.size != want.size:
        return False
    finite = np.isfinite(want)
    same = np.array_equal(y[~finite], want[~finite], equal_nan=True)
    if not finite.any():
        return same
    return same and np.max(np.abs(y - want)[finite]) <= BOUND * np.max(np.abs(want[finite])) + 1e-7


def is_clean(code, message):
    lines = [l for l in message.splitlines() if l.strip()]
    errors = [l for l in lines if "error" in l]
    return code in (4, 5) and len(errors) == 1 and len(lines) <= 3


def one_target(tests, target):
    """Names of the tests that passed and of those refused; failures are reported as they are found."""
    jobs, of_test = [], {}
    for test, nets in tests:
        of_test[test] = []
        for k, net in enumerate(nets):
            job = (f"m{len(jobs)}", net, target, os.path.join(HERE, f"{target}_{len(jobs)}"))
            of_test[test].append(job)
            jobs.append(job)
    with ThreadPoolExecutor(2) as pool:
        codes = dict(zip((j[0] for j in jobs), pool.map(compile_one, jobs)))
    built = [j for j in jobs if codes[j[0]][0] == 0]
    build(built, target)
    passed, refused = [], []
    for test, mine in of_test.items():
        results = [codes[j[0]] for j in mine]
        if results and results[0][0] == 0:
            wrong = [j for j in mine if codes[j[0]][0] == 0 and not is_right(j)]
            if not wrong:
                passed.append(test)
            else:
                check(False, f"{test} {target}: the output is wrong ({wrong[0][3]})")
            continue
        refused.append(test)
        for code, message in results:
            if code and not is_clean(code, message):
                check(False, f"{test} {target}: exit {code}: {message[:300]}")
    return passed, refused


def main():
    if not os.path.isdir(ROOT):
        print("skipped: no libonnx-testdata")
        sys.exit(77)
    shutil.rmtree(HERE, ignore_errors=True)
    os.makedirs(HERE)
    suites = [s for s in SUITES if os.path.isdir(os.path.join(ROOT, s))]
    every = [f"{suite}/{t}" for suite in suites for t in sorted(os.listdir(os.path.join(ROOT, suite)))]
    tests = [(t, networks(os.path.join(ROOT, t))) for t in every if t not in DIFFERS]
    passed, refused = one_target(tests, "ref")
    supported = len(tests) - len(refused)
    print(f"ref: passed {len(passed)} of {supported} supported, {len(refused)} refused, {len(every) - len(tests)} not compared, of {len(every)}")
    if os.environ.get("TLC_LIST"):
        print("\n".join("refused " + t for t in refused))
    check(len(every) >= TOTAL, f"{len(every)} tests, {TOTAL} known")
    check(len(passed) >= LEAST, f"{len(passed)} passed, at least {LEAST}")
    keep = set(passed if LONG else passed[::3])
    again, less = one_target([t for t in tests if t[0] in keep], "cpu")
    print(f"cpu: passed {len(again)} of {len(keep)}")
    check(len(again) == len(keep) and not less, "cpu serves what ref serves")
    shutil.rmtree(HERE)
    finish()


main()
