"""Every operator's gradient against central differences, in double, through emitted code (gradcheck.c).

A case is a few operations between `%a`, a batch that depends on a trained parameter of every element, and `%z`; a linear
layer makes logits of it.  Batch 1 and 3, odd sizes, and everything that an attribute can change."""
import json
import os
import random
import shutil
import sys

from common import SOURCE, TLC, WORK, check, finish, run

ALLOWED = 1e-6

# name, shape of a picture, shape of %z, operations; PARAM:NAME:SHAPE and CONST:NAME:SHAPE declare globals
CASES = [
    ("conv2d", (3, 7, 6), (4, 7, 6), "PARAM:w:4,3,3,3 PARAM:b:4 %z = conv2d %a, %w, %b {pad=[1,1,1,1]}"),
    ("conv2d_stride", (2, 7, 8), (3, 3, 4), "PARAM:w:3,2,3,2 %z = conv2d %a, %w {stride=[2,2]}"),
    ("conv2d_lost_rows", (2, 8, 8), (3, 2, 2), "PARAM:w:3,2,3,3 %z = conv2d %a, %w {stride=[4,3]}"),
    ("conv2d_groups", (4, 5, 5), (6, 5, 4), "PARAM:w:6,2,3,2 PARAM:b:6 %z = conv2d %a, %w, %b {groups=2, pad=[1,0,1,0]}"),
    ("conv2d_depthwise", (5, 6, 5), (5, 3, 3), "PARAM:w:5,1,3,3 %z = conv2d %a, %w {groups=5, stride=[2,2], pad=[1,1,1,1]}"),
    ("conv2d_dilation", (2, 9, 8), (2, 6, 5), "PARAM:w:2,2,3,2 %z = conv2d %a, %w {dilation=[2,3], pad=[0,0,1,0]}"),
    ("conv2d_one", (3, 3, 3), (5, 2, 2), "PARAM:w:5,3,1,1 PARAM:b:5 %z = conv2d %a, %w, %b {stride=[2,2]}"),
    ("conv2d_frozen", (2, 5, 5), (3, 5, 5), "CONST:w:3,2,3,3 %z = conv2d %a, %w {pad=[1,1,1,1]}"),
    ("linear", (6,), (5,), "PARAM:w:5,6 PARAM:b:5 %z = linear %a, %w, %b"),
    ("matmul", (6,), (5,), "PARAM:w:6,5 %z = matmul %a, %w"),
    ("batch_matmul", (2, 3, 4), (2, 3, 5), "PARAM:w:2,4,5 %m : f32[n,2,4,3] = transpose %a {perm=[0,1,3,2]} %b : f32[n,2,4,1] = reduce_mean %m {axes=[3]} "
     "%c : f32[n,2,4,5] = mul %b, %w %z = batch_matmul %a, %c"),
    ("batch_matmul_square", (2, 3, 4), (2, 3, 3), "%z = batch_matmul %a, %a {trans_b=true}"),
    ("batch_matmul_both", (2, 3, 4), (2, 4, 3), "%m : f32[n,2,4,3] = transpose %a {perm=[0,1,3,2]} %b : f32[n,2,3,3] = batch_matmul %a, %m "
     "%z = batch_matmul %a, %b {trans_a=true, trans_b=true}"),
    ("batch_norm_train", (3, 4, 3), (3, 4, 3), "NORM:bn:3 %z = batch_norm %a, %bn.weight, %bn.bias, %bn.mean, %bn.var {epsilon=0.001}"),
    ("batch_norm_rows", (5,), (5,), "NORM:bn:5 %z = batch_norm %a, %bn.weight, %bn.bias, %bn.mean, %bn.var"),
    ("batch_norm_frozen", (3, 4, 3), (3, 4, 3), "NORM:bn:3 %z = batch_norm %a, %bn.weight, %bn.bias, %bn.mean, %bn.var {epsilon=0.01}"),
    ("batch_norm_stats", (3, 4, 3), (3, 4, 3), "FIXED:bn:3 %z = batch_norm %a, %bn.weight, %bn.bias, %bn.mean, %bn.var"),
    ("relu", (9,), (9,), "%z = relu %a"),
    ("clip", (9,), (9,), "%z = clip %a {lo=-0.4, hi=0.5}"),
    ("dropout", (9,), (9,), "%z = dropout %a {p=0.4}"),
    ("softmax", (3, 4, 2), (3, 4, 2), "%z = softmax %a {axis=2}"),
    ("max_pool", (2, 7, 7), (2, 4, 4), "%z = max_pool2d %a {kernel=[3,3], stride=[2,2], pad=[1,1,1,1]}"),
    ("max_pool_ceil", (2, 6, 7), (2, 3, 3), "%z = max_pool2d %a {kernel=[2,3], stride=[2,3], ceil_mode=true}"),
    ("max_pool_dilation", (2, 7, 7), (2, 5, 3), "%z = max_pool2d %a {kernel=[2,3], dilation=[2,2]}"),
    ("max_pool_wide", (1, 17, 18), (1, 1, 2), "%z = max_pool2d %a {kernel=[17,17]}"),
    ("avg_pool", (2, 7, 7), (2, 4, 4), "%z = avg_pool2d %a {kernel=[3,3], stride=[2,2], pad=[1,1,1,1]}"),
    ("avg_pool_counted", (2, 7, 6), (2, 4, 3), "%z = avg_pool2d %a {kernel=[3,3], stride=[2,2], pad=[1,1,1,0], count_include_pad=true}"),
    ("avg_pool_ceil", (2, 6, 6), (2, 3, 3), "%z = avg_pool2d %a {kernel=[3,3], stride=[2,2], ceil_mode=true, count_include_pad=true}"),
    ("resize", (2, 5, 4), (2, 11, 3), "%z = resize %a {size=[11,3], step_h=0.45, offset_h=-0.27, step_w=1.3, offset_w=0.15}"),
    ("resize_nearest", (2, 5, 4), (2, 11, 3), "%z = resize %a {size=[11,3], step_h=0.45, offset_h=-0.27, step_w=1.3, offset_w=0.15, mode=half_down}"),
    ("resize_cubic", (2, 5, 4), (2, 11, 3), "%z = resize %a {size=[11,3], step_h=0.45, offset_h=-0.27, step_w=1.3, offset_w=0.15, mode=cubic}"),
    ("resize_inside", (2, 5, 4), (2, 11, 3), "%z = resize %a {size=[11,3], step_h=0.45, offset_h=-0.27, step_w=1.3, mode=cubic, cubic=-0.5, inside=true}"),
    ("reduce_mean", (3, 4, 5), (3,), "%z = reduce_mean %a {axes=[2,3], keepdims=false}"),
    ("reduce_mean_kept", (3, 4, 5), (1, 4, 1), "%z = reduce_mean %a {axes=[1,3]}"),
    ("pad", (2, 3, 4), (2, 6, 5), "%z = pad %a {pads=[0,0,1,0,0,0,2,1], value=3}"),
    ("slice", (3, 7, 6), (2, 3, 2), "%z = slice %a {starts=[0,1,0,5], ends=[n,3,6,1], steps=[1,1,2,-2]}"),
    ("transpose", (2, 3, 4), (4, 2, 3), "%z = transpose %a {perm=[0,3,1,2]}"),
    ("concat", (2, 3, 4), (5, 3, 4), "PARAM:w:1,2,1,1 %m : f32[n,2,3,4] = mul %a, %w %s : f32[n,1,3,4] = slice %m "
     "{starts=[0,1,0,0], ends=[n,2,3,4], steps=[1,1,1,1]} %z = concat %a, %m, %s {axis=1}"),
    ("add", (3, 2, 4), (3, 2, 4), "PARAM:w:3,1,1 %z = add %w, %a"),
    ("sub", (3, 2, 4), (3, 2, 4), "PARAM:w:1,3,1,4 %z = sub %a, %w"),
    ("sub_row", (5,), (5,), "PARAM:w:5 %z = sub %w, %a"),
    ("mul", (3, 2, 4), (3, 2, 4), "PARAM:w:2,1 %z = mul %a, %w"),
    ("mul_scale", (3, 2, 4), (3, 2, 4), "%m : f32[n,3,1,1] = reduce_mean %a {axes=[2,3]} %z = mul %a, %m"),
    ("div", (3, 2, 4), (3, 2, 4), "PARAM:w:3,1,4 %m : f32[3,1,4] = mul %w, %w %d : f32[3,1,4] = add %m, %one %z = div %a, %d"),
    ("div_by_batch", (3, 4), (3, 4), "PARAM:w:3,4 %m : f32[n,3,4] = mul %a, %a %d : f32[n,3,4] = add %m, %one %z = div %w, %d"),
    ("max", (3, 2, 4), (3, 2, 4), "PARAM:w:2,1 %z = max %a, %w"),
    ("min", (3, 4), (3, 4), "PARAM:w:3,4 %z = min %w, %a"),
    ("max_equal", (3, 4), (3, 4), "%z = max %a, %a"),
    ("abs", (3, 5), (3, 5), "%z = abs %a"),
    ("where", (3, 2), (3, 2), "PARAM:w:2 %z = where %mask, %a, %w"),
    ("sigmoid", (3, 5), (3, 5), "%z = sigmoid %a"),
    ("tanh", (3, 5), (3, 5), "%z = tanh %a"),
    ("hard_sigmoid", (3, 5), (3, 5), "%z = hard_sigmoid %a {alpha=0.7, beta=0.4}"),
    ("hard_swish", (3, 5), (3, 5), "%m : f32[n,3,5] = mul %a, %three %z = hard_swish %m"),
    ("leaky_relu", (3, 5), (3, 5), "%z = leaky_relu %a {alpha=0.3}"),
    ("elu", (3, 5), (3, 5), "%z = elu %a {alpha=0.7}"),
    ("exp", (3, 5), (3, 5), "%z = exp %a"),
    ("erf", (3, 5), (3, 5), "%z = erf %a"),
    ("prelu", (3, 2, 3), (3, 2, 3), "PARAM:w:3,1,1 %r : f32[n,3,2,3] = relu %a %c : f32[n,3,2,3] = clip %a {hi=0} "
     "%s : f32[n,3,2,3] = mul %c, %w %z = add %r, %s"),
    ("sqrt", (3, 5), (3, 5), "%m : f32[n,3,5] = mul %a, %a %d : f32[n,3,5] = add %m, %one %z = sqrt %d"),
    ("log", (3, 5), (3, 5), "%m : f32[n,3,5] = mul %a, %a %d : f32[n,3,5] = add %m, %one %z = log %d"),
    ("pow", (3, 5), (3, 5), "%m : f32[n,3,5] = mul %a, %a %d : f32[n,3,5] = add %m, %one %z = pow %d {alpha=-0.75}"),
    ("expand", (3, 1, 1), (3, 2, 5), "CONST:o:3,2,5 %z = mul %a, %o"),
    ("split", (5, 3), (3, 3), "%s : f32[n,2,3] = slice %a {starts=[0,0,0], ends=[n,2,3], steps=[1,1,1]} %t : f32[n,3,3] = slice %a "
     "{starts=[0,2,0], ends=[n,5,3], steps=[1,1,1]} %m : f32[n,1,3] = reduce_mean %s {axes=[1]} %z = mul %m, %t"),
    ("layer_norm", (3, 2, 5), (3, 2, 5), "PARAM:w:5 PARAM:b:5 %z = layer_norm %a, %w, %b {axis=3, epsilon=0.01}"),
    ("layer_norm_row", (7,), (7,), "PARAM:w:7 PARAM:b:7 %z = layer_norm %a, %w, %b {axis=1}"),
    ("layer_norm_bare", (3, 2, 5), (3, 2, 5), "%z = layer_norm %a {axis=2}"),
    ("layer_norm_frozen", (3, 2, 5), (3, 2, 5), "CONST:w:2,5 %z = layer_norm %a, %w {axis=2}"),
    ("lrn", (7, 2, 3), (7, 2, 3), "%z = lrn %a {size=5, alpha=0.3, beta=0.75, bias=0.9}"),
    ("lrn_even", (5, 3), (5, 3), "%z = lrn %a {size=4, alpha=0.5, beta=0.6}"),
    ("residual", (3, 4, 4), (3, 4, 4), "PARAM:w:3,3,3,3 %m : f32[n,3,4,4] = conv2d %a, %w {pad=[1,1,1,1]} %s : f32[n,3,4,4] = add %m, %a %z = relu %s"),
]


