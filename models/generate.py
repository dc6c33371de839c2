#!/usr/bin/env python3
"""The built-in networks as IR text: python3 models/generate.py writes models/NAME.tir.

Names and order of the parameters are torchvision's, so that its weights fit, and so are the
initial values. Only the standard library is needed; the output is committed beside this file.
"""
import os

HERE = os.path.dirname(os.path.abspath(__file__))


class Net:
    """A network under construction: globals in order, statements in order, shapes followed."""

    def __init__(self, name, comment, shape):
        self.name, self.comment, self.input = name, comment, shape
        self.globals, self.lines, self.count = [], [], 0

    def param(self, name, shape, init):
        self.globals.append(f"param %{name} : f32[{','.join(map(str, shape))}] init {init}")
        return f"%{name}"

    def statistic(self, name, size, value):
        self.globals.append(f"const %{name} : f32[{size}] = splat {value}")
        return f"%{name}"

    def op(self, name, shape, text):
        value = f"%{self.count}"
        self.count += 1
        self.lines.append(f"  {value} : {type_of(shape)} = {text} ; \"{name}\"")
        return value, shape

    def conv(self, x, name, out, kernel, stride=1, pad=None, groups=1, bias=None, weight="fan_out"):
        """pad: a number, or top, left, bottom, right; bias, weight: "zero" or "uniform", "fan_out"."""
        value, (c, h, w) = x
        pad = kernel // 2 if pad is None else pad
        pads = [pad] * 4 if isinstance(pad, int) else list(pad)
        fan_in = c // groups * kernel * kernel
        init = {"fan_out": f"normal fan_out={out * kernel * kernel}", "uniform": f"uniform fan_in={fan_in}"}[weight]
        operands = [value, self.param(f"{name}.weight", (out, c // groups, kernel, kernel), init)]
        if bias:
            start = {"zero": "constant 0", "uniform": f"uniform fan_in={fan_in}"}[bias]
            operands.append(self.param(f"{name}.bias", (out,), start))
        attrs = []
        if groups > 1:
            attrs.append(f"groups={groups}")
        if any(pads):
            attrs.append(f"pad=[{','.join(map(str, pads))}]")
        if stride > 1:
            attrs.append(f"stride=[{stride},{stride}]")
        shape = (out, (h + pads[0] + pads[2] - kernel) // stride + 1, (w + pads[1] + pads[3] - kernel) // stride + 1)
        return self.op(name, shape, f"conv2d {', '.join(operands)}{braces(attrs)}")

    def norm(self, x, name, epsilon=None):
        c = x[1][0]
        operands = [x[0], self.param(f"{name}.weight", (c,), "constant 1"), self.param(f"{name}.bias", (c,), "constant 0"),
                    self.statistic(f"{name}.running_mean", c, 0), self.statistic(f"{name}.running_var", c, 1)]
        attrs = [f"epsilon={epsilon}"] if epsilon else []
        return self.op(name, x[1], f"batch_norm {', '.join(operands)}{braces(attrs)}")

    def relu(self, x, name):
        return self.op(name, x[1], f"relu {x[0]}")

    def relu6(self, x, name):
        return self.op(name, x[1], f"clip {x[0]} {{lo=0, hi=6}}")

    def add(self, x, y, name):
        return self.op(name, x[1], f"add {x[0]}, {y[0]}")

    def max_pool(self, x, name, kernel, stride, pad=0):
        c, h, w = x[1]
        size = tuple((n + 2 * pad - kernel) // stride + 1 for n in (h, w))
        attrs = [f"kernel=[{kernel},{kernel}]"] + ([f"pad=[{pad},{pad},{pad},{pad}]"] if pad else []) + [f"stride=[{stride},{stride}]"]
        return self.op(name, (c, *size), f"max_pool2d {x[0]}{braces(attrs)}")

    def mean(self, x, name):
        return self.op(name, x[1][:1], f"reduce_mean {x[0]} {{axes=[2,3], keepdims=false}}")

    def flatten(self, x, name):
        c, h, w = x[1]
        return self.op(name, (c * h * w,), f"flatten {x[0]} {{axis=1}}")

    def dropout(self, x, name, p):
        return self.op(name, x[1], f"dropout {x[0]} {{p={p}}}")

    def linear(self, x, name, out, weight=None, bias=None):
        """Initial values: PyTorch's own where none are given."""
        uniform = f"uniform fan_in={x[1][0]}"
        w = self.param(f"{name}.weight", (out, x[1][0]), weight or uniform)
        b = self.param(f"{name}.bias", (out,), bias or uniform)
        return self.op(name, (out,), f"linear {x[0]}, {w}, {b}")

    def text(self, y):
        head = "".join(f"// {line}\n" for line in self.comment) + f'module "{self.name}"\n\n'
        body = f"\n\nfunc @forward(%x: {type_of(self.input)}) -> {type_of(y[1])} {{\n" + "\n".join(self.lines)
        return head + "\n".join(self.globals) + body + f"\n  return {y[0]}\n}}\n"


def type_of(shape):
    return f"f32[n,{','.join(map(str, shape))}]"


def braces(attrs):
    return f" {{{', '.join(attrs)}}}" if attrs else ""


# --- VGG: Simonyan and Zisserman 2014 ------------------------------------------------------------

VGG = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}


def vgg(name, norm):
    net = Net(name + ("_bn" if norm else ""), ["VGG of torchvision; its adaptive pooling to 7x7 is nothing at 224x224."], (3, 224, 224))
    x, i = ("%x", net.input), 0
    for convs, width in zip(VGG[name], (64, 128, 256, 512, 512)):
        for _ in range(convs):
            x = net.conv(x, f"features.{i}", width, 3, bias="zero")
            if norm:
                i += 1
                x = net.norm(x, f"features.{i}")
            x = net.relu(x, f"features.{i + 1}")
            i += 2
        x = net.max_pool(x, f"features.{i}", 2, 2)
        i += 1
    x = net.flatten(x, "flatten")
    for i, out in ((0, 4096), (3, 4096), (6, 1000)):
        x = net.linear(x, f"classifier.{i}", out, "normal std=0.01", "constant 0")
        if i < 6:
            x = net.dropout(net.relu(x, f"classifier.{i + 1}"), f"classifier.{i + 2}", 0.5)
    return net, x


def vgg_small():
    """A small VGG for pictures of 64x64, as torch.nn.Sequential counts its layers."""
    net = Net("vgg-small", ["Ten convolutions and three linear layers for pictures of 64x64, as an nn.Sequential."], (3, 64, 64))
    x, i = ("%x", net.input), 0
    for convs, width in ((2, 64), (2, 128), (3, 256), (3, 512)):
        for _ in range(convs):
            x = net.relu(net.conv(x, i, width, 3, bias="uniform", weight="uniform"), i + 1)
            i += 2
        x = net.max_pool(x, i, 2, 2)
        i += 1
    x = net.flatten(x, i)
    for i in (25, 28):
        x = net.dropout(net.relu(net.linear(x, i, 1024), i + 1), i + 2, 0.5)
    return net, net.linear(x, 31, 2)


# --- ResNet: He et al. 2015; ResNeXt: Xie et al. 2016; wide: Zagoruyko and Komodakis 2016 ---------

#        name: (bottleneck, blocks of each stage, groups, width of a group)
RESNET = {"resnet18": (False, (2, 2, 2, 2), 1, 64), "resnet34": (False, (3, 4, 6, 3), 1, 64),
          "resnet50": (True, (3, 4, 6, 3), 1, 64), "resnet101": (True, (3, 4, 23, 3), 1, 64),
          "resnet152": (True, (3, 8, 36, 3), 1, 64), "resnext50_32x4d": (True, (3, 4, 6, 3), 32, 4),
          "wide_resnet50_2": (True, (3, 4, 6, 3), 1, 128)}


def residual_block(net, x, name, planes, stride, bottleneck, groups, width):
    out = planes * 4 if bottleneck else planes
    inner = planes * width // 64 * groups
    # name, channels, kernel, stride, groups: torchvision strides in the 3x3 convolution
    convs = (((1, inner, 1, 1, 1), (2, inner, 3, stride, groups), (3, out, 1, 1, 1)) if bottleneck
             else ((1, planes, 3, stride, 1), (2, planes, 3, 1, 1)))
    y = x
    for i, channels, kernel, step, split in convs:
        y = net.norm(net.conv(y, f"{name}.conv{i}", channels, kernel, step, groups=split), f"{name}.bn{i}")
        if i < len(convs):
            y = net.relu(y, f"{name}.relu{i}")
    if stride > 1 or x[1][0] != out:
        x = net.norm(net.conv(x, f"{name}.downsample.0", out, 1, stride), f"{name}.downsample.1")
    return net.relu(net.add(y, x, f"{name}.add"), f"{name}.relu")


def resnet(name):
    bottleneck, stages, groups, width = RESNET[name]
    net = Net(name, ["As torchvision's, whose bottlenecks stride in their 3x3 convolution."], (3, 224, 224))
    x = net.norm(net.conv(("%x", net.input), "conv1", 64, 7, 2), "bn1")
    x = net.max_pool(net.relu(x, "relu"), "maxpool", 3, 2, 1)
    for stage, blocks in enumerate(stages):
        for i in range(blocks):
            stride = 2 if stage > 0 and i == 0 else 1
            x = residual_block(net, x, f"layer{stage + 1}.{i}", 64 << stage, stride, bottleneck, groups, width)
    return net, net.linear(net.mean(x, "avgpool"), "fc", 1000)


# --- EfficientNet-Lite0: Tan and Le 2019, without squeeze-and-excite ------------------------------

def same(kernel, stride, size):
    """TensorFlow's SAME padding: top, left, bottom, right."""
    p = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return p // 2, p // 2, p - p // 2, p - p // 2


def lite_conv(net, x, conv, norm, out, kernel, stride=1, groups=1):
    y = net.conv(x, conv, out, kernel, stride, same(kernel, stride, x[1][1]), groups, weight="uniform")
    return net.norm(y, norm, "0.001")


def lite_block(net, x, name, out, kernel, stride, expand):
    y, width = x, x[1][0] * expand
    if expand > 1:
        y = net.relu6(lite_conv(net, y, f"{name}._expand_conv", f"{name}._bn0", width, 1), f"{name}._relu0")
    y = net.relu6(lite_conv(net, y, f"{name}._depthwise_conv", f"{name}._bn1", width, kernel, stride, width), f"{name}._relu1")
    y = lite_conv(net, y, f"{name}._project_conv", f"{name}._bn2", out, 1)
    return net.add(x, y, f"{name}.add") if stride == 1 and x[1][0] == out else y


def efficientnet_lite0():
    net = Net("efficientnet_lite0", ["Padding is TensorFlow's SAME for inputs of 224x224."], (3, 224, 224))
    x = net.relu6(lite_conv(net, ("%x", net.input), "_conv_stem", "_bn0", 32, 3, 2), "_relu0")
    count = 0
    for blocks, out, kernel, stride, expand in ((1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6),
                                                (3, 112, 5, 1, 6), (4, 192, 5, 2, 6), (1, 320, 3, 1, 6)):
        for i in range(blocks):
            x = lite_block(net, x, f"_blocks.{count}", out, kernel, stride if i == 0 else 1, expand)
            count += 1
    x = net.relu6(lite_conv(net, x, "_conv_head", "_bn1", 1280, 1), "_relu1")
    return net, net.linear(net.mean(x, "_avg_pooling"), "_fc", 1000)


def networks():
    yield vgg_small()
    yield efficientnet_lite0()
    for name in VGG:
        yield vgg(name, False)
        yield vgg(name, True)
    for name in RESNET:
        yield resnet(name)


if __name__ == "__main__":
    for network, result in networks():
        with open(os.path.join(HERE, network.name + ".tir"), "w", encoding="ascii") as file:
            file.write(network.text(result))
