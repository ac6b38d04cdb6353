#!/bin/sh
# Make the sources that are built from the build contexts, and print what they are, for the SBOM and
# the provenance:
#
#   tree NAME TREE                      for each folder of /sources, TREE is git's digest of it
#   patch NAME FILE SHA256 CHANGES      for each patch in a folder of /patches
#
# The digests show whether a folder holds the commit that docker/pins.toml names. A patch file has
# another SHA-256 with each version of git; CHANGES is the SHA-256 of its changes alone.
#
# The build takes /sources and /patches from here, so that nothing is built that was not measured.
# So what the digests leave out is removed: records of git, and what a patch has beside its changes.
set -eu

# Print the changes of a patch: without the message before them, the names of git's objects, the
# functions that changes are in, and what an email ends with. None of them is the same for everyone.
print_changes() {
  awk '
    /^-- $/ { exit }
    /^diff --git / { begun = 1 }
    !begun || /^index / { next }
    /^@@ / { sub(/ @@.*/, " @@") }
    { print }
  ' "$1"
}

root=${1:-}
odd=$(find "$root/sources" ! -type f ! -type d ! -type l | head -n 1)
if [ -n "$odd" ]; then
  echo "error: $odd is neither a file nor a folder nor a link" >&2
  echo "hint: remove it from the build context" >&2
  exit 2
fi
# Of a folder that is a repository itself, git would measure the name of a commit alone.
find "$root/sources" -name .git -prune -exec rm -rf {} +
scratch=$(mktemp -d)
export GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
for folder in "$root"/sources/*; do
  name=$(basename "$folder")
  export GIT_DIR="$scratch/$name" GIT_WORK_TREE="$folder"
  mkdir -p "$GIT_DIR/info"
  git init --quiet
  # Bytes as they are. This file outweighs those of the sources, which may ask for conversions that
  # give files of different content one digest.
  echo '* -text -crlf -ident -filter -working-tree-encoding' > "$GIT_DIR/info/attributes"
  git -c core.autocrlf=false -c core.safecrlf=false add --force --all "$folder"
  echo "tree $name $(git write-tree)"
done
unset GIT_DIR GIT_WORK_TREE
for patch in "$root"/patches/*/*.patch; do
  [ -f "$patch" ] || continue
  name=$(basename "$(dirname "$patch")")
  digest=$(sha256sum < "$patch" | cut -d ' ' -f 1)
  print_changes "$patch" > "$scratch/changes"
  cat "$scratch/changes" > "$patch"
  changes=$(sha256sum < "$patch" | cut -d ' ' -f 1)
  file=$(basename "$patch" | tr -c 'A-Za-z0-9._\n-' '-')
  echo "patch $name $file $digest $changes"
done
rm -rf "$scratch"
