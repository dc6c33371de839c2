"""What a full disk, a failing one and missing memory do (hostile-inputs 6).

Call 1, 2, ... of a kind fails until a run passes untouched.  Every such run ends with 7 (6 without
memory) and one error line, or did not need the call; what stood before stands whole, or the new does;
nothing temporary is left; the next command goes on.  TLC_LONG=1 fails every call, otherwise a sample."""
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import time

from common import LONG, TLC, check, finish, run, sha256
from tiny import base_model, demo_net, left_behind, save, scratch, shapes, with_fault

here = scratch("faults")
model = save(base_model(), os.path.join(here, "net.onnx"))
net, photos = demo_net(), shapes()


def without_pictures():
    """The trainer built without cairo: fontconfig, which cairo calls, crashes where malloc fails."""
    folder = os.path.join(here, "catdog")
    shutil.copytree(net, folder)
    for name in os.listdir(os.path.join(folder, "obj")):
        if name.startswith(("trainer_", "draw_", "report")):
            os.unlink(os.path.join(folder, "obj", name))
    os.unlink(os.path.join(folder, "trainer"))
    run("make", "-s", "-j2", "-C", folder, "CAIRO=no", "trainer")
    return os.path.join(folder, "trainer")


trainer = without_pictures()
DISK = [("write", errno.ENOSPC), ("short", 0), ("fsync", errno.EIO), ("close", errno.EIO), ("rename", errno.EIO)]


def tree(folder):
    """Paths and bytes of a folder; None: there is none."""
    if not os.path.isdir(folder):
        return None
    return {os.path.relpath(os.path.join(d, f), folder): sha256(os.path.join(d, f)) for d, _, fs in os.walk(folder) for f in fs}


def numbers(call, dense, step):
    """1, 2, ...: all of them when LONG, else the first `dense`, then every `step`-th, then fewer."""
    n = 1
    while True:
        yield n
        n = n + 1 if LONG or n < dense else max(n + step, int(1.15 * n))


def sweep(what, call, error, command, judge, dense=6, step=37):
    """Fail the calls one by one until the fault does not fire; judge each run."""
    bad, count = [], 0
    for n in numbers(call, dense, step):
        p, fired, _ = with_fault(command, call, n, error)
        if not fired and p.returncode >= 0:  # a program that crashed tells nothing
            check(p.returncode == 0, f"{what}: passes when nothing fails" + p.stderr[-200:] * (p.returncode != 0))
            break
        count += 1
        wrong = judge(p, n)
        if wrong:
            bad.append((n, p.returncode, wrong, p.stderr.strip()[-200:]))
    check(count and not bad, f"{what}: {call} fails, {count} runs {bad[:4]}")


def one_line(p, program, codes):
    """What is wrong with exit code and message, or nothing."""
    errors = [line for line in p.stderr.splitlines() if line.startswith(f"{program}: error: ")]
    if p.returncode == 0:
        return "" if not errors else "error line and exit 0"
    if p.returncode not in codes:
        return f"exit {p.returncode}"
    return "" if len(errors) == 1 else f"{len(errors)} error lines"


# --- tlc compile -------------------------------------------------------------------------------

def compiling(place, codes, old, new):
    def judge(p, n):
        out = os.path.join(place, "out")
        now, wrong = tree(out), one_line(p, "tlc", codes)
        if not wrong and now not in (old, new):
            wrong = "neither old nor new"
        if not wrong and p.returncode == 0 and now != new:
            wrong = "exit 0 and not the new folder"
        if not wrong and left_behind(place):
            wrong = f"left {left_behind(place)}"
        if now != old:  # put back what stood
            shutil.rmtree(out, ignore_errors=True)
            if old is not None:
                shutil.copytree(os.path.join(here, "old"), out)
        elif left_behind(place):
            shutil.rmtree(left_behind(place)[0])
        return wrong
    return judge


def compile_faults():
    old_out, new_out = os.path.join(here, "old"), os.path.join(here, "new")
    place = os.path.join(here, "place")
    os.makedirs(place)
    out = os.path.join(place, "out")
    options = ["--name", "net", "-q"]
    run(TLC, "compile", model, "-o", old_out, "--batch", "4", *options)
    run(TLC, "compile", model, "-o", new_out, *options)
    command = [TLC, "compile", model, "-o", out, *options]
    for old in (None, tree(old_out)):
        shutil.rmtree(out, ignore_errors=True)
        if old is not None:
            shutil.copytree(old_out, out)
        judge = compiling(place, (7,), old, tree(new_out))
        for call, error in DISK:
            sweep(f"compile over {'ours' if old else 'nothing'}", call, error, command, judge)
        if old is None:
            sweep("compile", "malloc", 0, command, compiling(place, (6,), None, tree(new_out)), 25, 61)


# --- trainer -------------------------------------------------------------------------------------

def bits(out):
    return [json.load(open(os.path.join(out, n))).get("sha256") for n in ("best.json", "last.json")]


