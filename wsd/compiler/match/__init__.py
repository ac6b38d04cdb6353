"""Match fused TIR functions with the problems that written WGSL kernels solve."""
