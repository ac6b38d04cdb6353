"""WSD's own kernels, one operator family a file.

``LEGALIZERS`` maps a Relax operator to the function that lowers it, for
``LegalizeOps``; operators that are not named take TVM's own lowering.
"""

from __future__ import annotations

from typing import Any

from wsd.kernels import attention, conv, linear, norms, packed, waves

LEGALIZERS: dict[str, Any] = {
    "relax.matmul": linear.legalize_matmul,
    "relax.nn.conv2d": conv.legalize_conv2d,
    "relax.take": packed.legalize_take,
    "relax.nn.attention": attention.legalize_attention,
    "relax.nn.group_norm": norms.legalize_group_norm,
    "relax.nn.layer_norm": norms.legalize_layer_norm,
    "relax.cos": waves.legalize_cos,
    "relax.sin": waves.legalize_sin,
}
