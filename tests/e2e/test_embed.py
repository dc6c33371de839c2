"""An application from outside: examples/embed_in_app with a trained export, an installed tlc found by
pkg-config and CMake, and the CMakeLists.txt of a compiled folder."""
import os
import re
import shutil

import numpy as np

from common import LONG, SOURCE, TLC, check, finish, run, sha256
from tiny import DEMO, demo_net, scratch, shapes

here = scratch("embed")
net, photos = demo_net(), shapes()
BUILD = os.path.dirname(TLC)


def export():
    run(os.path.join(net, "trainer"), "train", photos, "--epochs", "3", "-q", "-o", os.path.join(here, "run"))
    run(os.path.join(net, "trainer"), "export", "--run", os.path.join(here, "run"), "-o", os.path.join(here, "app"))
    return os.path.join(here, "app/weights.bin")


def rows(text):
    return [(float(p), label) for p, label in re.findall(r"^(\d\.\d+)  (.*)$", text, re.M)]


def example(weights):
    folder = os.path.join(here, "embed_in_app")
    shutil.copytree(os.path.join(SOURCE, "examples/embed_in_app"), folder)
    programs = ["app", "app_cpp"] if shutil.which("c++") else ["app"]
    run("make", "-s", "-C", folder, f"COMPILED={net}", "CFLAGS=-O2 -Werror", "CXXFLAGS=-O2 -Werror", *programs)
    texts = []
    for program in programs:
        p = run(os.path.join(folder, program), weights)
        texts.append(p.stdout)
        found = rows(p.stdout)
        check([label for _, label in found] == ["moon", "star"] and abs(sum(p for p, _ in found) - 1) < 1e-3, f"{program}: {found}")
    check(len(set(texts)) == 1, "C and C++, one thread and two: the same numbers")
    for what, code, spoil in (("missing", 3, None), ("cut", 4, lambda b: b[:-1]), ("bit flipped", 4, lambda b: b[:99] + bytes([b[99] ^ 1]) + b[100:]),
                              ("empty", 4, lambda b: b""), ("of the untrained folder", 5, lambda b: open(os.path.join(net, "weights.bin"), "rb").read())):
        path = os.path.join(here, "bad.bin")
        if spoil:
            open(path, "wb").write(spoil(open(weights, "rb").read()))
        p = run(os.path.join(folder, "app"), path, code=None)
        check(p.returncode == code and p.stderr.startswith("app: ") and not p.stdout, f"weights {what}: {code}")
    return os.path.join(folder, "app.c"), texts[0]


def same_as_predictor(weights):
    """`predictor classify` with the export says what `trainer predict` says."""
    picture = os.path.join(photos, "valid/star/003.png")
    a = run(os.path.join(net, "predictor"), "classify", "--weights", weights, picture).stdout
    b = run(os.path.join(net, "trainer"), "predict", "--run", os.path.join(here, "run"), picture).stdout
    check(a == b and "%" in a, "predictor classify and trainer predict agree")


