"""WGSL kernels of matrix products and of convolutions as implicit GEMM."""
