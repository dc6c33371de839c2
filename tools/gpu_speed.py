"""tlc beside PyTorch on a card: the same weights give the same logits, and how long inference and a training step take.

    python3 tools/gpu_speed.py [NAME...] [--batch 32] [--seconds 3] [--steps 20] [--target cuda] [--device cuda]

NAME: a built-in network, whole, or with :head its classifier alone on features made once; @SIZE for another input.
PyTorch in fp32 without TF32, as it comes (eager), with torch.compile, and with a CUDA graph captured of the step; its batch
lies on the device, while tlc's figure has the batch's way from the host in it.  A line says `ok`, `speed`, `left` (what
could not be done, and why) or `FAILED`.  Exit code 1 if logits differ or tlc fails.  TLC names the compiler."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(ROOT, "build/release/tlc"))
CLASSES = 10
SIZES = {"vgg-small": 64}
ALLOWED = 1e-4
WARM = 3

failed = False


def say(kind, text):
    global failed
    failed = failed or kind == "FAILED"
    print(f"{kind:<7} {text}", flush=True)


def first_line(error):
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


try:
    import numpy as np
    import torch
    from torch import nn
    from torch.nn.functional import cross_entropy, pad
except ImportError as e:
    say("left", f"PyTorch beside tlc: {first_line(e)}")
    sys.exit(0)


# --- networks -------------------------------------------------------------------------------

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
    """Padded as TensorFlow's SAME: the odd one goes below and to the right."""

    def forward(self, x):
        p = [max((-(-size // s) - 1) * s + k - size, 0) for size, k, s in zip(x.shape[2:], self.kernel_size, self.stride)]
        return super().forward(pad(x, (p[1] // 2, p[1] - p[1] // 2, p[0] // 2, p[0] - p[0] // 2)))


def norm(channels):
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class LiteBlock(nn.Module):
    """An inverted residual (Sandler et al. 2018); its members have the names of models/efficientnet_lite0.tir."""

    def __init__(self, into, out, kernel, stride, expand):
        super().__init__()
        wide = into * expand
        if expand > 1:
            self._expand_conv, self._bn0 = nn.Conv2d(into, wide, 1, bias=False), norm(wide)
        self._depthwise_conv, self._bn1 = SameConv(wide, wide, kernel, stride, groups=wide, bias=False), norm(wide)
        self._project_conv, self._bn2 = nn.Conv2d(wide, out, 1, bias=False), norm(out)
        self.expands, self.adds = expand > 1, stride == 1 and into == out

    def forward(self, x):
        y = nn.functional.relu6(self._bn0(self._expand_conv(x))) if self.expands else x
        y = self._bn2(self._project_conv(nn.functional.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.adds else y


class Lite0(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        blocks, into = [], 32
        for count, out, kernel, stride, expand in ((1, 16, 3, 1, 1), (2, 24, 3, 2, 6), (2, 40, 5, 2, 6), (3, 80, 3, 2, 6), (3, 112, 5, 1, 6),
                                                   (4, 192, 5, 2, 6), (1, 320, 3, 1, 6)):
            for i in range(count):
                blocks.append(LiteBlock(into, out, kernel, stride if i == 0 else 1, expand))
                into = out
        self._conv_stem, self._bn0, self._blocks = SameConv(3, 32, 3, 2, bias=False), norm(32), nn.Sequential(*blocks)
        self._conv_head, self._bn1, self._fc = nn.Conv2d(320, 1280, 1, bias=False), norm(1280), nn.Linear(1280, num_classes)

    def forward(self, x):
        x = self._blocks(nn.functional.relu6(self._bn0(self._conv_stem(x))))
        return self._fc(nn.functional.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))


def network(name):
    if name == "vgg-small":
        return vgg_small(CLASSES)
    if name == "efficientnet_lite0":
        return Lite0(CLASSES)
    import torchvision
    return getattr(torchvision.models, name)(num_classes=CLASSES)


# --- PyTorch ----------------------------------------------------------------------------------

def wait(device):
    if device == "cuda":
        torch.cuda.synchronize()


def milliseconds(call, device, seconds):
    """Median of single calls, after some that warm up."""
    for _ in range(WARM):
        call()
    wait(device)
    times, start = [], time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        call()
        wait(device)
        times.append(time.perf_counter() - t)
    return 1e3 * statistics.median(times)


def as_graph(call, device):
    """What `call` launches, captured once and replayed."""
    if device != "cuda":
        raise RuntimeError(f"none on {device}")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(WARM):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def training_step(net, x, y, device):
    """A step of Adam on one batch; `net` may be compiled."""
    optimizer = torch.optim.Adam(net.parameters(), 1e-4, capturable=device == "cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        cross_entropy(net(x), y).backward()
        optimizer.step()
    return step


def peers(what, make_call, a):
    """Milliseconds of each way of PyTorch that works here; make_call(wrap) gives the call over wrap(net)."""
    ways = {"eager": lambda: make_call(lambda net: net),
            "torch.compile": lambda: make_call(torch.compile),
            "CUDA graph": lambda: as_graph(make_call(lambda net: net), a.device)}
    got = {}
    for way, call in ways.items():
        try:
            got[way] = milliseconds(call(), a.device, a.seconds)
        except Exception as e:  # whatever a way lacks, the others are still measured
            say("left", f"{what}: PyTorch's {way}: {first_line(e)}")
    return got


def report(what, ours, theirs):
    if theirs:
        best = min(theirs.values())
        others = ", ".join(f"{k} {v:.2f}" for k, v in theirs.items())
        say("speed", f"{what}: tlc {ours:.2f} ms, PyTorch {others}: {best / ours:.2f}x the best")
    else:
        say("speed", f"{what}: tlc {ours:.2f} ms, nothing of PyTorch's beside it")


# --- tlc --------------------------------------------------------------------------------------

def tlc(folder, source, target, batch, program, *options):
    subprocess.run([TLC, "compile", source, "-o", folder, "-q", "--target", target, "--batch", str(batch), "--preprocess", "none", *options],
                   check=True, capture_output=True, text=True)
    subprocess.run(["make", "-s", "-C", folder, program], check=True, capture_output=True, text=True)
    return os.path.join(folder, program)


def inference(name, net, x, options, place, a):
    what = f"{name} inference, batch {a.batch}"
    program = tlc(f"{place}/infer", name, a.target, a.batch, "predictor", "--weights", f"{place}/w.pth", *options)
    np.save(f"{place}/x.npy", x.numpy())
    subprocess.run([program, "infer", "--input", f"{place}/x.npy", "-o", f"{place}/y.npy"], check=True, capture_output=True, text=True)
    got, on_device = np.load(f"{place}/y.npy"), x.to(a.device)
    net.eval()

    def make_call(wrap):
        wrapped = wrap(net)

        def call():
            with torch.no_grad():
                return wrapped(on_device)
        return call
    want = make_call(lambda n: n)().cpu().numpy()
    off = float(np.abs(got - want).max() / np.abs(want).max())
    say("ok" if off <= ALLOWED else "FAILED", f"{name}: logits beside PyTorch's {off:.1e} of the largest, allowed {ALLOWED:.0e}")
    p = subprocess.run([program, "bench", "--json", "--batch", str(a.batch), "--seconds", str(a.seconds)], check=True, capture_output=True, text=True)
    report(what, 1e3 * json.loads(p.stdout.splitlines()[-1])["median_s"], peers(what, make_call, a))


def step_times(program, x, place, a):
    """Milliseconds between steps, by metrics.jsonl: an epoch of batches, the first two left out."""
    count = a.batch * (a.steps + 3)
    np.save(f"{place}/tx.npy", np.resize(x.numpy(), (count, *x.shape[1:])))
    np.save(f"{place}/ty.npy", np.arange(count) % CLASSES)
    subprocess.run([program, "train", "--data", f"{place}/tx.npy,{place}/ty.npy", "--valid", "0", "--epochs", "1", "--lr", "1e-4", "--out",
                    f"{place}/run", "-q"], check=True, capture_output=True, text=True)
    with open(f"{place}/run/metrics.jsonl") as f:
        at = [s["time_s"] for s in map(json.loads, f) if s["type"] == "step"]
    return [1e3 * (b - a) for a, b in zip(at, at[1:])][1:]


def training(name, head, net, x, options, place, a):
    what = f"{name} {'classifier' if head else 'training'} step, batch {a.batch}"
    options = options + ["--optimizer", "adam"]
    if head:
        options += ["--weights", f"{place}/w.pth", "--freeze", "*", "--unfreeze", "classifier.*"]
    ours = statistics.median(step_times(tlc(f"{place}/train", name, a.target, a.batch, "trainer", *options), x, place, a))
    inputs, trained = x.to(a.device), net
    if head:
        with torch.no_grad():
            inputs = torch.flatten(net.avgpool(net.features(inputs)), 1)
        trained = net.classifier
    trained.train()
    labels = (torch.arange(a.batch) % CLASSES).to(a.device)
    report(what, ours, peers(what, lambda wrap: training_step(wrap(trained), inputs, labels, a.device), a))


def measure(spec, a):
    spec, _, part = spec.partition(":")
    name, _, size = spec.partition("@")
    size = int(size or SIZES.get(name, 224))
    torch.manual_seed(1)
    net, options = network(name), ["--input", f"3x{size}x{size}", "--classes", str(CLASSES)]
    x = torch.randn(a.batch, 3, size, size)
    with tempfile.TemporaryDirectory() as place:
        torch.save(net.state_dict(), f"{place}/w.pth")
        net = net.to(a.device)
        inference(name, net, x, options, place, a)
        training(name, part == "head", net, x, options, place, a)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--target", default="cuda", help="of tlc")
    parser.add_argument("--device", default="cuda", help="of PyTorch")
    a = parser.parse_intermixed_args()
    if a.device == "cuda" and not torch.cuda.is_available():
        say("left", f"PyTorch beside tlc: PyTorch {torch.__version__} sees no CUDA device")
        return 0
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for spec in a.names or ["resnet50", "vgg16:head", "efficientnet_lite0"]:
        try:
            measure(spec, a)
        except subprocess.CalledProcessError as e:
            say("FAILED", f"{spec}: {os.path.basename(str(e.cmd[0]))}: {first_line(e.stderr or e.stdout or e)}")
        except Exception as e:  # a network that PyTorch lacks here, memory of the card
            say("left", f"{spec}: {first_line(e)}")
    return int(failed)


sys.exit(main())