def train_faults():
    place = os.path.join(here, "train")
    out, cache = os.path.join(place, "run"), os.path.join(place, "cache")
    command = [trainer, "train", photos, "--epochs", "2", "--seed", "9", "--threads", "2", "-o", out, "--cache-dir", cache]
    os.makedirs(place)
    run(*command)
    want = bits(out)

    def judged(codes):
        def judge(p, n):
            wrong = one_line(p, "trainer", codes)
            if not wrong and left_behind(place):
                wrong = f"left {left_behind(place)}"
            if not wrong and p.returncode:
                again = [*command, "--resume"] if os.path.exists(out) else command
                q = subprocess.run(again, capture_output=True, text=True)
                wrong = "" if q.returncode == 0 else f"the next run ends {q.returncode} {q.stderr}"
            if not wrong and bits(out) != want:
                wrong = "other bits"
            clean()
            return wrong
        return judge

    def clean():
        shutil.rmtree(out, ignore_errors=True)
        shutil.rmtree(cache, ignore_errors=True)
    for call, error in DISK:
        clean()
        sweep("train", call, error, command, judged((7,)), 4, 9)
    clean()
    sweep("train", "malloc", 0, command, judged((6,)), 12, 97)
    clean()
    run(*command)
    return out


def export_faults(out):
    place = os.path.join(here, "export")
    app = os.path.join(place, "app")
    os.makedirs(place)
    command = [trainer, "export", "--run", out, "-o", app]
    run(*command)
    new = tree(app)
    for what, old in (("export over nothing", None), ("export over ours", new)):
        def judge(p, n, codes=(7,), old=old):
            wrong, now = one_line(p, "trainer", codes), tree(app)
            partly = now is not None and any(now[f] != new.get(f) for f in now)
            if not wrong and partly:
                wrong = f"torn {now}"
            if not wrong and p.returncode == 0 and now != new:
                wrong = "exit 0 and not the export"
            if not wrong and left_behind(place):
                wrong = f"left {left_behind(place)}"
            if not wrong and p.returncode and subprocess.run(command, capture_output=True).returncode:
                wrong = "the next export fails"
            if old is None:
                shutil.rmtree(app, ignore_errors=True)
            return wrong
        shutil.rmtree(app, ignore_errors=True)
        if old is not None:
            run(*command)
        for call, error in DISK:
            sweep(what, call, error, command, judge, 6, 3)
    sweep("export", "malloc", 0, command, lambda p, n: judge(p, n, (6,)), 15, 41)


# --- signals ---------------------------------------------------------------------------------------

def killed_compiles():
    """SIGINT, SIGTERM at any time: dies of it, cleaned up; SIGKILL: the next compile cleans up."""
    place = os.path.join(here, "signals")
    os.makedirs(place)
    out = os.path.join(place, "out")
    rng = random.Random(5)
    command = [TLC, "compile", model, "-o", out, "-q"]
    began = time.time()
    run(*command)
    length = time.time() - began
    whole = tree(out)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL):
        bad = []
        for _ in range(100 if LONG else 8):
            p = subprocess.Popen(command, stderr=subprocess.PIPE)
            time.sleep(rng.uniform(0, length))
            p.send_signal(number)
            p.wait()
            if p.returncode not in (0, -number) or tree(out) != whole or number != signal.SIGKILL and left_behind(place):
                bad.append((p.returncode, left_behind(place)))
        run(*command)
        check(not bad and not left_behind(place), f"compile, {number.name}: OUT whole, nothing left {bad[:3]}")


def cut_files():
    """Weights that are cut while they are mapped: one line and 3, from any thread; what a run had saved is whole."""
    copy = os.path.join(here, "cut")
    shutil.copytree(os.path.dirname(trainer), copy)
    weights, out = os.path.join(copy, "weights.bin"), os.path.join(here, "cut_run")
    whole = open(weights, "rb").read()
    training = [os.path.join(copy, "trainer"), "train", photos, "--no-cache", "--epochs", "1000", "-q", "-o", out]
    for program, command, sign in (("trainer", training, os.path.join(out, "last.json")),
                                   *[("predictor", [os.path.join(copy, "predictor"), "bench", "--seconds", "60"], None)] * 4):
        p = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        until = time.time() + 20
        while sign and not os.path.exists(sign) and time.time() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        os.truncate(weights, 4096)
        err = p.communicate(timeout=30)[1]
        check(p.returncode == 3 and err == f"{program}: error: a mapped file became shorter while it was read\n", f"{program}, weights.bin cut: exit {p.returncode}, {err!r}")
        open(weights, "wb").write(whole)
    p = run(os.path.join(copy, "trainer"), "eval", os.path.join(photos, "valid"), "--run", out, code=None)
    check(p.returncode == 0, f"the run is evaluated {p.stderr[-200:]}")


compile_faults()
cut_files()
export_faults(train_faults())
killed_compiles()
finish()
