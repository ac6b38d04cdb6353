"""Stable Diffusion 3.5: a transformer of text and picture, three text encoders, flow matching."""
