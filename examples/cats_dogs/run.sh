#!/bin/sh
# Three ways to tell cats from dogs, and what each costs: a small VGG from scratch, VGG16 and
# ResNet50 transferred.  README.md tells where the pictures and the networks come from.
set -eu
usage() {
    cat >&2 <<'TEXT'
usage: run.sh tutorial|good PHOTOS VGG16 RESNET50 OUT
  tutorial   Adam 1e-5, batch 16, 10 epochs for each, as the tutorial has it
  good       a rate and a schedule that suit each
  PHOTOS     folder with train/ and valid/, each with a folder a class (tlc split makes one)
  VGG16, RESNET50   .onnx, or .pth and .safetensors of torchvision's networks
TEXT
    exit 2
}
[ $# -eq 5 ] || usage
settings=$1 photos=$2 vgg16=$3 resnet50=$4 out=$5
tlc=${TLC:-$(dirname "$0")/../../build/release/tlc}

case $settings in
tutorial)
    scratch="--epochs 10 --lr 1e-5"
    vgg=$scratch
    resnet=$scratch ;;
good)
    scratch="--epochs 10 --lr 1e-4 --schedule cosine --augment flip"
    vgg="--epochs 5 --lr 1e-4 --schedule cosine"
    resnet="--epochs 20 --lr 1e-3 --schedule cosine" ;;
*) usage ;;
esac

show() { printf '\n$ %s\n' "$*"; "$@"; }

experiment() { # NAME TRAIN-OPTIONS COMPILE-ARGUMENTS...
    name=$1 options=$2
    shift 2
    show "$tlc" compile "$@" --name "$name" -o "$out/$name"
    show make -s -C "$out/$name"
    show "$out/$name/trainer" train "$photos" $options --seed 1 --out "$out/run-$name"
}

# An ONNX file is a network; a file of weights belongs to the built-in network of the name.
transfer() { # NAME TRAIN-OPTIONS FILE COMPILE-ARGUMENTS...
    name=$1 options=$2 file=$3
    shift 3
    case $file in
    *.onnx) experiment "$name" "$options" "$file" --freeze-backbone "$@" ;;
    *) experiment "$name" "$options" "$name" --weights "$file" --freeze-backbone "$@" ;;
    esac
}

mkdir -p "$out"
experiment scratch "$scratch" vgg-small --classes 2 --preprocess imagenet --resize 64 --crop 64
transfer vgg16 "$vgg" "$vgg16" --replace-head vgg
transfer resnet50 "$resnet" "$resnet50" --replace-head 2
show "$tlc" compare "$out"/run-scratch "$out"/run-vgg16 "$out"/run-resnet50 -o "$out/compare.png"
