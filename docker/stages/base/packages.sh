#!/bin/sh
# Install Debian packages; each argument is NAME=VERSION.
#
# Versions hold where the snapshot of that day is the source of packages. A package that Debian built
# again for one processor has the end +bN there alone: the same source, so that one pin is for all.
# A site with a mirror of its own sets DEBIAN_SNAPSHOT to nothing, and takes what the mirror has; the
# SBOM says which versions it took.
set -eu
apt-get update --quiet=2
wanted=
for pin in "$@"; do
  name=${pin%%=*}
  version=${pin#*=}
  if [ -z "${DEBIAN_SNAPSHOT:-}" ]; then
    pin=$name
  elif [ -z "$(apt-cache show --quiet=0 "$pin" 2> /dev/null)" ]; then
    source=$(echo "$version" | sed 's/+b[0-9]*$//')
    rebuilt=$(apt-cache madison "$name" | tr -d ' ' | cut -d '|' -f 2 |
      while read -r other; do
        [ "$(echo "$other" | sed 's/+b[0-9]*$//')" != "$source" ] || echo "$other"
      done | head -n 1)
    pin=$name=${rebuilt:-$version}
  fi
  wanted="$wanted $pin"
done
# shellcheck disable=SC2086 # one argument a package
if ! DEBIAN_FRONTEND=noninteractive \
  apt-get install --yes --quiet=2 --no-install-recommends $wanted; then
  echo "error: cannot install from ${DEBIAN_SNAPSHOT:-the mirror of the base image}:" $wanted >&2
  echo "hint: nox -s check-pins compares the versions; --build-arg DEBIAN_SNAPSHOT= takes the" \
    "mirror's own" >&2
  exit 2
fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/log/apt /var/log/dpkg.log
