#!/bin/sh
# Collect nginx and what it loads in /rootfs: the whole of the image that serves.
set -eu
copy() { mkdir -p "/rootfs$(dirname "$1")" && cp --dereference "$1" "/rootfs$1"; }
# A file's package, also where /lib is a link to /usr/lib.
package() {
  dpkg-query --search "$1" "$(realpath "$1")" 2> /dev/null | grep -v '^diversion by ' |
    head -n 1 | cut -d : -f 1
}
modules=$(sed -n 's/^load_module \(.*\);/\1/p' /stages/nginx.conf)
# shellcheck disable=SC2046,SC2086 # one argument a file
set -- /usr/sbin/nginx $modules \
  $(ldd /usr/sbin/nginx $modules | grep -o '/[^ ]*\.so[^ ]*' | grep -v '^/usr/lib/nginx/' | tr -d : |
    sort -u)
for file in "$@"; do copy "$file"; done
# For the health check, and under no other of its names.
mkdir -p /rootfs/bin /rootfs/etc/nginx /rootfs/tmp
cp /bin/busybox /rootfs/bin/wget
echo 'wsd:x:10001:10001::/:/nonexistent' > /rootfs/etc/passwd
echo 'wsd:x:10001:' > /rootfs/etc/group
# What the serving image holds, for whoever scans it: package, version, architecture, source and
# its version. Their licences, and the texts that these name, are where Debian has them.
for file in "$@" /bin/busybox; do package "$file"; done | sort -u > /packages
while read -r name; do
  dpkg-query --show \
    --showformat='${Package}\t${Version}\t${Architecture}\t${source:Package}\t${source:Version}\n' \
    "$name"
  copy "/usr/share/doc/$name/copyright"
done < /packages > /rootfs/etc/packages.tsv
for text in Apache-2.0 Artistic BSD GPL-1 GPL-2 GPL-3 LGPL-2 LGPL-2.1 LGPL-3; do
  copy "/usr/share/common-licenses/$text"
done
cat > /rootfs/usr/share/doc/SOURCES <<SOURCES
The programs and libraries in this image are Debian's, unchanged. /etc/packages.tsv names each with
its source package and version, by which Debian's snapshot archive keeps the sources.
SOURCES
