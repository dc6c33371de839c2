"""Training runs on the emulated device against the float64 references in data/trajectories (generate.py has the bound).

TLC_LONG=1: the convolutional ones that emulation finishes in minutes.  Arguments: cases to take.  CASE:tf32 runs on matrix units, its
losses within what rounded operands may cost.  Left to those who wait, as
`test_cuda_trajectories.py resnet50_head`: resnet50_head, vgg_small, vgg16_pretrained_head, 10^11 multiply-adds and more each."""
import shutil
import sys

import test_cuda
from common import LONG, finish, need_shared

SHORT = ["mixed", "mixed:tf32"]
MINUTES = ["mixed:bf16", "mixed_adamw", "resnet18_layer4_frozen", "resnet18_layer4_stats", "resnet18_full", "efficientnet_lite0_head", "resnet18_head"]


if __name__ == "__main__":
    need_shared()
    if not shutil.which("g++"):
        print("skipped: no g++")
        sys.exit(77)
    test_cuda.libraries()
    test_cuda.with_device()
    for case in sys.argv[1:] or SHORT + (MINUTES if LONG else []):
        test_cuda.trajectory(*case.split(":"))
    finish()
