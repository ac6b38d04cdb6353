"""Convolution kernels in WGSL that are no implicit GEMM."""
