"""fp32 inference beside ONNX Runtime and OpenVINO: same file, same threads, interleaved blocks, medians.

    python3 bench/inference.py MODELS_DIR [--batch 1 --batch 16] [--threads 2] [--rounds 5] [NAME...]

MODELS_DIR holds NAME.onnx (resnet50, vgg16, efficientnet_lite0 by default; data/models/build.py makes
them).  Needs onnxruntime, and openvino if it is to be compared; tlc built in build/release.
"""
import argparse
import os
import statistics
import subprocess
import time

import numpy as np

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
TLC = os.environ.get("TLC", os.path.join(SOURCE, "build/release/tlc"))
WORK = os.path.join(SOURCE, "build/bench")


def pictures_a_second(call, batch, seconds):
    call()
    times, start = [], time.perf_counter()
    while time.perf_counter() - start < seconds:
        t = time.perf_counter()
        call()
        times.append(time.perf_counter() - t)
    return batch / statistics.median(times)


def onnxruntime(path, x, threads):
    import onnxruntime as ort
    o = ort.SessionOptions()
    o.intra_op_num_threads, o.inter_op_num_threads = threads, 1
    s = ort.InferenceSession(path, o, providers=["CPUExecutionProvider"])
    name = s.get_inputs()[0].name
    return lambda: s.run(None, {name: x})


def openvino(path, x, threads):
    try:
        import openvino as ov
    except ImportError:
        return None
    core = ov.Core()
    m = core.read_model(path)
    m.reshape(list(x.shape))
    c = core.compile_model(m, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                                      "INFERENCE_PRECISION_HINT": "f32"})
    r = c.create_infer_request()
    return lambda: r.infer([x], share_inputs=True)


def tlc(folder, batch, threads, seconds):
    out = subprocess.run([os.path.join(folder, "predictor"), "bench", "--batch", str(batch), "--seconds", str(seconds),
                          "--threads", str(threads), "--json"], capture_output=True, text=True, check=True).stdout
    import json
    return json.loads(out)["pictures_per_s"]


def main():
    a = argparse.ArgumentParser()
    a.add_argument("models")
    a.add_argument("names", nargs="*", default=[])
    a.add_argument("--batch", type=int, action="append")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--rounds", type=int, default=5)
    a.add_argument("--seconds", type=float, default=1.5)
    a = a.parse_args()
    os.makedirs(WORK, exist_ok=True)
    print(f"{'network':20} {'batch':>5} {'tlc':>8} {'ort':>8} {'openvino':>8}  pictures/s; tlc/ort tlc/openvino")
    for name in a.names or ["resnet50", "vgg16", "efficientnet_lite0"]:
        path, folder = os.path.join(a.models, name + ".onnx"), os.path.join(WORK, name)
        subprocess.run([TLC, "compile", path, "-q", "-o", folder], check=True)
        subprocess.run(["make", "-s", "-C", folder, "predictor"], check=True)
        for batch in a.batch or [1, 16]:
            x = np.random.default_rng(0).standard_normal((batch, 3, 224, 224), dtype=np.float32)
            peers = {"ort": onnxruntime(path, x, a.threads), "openvino": openvino(path, x, a.threads)}
            got = {"tlc": [], "ort": [], "openvino": []}
            for _ in range(a.rounds):
                got["tlc"].append(tlc(folder, batch, a.threads, a.seconds))
                for k, call in peers.items():
                    if call:
                        got[k].append(pictures_a_second(call, batch, a.seconds))
            m = {k: statistics.median(v) if v else float("nan") for k, v in got.items()}
            print(f"{name:20} {batch:5} {m['tlc']:8.2f} {m['ort']:8.2f} {m['openvino']:8.2f}  "
                  f"{m['tlc'] / m['ort']:.2f} {m['tlc'] / m['openvino']:.2f}", flush=True)


main()
