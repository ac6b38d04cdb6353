"""WebAssembly: the runtime, compiled once, and one link a model."""
