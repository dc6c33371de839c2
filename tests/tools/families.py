"""torchvision's classifiers through both of PyTorch's exporters, tlc, ONNX Runtime and PyTorch's own gradients; writes
the table of docs/families.md.

    TLC=build/release/tlc python tests/tools/families.py WORK [NAME...] > table

Needs torch, torchvision, onnx, onnxscript and onnxruntime (a virtual environment; no part of the product).

Forward: three pictures on target cpu against ONNX Runtime; weights, biases, scales and statistics are random, so that
every layer counts.  Gradient: the network as torchvision makes it, whose zeros and ones the exporter stores once for
all layers; everything trained but batch norms' scales and biases (--bn frozen: PyTorch's eval mode), one step of SGD on
two pictures, target ref in double, against PyTorch in double; each tensor's largest difference over its largest
gradient, the worst tensor counts.  The exporter folds batch norms into convolutions unless it is told to preserve the
network, which is what the gradient is measured on.  Exported: a new head is trained on ten pictures, `trainer export
FILE.onnx` writes a file that onnx.checker takes, and ONNX Runtime's outputs of it are held against the predictor's."""
import json
import os
import shutil
import subprocess
import sys
import warnings
from multiprocessing import Pool

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision

warnings.filterwarnings("ignore")
TLC = os.environ.get("TLC", "build/release/tlc")
FAMILIES = ["alexnet", "vgg11", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "squeezenet1_1", "densenet121", "googlenet",
            "inception_v3", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s",
            "regnet_x_400mf", "shufflenet_v2_x0_5", "convnext_tiny", "vit_b_16", "swin_t"]
SIZE = {"alexnet": 224, "vgg11": 224, "inception_v3": 75}   # of the input: the least that the network takes
TINY = 64                                                   # of all others
WORKERS = int(os.environ.get("WORKERS", "2"))
RATE = 1000.0                             # so that a float32 parameter's step shows its gradient to all digits


def make(name, drawn=True):
    """The network with seeded weights, ready for inference; `drawn`: also what torchvision fills with zeros and ones."""
    torch.manual_seed(3)
    extra = {"init_weights": True, "aux_logits": False} if name in ("googlenet", "inception_v3") else {}
    if name == "vit_b_16":
        extra = {"image_size": TINY}
    net = getattr(torchvision.models, name)(weights=None, **extra)
    if name == "vit_b_16":  # torchvision's head is zeros: nothing would depend on the picture
        torch.nn.init.normal_(net.heads.head.weight, 0, 0.05)
    if not drawn:
        return net.eval()
    for m in net.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.running_mean.normal_(0, 0.1)
            m.running_var.uniform_(0.5, 1.5)
    for key, p in net.named_parameters():
        if key.endswith("bias"):
            torch.nn.init.normal_(p, 0, 0.05)
        elif p.ndim == 1 or "layer_scale" in key:
            torch.nn.init.uniform_(p, 0.5, 1.5)
    return net.eval()


def export(net, x, path, dynamo, preserve=False):
    kept = {"training": torch.onnx.TrainingMode.PRESERVE} if preserve else {}
    if dynamo:
        torch.onnx.export(net, (x,), path, dynamo=True, verbose=False, external_data=False)
    else:
        torch.onnx.export(net, x, path, dynamo=False, opset_version=17, input_names=["input"],
                          dynamic_axes={"input": {0: "n"}}, **kept)


def call(*command):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr.strip().splitlines()


def error_of(lines):
    return next((l for l in lines if "error" in l), lines[0] if lines else "?").split("error: ")[-1][:110]


def distance(path, folder, x, work, *weights):
    """Largest difference from ONNX Runtime over the largest value, picture by picture where its batch is 1."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed = session.get_inputs()[0]
    step = feed.shape[0] if isinstance(feed.shape[0], int) else len(x)
    want = np.concatenate([session.run(None, {feed.name: x[i:i + step]})[0] for i in range(0, len(x), step)])
    np.save(work + "/x.npy", x)
    code, _, err = call(folder + "/predictor", "infer", "--input", work + "/x.npy", "--output", work + "/y.npy", *weights)
    if code:
        return f"infer: {error_of(err)}"
    y = np.load(work + "/y.npy").reshape(want.shape)
    return f"{np.max(np.abs(y - want)) / np.max(np.abs(want)):.1e}"


def build(folder, *targets):
    code, _, err = call("make", "-s", "-C", folder, "CFLAGS=-O1", *targets)
    return code == 0


def pictures(n, size):
    return np.random.default_rng(5).standard_normal((n, 3, size, size)).astype(np.float32)


def line_of(out, word):
    return next((l for l in out.splitlines() if word in l), "").strip()


def head_and_export(path, size, work, exports):
    """The report's line on the head, and how far the exported network is from the predictor."""
    folder, run, app, file = (f"{work}/{d}" for d in ("head", "run", "app", "back.onnx"))
    code, out, err = call(TLC, "compile", path, "--replace-head", "2", "--freeze-backbone", "--preprocess", "none", "-o", folder)
    if code:
        return "none: " + error_of(err), ""
    head = line_of(out, "head  ")[4:].strip()
    if not exports:
        return head, ""
    if not build(folder, "trainer", "predictor"):
        return head, "build fails"
    x = pictures(10, size)
    np.save(f"{work}/tx.npy", x)
    np.save(f"{work}/ty.npy", np.arange(10, dtype=np.int64) % 2)
    for arguments in (("train", "--data", f"{work}/tx.npy,{work}/ty.npy", "--valid", 0.3, "--epochs", 1, "-q", "-o", run),
                      ("export", file, "--run", run), ("export", "-o", app, "--run", run)):
        code, _, err = call(folder + "/trainer", *arguments)
        if code:
            return head, f"{arguments[0]}: {error_of(err)}"
    try:
        onnx.checker.check_model(onnx.load(file), full_check=True)
        return head, distance(file, folder, x[:3], work, "--weights", app + "/weights.bin")
    except Exception as e:  # of the checker or ONNX Runtime: a result too
        return head, f"refused: {str(e).splitlines()[0][-110:]}"


