"""Compile the entry points of a family with TVM to one WebAssembly library."""
