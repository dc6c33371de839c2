#!/bin/sh
# Install what building and testing need (Debian; as root or through sudo).
set -eu
packages="gcc g++ make cmake pkg-config protobuf-c-compiler libprotobuf-c-dev libonnx-dev
libjansson-dev nettle-dev libxxhash-dev libjpeg-dev libpng-dev libcmocka-dev
libcairo2-dev fonts-dejavu-core libopenblas-dev
python3-numpy python3-onnx"
missing=""
for p in $packages; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
if [ -z "$missing" ]; then
    exit 0
fi
root=""
if [ "$(id -u)" != 0 ]; then
    root=sudo
    command -v sudo >/dev/null || { echo "run as root: apt-get install$missing" >&2; exit 3; }
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
$root apt-get update -qq
# shellcheck disable=SC2086 # a list of packages is meant
$root apt-get install -y -qq --no-install-recommends $missing
