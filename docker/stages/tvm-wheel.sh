#!/bin/sh
# Make a wheel of TVM's libraries and Python, in /wheels.
set -eu
cd /source/python
TVM_LIBRARY_PATH=/source/build CC=clang-19 CXX=clang++-19 \
  pip wheel --quiet --no-build-isolation --no-deps --wheel-dir /wheels .
