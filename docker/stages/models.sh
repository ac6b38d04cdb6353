#!/bin/sh
# Build the bundles that /arguments lists, and join them in /bundle.
#
# An entry is FAMILY or NAME:FAMILY; its name is that of the family unless given. Its weights are
# /weights/NAME, a diffusers folder, or /weights/NAME.safetensors; else what =HUB_ID@COMMIT names;
# else what ships with WSD. Kernel choices are /weights/NAME.kernel-choices.json, of every precision.
set -eu
. /stages/certificates.sh
if [ -s /run/secrets/hf_token ]; then
  HF_TOKEN=$(cat /run/secrets/hf_token)
  export HF_TOKEN
fi

# read_entry ENTRY: set its name and family, and the weights that are given, if any
read_entry() {
  label=${1%%=*}
  name=${label%%:*}
  family=${label##*:}
  weights=${1#"$label"}
  weights=${weights#=}
  for given in "/weights/$name.safetensors" "/weights/$name"; do
    [ ! -e "$given" ] || weights=$given
  done
}

# build ENTRY DTYPE
build() {
  read_entry "$1"
  set -- --model "$family" --dtype "$2" --out "/bundles/$name-$2"
  [ "$name" = "$family" ] || set -- "$@" --name "$name"
  [ -z "$weights" ] || set -- "$@" --weights "$weights"
  choices=/weights/$name.kernel-choices.json
  [ ! -e "$choices" ] || set -- "$@" --kernel-choices "$choices"
  echo "wsd build $*"
  wsd build "$@"
}

# xargs calls this script for each build.
if [ $# -gt 0 ]; then
  build "$@"
  exit
fi

mkdir /bundles
set --
: > /small
: > /large
# shellcheck disable=SC1091 # MODELS, DTYPES and LAYOUT, checked by arguments.py
. /arguments
for entry in $(echo "$MODELS" | tr ',' ' '); do
  read_entry "$entry"
  for dtype in $(echo "$DTYPES" | tr ',' ' '); do
    # Weights that ship with WSD are small.
    if [ -z "$weights" ]; then list=/small; else list=/large; fi
    echo "$entry $dtype" >> $list
    set -- "$@" "/bundles/$name-$dtype"
  done
done
# A build computes in one thread for the most part, and that of a small model takes up to 3 GB. Of large
# models there may be memory for one.
jobs=$(awk -v most="$(nproc)" '/^MemAvailable/ { fit = int($2 / 3e6) }
  END { print fit < 1 ? 1 : (fit < most ? fit : most) }' /proc/meminfo)
xargs --no-run-if-empty --max-args 2 --max-procs "$jobs" sh "$0" < /small
xargs --no-run-if-empty --max-args 2 sh "$0" < /large
wsd join "$@" --layout "$LAYOUT" --out /bundle
wsd verify /bundle
rm -rf /bundles /small /large