def dims(shape):
    return ",".join(map(str, shape))


def values(shape, low=-0.6, high=0.6):
    n = 1
    for d in shape:
        n *= d
    return "[" + ", ".join(repr(random.uniform(low, high)) for _ in range(n)) + "]"


def declare(word, out):
    kind, name, shape = word.split(":")
    shape = [int(d) for d in shape.split(",")]
    if kind in ("PARAM", "CONST"):
        out.append(f"{kind.lower()} %{name} : f32[{dims(shape)}] = {values(shape)}")
        return
    for what, low in (("weight", 0.5), ("bias", -0.5), ("mean", -0.5), ("var", 0.5)):
        kind_of = "param" if kind == "NORM" and what in ("weight", "bias") else "const"
        out.append(f"{kind_of} %{name}.{what} : f32[{dims(shape)}] = {values(shape, low, low + 1)}")


def text(shape, z, ops):
    out = [f"param %p : f32[{dims((1,) + shape)}] = {values((1,) + shape)}", "const %one : f32[1] = [1]", "const %three : f32[1] = [3]", "const %mask : bool[3,1] = [1, 0, 1]"]
    body = []
    for word in ops.split(" "):
        if ":" in word and word.split(":")[0] in ("PARAM", "CONST", "NORM", "FIXED"):
            declare(word, out)
        else:
            body.append(word)
    body = " ".join(body).replace("%z =", f"%z : f32[n,{dims(z)}] =")
    n = 1
    for d in z:
        n *= d
    out += [f"param %fc : f32[3,{n}] = {values((3, n))}", f"func @forward(%x: f32[n,{dims(shape)}]) -> f32[n,3] {{",
            f"  %a : f32[n,{dims(shape)}] = add %x, %p", "  " + body, f"  %flat : f32[n,{n}] = flatten %z",
            "  %logits : f32[n,3] = linear %flat, %fc", "  return %logits", "}", ""]
    return "\n".join(out)


