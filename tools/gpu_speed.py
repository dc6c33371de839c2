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
    from torch.nn.functional import cross_entropy
except ImportError as e:
    say("left", f"PyTorch beside tlc: {first_line(e)}")
    sys.exit(0)

sys.path.insert(0, os.path.join(ROOT, "bench"))
from torch_side import Lite0, vgg_small

# --- networks -------------------------------------------------------------------------------

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
