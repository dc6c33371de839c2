"""Built-in networks with PyTorch's files, without Python in between: logits, heads, refusals."""
import os

import numpy as np

from common import DATA, TLC, WORK, check, compiled, finish, need_shared, run

LITE = os.path.join(DATA, "models/efficientnet_lite0.pth")
VGG = os.path.join(DATA, "models/vgg16_features.f16.safetensors")


def distance(y, want):
    return float(np.max(np.abs(y - want)) / np.max(np.abs(want)))


def infer(folder, value):
    out = os.path.join(WORK, "weights_y.npy")
    run(os.path.join(folder, "predictor"), "infer", "--input", os.path.join(DATA, "expected/input8_nchw_f32.npy"), "--output", out,
        "--value", value)
    return np.load(out).reshape(8, -1)


def refused(code, core, *command):
    p = run(TLC, *command, code=None)
    check(p.returncode == code and core in p.stderr and p.stderr.count("error:") == 1, f"{' '.join(map(os.path.basename, command))}: {core}")


need_shared()

folder = compiled("efficientnet_lite0", "weights_lite", "--weights", LITE, targets=("predictor",))
d = distance(infer(folder, "output"), np.load(os.path.join(DATA, "expected/efficientnet_lite0_logits8.npy")))
check(d <= 3e-5, f"efficientnet_lite0.pth: logits within {d:.1e} of the largest, allowed 3e-05")

folder = compiled("vgg16", "weights_vgg", "--weights", VGG, "--replace-head", "vgg", "--freeze-backbone", targets=("predictor",))
d = distance(infer(folder, "features"), np.load(os.path.join(DATA, "expected/vgg16_features8.npy")))
check(d <= 3e-5, f"vgg16 features of fp16 safetensors within {d:.1e} of the largest, allowed 3e-05")

out = os.path.join(WORK, "weights_none")
refused(5, 'tensor "classifier.0.weight" is missing', "compile", "vgg16", "--weights", VGG, "-o", out)
refused(5, 'tensor "features.0.weight" is missing', "compile", "vgg11_bn", "--weights", LITE, "-o", out)
refused(5, "global", "compile", "vgg16", "--weights", os.path.join(DATA, "pth/refuse_whole_module.pth"), "-o", out)
refused(5, "shape", "compile", "efficientnet_lite0", "--classes", "7", "--weights", LITE, "-o", out)
refused(3, "did you mean vgg11", "compile", "vgg1", "-o", out)
refused(2, "CxHxW", "compile", "vgg16", "--input", "3x64", "-o", out)
refused(2, "at least 2", "compile", "vgg16", "--classes", "1", "-o", out)
refused(5, "zip archive", "inspect", os.path.join(DATA, "pth/zip.pth"))
check(not os.path.exists(out), "a refused network leaves no folder")

p = run(TLC, "inspect", "vgg-small", "--classes", "5", "--input", "3x32x32")
check("10,788,165" in p.stdout, "--classes and --input change the layers that inspect shows")
p = run(TLC, "inspect", "efficientnet_lite0", "--weights", LITE)
check("4,652,008" in p.stdout and not p.stderr, "every tensor of the file is in the network, and the other way round")
finish()
