"""WSD: a reproducible build appliance for Web Stable Diffusion."""

__version__ = "0.1.0"
