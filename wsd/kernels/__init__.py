"""WSD's own kernels, one operator family a file.

``LEGALIZERS`` maps a Relax operator to the function that lowers it, for
``LegalizeOps``; operators that are not named take TVM's own lowering.
"""

from __future__ import annotations

from typing import Any

from wsd.kernels import linear

LEGALIZERS: dict[str, Any] = {"relax.matmul": linear.legalize_matmul}
