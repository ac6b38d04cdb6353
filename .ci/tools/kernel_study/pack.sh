#!/usr/bin/env bash
# Pack Node.js and Dawn for a machine without internet: pack.sh OUT [PACKAGE.deb...]
#
# It writes OUT/programs.tar.xz from this machine's node and from the npm package `webgpu` in
# web/node (npm ci --prefix web/node), for Linux on x86-64. Debian packages, such as the one of
# libvulkan1, are unpacked beside them for a machine that lacks these libraries.
set -euo pipefail
root=$(cd "$(dirname "$0")/../../.." && pwd)
out=$1
shift
dawn=$root/web/node/node_modules/webgpu
[ -f "$dawn/dist/linux-x64/dawn.node" ] || {
  printf 'error: %s is missing\nhint: run: npm ci --prefix web/node\n' "$dawn" >&2
  exit 2
}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT
mkdir -p "$out" "$folder/webgpu/dist/linux-x64" "$folder/libraries"
cp -L "$(command -v node)" "$folder/node"
cp "$dawn/index.js" "$dawn/package.json" "$dawn/LICENSE.md" "$folder/webgpu/"
cp "$dawn/dist/linux-x64/dawn.node" "$folder/webgpu/dist/linux-x64/"
for package in "$@"; do dpkg-deb -x "$package" "$folder/libraries"; done
tar -C "$folder" -cJf "$out/programs.tar.xz" .
