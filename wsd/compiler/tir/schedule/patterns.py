"""TVM's operator pattern kinds that our kernels declare."""

from __future__ import annotations

OUT_ELEMENTWISE = 4  # relay's kOutEWiseFusable: a product that elementwise work may join
