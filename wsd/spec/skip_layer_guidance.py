"""Defaults of skip-layer guidance: those of diffusers' ``StableDiffusion3Pipeline``."""

from __future__ import annotations

from typing import Final

# How much of the difference that the left out blocks make is added.
DEFAULT_SCALE: Final = 2.8
# Shares of the steps after which it begins, and before which it ends.
DEFAULT_START: Final = 0.01
DEFAULT_STOP: Final = 0.2
