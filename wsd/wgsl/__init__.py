"""Kernels written in WGSL, for what takes most of the time."""
