#!/bin/sh
# Take Debian's packages from the snapshot of one day, if DEBIAN_SNAPSHOT names one.
set -eu
[ -n "${DEBIAN_SNAPSHOT:-}" ] || exit 0
# Over http, because nothing trusts https yet: apt checks the signatures of Debian's archive.
at=http://snapshot.debian.org/archive
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
