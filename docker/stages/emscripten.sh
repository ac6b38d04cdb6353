#!/bin/sh
# Make /opt/emscripten ready to use: its npm packages, its settings, its system libraries.
set -eu
. /stages/certificates.sh
cd /opt/emscripten
npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund --loglevel=error
cat > .emscripten <<'SETTINGS'
LLVM_ROOT = '/usr/lib/llvm-19/bin'
BINARYEN_ROOT = '/opt/binaryen'
NODE_JS = '/opt/node/bin/node'
SETTINGS
# Linking once as WSD does builds the libraries that it takes, and no others.
cat > /tmp/warm.cc <<'PROGRAM'
#include <stdexcept>
#include <string>
extern "C" __attribute__((used)) int warm(const char* text) {
  if (!text) throw std::runtime_error("none");
  return static_cast<int>(std::string(text).size());
}
PROGRAM
for level in -O0 -O2; do
  ./emcc $level -std=c++17 --no-entry -sWASM_BIGINT=1 -sSTANDALONE_WASM=1 \
    -sALLOW_MEMORY_GROWTH=1 /tmp/warm.cc -o /tmp/warm.wasm
done
echo 'FROZEN_CACHE = True' >> .emscripten
rm -rf /tmp/warm.* tests test docs site .git .circleci