def read_safetensors(path):
    with open(path, "rb") as f:
        n = int.from_bytes(f.read(8), "little")
        header, data = json.loads(f.read(n)), f.read()
    kinds = {"F32": np.float32, "F64": np.float64, "I64": np.int64}
    return {k: np.frombuffer(data[v["data_offsets"][0]:v["data_offsets"][1]], kinds[v["dtype"]]).reshape(v["shape"])
            for k, v in header.items() if k != "__metadata__"}


def torch_gradients(net, x, labels):
    net = net.double()
    loss = torch.nn.functional.cross_entropy(net(torch.from_numpy(x).double()), torch.from_numpy(labels))
    loss.backward()
    norms = {f"{m}.{p}" for m, of in net.named_modules() if isinstance(of, torch.nn.BatchNorm2d) for p in ("weight", "bias")}
    return {k: (p.detach().numpy(), p.grad.numpy()) for k, p in net.named_parameters() if k not in norms}


def worst_gradient(moved, wanted):
    """Of every tensor; an exporter may have transposed a matrix, and named it anew."""
    worst, missing = 0.0, []
    floor = 1e-6 * max(np.max(np.abs(g)) for _, g in wanted.values())
    for name, (start, gradient) in wanted.items():
        if name in moved:
            got = (start - moved[name].reshape(start.shape)) / RATE
            worst = max(worst, np.max(np.abs(got - gradient)) / max(np.max(np.abs(gradient)), floor))
        else:
            missing.append(name)
    for name in missing:
        start, gradient = wanted[name]
        scale = max(np.max(np.abs(gradient)), floor)
        fits = [np.max(np.abs((s - m.reshape(s.shape)) / RATE - g)) / scale for n, m in moved.items() if n not in wanted
                for s, g in ((start, gradient), (start.T, gradient.T)) if m.size == s.size and (m.ndim == 4 or m.shape == s.shape)]
        if not fits:
            return f"no gradient by {name}"
        worst = max(worst, min(fits))
    return f"{worst:.1e}"


def gradient(name, work):
    size, net = SIZE.get(name, TINY), make(name, drawn=False)
    path, folder, out = f"{work}/g.onnx", f"{work}/gnet", f"{work}/grun"
    export(net, torch.zeros(1, 3, size, size), path, False, preserve=True)
    code, report, err = call(TLC, "compile", path, "-o", folder, "--unfreeze", "*", "--bn", "frozen", "--optimizer", "sgd", "--batch", 2,
                        "--target", "ref", "--precision", "fp64", "--preprocess", "none")
    if code:
        return f"refused: {error_of(err)}", ""
    untied = (line_of(report, " untied") or "0").split()[0]
    if not build(folder, "trainer"):
        return "build fails", untied
    rng = np.random.default_rng(6)
    x, labels = rng.standard_normal((2, 3, size, size)).astype(np.float32), rng.integers(0, 1000, 2)
    np.save(f"{work}/gx.npy", x)
    np.save(f"{work}/gy.npy", labels)
    code, _, err = call(f"{folder}/trainer", "train", "--data", f"{work}/gx.npy,{work}/gy.npy", "--valid", 0, "--epochs", 1,
                        "--lr", RATE, "--momentum", 0, "--out", out, "-q", "--no-cache")
    last = [f for f in os.listdir(out) if f.startswith("last-")] if os.path.isdir(out) else []
    if not last:
        return f"train: {error_of(err)}", untied
    return worst_gradient(read_safetensors(f"{out}/{last[0]}"), torch_gradients(net, x, labels)), untied


def cells(name, dynamo, work):
    size, path, folder = SIZE.get(name, TINY), f"{work}/net.onnx", f"{work}/net"
    try:
        export(make(name), torch.zeros(1, 3, size, size), path, dynamo)
    except Exception as e:  # the exporter's failure is a result of its own
        return [f"export fails: {type(e).__name__}"]
    code, _, err = call(TLC, "compile", path, "-o", folder)
    if code:
        return [f"refused: {error_of(err)}"]
    if not build(folder, "predictor"):
        return ["yes", "build fails"]
    forward = distance(path, folder, pictures(3, size), work)
    shutil.rmtree(folder)
    head, exported = head_and_export(path, size, work, not dynamo)
    slope, untied = ("", "") if dynamo else gradient(name, work)
    return ["yes", forward, slope, untied, head, exported]


def row(job):
    name, dynamo, work = job
    torch.set_num_threads(1)
    here = f"{work}/{name}{'-dynamo' if dynamo else ''}"
    shutil.rmtree(here, ignore_errors=True)
    os.makedirs(here)
    found = cells(name, dynamo, here)
    shutil.rmtree(here)
    return f"| {name} | {'dynamo' if dynamo else 'TorchScript'} | " + " | ".join(found + [""] * (6 - len(found))) + " |"


def main():
    work, names = sys.argv[1], sys.argv[2:] or FAMILIES
    jobs = [(name, dynamo, work) for dynamo in (False, True) for name in names]
    rows = []
    with Pool(WORKERS, maxtasksperchild=1) as pool:
        for line in pool.imap_unordered(row, jobs, chunksize=1):
            print(line, file=sys.stderr, flush=True)   # as they come
            rows.append(line)
    print("| network | exporter | import | forward | gradient | untied | head replaced | exported |\n"
          "|---|---|---|---|---|---|---|---|")
    print("\n".join(sorted(rows)))


main()
