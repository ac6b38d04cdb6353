#!/usr/bin/env bash
# Run the benchmark on the machine with the GPU: run.sh OUT [SECONDS]
#
# It times candidates for SECONDS (210), and writes results.jsonl, table.txt and log.txt to OUT. A
# second run with the same OUT goes on where the first one ended. Nothing is installed: programs.tar.xz,
# which pack.sh makes, is unpacked to a folder under OUT.
# Environment: BENCH_FILTER and BENCH_ROUNDS (bench.mjs), WSD_DAWN (Dawn's options), VK_DRIVER_FILES
# and __EGL_VENDOR_LIBRARY_FILENAMES (where the driver's files lie, if not in the usual place).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1 seconds=${2:-210} programs=$1/programs
mkdir -p "$out"
if [ ! -d "$programs" ]; then
  # tar needs a program for xz, which Python has built in.
  python3 -m tarfile -e "$here/programs.tar.xz" "$programs.part"
  mv "$programs.part" "$programs"
fi
cp "$here/bench.mjs" "$here/reference.mjs" "$programs/"
libraries=$programs/libraries/usr/lib/x86_64-linux-gnu
[ ! -d "$libraries" ] || export LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
# Dawn has f16 on NVIDIA only by this toggle; times are not to be rounded.
export WSD_DAWN=${WSD_DAWN:-"enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia\
 disable-dawn-features=timestamp_quantization"}

end=$((SECONDS + seconds))
for ((try = 1; try <= 40 && SECONDS < end; try++)); do
  left=$((end - SECONDS)) code=0
  # bench.mjs keeps the time itself; this ends one that hangs.
  timeout -k 2 $((left + 20)) "$programs/node" "$programs/bench.mjs" "$here/problems.json.gz" \
    "$out/results.jsonl" "$left" >> "$out/log.txt" 2>&1 || code=$?
  if [ "$code" -eq 2 ]; then
    tail -2 "$out/log.txt" >&2
    exit 2
  fi
  echo "try $try ended with $code" >> "$out/log.txt"
  [ "$code" -ne 0 ] || break
done
python3 "$here/table.py" "$out/results.jsonl" > "$out/table.txt"
head -c 9000 "$out/table.txt"
