"""What a user meets on the command line: codes, messages, help, JSON, colour, where results go
(docs/hostile-inputs.md 1, 2, 4.8)."""
import json
import os
import re
import shutil
import subprocess

from common import TLC, WORK, check, finish, run, sha256
from tiny import DEMO, base_model, demo_net, expect, left_behind, quick_make, save, scratch, shapes

here = scratch("cli")
net = demo_net()
photos = shapes()
trainer, predictor = os.path.join(net, "trainer"), os.path.join(net, "predictor")
model = save(base_model(), os.path.join(here, "net.onnx"))
out = os.path.join(here, "out")
one_picture = os.path.join(photos, "valid/moon/000.png")


def text(*command, code=0, **kw):
    return run(*command, code=code, **kw).stdout


def compile_fails(what, code, core, *options):
    expect(f"compile {what}: {code}, {core}", [TLC, "compile", *options], code, core, absent=[out])
    check(not left_behind(here), f"compile {what}: nothing temporary left")


# --- 4.8, row by row ---------------------------------------------------------------------

def rows_of_usage():
    compile_fails("--frob", 2, "frob", model, "-o", out, "--frob")
    compile_fails("without input", 2, "input", "-o", out)
    compile_fails("without -o", 2, "-o", model)
    compile_fails("--batch twice", 2, "twice", model, "-o", out, "--batch", "8", "--batch", "9")
    compile_fails("--limit x=1", 2, "limit", model, "-o", out, "--limit", "x=1")
    for n in ("0", "1", "-3", "2.5", "1e9", "+2", " 2", "0x2"):
        compile_fails(f"--replace-head {n}", 2, "at least", model, "-o", out, "--replace-head=" + n)
    for n in ("0", "-1"):
        compile_fails(f"--batch {n}", 2, "at least", model, "-o", out, "--batch", n)
    compile_fails("--replace-head 1000000000", 6, "classes", model, "-o", out, "--replace-head", "1000000000")
    compile_fails("--batch 65537", 6, "batch", model, "-o", out, "--batch", "65537")
    compile_fails("--freeze 'no*'", 2, "matches nothing", model, "-o", out, "--replace-head", "2", "--freeze", "no*")
    compile_fails("--freeze '*'", 2, "nothing left", model, "-o", out, "--replace-head", "2", "--freeze", "*")
    two = os.path.join(here, "two.tir")
    with open(two, "w") as f:
        f.write("module \"two\"\nfunc @forward(%x: f32[n,4], %other: f32[n,4]) -> f32[n,4] {\n  %0 : f32[n,4] = add %x, %other\n  return %0\n}\n")
    compile_fails("two inputs", 5, 'among them "x" and "other"', two, "-o", out)
    compile_fails("missing input", 3, "cannot read", os.path.join(here, "none.onnx"), "-o", out)
    compile_fails("- as input", 2, "", "-", "-o", out)
    compile_fails("a folder as input", 3, "", here, "-o", out)
    for option, value in (("--optimizer", "adma"), ("--target", "gpu"), ("--precision", "fp8"), ("--preprocess", "x"),
                          ("--mean", "a"), ("--std", "0"), ("--resize", "0"), ("--crop", "9x"), ("--name", "a-b"),
                          ("--dump-after", "nopass"), ("--head", "conv"), ("--fit", "0")):
        compile_fails(f"{option} {value}", 2, option[2:], model, "-o", out, option, value)
    compile_fails("--fit 1", 6, "one picture needs", model, "-o", out, "--fit", "1")
    compile_fails("--fit and --batch", 2, "exclude", model, "-o", out, "--fit", "1G", "--batch", "2")


