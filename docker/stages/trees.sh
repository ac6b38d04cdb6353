#!/bin/sh
# Print what the build contexts held, for the SBOM and the provenance:
#
#   tree NAME TREE                      for each folder of /sources, TREE is git's digest of it
#   patch NAME FILE SHA256 PATCH_ID     for each patch in a folder of /patches
#
# The digests show whether a folder holds the commit that docker/pins.toml names. A patch file has
# another SHA-256 with each version of git; its patch id depends on its changes alone.
set -eu
root=${1:-}
git_folder=$(mktemp -d)
for folder in "$root"/sources/*; do
  name=$(basename "$folder")
  export GIT_DIR="$git_folder/$name" GIT_WORK_TREE="$folder"
  mkdir -p "$GIT_DIR"
  git init --quiet
  git -c core.autocrlf=false -c core.safecrlf=false add --force --all "$folder"
  echo "tree $name $(git write-tree)"
done
unset GIT_DIR GIT_WORK_TREE
for patch in "$root"/patches/*/*.patch; do
  [ -f "$patch" ] || continue
  name=$(basename "$(dirname "$patch")")
  digest=$(sha256sum < "$patch" | cut -d ' ' -f 1)
  # A file with several commits has several ids, which are none that a pin has.
  id=$(git patch-id --verbatim < "$patch" | cut -d ' ' -f 1 | paste -s -d , -)
  file=$(basename "$patch" | tr -c 'A-Za-z0-9._\n-' '-')
  echo "patch $name $file $digest ${id:-none}"
done
rm -rf "$git_folder"
