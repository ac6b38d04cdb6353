"""From PyTorch to graphs that TVM imports: entry points, export, normalisation."""
