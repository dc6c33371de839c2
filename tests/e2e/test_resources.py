"""What things cost: memory of the compiler, size of weights and of an application, allocations in a
step, the peak that the compiler promises."""
import json
import os
import re
import subprocess
import time

import numpy as np

from common import DATA, LONG, TLC, check, finish, model, run
from tiny import DEMO, demo_net, preloaded, scratch, with_fault

here = scratch("resources")
net = demo_net()


# --- allocations and the planned peak --------------------------------------------------------

def training_steps():
    """From the first step's line to the last one's malloc is not called: arrays, cached and not."""
    rng = np.random.default_rng(1)
    trainer, data = os.path.join(net, "trainer"), ",".join(os.path.join(here, f) for f in ("x.npy", "y.npy"))
    np.save(os.path.join(here, "x.npy"), rng.standard_normal((252, 3, 64, 64)).astype(np.float32))
    np.save(os.path.join(here, "y.npy"), np.arange(252, dtype=np.int64) % 2)
    os.mkdir(os.path.join(here, "steps"))  # with a cache of its own
    for threads in (1, 2):
        for cache in ("--cache", "--no-cache"):
            out = os.path.join(here, f"steps/run{threads}{cache}")
            p, (_, mallocs, steps, within) = preloaded([trainer, "train", "--data", data, "--valid", "0", cache, "--threads", threads, "--epochs", 1, "-o", out])
            check(p.returncode == 0, f"trains {p.stderr[-200:]}")
            check(steps == 16 and mallocs > 100 and within == 0, f"no allocation in a training step, {threads} threads, {cache}: {within} of {mallocs} in {steps} steps")


def planned_peak():
    """The compiler's figure is what the run reports, one thread, features cached."""
    data = ",".join(os.path.join(here, f) for f in ("x.npy", "y.npy"))
    out = os.path.join(here, "cached")
    run(os.path.join(net, "trainer"), "train", "--data", data, "--threads", "1", "--epochs", "1", "-q", "-o", out)
    peak = json.load(open(os.path.join(out, "run.json")))["cost"]["peak_bytes"]
    report = json.loads(run(TLC, "compile", DEMO, "--replace-head", "2", "--freeze-backbone", "--json", "-o", os.path.join(here, "peak")).stdout)
    check(peak == report["peak_bytes"], f"peak of the compiler {report['peak_bytes']} is that of the run, one thread: {peak}")


APP = """
#include "catdog.h"
#include "tlr.h"
#include <stdlib.h>
static float x[3 * 64 * 64], y[2];
int main(int argc, char **argv)
{
    tlr_session *s;
    tlr_config c = { .threads = atoi(argv[2]) };
    if (argc < 4 || tlr_open_file(&catdog_model, argv[1], &c, &s) != TLR_OK)
        return 1;
    for (long i = 0; i < atol(argv[3]); ++i)
        if (tlr_run(s, 1, x, y) != TLR_OK)
            return 2;
    tlr_close(s);
    return 0;
}
"""


def inference_steps():
    open(os.path.join(here, "app.c"), "w").write(APP)
    app, weights = os.path.join(here, "app"), os.path.join(here, "weights.bin")
    run("cc", "-O2", f"-I{net}", f"-I{net}/src/runtime/infer", "-o", app, os.path.join(here, "app.c"),
        os.path.join(net, "libcatdog.a"), "-lpthread", "-lm")
    run(os.path.join(net, "trainer"), "export", "--run", os.path.join(here, "steps/run1--cache"), "-o", os.path.join(here, "exported"))
    weights = os.path.join(here, "exported/weights.bin")
    for threads in (1, 2):
        counts = []
        for n in (0, 5, 50):
            p, _, mallocs = with_fault([app, weights, threads, n])
            check(p.returncode == 0, f"app of {n} runs, {threads} threads")
            counts.append(mallocs)
        check(len(set(counts)) == 1, f"no allocation in an inference step, {threads} threads: {counts}")


# --- sizes -------------------------------------------------------------------------------------

def memory_of(command):
    """Largest anonymous memory of a program, in bytes: its own, not the mapped model's."""
    p, most = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True), 0
    while p.poll() is None:
        try:
            text = open(f"/proc/{p.pid}/status").read()
            most = max(most, sum(int(n) for n in re.findall(r"Rss(?:Anon|Shmem):\s+(\d+)", text)) * 1024)
        except OSError:
            break
        time.sleep(0.001)
    out = p.communicate()[0]
    check(p.returncode == 0, f"{os.path.basename(command[2])} compiles")
    return most, json.loads(out)


def compiler_memory(name, *options):
    out = os.path.join(here, "net")
    most, report = memory_of([TLC, "compile", model(name + ".onnx"), "--json", "--name", "net", "-o", out, *options])
    check(0 < most <= 30e6, f"{name}: the compiler's own memory {most / 1e6:.0f} MB, at most 30")
    size = os.path.getsize(os.path.join(out, "weights.bin"))
    share = size / (4 * report["parameters"])
    check(share <= 1.05, f"{name}: weights.bin is {share:.3f} of its parameters, at most 1.05")
    return out


def application(folder):
    """A minimal program with the network in it: size, and what it needs."""
    run("make", "-s", "-C", folder, "libnet.a")
    text = APP.replace("catdog", "net").replace("3 * 64 * 64", "3 * 224 * 224").replace("y[2]", "y[1000]")
    open(os.path.join(here, "min.c"), "w").write(text)
    app = os.path.join(here, "min")
    run("cc", "-O2", f"-I{folder}", f"-I{folder}/src/runtime/infer", "-o", app, os.path.join(here, "min.c"),
        os.path.join(folder, "libnet.a"), "-lpthread", "-lm")
    run("strip", app)
    size = os.path.getsize(app)
    check(size <= 300 * 1024, f"stripped application without weights: {size / 1024:.0f} KiB, at most 300")
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", run("readelf", "-d", app).stdout))
    check(needed <= {"libc.so.6", "libm.so.6", "libpthread.so.0"}, f"it needs {sorted(needed)} alone")
    undefined = set(re.findall(r" U ([A-Za-z_]\w*)", run("nm", "-u", os.path.join(folder, "libnet.a")).stdout))
    never = undefined & {"printf", "fprintf", "puts", "putchar", "exit", "_exit", "abort", "signal", "sigaction", "setlocale", "fesetround"}
    check(not never, f"the library never prints, exits, touches signals, locale, rounding: {sorted(never)}")


training_steps()
planned_peak()
inference_steps()
if os.path.isdir(DATA):
    application(compiler_memory("resnet50"))
    if LONG:
        compiler_memory("vgg16-dynamo")
    compiler_memory("vgg16", "--replace-head", "2", "--freeze-backbone")
else:
    print("skipped: sizes, no ../shared")
finish()
