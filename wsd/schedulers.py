"""Scheduler constants for the browser.

The browser computes each step's coefficients itself, in float64; what it needs
from here is the noise schedule that diffusers uses, to the bit, and the
configuration.
"""

from __future__ import annotations

from typing import Any

from wsd.errors import CheckpointError
from wsd.modules import build_scheduler
from wsd.zoo import Family

_DPM_SUPPORTED = {
    "algorithm_type": ("dpmsolver++",),
    "solver_order": (2,),
    "solver_type": ("midpoint",),
    "prediction_type": ("epsilon",),
    "timestep_spacing": ("linspace",),
    "final_sigmas_type": ("zero",),
    "use_karras_sigmas": (False, None),
    "thresholding": (False, None),
}


def scheduler_constants(family: Family) -> dict[str, Any]:
    """Return the manifest's ``scheduler`` object.

    ``alphas_cumprod`` is the product of (1 - beta) that diffusers computes in
    float32, one value a training timestep (Ho et al. 2020, eq. 4).

    Raises:
        CheckpointError: for a configuration that the browser cannot follow.
    """
    scheduler = build_scheduler(family)
    config = scheduler.config
    for key, allowed in _DPM_SUPPORTED.items():
        if config.get(key) not in allowed:
            raise CheckpointError(
                f"scheduler option {key}={config.get(key)!r} is not supported",
                f"supported: {', '.join(map(repr, allowed))}",
            )
    return {
        "name": "dpmpp_2m",
        "num_train_timesteps": int(config.num_train_timesteps),
        "prediction_type": config.prediction_type,
        "timestep_spacing": config.timestep_spacing,
        "lower_order_final": bool(config.lower_order_final),
        "init_noise_sigma": float(scheduler.init_noise_sigma),
        "alphas_cumprod": [float(value) for value in scheduler.alphas_cumprod],
    }
