"""torchvision's classifiers through both of PyTorch's exporters, tlc, ONNX Runtime and PyTorch's own gradients; prints
the table of docs/families.md.

    TLC=build/release/tlc python tests/tools/families.py [--rows FILE] [NAME...] > table

Needs torch, torchvision, onnx, onnxscript and onnxruntime (a virtual environment; no part of the product).  A NAME is a
network of torchvision or an ONNX file; without any, all of FAMILIES.  --rows FILE keeps each finished row as a line of
JSON, and rows that this tlc made are taken from there.  Exit 1 where a cell misses its bound (BOUNDS).

Forward: three pictures on target cpu against ONNX Runtime; weights, biases, scales and statistics are random, so that
every layer counts.  Gradient: everything trained but batch norms' scales and biases (--bn frozen: PyTorch's eval mode),
one step of SGD on two pictures (one of 224 pixels), target ref in double, against PyTorch in double; each tensor's largest difference over
its largest gradient, the worst tensor counts.  TorchScript folds batch norms into convolutions unless it is told to
preserve the network, so the gradient has an export of its own there: preserved, with weights as torchvision makes them,
whose zeros and ones the exporter stores once for all layers.  The dynamo exporter folds always; PyTorch's gradient is
of the network that torch.fx folded, with the file's values.  Exported: a new head is trained on ten pictures, `trainer
export FILE.onnx` writes a file that onnx.checker takes, and ONNX Runtime's outputs of it are held against the
predictor's."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from multiprocessing import Pool

import numpy as np
import onnx
import onnxruntime
import torch
import torchvision
from onnx import numpy_helper
from torch.fx.experimental.optimization import fuse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from common import TLC, read_safetensors, sha256
from tiny import quick_make
from parameters import draw_torch, stored_under

warnings.filterwarnings("ignore")
onnxruntime.set_default_logger_severity(3)
FAMILIES = ["alexnet", "vgg11", "resnet18", "resnext50_32x4d", "wide_resnet50_2", "squeezenet1_1", "densenet121", "googlenet",
            "inception_v3", "mobilenet_v2", "mobilenet_v3_small", "mnasnet0_5", "efficientnet_b0", "efficientnet_v2_s",
            "regnet_x_400mf", "regnet_y_400mf", "shufflenet_v2_x0_5", "convnext_tiny"]
SIZE = {"alexnet": 224, "vgg11": 224, "inception_v3": 75}   # of the input: the least that the network takes
TINY = 64                                                   # of all others
MANY_PIXELS = 100                                           # on a side: the gradient of one picture
BOUNDS = {"forward": 1e-5, "gradient": 1e-7, "exported": 1e-5}
COLUMNS = ["network", "exporter", "import", "forward", "gradient", "untied", "head replaced", "exported"]
WORKERS = int(os.environ.get("WORKERS", "2"))
RATE = 1000.0                             # so that a parameter's step shows its gradient to all digits


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
    draw_torch(net)
    return net.eval()


def export(net, x, path, exporter, preserve=False):
    kept = {"training": torch.onnx.TrainingMode.PRESERVE} if preserve else {}
    if exporter == "dynamo":
        torch.onnx.export(net, (x,), path, dynamo=True, verbose=False, external_data=False)
    else:
        torch.onnx.export(net, x, path, dynamo=False, opset_version=17, input_names=["input"],
                          dynamic_axes={"input": {0: "n"}}, **kept)


def call(*command):
    p = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    return p.returncode, p.stdout, p.stderr.strip().splitlines()


def error_of(lines):
    text = next((l for l in lines if "error" in l), lines[0] if lines else "?").split("error: ")[-1]
    return text.split(".onnx: ", 1)[-1][:110]   # without the file's place


def build(folder, *targets):
    try:
        quick_make(folder, *targets, flags="-O1")
    except SystemExit:   # how e2e tests end: here it is one cell
        return False
    return True


def distance(path, folder, x, work, *weights):
    """Largest difference from ONNX Runtime over the largest value, picture by picture where its batch is 1."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    feed, *unread = session.get_inputs()
    more = {i.name: np.zeros(i.shape, np.float32) for i in unread}   # which ONNX Runtime wants all the same
    step = feed.shape[0] if isinstance(feed.shape[0], int) else len(x)
    want = np.concatenate([session.run(None, {feed.name: x[i:i + step], **more})[0] for i in range(0, len(x), step)])
    np.save(work + "/x.npy", x)
    code, _, err = call(folder + "/predictor", "infer", "--input", work + "/x.npy", "--output", work + "/y.npy", *weights)
    if code:
        return f"infer: {error_of(err)}"
    y = np.load(work + "/y.npy").reshape(want.shape)
    return float(np.max(np.abs(y - want)) / np.max(np.abs(want)))


