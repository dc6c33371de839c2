"""What PyTorch's side of the measurements shares: the two built-in networks that torchvision lacks, with the parameters' names of
models/*.tir, and photographs in memory."""
import torch
from torch import nn


def vgg_small(num_classes):
    """As models/vgg-small.tir, for pictures of 64x64."""
    layers, c = [], 3
    for widths in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512)):
        for width in widths:
            layers += [nn.Conv2d(c, width, 3, padding=1), nn.ReLU()]
            c = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(8192, 1024), nn.ReLU(), nn.Dropout(), nn.Linear(1024, 1024), nn.ReLU(),
                         nn.Dropout(), nn.Linear(1024, num_classes))


class SameConv(nn.Conv2d):
    """Odd kernels padded as TensorFlow's SAME: the odd one goes below and to the right.  With stride 1 both sides are even, and the
    padding is the convolution's own, which is quicker."""

    def __init__(self, c, out, kernel, stride, groups=1):
        super().__init__(c, out, kernel, stride, kernel // 2 if stride == 1 else 0, groups=groups, bias=False)

    def forward(self, x):
        if self.stride != (1, 1):
            p = [max((-(-size // s) - 1) * s + k - size, 0) for size, k, s in zip(x.shape[2:], self.kernel_size, self.stride)]
            x = nn.functional.pad(x, (p[1] // 2, p[1] - p[1] // 2, p[0] // 2, p[0] - p[0] // 2))
        return super().forward(x)


def batch_norm(c):
    return nn.BatchNorm2d(c, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    """An inverted residual (Sandler et al. 2018) with ReLU6."""

    def __init__(self, c, out, kernel, stride, expand):
        super().__init__()
        wide = c * expand
        self.adds, self.expands = stride == 1 and c == out, expand > 1
        if self.expands:
            self._expand_conv, self._bn0 = nn.Conv2d(c, wide, 1, bias=False), batch_norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, wide), batch_norm(wide)
        self._project_conv, self._bn2 = nn.Conv2d(wide, out, 1, bias=False), batch_norm(out)

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._bn2(self._project_conv(nn.functional.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.adds else y


class Lite0(nn.Module):
    """As models/efficientnet_lite0.tir: Tan and Le 2019, without squeeze-and-excite."""

    def __init__(self, num_classes):
        super().__init__()
        blocks, c = [], 32
        for expand, kernel, stride, out, repeats in ((1, 3, 1, 16, 1), (6, 3, 2, 24, 2), (6, 5, 2, 40, 2), (6, 3, 2, 80, 3),
                                                     (6, 5, 1, 112, 3), (6, 5, 2, 192, 4), (6, 3, 1, 320, 1)):
            for i in range(repeats):
                blocks.append(Block(c, out, kernel, stride if i == 0 else 1, expand))
                c = out
        self._conv_stem, self._bn0, self._blocks = SameConv(3, 32, 3, 2), batch_norm(32), nn.ModuleList(blocks)
        self._conv_head, self._bn1 = nn.Conv2d(320, 1280, 1, bias=False), batch_norm(1280)
        self._fc = nn.Linear(1280, num_classes)

    def children_in_order(self):
        """(name, module), to be run one after the other; what has no parameters bears the name of what it follows."""
        return [("_conv_stem", self._conv_stem), ("_bn0", self._bn0), ("_bn0", nn.ReLU6()),
                *((f"_blocks.{i}", b) for i, b in enumerate(self._blocks)),
                ("_conv_head", self._conv_head), ("_bn1", self._bn1), ("_bn1", nn.ReLU6()),
                ("_bn1", nn.AdaptiveAvgPool2d(1)), ("_bn1", nn.Flatten()), ("_fc", self._fc)]

    def forward(self, x):
        for _, child in self.children_in_order():
            x = child(x)
        return x


def pictures(folder, resize, crop):
    """A folder of photographs, a folder a class, as bytes [n,3,crop,crop], shorter side `resize` before the crop, and their classes."""
    import torchvision
    from torchvision.transforms import v2
    data = torchvision.datasets.ImageFolder(folder, v2.Compose([v2.Resize(resize), v2.CenterCrop(crop), v2.PILToTensor()]))
    x = torch.empty(len(data), 3, crop, crop, dtype=torch.uint8)
    for i, (picture, _) in enumerate(data):
        x[i] = picture
    return x, torch.tensor(data.targets)
