#!/bin/sh
# Write the lock files again from their .in files; nox -s update-pins runs it.
set -eu
cd "$(dirname "$0")"
others=$(mktemp)
lists=$(mktemp --directory)
# PyTorch and TVM differ from those that a contributor's machine has.
grep -vE '^(torch|apache-tvm|apache-tvm-ffi)==' ../../constraints.txt > "$others"
# Versions stay as they are where they can. uv would also keep the digests that it finds, which may
# be of some of a package's files alone; so they are taken out first.
lock() {
  name=$1
  shift
  [ ! -f "$name.txt" ] || sed --in-place '/--hash=/d; s/ \\$//' "$name.txt"
  uv pip compile --quiet --python-version 3.13 --universal --generate-hashes --no-annotate \
    --no-header --output-file "$name.txt" "$@"
}
# The names of the files whose digests a lock has.
list() {
  uv pip compile --quiet --python-version 3.13 --universal --no-deps --no-header \
    --output-file "$lists/pylock.$1.toml" "$1.txt"
}
lock toolchain --constraint "$others" toolchain.in ../../pyproject.toml --extra test
lock tvm-build tvm-build.in
lock tvm-wheel --no-deps tvm-wheel.in
lock node node.in
# Of the workflows.
lock ../../.ci/locks/nox ../../.ci/locks/nox.in
lock ../../.ci/locks/release ../../.ci/locks/release.in
for name in toolchain tvm-build tvm-wheel node; do list $name; done
python3 list_files.py "$lists"/*.toml > files.tsv
rm -r "$others" "$lists"
