"""WGSL kernels written by hand: problems, variants, selection. Needs neither torch nor TVM."""
