#!/bin/sh
# Print "name tree" for each folder of /sources, where the tree is git's digest of its files.
# The digest shows whether a folder holds the commit that docker/pins.toml names.
set -eu
for folder in /sources/*; do
  name=$(basename "$folder")
  export GIT_DIR="/tmp/trees/$name" GIT_WORK_TREE="$folder"
  mkdir -p "$GIT_DIR"
  git init --quiet
  git -c core.autocrlf=false -c core.safecrlf=false add --force --all "$folder"
  echo "$name $(git write-tree)"
done
