#!/bin/sh
# Take Debian's packages from the snapshot of one day, if DEBIAN_SNAPSHOT names one.
set -eu
[ -n "${DEBIAN_SNAPSHOT:-}" ] || exit 0
# Debian's images name the snapshot that they were made from, in a comment: another day of
# the same archive. Over http, as it is there; apt checks the archive's signatures.
at=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null |
  sed -n 's|^# *\(http[^ ]*/archive\)/debian/.*|\1|p' | head -n 1)
if [ -z "$at" ]; then
  echo "error: the base image names no snapshot of Debian's archive" >&2
  echo "hint: --build-arg DEBIAN_SNAPSHOT= takes packages from where the image does" >&2
  exit 2
fi
rm -f /etc/apt/sources.list
cat > /etc/apt/sources.list.d/debian.sources <<SOURCES
Types: deb
URIs: $at/debian/$DEBIAN_SNAPSHOT
Suites: trixie trixie-updates
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $at/debian-security/$DEBIAN_SNAPSHOT
Suites: trixie-security
Components: main
Check-Valid-Until: no
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
