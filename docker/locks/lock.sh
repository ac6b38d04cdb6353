#!/bin/sh
# Write the lock files again from their .in files; nox -s update-pins runs it.
set -eu
cd "$(dirname "$0")"
others=$(mktemp)
# PyTorch and TVM differ from those that a contributor's machine has.
grep -vE '^(torch|apache-tvm|apache-tvm-ffi)==' ../../constraints.txt > "$others"
lock() {
  name=$1
  shift
  uv pip compile --quiet --python-version 3.13 --universal --generate-hashes --no-annotate \
    --no-header --output-file "$name.txt" "$@"
}
lock toolchain --constraint "$others" toolchain.in ../../pyproject.toml --extra test
lock tvm-build tvm-build.in
lock tvm-wheel --no-deps tvm-wheel.in
lock node node.in
# Of the workflows.
lock ../../.ci/locks/nox ../../.ci/locks/nox.in
lock ../../.ci/locks/release ../../.ci/locks/release.in
rm "$others"
