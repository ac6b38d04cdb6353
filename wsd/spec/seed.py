"""Seeds of noise: what ``torch.Generator().manual_seed`` takes, a number of 64 bits."""

from __future__ import annotations

from typing import Final

# Signed and unsigned numbers; a negative one means 2**64 more.
MIN_SEED: Final = -(2**63)
MAX_SEED: Final = 2**64 - 1
