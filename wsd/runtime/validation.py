"""What a bundle's model can draw: requests are compared with its manifest before anything slow."""

from __future__ import annotations

from wsd.errors import UsageError
from wsd.runtime.request import GenerationRequest
from wsd.spec.manifest import Manifest


def check_request(manifest: Manifest, request: GenerationRequest) -> None:
    """Refuse a request that a model cannot draw.

    Raises:
        UsageError: for a size that was not compiled, a scheduler that does not suit the model,
            or too few or too many steps.
    """
    sizes = manifest.sizes()
    if request.size is not None and request.size not in sizes:
        listed = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise UsageError(
            f"size {request.size[0]}x{request.size[1]} was not compiled",
            f"sizes of this bundle: {listed}",
        )
    available = manifest.schedulers.available
    name = request.scheduler or manifest.schedulers.default
    if name not in available:
        raise UsageError(
            f"scheduler {name} does not suit this model", f"suitable: {', '.join(available)}"
        )
    least, most = available[name].min_steps, available[name].max_steps
    steps = request.steps or manifest.defaults.steps
    if not least <= steps <= most:
        raise UsageError(f"steps is {steps}", f"scheduler {name} takes {least} to {most}")
