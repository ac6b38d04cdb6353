#!/bin/sh
# Build the bundles of the models that /models lists, and join them in /bundle.
#
# A model's weights are /weights/NAME, a diffusers folder, or /weights/NAME.safetensors;
# else what NAME=HUB_ID@COMMIT names; else what ships with WSD.
set -eu
. /stages/certificates.sh
if [ -s /run/secrets/hf_token ]; then
  HF_TOKEN=$(cat /run/secrets/hf_token)
  export HF_TOKEN
fi
entries=$(tr ',' ' ' < /models)
mkdir /bundles
for entry in $entries; do
  name=${entry%%=*}
  set -- --model "$name" --out "/bundles/$name"
  if [ -d "/weights/$name" ]; then
    set -- "$@" --weights "/weights/$name"
  elif [ -f "/weights/$name.safetensors" ]; then
    set -- "$@" --weights "/weights/$name.safetensors"
  elif [ "$name" != "$entry" ]; then
    set -- "$@" --weights "${entry#*=}"
  fi
  [ -z "$DTYPE" ] || set -- "$@" --dtype "$DTYPE"
  echo "wsd build $*"
  wsd build "$@"
  set --
done
for entry in $entries; do set -- "$@" "/bundles/${entry%%=*}"; done
wsd join "$@" --out /bundle
wsd verify /bundle
rm -rf /bundles
