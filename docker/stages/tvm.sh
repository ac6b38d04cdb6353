#!/bin/sh
# Build TVM's libraries from /source with its backports.
set -eu
cd /source
for patch in /backports/*.patch; do
  patch --strip=1 --forward --quiet < "$patch"
done
cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release \
  -DCMAKE_C_COMPILER=clang-19 -DCMAKE_CXX_COMPILER=clang++-19 \
  -DCMAKE_CXX_FLAGS_RELEASE="-O2 -DNDEBUG" -DCMAKE_SHARED_LINKER_FLAGS=-fuse-ld=lld-19 \
  -DUSE_LLVM="llvm-config-19 --link-shared" -DUSE_LIBBACKTRACE=OFF \
  -DTVM_FFI_USE_LIBBACKTRACE=OFF -DTVM_FFI_BACKTRACE_ON_SEGFAULT=OFF \
  -DUSE_GTEST=OFF -DHIDE_PRIVATE_SYMBOLS=ON \
  -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=8 \
  -DCMAKE_PROJECT_tvm_INCLUDE=/stages/tvm-unity.cmake
cmake --build build --target tvm tvm_runtime
strip --strip-unneeded build/libtvm.so build/libtvm_runtime.so
rm -rf build/CMakeFiles
