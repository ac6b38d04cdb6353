#!/bin/sh
# Collect nginx and what it loads in /rootfs: the whole of the image that serves.
set -eu
copy() { mkdir -p "/rootfs$(dirname "$1")" && cp --dereference "$1" "/rootfs$1"; }
module=/usr/lib/nginx/modules/ngx_http_brotli_static_module.so
copy /usr/sbin/nginx
copy $module
ldd /usr/sbin/nginx $module | grep -o '/[^ ]*\.so[^ ]*' | grep -v "^$module" | sort -u |
  while read -r library; do copy "$library"; done
# For the health check, and under no other of its names.
mkdir -p /rootfs/bin /rootfs/etc/nginx /rootfs/tmp
cp /bin/busybox /rootfs/bin/wget
echo 'wsd:x:10001:10001::/:/nonexistent' > /rootfs/etc/passwd
echo 'wsd:x:10001:' > /rootfs/etc/group
# What the serving image holds, for whoever scans it.
dpkg-query --show --showformat='${Package}\t${Version}\t${Architecture}\n' > /rootfs/etc/packages.tsv
