"""Upgrade manifests of version 1, so that bundles from before version 2 still verify and draw.

``web/src/bundle/manifest_v1.ts`` does the same in the browser. Files and compiled functions of
such a bundle stay as they are, names of functions included (``unet_512x512``); only the words of
the manifest change.
"""

from __future__ import annotations

from typing import Any

# Roles of version 1, which named them after the UNet, and the roles of today.
_RENAMED_ROLES = {"unet": "denoiser", "guided_unet": "guided_denoiser"}
_COMPONENT_ROLES = ("text_encoder", "denoiser", "vae_decoder")
# Scaling factor of the latents, which version 1 did not record. All models of one of its two
# pipelines had the same.
_SCALING_FACTORS = {"StableDiffusionPipeline": 0.18215, "StableDiffusionXLPipeline": 0.13025}


def upgrade_manifest(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a manifest of version 1 in the form of version 2.

    Args:
        manifest: the parsed JSON; it is left as it is.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: if it is not a manifest of version 1.
            The caller validates the result, so that only what is rearranged is looked at here.
    """
    dropped = ("scheduler", "latents", "force_zeros_for_empty_prompt")
    kept = {key: value for key, value in manifest.items() if key not in dropped}
    entry_points = [
        {**entry, "role": _RENAMED_ROLES.get(entry["role"], entry["role"])}
        for entry in manifest["entry_points"]
    ]
    roles = {
        entry["component"]: entry["role"]
        for entry in entry_points
        if entry["role"] in _COMPONENT_ROLES
    }
    scheduler = manifest["scheduler"]
    return {
        **kept,
        "schema_version": 2,
        "pipeline": "text-to-image",
        "entry_points": entry_points,
        "components": {
            name: {**component, "folder": name, "role": roles[name]}
            for name, component in manifest["components"].items()
        },
        "conditioning": {
            "encoders": [name for name, role in roles.items() if role == "text_encoder"],
            "join": "features",
            "empty_negative": "zeros" if manifest["force_zeros_for_empty_prompt"] else "encode",
        },
        "latent_space": {
            **manifest["latents"],
            "scaling_factor": _SCALING_FACTORS[manifest["model"]["pipeline"]],
            "shift_factor": 0.0,
        },
        "noise_schedule": {
            "kind": "discrete",
            **{
                key: scheduler[key]
                for key in ("prediction_type", "num_train_timesteps", "alphas_cumprod")
            },
        },
        "schedulers": {"default": scheduler["default"], "available": scheduler["schedulers"]},
    }
