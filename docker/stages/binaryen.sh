#!/bin/sh
# Build Binaryen from /source into /opt/binaryen.
set -eu
# Its build lists the tests' folder even where tests are off.
mkdir -p /source/test/lit
cmake -S /source -B /build -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_LINKER_TYPE=LLD \
  -DCMAKE_EXE_LINKER_FLAGS=-fuse-ld=lld-19 -DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=lld-19 \
  -DBUILD_TESTS=OFF -DBUILD_FUZZTOOLS=OFF -DENABLE_WERROR=OFF \
  -DCMAKE_INSTALL_PREFIX=/opt/binaryen
cmake --build /build
cmake --install /build --strip
rm -rf /build