def pictures(n, shape):
    return np.random.default_rng(5).standard_normal((n, *shape)).astype(np.float32)


def line_of(out, word):
    return next((l for l in out.splitlines() if word in l), "").strip()


def head_and_export(path, shape, work):
    """The report's line on the head, and how far the exported network is from the predictor."""
    folder, run, app, file = (f"{work}/{d}" for d in ("head", "run", "app", "back.onnx"))
    code, out, err = call(TLC, "compile", path, "--replace-head", "2", "--freeze-backbone", "--preprocess", "none", "-o", folder)
    if code:
        return "none: " + error_of(err), ""
    head = line_of(out, "head  ")[4:].strip().replace(" (--head)", "")
    if not build(folder, "trainer", "predictor"):
        return head, "build fails"
    x = pictures(10, shape)
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


def worst_gradient(net, path, moved, x, labels):
    """PyTorch's gradients of the network with the file's values against the steps that the trainer took."""
    stored = {i.name: numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer}
    norms = {f"{m}.{p}" for m, of in net.named_modules() if isinstance(of, torch.nn.BatchNorm2d) for p in ("weight", "bias")}
    places = {}
    for name, p in net.named_parameters():
        p.requires_grad_(True)   # what fuse() made is a plain tensor in a Parameter's place
        if name not in norms:
            key, turned = places[name] = stored_under(name, p.detach().numpy(), moved, stored)
            if key is None:
                return f"no gradient by {name}"
            if key in stored:
                p.data.copy_(torch.from_numpy(stored[key].T if turned else stored[key].copy()))
    net = net.double()
    torch.nn.functional.cross_entropy(net(torch.from_numpy(x).double()), torch.from_numpy(labels)).backward()
    trained = {k: (p.detach().numpy(), p.grad.numpy()) for k, p in net.named_parameters() if k in places}
    floor = 1e-6 * max(np.max(np.abs(g)) for _, g in trained.values())
    worst = 0.0
    for name, (start, gradient) in trained.items():
        key, turned = places[name]
        after = moved[key]   # tlc makes a matrix that images are multiplied by a 1x1 convolution, in PyTorch's order
        got = (start - (after.T if turned and after.ndim == 2 else after.reshape(start.shape))) / RATE
        worst = max(worst, np.max(np.abs(got - gradient)) / max(np.max(np.abs(gradient)), floor))
    return float(worst)


def gradient(net, path, shape, work):
    folder, out = f"{work}/gnet", f"{work}/grun"
    code, report, err = call(TLC, "compile", path, "-o", folder, "--unfreeze", "*", "--bn", "frozen", "--optimizer", "sgd", "--batch", 2,
                             "--target", "ref", "--precision", "fp64", "--preprocess", "none")
    if code:
        return f"refused: {error_of(err)}", ""
    untied = int((line_of(report, " untied") or "0").split()[0])
    if not build(folder, "trainer"):
        return "build fails", untied
    n = 1 if shape[1] > MANY_PIXELS else 2
    x, labels = pictures(n, shape), np.random.default_rng(6).integers(0, 1000, n)
    np.save(f"{work}/gx.npy", x)
    np.save(f"{work}/gy.npy", labels)
    code, _, err = call(f"{folder}/trainer", "train", "--data", f"{work}/gx.npy,{work}/gy.npy", "--valid", 0, "--epochs", 1,
                        "--lr", RATE, "--momentum", 0, "--out", out, "-q", "--no-cache")
    last = [f for f in os.listdir(out) if f.startswith("last-")] if os.path.isdir(out) else []
    if not last:
        return f"train: {error_of(err)}", untied
    return worst_gradient(net, path, read_safetensors(f"{out}/{last[0]}"), x, labels), untied


