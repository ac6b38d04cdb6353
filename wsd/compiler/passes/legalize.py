"""Lower the operators that have a legalizer of WSD to TIR; leave all others to TVM.

In: Relax operators on tensors, channels last (:mod:`wsd.compiler.passes.channels_last`), weights
behind the unpacking and transposes of :mod:`wsd.compiler.passes.pack_parameters`.
Out: ``call_tir`` of the kernels in :mod:`wsd.compiler.tir.legalize`, which read packed and
transposed weights and doubled images in place; TVM's lowering where a legalizer does not fit.
"""

from __future__ import annotations

from typing import Any

from tvm import relax

from wsd.compiler.tir.legalize import LEGALIZERS

# Kept for the second legalization: the matmul and conv2d legalizers match their operands through
# these operators, so that they must not have been lowered yet.
_KEPT = ("relax.permute_dims", "relax.image.resize2d")


def _keep(_builder: Any, call: Any) -> Any:
    return call


def legalize_own() -> Any:
    """Return the pass; TVM's ``LegalizeOps()`` has to run after it."""
    return relax.transform.LegalizeOps({**LEGALIZERS, **dict.fromkeys(_KEPT, _keep)})