def rows_of_places():
    inside = os.path.join(here, "ours")
    run(TLC, "compile", model, "-o", inside)
    before = sha256(os.path.join(inside, "manifest.json"))
    shutil.copy(model, os.path.join(inside, "net.onnx"))
    expect("input inside OUT: 2, inside", [TLC, "compile", os.path.join(inside, "net.onnx"), "-o", inside], 2, "inside")
    check(os.path.exists(os.path.join(inside, "net.onnx")), "and it is still there")
    file = os.path.join(here, "afile")
    open(file, "w").write("mine")
    expect("OUT a file: 7, not ours", [TLC, "compile", model, "-o", file], 7, "not ours")
    check(open(file).read() == "mine", "and the file is as it was")
    full = os.path.join(here, "full")
    os.makedirs(full)
    open(os.path.join(full, "thesis.tex"), "w").write("mine")
    expect("OUT a full folder: 7, not ours", [TLC, "compile", model, "-o", full], 7, "not ours")
    check(os.listdir(full) == ["thesis.tex"], "and the folder is as it was")
    open(os.path.join(full, "manifest.json"), "w").write('{"schema": "other/1"}')
    expect("OUT with a foreign manifest: 7, not ours", [TLC, "compile", model, "-o", full], 7, "not ours")
    link = os.path.join(here, "link")
    os.symlink(full, link)
    expect("OUT a link: 7", [TLC, "compile", model, "-o", link], 7, "not ours")
    expect("parent missing: 7, cannot write", [TLC, "compile", model, "-o", os.path.join(here, "no/such/out")], 7, "cannot write")
    expect("OUT below a file: 7, cannot write", [TLC, "compile", model, "-o", os.path.join(file, "out")], 7, "cannot write")
    open(os.path.join(inside, "junk"), "w").write("old")
    os.unlink(os.path.join(inside, "net.onnx"))
    expect("OUT ours: 0", [TLC, "compile", model, "-o", inside + "/"], 0)
    check(not os.path.exists(os.path.join(inside, "junk")), "replaced whole")
    check(sha256(os.path.join(inside, "manifest.json")) == before, "the same bytes again")
    empty = os.path.join(here, "empty")
    os.makedirs(empty)
    expect("OUT an empty folder: 0", [TLC, "compile", model, "-o", empty], 0)
    check(not left_behind(here), "nothing temporary left")
    for command in ("inspect", "opt"):
        p = subprocess.run([TLC, command, model], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True)
        check(p.returncode == 7 and "cannot write" in p.stderr, f"{command} to /dev/full: 7, cannot write")
    for program in (trainer, predictor):
        for words in (["info"], ["--help"], ["--version"], ["help", "info"]):
            p = subprocess.run([program, *words], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, text=True)
            check(p.returncode == 7 and "cannot write" in p.stderr,
                  f"{os.path.basename(program)} {' '.join(words)} to /dev/full: 7")


def rows_of_runs():
    data = os.path.join(here, "photos")
    shutil.copytree(photos, data)
    train = [trainer, "train", data, "--epochs", "2", "--seed", "3"]
    expect("RUN inside the photos: 2, inside", [*train, "-o", os.path.join(data, "run")], 2, "inside",
           absent=[os.path.join(data, "run")])
    expect("RUN inside the compiled folder: 2, inside", [*train, "-o", os.path.join(net, "run")], 2, "inside",
           absent=[os.path.join(net, "run")])
    file = os.path.join(here, "afile")
    expect("RUN below a file: 7, cannot write", [*train, "-o", os.path.join(file, "run")], 7, "cannot write")
    out_run = os.path.join(here, "run")
    expect("train: 0", [*train, "-o", out_run], 0)
    expect("RUN holds a run: 7, exists", [*train, "-o", out_run], 7, "exists")
    expect("--resume with another --seed: 2, differs", [trainer, "train", data, "-o", out_run, "--resume", "--seed", "4"],
           2, "differs")
    expect("--resume without RUN there: 3", [trainer, "train", data, "-o", os.path.join(here, "norun"), "--resume"], 3, "no run",
           absent=[os.path.join(here, "norun")])
    expect("--resume of a finished run: 0", [trainer, "train", data, "-o", out_run, "--resume", "--seed", "3"], 0)
    expect("photographs missing: 3", [trainer, "train", os.path.join(here, "none"), "-o", os.path.join(here, "r2")], 3,
           "cannot read", absent=[os.path.join(here, "r2")])
    expect("eval of a missing run: 3", [trainer, "eval", data + "/valid", "--run", os.path.join(here, "none")], 3, "not exist")
    return out_run


# --- texts ------------------------------------------------------------------------------

def texts():
    for program, name in ((TLC, "tlc"), (trainer, "trainer"), (predictor, "predictor")):
        help_text = text(program, "--help")
        check(help_text.startswith("Usage: " + name) and help_text == text(program), f"{name} --help, and alone")
        check(len(help_text.splitlines()) <= 40 and max(map(len, help_text.splitlines())) <= 80, f"{name} --help fits")
        check(re.match(name + r"( \(tlc\))? \d+\.\d+\.\d+", text(program, "--version")), f"{name} --version")
        for command in re.findall(r"^([a-z]+)  +[a-z]", help_text, re.M):
            page = text(program, command, "--help")
            examples = page.split("\n\n")[1]
            check(examples.startswith(f"  {name} ") or command in ("info", "help"), f"{name} {command} --help: examples first")
            check(text(program, "help", command).startswith(page.split("\n")[0]), f"{name} help {command}")
    p = run(TLC, "compile", model, "-o", out, "--bacth", "8", code=2)
    check(p.stderr == "tlc: error: unknown option --bacth; did you mean --batch?\n", "a typing error is suggested")