def gradient_of(name, exporter, net, path, shape, work):
    if exporter == "dynamo":
        return gradient(fuse(net), path, shape, work)
    net, path = make(name, drawn=False), f"{work}/g.onnx"
    export(net, torch.zeros(1, *shape), path, exporter, preserve=True)
    return gradient(net, path, shape, work)


def picture_shape(path):
    """Of the one input that is no initialiser and that a node reads, without the batch."""
    graph = onnx.load(path, load_external_data=False).graph
    read = {name for node in graph.node for name in node.input} - {i.name for i in graph.initializer}
    return tuple(d.dim_value for i in graph.input if i.name in read for d in i.type.tensor_type.shape.dim)[1:]


def cells(name, exporter, work):
    """Of one row, as far as it comes."""
    net, path, folder = None, f"{work}/net.onnx", f"{work}/net"
    if os.path.exists(name):
        path = name
    else:
        side, net = SIZE.get(name, TINY), make(name)
        try:
            export(net, torch.zeros(1, 3, side, side), path, exporter)
        except Exception as e:  # the exporter's failure is a result of its own
            return {"import": f"export fails: {type(e).__name__}"}
    shape = picture_shape(path)
    code, _, err = call(TLC, "compile", path, "--preprocess", "none", "-o", folder)
    if code:
        return {"import": f"refused: {error_of(err)}"}
    found = {"import": "yes"}
    found["forward"] = distance(path, folder, pictures(3, shape), work) if build(folder, "predictor") else "build fails"
    shutil.rmtree(folder)
    found["head replaced"], found["exported"] = head_and_export(path, shape, work)
    if net:
        found["gradient"], found["untied"] = gradient_of(name, exporter, net, path, shape, work)
    return found


def row(job):
    name, exporter, work = job
    torch.set_num_threads(1)
    here = tempfile.mkdtemp(dir=work)
    found = {"network": os.path.basename(name).removesuffix(".onnx"), "exporter": exporter, **cells(name, exporter, here)}
    shutil.rmtree(here)
    return found


def missed(found):
    """The columns of a row that are not what the table promises."""
    wanted = [c for c in BOUNDS if c != "gradient" or found["exporter"] in ("TorchScript", "dynamo")]
    bad = [c for c in wanted if not isinstance(found.get(c), float) or not found[c] <= BOUNDS[c]]
    bad += ["import"] if found["import"] != "yes" else []
    return bad + (["head replaced"] if "becomes linear" not in found.get("head replaced", "") else [])


def line(found):
    def text(cell):
        return f"{cell:.1e}" if isinstance(cell, float) else str(cell)
    return "| " + " | ".join(text(found.get(c, "")) for c in COLUMNS) + " |"


def run_all(jobs, kept, rows, tlc):
    """The rows of all jobs; each is written to the file `kept` as it comes."""
    with Pool(WORKERS, maxtasksperchild=1) as pool:
        for found in pool.imap_unordered(row, jobs, chunksize=1):
            print(line(found), file=sys.stderr, flush=True)
            rows[found["network"], found["exporter"]] = found
            if kept:
                with open(kept, "a") as f:
                    f.write(json.dumps({**found, "tlc": tlc}) + "\n")


def kept_rows(path, tlc):
    if not path or not os.path.exists(path):
        return {}
    with open(path) as f:
        found = [json.loads(l) for l in f]
    return {(r["network"], r["exporter"]): r for r in found if r.pop("tlc") == tlc}


def exporters_of(name):
    return [onnx.load(name, load_external_data=False).producer_name] if os.path.exists(name) else ["TorchScript", "dynamo"]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rows", metavar="FILE")
    options.add_argument("names", nargs="*", default=FAMILIES)
    options = options.parse_args()
    tlc = sha256(TLC)
    rows = kept_rows(options.rows, tlc)
    with tempfile.TemporaryDirectory() as work:
        jobs = [(name, exporter, work) for name in options.names for exporter in exporters_of(name)]
        keys = [(os.path.basename(name).removesuffix(".onnx"), exporter) for name, exporter, _ in jobs]
        run_all([job for job, key in zip(jobs, keys) if key not in rows], options.rows, rows, tlc)
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for key in keys:
        print(line(rows[key]))
    bad = [(*key, column) for key in keys for column in missed(rows[key])]
    for network, exporter, column in bad:
        print(f"{network}, {exporter}: {column} is not as it must be", file=sys.stderr)
    sys.exit(1 if bad else 0)


main()
