"""WGSL kernels of attention."""
