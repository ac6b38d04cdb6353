"""WGSL kernels of norm statistics, and reductions inside a workgroup."""
