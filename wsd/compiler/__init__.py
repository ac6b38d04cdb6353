"""Compile traced components with TVM to one WebAssembly library."""
