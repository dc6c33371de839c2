"""`predictor infer` on eight pictures: logits and features of the exports against float64, as shares
of the largest value that the eight have.

TLC_LONG=1 runs all eleven files on both targets at batch 1, 3, 8 and 16; otherwise what fits.
Arguments: names of networks, to run these alone."""
import os
import shutil
import sys

import numpy as np

from common import DATA, LONG, WORK, check, compiled, finish, model, need_shared, run

ALL = ["resnet18", "resnet18-folded", "resnet18-dynamo", "resnet50", "resnet50-folded", "resnet50-dynamo",
       "efficientnet_lite0", "efficientnet_lite0-folded", "efficientnet_lite0-dynamo", "vgg16", "vgg16-dynamo"]
SHORT = ["resnet18", "resnet18-folded", "resnet18-dynamo", "efficientnet_lite0", "efficientnet_lite0-folded",
         "efficientnet_lite0-dynamo", "resnet50", "vgg16-dynamo"]
SMALLEST = ["resnet18-folded", "efficientnet_lite0"]
BOUND = {"cpu": 3e-5, "ref": 2e-6}
# Their exporter rounded the folded weights to float, which alone costs 1.9e-6 of the features.
ROUNDED = ["resnet50-folded", "resnet50-dynamo"]


def one(name, target, batches):
    net = name.split("-")[0]
    x = np.load(os.path.join(DATA, "expected/input8_nchw_f32.npy"))
    precision = "fp64" if target == "ref" and name in ROUNDED else "fp32"
    folder = compiled(model(name + ".onnx"), "infer_net", "--target", target, "--precision", precision,
                      targets=("predictor",))
    for value, want in (("output", "logits8"), ("features", "features8")):
        want = np.load(os.path.join(DATA, f"expected/{net}_{want}.npy"))
        largest = np.max(np.abs(want))
        for n in batches:
            src, dst = os.path.join(WORK, "x.npy"), os.path.join(WORK, "y.npy")
            np.save(src, np.concatenate([x, x])[:n])
            run(os.path.join(folder, "predictor"), "infer", "--input", src, "--output", dst, "--value", value)
            y = np.load(dst)
            d = float(np.max(np.abs(y.reshape(n, -1) - np.concatenate([want, want])[:n])) / largest)
            check(d <= BOUND[target],
                  f"{name} {target} {precision} {value} batch {n}: {d:.1e} of the largest, allowed {BOUND[target]:.0e}")
    shutil.rmtree(folder)


need_shared()
for target, nets, few in (("cpu", SHORT, (1, 3)), ("ref", SMALLEST, (1,))):
    for net in ALL if LONG else nets:
        if not sys.argv[1:] or net in sys.argv[1:]:
            one(net, target, (1, 3, 8, 16) if LONG else few)
finish()
