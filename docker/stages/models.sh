#!/bin/sh
# Build the bundles that /arguments lists, and join them in /bundle.
#
# A model's weights are /weights/NAME, a diffusers folder, or /weights/NAME.safetensors;
# else what NAME=HUB_ID@COMMIT names; else what ships with WSD.
set -eu
. /stages/certificates.sh
if [ -s /run/secrets/hf_token ]; then
  HF_TOKEN=$(cat /run/secrets/hf_token)
  export HF_TOKEN
fi

# build ENTRY DTYPE DIR
build() {
  name=${1%%=*}
  dtype=$2
  out=$3
  weights=${1#"$name"}
  set -- --model "$name" --dtype "$dtype" --out "$out"
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
# shellcheck disable=SC1091 # MODELS and DTYPES, checked by arguments.py
. /arguments
for entry in $(echo "$MODELS" | tr ',' ' '); do
  for dtype in $(echo "$DTYPES" | tr ',' ' '); do
    bundle=/bundles/${entry%%=*}-$dtype
    build "$entry" "$dtype" "$bundle"
    set -- "$@" "$bundle"
  done
done
wsd join "$@" --out /bundle
wsd verify /bundle
rm -rf /bundles