def error_forms():
    bad = os.path.join(here, "bad\n\x1b[2J.onnx")
    open(bad, "wb").write(b"hello")
    p = run(TLC, "compile", bad, "-o", out, code=4)
    check(p.stderr.startswith(f"tlc: error: {here}/bad\\n\\x1B[2J.onnx: ") and p.stderr.count("\n") == 1,
          "a hostile file name is escaped in the one line")
    conv0 = base_model()
    conv0.graph.node[0].attribute[2].ints[0] = 0
    zero = save(conv0, os.path.join(here, "zero.onnx"))
    p = run(TLC, "compile", zero, "-o", out, code=4)
    check(re.fullmatch(r'tlc: error: \S+/zero\.onnx: node \d+ "conv"[^:]*: .*strides.* 0.*at least 1\n', p.stderr),
          "FILE: WHERE: WHAT: " + p.stderr.strip().replace(here, ""))
    for command in ([TLC, "compile", zero, "-o", out], [TLC, "compile", bad, "-o", out], [TLC, "compile", "--frob"],
                    [TLC, "compile", model, "-o", "/proc/none/x"], [trainer, "train", here + "/none"],
                    [predictor, "classify", zero]):
        p = run(*command, "--diagnostics=json", code=None)
        lines = [json.loads(line) for line in p.stderr.splitlines()]
        fields = {"severity", "code", "id", "file", "where", "what", "hint"}
        check(p.stderr.isascii() and lines and all(set(d) == fields for d in lines) and lines[-1]["code"] == p.returncode
              and lines[-1]["id"].startswith("E_"),
              f"--diagnostics=json: {os.path.basename(command[0])} {command[1]} {lines and lines[-1]['id']}")


