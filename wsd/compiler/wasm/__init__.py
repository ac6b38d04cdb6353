"""Compile TVM's runtime to WebAssembly with Emscripten and link it with a model."""
