#!/bin/sh
# Install Debian packages; each argument is NAME=VERSION.
#
# Versions hold where the snapshot of that day is the source of packages. A site with a
# mirror of its own sets DEBIAN_SNAPSHOT to nothing, and takes what the mirror has; the
# SBOM says which versions it took.
set -eu
wanted=$*
[ -n "${DEBIAN_SNAPSHOT:-}" ] || wanted=$(printf '%s\n' "$@" | sed 's/=.*//')
apt-get update --quiet=2
# shellcheck disable=SC2086 # one argument a package
if ! DEBIAN_FRONTEND=noninteractive \
  apt-get install --yes --quiet=2 --no-install-recommends $wanted; then
  echo "error: cannot install from ${DEBIAN_SNAPSHOT:-the mirror of the base image}:" $wanted >&2
  echo "hint: nox -s check-pins compares the versions; --build-arg DEBIAN_SNAPSHOT= takes the" \
    "mirror's own" >&2
  exit 2
fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