def is_json(text, schema=None):
    try:
        rows = [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return False
    return text.isascii() and rows and all(isinstance(r, dict) for r in rows) and (not schema or rows[-1].get("schema") == schema)


def results(run_folder):
    """stdout is results alone, JSON parses, -q is silent, a pipe gets neither escape nor \\r."""
    valid = os.path.join(photos, "valid")
    rows = [
        ("compile", [TLC, "compile", model, "-o", os.path.join(here, "q")], "tlc.compile/1", True),
        ("inspect", [TLC, "inspect", model], None, False),
        ("train", [trainer, "train", photos, "--epochs", "2", "-o", "{new}"], "tlc.run/1", True),
        ("eval", [trainer, "eval", valid, "--run", run_folder], None, False),
        ("predict", [trainer, "predict", one_picture, "--run", run_folder], "tlc.predict/1", False),
        ("export", [trainer, "export", "--run", run_folder, "-o", "{new}"], None, True),
        ("info", [trainer, "info", "--run", run_folder], None, False),
        ("predictor info", [predictor, "info"], None, False),
        ("bench", [predictor, "bench", "--seconds", "0.1"], None, False),
    ]
    for n, (name, command, schema, product) in enumerate(rows):
        def words(k):
            return [os.path.join(here, f"new{n}{k}") if w == "{new}" else w for w in command]
        p = run(*words("a"))
        check(p.stdout and p.stdout.isascii() and not re.search("[\033\r]", p.stdout + p.stderr), f"{name}: plain in a pipe")
        fit = [line for line in p.stdout.splitlines() if WORK not in line]  # a path is as long as it is
        check(all(len(line) <= 100 for line in fit), f"{name}: lines fit")
        p = run(*words("b"), "--json")
        check(is_json(p.stdout, schema), f"{name} --json: an ASCII object a line")
        p = run(*words("c"), "-q")
        check(p.stderr == "" and (p.stdout == "") == product, f"{name} -q: {'silent' if product else 'the result alone'}")
        on = run(*words("d"), "--color", "always")
        off = run(*words("e"), "--color", "never", env={**os.environ, "TERM": "xterm"})
        check("\033" not in off.stdout + off.stderr, f"{name} --color never")
        if name == "inspect":
            check("\033[1m" in on.stdout, f"{name} --color always: bold headings")
            dumb = run(*words("f"), env={**os.environ, "TERM": "dumb"})
            check(dumb.stdout == off.stdout, f"{name} TERM=dumb")
    p = run(TLC, "compile", "--frob", "--color", "always", code=2)
    check("frob" in p.stderr, "an error in colour says the same")


def on_a_terminal():
    """`script` of util-linux gives a terminal: colour there, unless NO_COLOR or TERM=dumb."""
    if not shutil.which("script"):
        return
    def bold(**env):
        p = subprocess.run(["script", "-qec", f"{TLC} inspect {model}", "/dev/null"], capture_output=True, text=True,
                           env={**{k: v for k, v in os.environ.items() if k != "NO_COLOR"}, "TERM": "xterm", **env})
        return "\033[1m" in p.stdout
    check(bold(), "a terminal: bold headings")
    check(not bold(NO_COLOR="1"), "NO_COLOR=1: none")
    check(bold(NO_COLOR=""), "NO_COLOR empty: bold")
    check(not bold(TERM="dumb"), "TERM=dumb: none")


def locales(run_folder):
    command = [trainer, "eval", os.path.join(photos, "valid"), "--run", run_folder]
    def result(locale):
        return [run(*c, env={**os.environ, "LC_ALL": locale}).stdout for c in
                (command, [*command, "--json"], [TLC, "inspect", model], [trainer, "predict", one_picture, "--run", run_folder, "--csv"])]
    want = result("C")
    for locale in ("de_DE.UTF-8", "de_DE", "C.UTF-8", "tr_TR.UTF-8"):
        check(result(locale) == want, f"LC_ALL={locale}: the same numbers")


def next_lines(run_folder):
    """Each report's `next` is a command that runs."""
    place = scratch("cli/my dir's $(x)")
    report = text(TLC, "compile", DEMO, "--replace-head", "2", "--freeze-backbone", "-o", os.path.join(place, "net"))
    command = re.search(r"^next +(.*)$", report, re.M).group(1)
    check("PHOTOS" in command and command.startswith("make -C '"), "compile: next is shell-quoted")
    shutil.rmtree(os.path.join(place, "net"))
    shutil.copytree(net, os.path.join(place, "net"), symlinks=True) # built already; make finds nothing to do
    p = subprocess.run(["sh", "-c", command.replace("PHOTOS", photos + " --epochs 1 -q")], cwd=place, capture_output=True, text=True)
    check(p.returncode == 0, "compile: next runs " + p.stderr[-300:])
    report = text(trainer, "train", photos, "--epochs", "1", "-o", os.path.join(place, "run"), cwd=place)
    command = re.search(r"^next +(.*)$", report, re.M).group(1)
    os.makedirs(os.path.join(place, "build"), exist_ok=True)
    p = subprocess.run(["sh", "-c", command], cwd=place, capture_output=True, text=True)
    check(p.returncode == 0 and os.path.exists(os.path.join(place, "build/app/weights.bin")), "train: next runs " + p.stderr[-300:])
    report = text(TLC, "compile", DEMO, "-o", out)
    check("predictor infer" in re.search(r"^next +(.*)$", report, re.M).group(1), "compile for inference: next is infer")
    shutil.rmtree(out)


# options of compile: what `trainer info` says between the classes and the memory
INFO = {
    ("--freeze-backbone",): """\
frozen    112 parameters
trained   15 parameters: fc.weight, fc.bias; adam (--optimizer)
bn        train (--bn): by the batch's statistics 0 trained, 0 frozen;
          by running ones 1, 1 of them folded
""",
    ("--freeze-backbone", "--bn", "stats", "--optimizer", "sgd", "--nesterov", "--keep-gradients"): """\
frozen    116 parameters
trained   15 parameters: fc.weight, fc.bias; sgd (--optimizer)
          nesterov (--nesterov); gradients kept (--keep-gradients)
bn        stats (--bn): by the batch's statistics 0 trained, 1 frozen;
          by running ones 0, 0 of them folded
""",
    ("--bn", "frozen", "--label-smoothing", "0.1"): """\
frozen    8 parameters
trained   123 parameters: w, fc.weight, fc.bias; adam (--optimizer)
          label smoothing 0.1 (--label-smoothing)
bn        frozen (--bn): by the batch's statistics 0 trained, 0 frozen;
          by running ones 1, 0 of them folded
""",
    (): """\
frozen    0 parameters
trained   131 parameters: w, scale, shift, fc.weight, fc.bias; adam (--optimizer)
bn        train (--bn): by the batch's statistics 1 trained, 0 frozen;
          by running ones 0, 0 of them folded
""",
}


def info():
    for n, (options, wanted) in enumerate(INFO.items()):
        folder = os.path.join(here, f"info{n}")
        run(TLC, "compile", model, "-o", folder, "--replace-head", "3", *options)
        quick_make(folder, "trainer")
        said = text(os.path.join(folder, "trainer"), "info")
        found = re.search(r"^frozen .*?(?=^memory )", said, re.M | re.S)
        check(found and found[0] == wanted, f"info {' '.join(options)}:\n{found and found[0]}")
        j = json.loads(text(os.path.join(folder, "trainer"), "info", "--json"))
        check(j["options"]["bn"] in said and set(j["batch_norms"]) == {"batch_trained", "batch_frozen", "running", "folded"},
              f"info {' '.join(options)}: JSON has the policy and the numbers")


rows_of_usage()
rows_of_places()
run_folder = rows_of_runs()
texts()
error_forms()
results(run_folder)
info()
on_a_terminal()
locales(run_folder)
next_lines(run_folder)
finish()