def check_case(name, shape, z, ops):
    random.seed(name)
    source, folder = os.path.join(WORK, "grad.tir"), os.path.join(WORK, "grad")
    with open(source, "w") as f:
        f.write(text(shape, z, ops))
    shutil.rmtree(folder, ignore_errors=True)
    policy = name.split("_")[-1] if name in ("batch_norm_frozen", "batch_norm_stats") else "train"
    run(TLC, "compile", source, "-o", folder, "--target", "ref", "--precision", "fp64", "--optimizer", "sgd", "--batch", 3, "--bn", policy, "-q")
    program = os.path.join(folder, "gradcheck")
    run("cc", "-std=gnu11", "-O1", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", f"-I{folder}",
        *(f"-I{folder}/src/{d}" for d in ("kernels", "kernels/ref", "kernels/cpu", "runtime/infer", "runtime/base")),
        f"{folder}/model.c", f"{folder}/src/the_model.c", os.path.join(SOURCE, "tests/e2e/gradcheck.c"), "-lm", "-o", program)
    with open(os.path.join(folder, "manifest.json")) as f:
        tensors = json.load(f)["tensors"]
    skipped = [t["index"] for t in tensors if t["name"] in ("bn.mean", "bn.var")]
    for n in (1, 3):
        if n == 1 and name == "batch_norm_rows":
            continue                          # one value a channel
        off = float(run(program, f"{folder}/weights.bin", n, *skipped).stdout)
        check(off <= ALLOWED, f"{name} batch {n}: off by {off:.1e} of the largest, allowed {ALLOWED:.0e}")


if __name__ == "__main__":
    os.makedirs(WORK, exist_ok=True)
    for case in CASES:
        if not sys.argv[1:] or case[0] in sys.argv[1:]:
            check_case(*case)
    finish()
