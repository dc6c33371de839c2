"""Training inside an application: examples/train_in_app, and what the archives it links hold."""
import os
import re
import shutil

from common import SOURCE, TLC, check, finish, run, sha256
from tiny import DEMO, once, scratch, with_fault

here = scratch("learner")


def shapes_libraries():
    def make(path):
        run(TLC, "compile", DEMO, "--replace-head", "2", "--freeze-backbone", "-q", "--name", "shapes", "-o", path)
        run("make", "-s", "-j2", "-C", path, "libshapes.a", "libshapes_train.a", "libshapes_photos.a")
    return once("tiny_train_libraries", make)


def example():
    folder = os.path.join(here, "train_in_app")
    shutil.copytree(os.path.join(SOURCE, "examples/train_in_app"), folder, ignore=shutil.ignore_patterns("app"))
    p = run("make", "-s", "-C", folder, f"COMPILED={net}", "CFLAGS=-O2 -Werror")
    check(not p.stdout and not p.stderr, "the example builds without a word")
    return os.path.join(folder, "app")


def learn(name, *steps, code=0):
    return run(app, os.path.join(net, "weights.bin"), os.path.join(here, name), *steps, code=code)


def runs():
    whole = learn("whole.tlct")
    found = re.search(r"^(\d+) of 200 new pictures right; saved and loaded: the same probabilities$", whole.stdout, re.M)
    check(found and int(found[1]) >= 190, "20 pictures learned, new ones told apart: " + whole.stdout.strip().split("\n")[-1])
    again = learn("again.tlct")
    check(again.stdout == whole.stdout and sha256(os.path.join(here, "again.tlct")) == sha256(os.path.join(here, "whole.tlct")),
          "a second run: the same words and bits")
    for steps in (1, 7, 60):
        name = f"stopped{steps}.tlct"
        p = learn(name, steps, code=8)
        check(p.stderr == f"app: stopped after step {steps}\n", f"stopped by the callback after step {steps}")
        last = learn(name).stdout.strip().split("\n")[-1]
        check(sha256(os.path.join(here, name)) == sha256(os.path.join(here, "whole.tlct")) and last == whole.stdout.strip().split("\n")[-1],
              "and resumed: the same bits as in one go")
    state = os.path.join(here, "again.tlct")
    data = bytearray(open(state, "rb").read())
    data[len(data) // 2] ^= 1
    open(state, "wb").write(data)
    p = learn("again.tlct", code=4)
    check("checksum" in p.stderr and open(state, "rb").read() == data, "a damaged state is refused, and stays as it is")
    README = open(os.path.join(SOURCE, "examples/train_in_app/README.md")).read()
    check(all(line in README for line in whole.stdout.strip().split("\n")), "README shows what comes out")


def archives():
    """No archive for applications may print, exit or abort; that of training wants libc, libm and threads alone."""
    for library, allowed in (("libshapes.a", None), ("libshapes_train.a", {"libshapes.a"}), ("libshapes_photos.a", None)):
        symbols = run("nm", os.path.join(net, library)).stdout
        wanted = set(re.findall(r"^\s+U (\S+)$", symbols, re.M))
        bad = {s for s in wanted if re.fullmatch(r"_?_?(v?f?printf|v?dprintf|puts|putchar|fputs|fwrite|perror|_?exit|quick_exit|abort|"
                                                 r"assert_fail|signal|sigaction|setlocale|system)(_chk)?", s)}
        # libpng's longjmp stays inside the decoder; stdio's streams are asked for nowhere.
        check(not bad, f"{library}: neither prints nor exits {sorted(bad)}")
        check(not wanted & {"stdout", "stderr", "__stdoutp", "__stderrp"}, f"{library}: knows no standard stream")
        public = set(re.findall(r"^\S+ [TDBR] (\S+)$", symbols, re.M))
        stray = sorted(s for s in public if not s.startswith(("tlr_", "tlb_", "shapes_")))
        check(not stray, f"{library}: names of ours alone {stray}")
    train = os.path.getsize(os.path.join(net, "libshapes_train.a"))
    check(train < 200_000, f"libshapes_train.a has {train} bytes")
    # An application that links neither jansson, nettle nor an image library has all it needs.
    needed = run("ldd", app).stdout
    check(not re.search(r"jansson|nettle|png|jpeg|cairo", needed), "the example needs libc and libm")


APP = """
#include "shapes.h"
#include "tlr_train.h"
#include <stdlib.h>
static unsigned char rgb[64 * 64 * 3], saved[1 << 16];
int main(int argc, char **argv)
{
    _Alignas(64) static char block[32 << 20];
    tlr_learner_config c = { .max_pictures = 100, .threads = 2, .memory = block, .memory_bytes = sizeof block };
    tlr_picture p = { rgb, 64, 64, 64 * 3, TLR_RGB };
    tlr_learner *l;
    float probabilities[2];
    size_t n;
    if (argc < 3 || tlr_learner_open_file(&shapes_model, argv[1], &c, &l) != TLR_OK)
        return 1;
    for (int i = 0; i < atoi(argv[2]); ++i)
        if (tlr_learner_add(l, &p, i % 2, i % 3 != 2 ? TLR_TRAINING : TLR_VALIDATION) != TLR_OK || tlr_learner_train(l, i / 2) ||
            tlr_learner_classify(l, &p, 1, probabilities) || tlr_learner_save(l, TLR_SAVED_STATE, saved, sizeof saved, &n) ||
            tlr_learner_load(l, saved, n))
            return 2;
    tlr_learner_close(l);
    return 0;
}
"""


def allocations():
    """With memory of the application's, opening costs what threads cost and all else nothing."""
    source, program = os.path.join(here, "app.c"), os.path.join(here, "allocates")
    open(source, "w").write(APP)
    run("cc", "-O2", f"-I{net}", *(f"-I{net}/src/runtime/{d}" for d in ("infer", "train")), "-o", program, source,
        os.path.join(net, "libshapes_train.a"), os.path.join(net, "libshapes.a"), "-lpthread", "-lm")
    counts = []
    for pictures in (0, 10, 40):
        p, _, mallocs = with_fault([program, os.path.join(net, "weights.bin"), pictures])
        check(p.returncode == 0, f"{pictures} pictures in a block of the application's: {p.returncode}")
        counts.append(mallocs)
    check(len(set(counts)) == 1, f"no allocation but to open: {counts}")


def header():
    """tlr_train.h by itself, as C99 and as C++."""
    include = [f"-I{SOURCE}/runtime/train", f"-I{SOURCE}/runtime/infer"]
    for compiler, standard, end in (("cc", "-std=c99", "c"), ("c++", "-std=c++17", "cpp")):
        if not shutil.which(compiler):
            continue
        path = os.path.join(here, "header." + end)
        with open(path, "w") as f:
            f.write('#include "tlr_train.h"\nint use(tlr_learner *l) { return tlr_learner_wait(l); }\n')
        p = run(compiler, standard, "-Wall", "-Wextra", "-Wpedantic", "-Werror", *include, "-c", path, "-o", path + ".o", code=None)
        check(p.returncode == 0, f"tlr_train.h is {standard[5:]} {p.stderr[:300]}")


net = shapes_libraries()
app = example()
runs()
archives()
allocations()
header()
finish()
