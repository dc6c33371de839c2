"""The two built-in networks that torchvision lacks, as PyTorch modules with the parameters' names of models/*.tir."""
import torch
from torch import nn


def vgg_small(num_classes):
    """As models/vgg-small.tir."""
    layers, c = [], 3
    for widths in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512)):
        for width in widths:
            layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU()]
            c = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8192, 1024), nn.ReLU(), nn.Dropout(), nn.Linear(1024, 1024), nn.ReLU(),
                         nn.Dropout(), nn.Linear(1024, num_classes))


def same_conv(c, out, kernel, stride, groups=1):
    """What pads, and the convolution, with TensorFlow's SAME for a size divisible by the stride: what is odd goes to the right and
    below.  Padding that is even on both sides is the convolution's own, which is quicker."""
    total = kernel - stride
    even = total % 2 == 0
    pad = nn.Identity() if even else nn.ZeroPad2d((total // 2, total - total // 2) * 2)
    return pad, nn.Conv2d(c, out, kernel, stride, total // 2 if even else 0, groups=groups, bias=False)


def batch_norm(c):
    return nn.BatchNorm2d(c, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """Inverted residual of EfficientNet-Lite: Tan and Le 2019, without squeeze-and-excite, with ReLU6."""

    def __init__(self, c, out, kernel, stride, expand):
        super().__init__()
        wide = c * expand
        self.adds, self.expands = stride == 1 and c == out, expand > 1
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(c, wide, 1, bias=False), batch_norm(wide)
        self.pad, self._depthwise_conv = same_conv(wide, wide, kernel, stride, wide)
        self._bn1 = batch_norm(wide)
        self._project_conv, self._bn2 = nn.Conv2d(wide, out, 1, bias=False), batch_norm(out)
        self.relu6 = nn.ReLU6()

    def forward(self, x):
        y = self.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self.relu6(self._bn1(self._depthwise_conv(self.pad(y))))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """As models/efficientnet_lite0.tir.  children_in_order() are run one after the other."""

    def __init__(self, num_classes):
        super().__init__()
        self.pad, self._conv_stem = same_conv(3, 32, 3, 2)
        self._bn0 = batch_norm(32)
        blocks, c = [], 32
        for expand, kernel, stride, out, repeats in ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3),
                                                     (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)):
            for i in range(repeats):
                blocks.append(Block(c, out, kernel, stride if i == 0 else 1, expand))
                c = out
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(320, 1280, 1, bias=False), batch_norm(1280)
        self._fc = nn.Linear(1280, num_classes)

    def children_in_order(self):
        """(name, module); what has no parameters bears the name of what it follows."""
        return [("_conv_stem", self.pad), ("_conv_stem", self._conv_stem), ("_bn0", self._bn0), ("_bn0", nn.ReLU6()),
                *((f"_blocks.{i}", b) for i, b in enumerate(self._blocks)),
                ("_conv_head", self._conv_head), ("_bn1", self._bn1), ("_bn1", nn.ReLU6()),
                ("_bn1", nn.AdaptiveAvgPool2d(1)), ("_bn1", nn.Flatten()), ("_fc", self._fc)]

    def forward(self, x):
        for _, child in self.children_in_order():
            x = child(x)
        return x
