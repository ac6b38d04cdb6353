#!/bin/sh
# Fetch one of upstream's later fixes as a patch: backport.sh URL COMMIT FOLDER.
set -eu
# Its parent too: a patch is the difference of the two.
/stages/source.sh "$1" "$2" /tmp/backport 2
mkdir -p "$3"
git -C /tmp/backport format-patch --quiet -1 --stdout "$2" > "$3/$2.patch"
rm -rf /tmp/backport
