"""Stable Diffusion 1.x and XL: components, configurations, wrappers."""
