"""GEMM kernels in WGSL, for linear layers and for convolutions as implicit GEMM."""
