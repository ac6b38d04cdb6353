#!/bin/sh
# Build the bundles that /arguments lists, and join them in /bundle.
#
# An entry is FAMILY or NAME:FAMILY; its name is that of the family unless given. Its weights are
# /weights/NAME, a diffusers folder, or /weights/NAME.safetensors; else what =HUB_ID@COMMIT names;
# else what ships with WSD.
set -eu
. /stages/certificates.sh
if [ -s /run/secrets/hf_token ]; then
  HF_TOKEN=$(cat /run/secrets/hf_token)
  export HF_TOKEN
fi

# build ENTRY DTYPE DIR
build() {
  label=${1%%=*}
  name=${label%%:*}
  family=${label##*:}
  dtype=$2
  out=$3
  weights=${1#"$label"}
  set -- --model "$family" --dtype "$dtype" --out "$out"
  [ "$name" = "$family" ] || set -- "$@" --name "$name"
  if [ -d "/weights/$name" ]; then
    set -- "$@" --weights "/weights/$name"
  elif [ -f "/weights/$name.safetensors" ]; then
    set -- "$@" --weights "/weights/$name.safetensors"
  elif [ -n "$weights" ]; then
    set -- "$@" --weights "${weights#=}"
  fi
  echo "wsd build $*"
  wsd build "$@"
}

mkdir /bundles
set --
# shellcheck disable=SC1091 # MODELS, DTYPES and LAYOUT, checked by arguments.py
. /arguments
for entry in $(echo "$MODELS" | tr ',' ' '); do
  for dtype in $(echo "$DTYPES" | tr ',' ' '); do
    bundle=/bundles/$(echo "$entry" | sed 's/[:=].*//')-$dtype
    build "$entry" "$dtype" "$bundle"
    set -- "$@" "$bundle"
  done
done
wsd join "$@" --layout "$LAYOUT" --out /bundle
wsd verify /bundle
rm -rf /bundles
