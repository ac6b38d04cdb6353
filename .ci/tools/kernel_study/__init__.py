"""Candidates for faster kernels: their WGSL, and a benchmark that times and checks them on a GPU.

None of them is in a bundle. docs/performance.md, "Candidates for faster kernels", says how to run
the benchmark.
"""
