"""Networks of the training tests as IR text: parameters in PyTorch's state_dict order, initialised as its modules are.

    python nets.py mixed|vgg_small|resnet18 [SIDE CLASSES]

`text(name)` gives the text; with `values`, parameters are read from the file named instead: {name: (shape, initialiser)}."""
import sys


class Net:
    def __init__(self, name, shape, values=None):
        self.name, self.values, self.at = name, values, 0
        self.globals, self.body, self.count, self.index = [], [], 0, []
        self.shape = {"x": list(shape)}

    # --- parameters

    def value(self, kind, name, shape, init):
        self.index.append((name, shape))
        if self.values:
            init = f'data "{self.values}" {self.at}'
            self.at += 4 * product(shape)
        self.globals.append(f'{kind} %{name} : f32[{",".join(map(str, shape))}] {init}')

    # --- operations: each gives the name of its result

    def add(self, shape, op, *operands, **attrs):
        y, self.count = str(self.count), self.count + 1
        self.shape[y] = shape
        text = ", ".join(f"{k}={'[' + ','.join(map(str, v)) + ']' if isinstance(v, (list, tuple)) else v}" for k, v in attrs.items())
        dims = "n," + ",".join(map(str, shape))
        self.body.append(f"  %{y} : f32[{dims}] = {op} {', '.join('%' + o for o in operands)}{' {' + text + '}' if text else ''}")
        return y

    def window(self, x, kernel, stride, pad, dilation=1):
        """Extents of a result, its pads as ONNX has them (top, left, bottom, right)."""
        pad = [pad] * 4 if isinstance(pad, int) else pad
        _, h, w = self.shape[x]
        reach = (kernel - 1) * dilation + 1
        return [(h + pad[0] + pad[2] - reach) // stride + 1, (w + pad[1] + pad[3] - reach) // stride + 1], pad

    def conv(self, x, name, oc, kernel, stride=1, pad=0, dilation=1, groups=1, bias=True, init=None):
        ic = self.shape[x][0]
        fan_in = ic // groups * kernel * kernel
        init = init or f"init uniform fan_in={fan_in}"
        self.value("param", name + ".weight", [oc, ic // groups, kernel, kernel], init)
        operands = [x, name + ".weight"]
        if bias:
            self.value("param", name + ".bias", [oc], init)
            operands.append(name + ".bias")
        extents, pads = self.window(x, kernel, stride, pad, dilation)
        return self.add([oc] + extents, "conv2d", *operands, stride=[stride] * 2, pad=pads, dilation=[dilation] * 2, groups=groups)

    def norm(self, x, name):
        c = self.shape[x][0]
        self.value("param", name + ".weight", [c], "init constant 1")
        self.value("param", name + ".bias", [c], "init constant 0")
        self.value("const", name + ".running_mean", [c], "= splat 0")
        self.value("const", name + ".running_var", [c], "= splat 1")
        return self.add(self.shape[x], "batch_norm", x, *(f"{name}.{k}" for k in ("weight", "bias", "running_mean", "running_var")))

    def linear(self, x, name, out):
        fan_in = self.shape[x][0]
        for what, shape in (("weight", [out, fan_in]), ("bias", [out])):
            self.value("param", f"{name}.{what}", shape, f"init uniform fan_in={fan_in}")
        return self.add([out], "linear", x, name + ".weight", name + ".bias")

    def pool(self, x, op, kernel, stride, pad=0, **attrs):
        extents, pads = self.window(x, kernel, stride, pad)
        return self.add(self.shape[x][:1] + extents, op, x, kernel=[kernel] * 2, stride=[stride] * 2, pad=pads, **attrs)

    def max_pool(self, x, kernel, stride, pad=0):
        return self.pool(x, "max_pool2d", kernel, stride, pad)

    def avg_pool(self, x, kernel, stride, pad=0):
        return self.pool(x, "avg_pool2d", kernel, stride, pad, count_include_pad="true")  # PyTorch's default

    def relu(self, x):
        return self.add(self.shape[x], "relu", x)

    def sum(self, a, b):
        return self.add(self.shape[a], "add", a, b)

    def pad(self, x, top, left, bottom, right):
        c, h, w = self.shape[x]
        return self.add([c, h + top + bottom, w + left + right], "pad", x, pads=[0, 0, top, left, 0, 0, bottom, right])

    def flatten(self, x):
        return self.add([product(self.shape[x])], "flatten", x)

    def dropout(self, x, p):
        return self.add(self.shape[x], "dropout", x, p=p)

    def text(self, y):
        dims = "n," + ",".join(map(str, self.shape["x"]))
        return "\n".join([f'module "{self.name}"', "", *self.globals, "", f"func @forward(%x: f32[{dims}]) -> f32[n,{self.shape[y][0]}] {{",
                          *self.body, f"  return %{y}", "}", ""])


def product(shape):
    n = 1
    for d in shape:
        n *= d
    return n


def mixed():
    """Every attribute that the families use, small: groups, dilation, stride, asymmetric padding, both poolings, residual."""
    n = Net("mixed", (3, 33, 33))
    x = n.relu(n.norm(n.conv("x", "stem", 12, 5, stride=2, pad=2, bias=False), "bn0"))
    x = n.max_pool(x, 3, 2, 1)
    x = n.conv(x, "dw", 12, 3, pad=1, groups=12)
    x = n.relu(n.conv(x, "pw", 24, 1))
    g = n.norm(n.conv(x, "grp", 24, 3, pad=2, dilation=2, groups=4, bias=False), "bn1")
    x = n.relu(n.sum(g, x))
    a = n.conv(n.pad(x, 1, 0, 0, 1), "even", 20, 2)
    a = n.avg_pool(a, 3, 2, 1)
    b = n.conv(x, "skip", 20, 1, stride=2)
    x = n.avg_pool(n.relu(n.sum(a, b)), 3, 2)
    return n, n.linear(n.dropout(n.flatten(x), 0.25), "fc", 5)


def vgg_small():
    """torch.nn.Sequential: the position of each layer is its name."""
    n, x, at = Net("vgg_small", (3, 64, 64)), "x", 0
    for block in ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512)):
        for oc in block:
            x = n.relu(n.conv(x, str(at), oc, 3, pad=1))
            at += 2
        x = n.max_pool(x, 2, 2)
        at += 1
    x, at = n.flatten(x), at + 1
    for _ in range(2):
        x = n.dropout(n.relu(n.linear(x, str(at), 1024)), 0.5)
        at += 3
    return n, n.linear(x, str(at), 2)


def resnet18(side=64, classes=2, values=None):
    """torchvision's, with its own initial values."""
    n = Net("resnet18", (3, side, side), values)

    def conv(x, name, oc, kernel, stride=1):
        return n.conv(x, name, oc, kernel, stride, kernel // 2, bias=False, init=f"init normal fan_out={oc * kernel * kernel}")

    def block(x, name, oc, stride):
        y = n.relu(n.norm(conv(x, name + ".conv1", oc, 3, stride), name + ".bn1"))
        y = n.norm(conv(y, name + ".conv2", oc, 3), name + ".bn2")
        if stride != 1 or n.shape[x][0] != oc:
            x = n.norm(conv(x, name + ".downsample.0", oc, 1, stride), name + ".downsample.1")
        return n.relu(n.sum(y, x))

    x = n.relu(n.norm(conv("x", "conv1", 64, 7, 2), "bn1"))
    x = n.max_pool(x, 3, 2, 1)
    for layer, oc in enumerate((64, 128, 256, 512), 1):
        for i in range(2):
            x = block(x, f"layer{layer}.{i}", oc, 2 if layer > 1 and i == 0 else 1)
    x = n.add([512], "reduce_mean", x, axes=[2, 3], keepdims="false")
    return n, n.linear(x, "fc", classes)


def text(name, *args, **kw):
    n, y = {"mixed": mixed, "vgg_small": vgg_small, "resnet18": resnet18}[name](*args, **kw)
    return n.text(y)


if __name__ == "__main__":
    print(text(sys.argv[1], *map(int, sys.argv[2:])), end="")
