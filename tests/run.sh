#!/bin/sh
# Build and pass the tests: what README's second command and .ci/run call.
set -eu
cd "$(dirname "$0")/.."
tests/setup.sh
cmake --preset release
cmake --build --preset release -j "$(nproc)"
ctest --preset release "$@"