def installed(app_c, weights, want):
    prefix = os.path.join(here, "prefix")
    p = run("cmake", "--install", BUILD, "--prefix", prefix, code=None)
    if not check(p.returncode == 0, "cmake --install " + p.stderr[-300:]):
        return
    files = [os.path.relpath(os.path.join(d, f), prefix) for d, _, fs in os.walk(prefix) for f in fs]
    check("bin/tlc" in files and {"include/tlc/tlr.h", "include/tlc/tlr_train.h"} < set(files), f"installed: {sorted(files)}")
    config = os.path.dirname(os.path.join(prefix, next(f for f in files if f.endswith("tlc.pc"))))
    env = {**os.environ, "PKG_CONFIG_PATH": config}
    tlc = run("pkg-config", "--variable=tlc", "tlc", env=env).stdout.strip()
    flags = run("pkg-config", "--cflags", "tlc", env=env).stdout.split()
    check(os.path.samefile(tlc, os.path.join(prefix, "bin/tlc")), "pkg-config says where tlc is, wherever it was put")
    out = os.path.join(here, "by_pkg_config")
    run(tlc, "compile", DEMO, "--replace-head", "2", "--freeze-backbone", "-q", "--name", "catdog", "-o", out)
    check(sha256(os.path.join(out, "model.c")) == sha256(os.path.join(net, "model.c")), "the installed tlc writes the same code")
    app = os.path.join(here, "pkg_app")
    run("cc", "-O2", *flags, f"-I{net}", "-o", app, app_c, os.path.join(net, "libcatdog.a"), "-lpthread", "-lm")
    check(run(app, weights).stdout == want, "an application by pkg-config")
    project = os.path.join(here, "project")
    os.makedirs(project)
    shutil.copy(app_c, project)
    shutil.copy(DEMO, project)
    for name in ("app.c", "draw.h"):
        shutil.copy(os.path.join(SOURCE, "examples/train_in_app", name), os.path.join(project, name.replace("app", "learn")))
    with open(os.path.join(project, "CMakeLists.txt"), "w") as f:
        f.write("cmake_minimum_required(VERSION 3.16)\nproject(outside C)\nfind_package(tlc 0.1 REQUIRED)\n"
                "tlc_compile(catdog ${CMAKE_CURRENT_SOURCE_DIR}/demo.onnx --replace-head 2 --freeze-backbone)\n"
                "add_executable(app app.c)\ntarget_link_libraries(app catdog)\n"
                "tlc_compile(shapes ${CMAKE_CURRENT_SOURCE_DIR}/demo.onnx --replace-head 2 --freeze-backbone)\n"
                "add_executable(learn learn.c)\ntarget_link_libraries(learn shapes_train)\n")
    build = os.path.join(project, "build")
    generators = [["-G", "Ninja"]] if shutil.which("ninja") and LONG else [[]]
    for generator in generators:
        shutil.rmtree(build, ignore_errors=True)
        run("cmake", "-S", project, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", *generator)
        p = run("cmake", "--build", build, code=None)
        check(p.returncode == 0, "an application by find_package(tlc) " + (p.stdout + p.stderr)[-500 * (p.returncode != 0):])
        check(p.returncode == 0 and run(os.path.join(build, "app"), weights).stdout == want, "and it says the same")
        p = run(os.path.join(build, "learn"), os.path.join(build, "shapes/weights.bin"), os.path.join(project, "learned.tlct"), code=None)
        check(p.returncode == 0 and "saved and loaded: the same probabilities" in p.stdout, "and one that trains, by the target shapes_train " + p.stderr[-200:])


def folder_by_cmake():
    """The compiled folder's own CMakeLists.txt."""
    build = os.path.join(here, "by_cmake")
    run("cmake", "-S", net, "-B", build, "-DCMAKE_C_FLAGS=-Werror")
    targets = ["all"] if LONG else ["compiled_model"]
    run("cmake", "--build", build, "-j2", "--target", *targets)
    check(os.path.exists(os.path.join(build, "libcatdog.a")), "CMakeLists.txt of a compiled folder builds the library")
    if LONG:
        np.save(os.path.join(here, "x.npy"), np.ones((2, 3, 64, 64), np.float32))
        results = []
        for folder in (build, net):
            out = os.path.join(here, "y.npy")
            shutil.copy(os.path.join(net, "weights.bin"), os.path.join(here, "w.bin"))
            run(os.path.join(folder, "predictor"), "infer", "--input", os.path.join(here, "x.npy"), "--output", out, "--value", "features",
                "--weights", os.path.join(here, "w.bin"))
            results.append(sha256(out))
        check(results[0] == results[1], "and a predictor with the same bits")


weights = export()
app_c, text = example(weights)
same_as_predictor(weights)
installed(app_c, weights, text)
folder_by_cmake()
finish()
