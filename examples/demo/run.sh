#!/bin/sh
# The main job on drawn pictures, offline: compile a small pretrained network that comes with the
# project, teach it two shapes that it never saw, and use what it learned in a C program.  Then the
# whole story: pretrain a network from nothing, transfer it, and compare with training without.
set -eu
cd "$(dirname "$0")/../.."
out=build/demo

step() { printf '\n\033[1m%s\033[0m\n' "$*"; }
show() { printf '$ %s\n' "$*"; "$@"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || step() { printf '\n%s\n' "$*"; }

cat <<TEXT
This demo
  1  installs the packages that the build needs (apt-get; asks nothing if they are there)
  2  builds tlc into build/release
  3  draws 80 pictures of moons and stars, and 200 more to check with, into $out/shapes
  4  compiles models/demo.onnx with a new head for two classes, builds it, trains it
  5  classifies two pictures, exports the weights, and runs them from a 40-line C program
  6  trains a network from nothing on 4,000 pictures of eight other shapes, gives what it learned
     to moons and stars, and compares with a network that saw the 80 pictures alone
It writes to build/ alone and takes about two minutes after the packages are there.
TEXT

step "1  packages"
tests/setup.sh

step "2  tlc"
mkdir -p "$out"
quietly() { "$@" >"$out/build.log" 2>&1 || { cat "$out/build.log" >&2; exit 1; }; }
quietly cmake --preset release
quietly cmake --build --preset release -j "$(nproc)" --target tlc
tlc=build/release/tlc

step "3  pictures"
rm -rf "$out/shapes" "$out/run" "$out/app"
show cc -O2 examples/demo/draw.c -o "$out/draw" -lpng -lm
mkdir -p "$out/shapes"
show "$out/draw" "$out/shapes/train" 40 11 moon star
show "$out/draw" "$out/shapes/valid" 100 12 moon star

step "4  compile, build, train"
# --name: what the program of examples/embed_in_app calls its network
show "$tlc" compile models/demo.onnx --replace-head 2 --freeze-backbone --name catdog -o "$out/net"
show make -s -C "$out/net"
show "$out/net/trainer" train "$out/shapes" --epochs 20 --lr 3e-3 --seed 1 --out "$out/run"

step "5  use it"
show "$out/net/trainer" predict --run "$out/run" "$out/shapes/valid/moon/007.png" \
    "$out/shapes/valid/star/007.png"
show "$out/net/trainer" export --run "$out/run" -o "$out/app"
show cc -O2 -I"$out/net" -I"$out/net/src/runtime/infer" examples/embed_in_app/app.c \
    "$out/net/libcatdog.a" -lpthread -lm -o "$out/app/app"
show "$out/app/app" "$out/app/weights.bin"

step "6  from nothing: pretrain, transfer, compare"
network=examples/demo/shapes.tir
rm -rf "$out/eight" "$out"/pretrained "$out"/transferred "$out"/scratch
eight="bars cross disc dots ring square triangle zigzag"
mkdir -p "$out/eight"
show "$out/draw" "$out/eight/train" 500 1 $eight
show "$out/draw" "$out/eight/valid" 50 2 $eight
show "$tlc" compile "$network" --batch 32 --quiet -o "$out/net8"
show make -s -C "$out/net8"
show "$out/net8/trainer" train "$out/eight" --epochs 16 --lr 6e-3 --schedule cosine --warmup 1 \
    --seed 1 --out "$out/pretrained"
show "$tlc" compile "$network" --weights "$out"/pretrained/best-*.safetensors --replace-head 2 \
    --freeze-backbone --quiet -o "$out/net2"
show make -s -C "$out/net2"
show "$out/net2/trainer" train "$out/shapes" --epochs 30 --lr 1e-2 --seed 1 --quiet \
    --out "$out/transferred"
show "$tlc" compile "$network" --classes 2 --quiet -o "$out/net0"
show make -s -C "$out/net0"
show "$out/net0/trainer" train "$out/shapes" --epochs 60 --schedule cosine --warmup 2 \
    --augment flip --seed 1 --quiet --out "$out/scratch"
show "$tlc" compare "$out/transferred" "$out/scratch" -o "$out/compare.png"

cat <<TEXT

What is where: $out/net (readable C, library, trainer), $out/run (metrics, checkpoints),
$out/app (what an app ships).  The same with your own network and photographs:
  $tlc compile YOUR.onnx --replace-head 2 --freeze-backbone -o build/mine
  make -C build/mine && build/mine/trainer train PHOTOS

How well it learned, with pictures, in a browser: $PWD/$out/run/report.html
With and without what another network learned before: $PWD/$out/compare.png
TEXT
