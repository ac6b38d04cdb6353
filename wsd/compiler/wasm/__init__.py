"""Compile TVM's runtime to WebAssembly and link it with a model."""
