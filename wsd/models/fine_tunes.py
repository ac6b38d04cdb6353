"""Fine-tunes that need a scheduler, timesteps or guidance of their own, as their cards say it.

A single file does not say that it was distilled for four steps, and a picture drawn as its family
is drawn shows noise or blur. ``--fine-tune NAME`` says it. Nothing is recognised by a file's name:
a name that looks like one of these gets a note, because a merge of such a fine-tune may need
something else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from wsd.spec.tensor import Size

_XL = "stable-diffusion-xl"
_SD = "stable-diffusion"


@dataclass(frozen=True)
class FineTune:
    """What one kind of fine-tune needs.

    Attributes:
        title: name for people.
        architectures: names of the architectures that it exists for.
        scheduler: a key of :data:`wsd.models.schedulers.SCHEDULERS`.
        steps: number of steps that its card names, the default of a bundle.
        guidance_scale: as ``steps``; up to 1 means none.
        source: where its authors say so.
        config: keys of the scheduler's configuration that it needs.
        eta: share of the noise that is added at each step, where its card names one; the TCD
            scheduler's papers call it gamma.
        embeds_guidance: whether the UNet takes the guidance scale as an input.
        size: width and height that it was trained for, if not the family's.
        pattern: regular expression for names of files that may be such a fine-tune.
    """

    title: str
    architectures: tuple[str, ...]
    scheduler: str
    steps: int
    guidance_scale: float
    source: str
    config: Mapping[str, Any] = field(default_factory=dict)
    eta: float = 0.0
    embeds_guidance: bool = False
    size: Size | None = None
    pattern: str = ""


_LIGHTNING = "https://huggingface.co/ByteDance/SDXL-Lightning"
_HYPER = "https://huggingface.co/ByteDance/Hyper-SD"
_TRAILING = {"timestep_spacing": "trailing"}


def _lightning(steps: int) -> FineTune:
    return FineTune(
        f"SDXL-Lightning, {steps} steps (Lin et al. 2024)", (_XL,), "euler", steps, 0.0, _LIGHTNING,
        _TRAILING, pattern=rf"lightning.*{steps}[ _-]?step",
    )  # fmt: skip


def _hyper(steps: int) -> FineTune:
    return FineTune(
        f"Hyper-SD and Hyper-SDXL, {steps} steps (Ren et al. 2024)", (_SD, _XL), "ddim", steps, 0.0,
        _HYPER, _TRAILING, pattern=rf"hyper.*{steps}[ _-]?step",
    )  # fmt: skip


def _hyper_with_guidance(steps: int) -> FineTune:
    return FineTune(
        f"Hyper-SD and Hyper-SDXL for guidance from 5 to 8, {steps} steps (Ren et al. 2024)",
        (_SD, _XL), "ddim", steps, 5.0, _HYPER, _TRAILING,
        pattern=rf"hyper.*{steps}[ _-]?steps?[ _-]?cfg",
    )  # fmt: skip


FINE_TUNES: Mapping[str, FineTune] = {
    "lightning-1step": FineTune(
        "SDXL-Lightning, 1 step, which predicts clean latents (Lin et al. 2024)", (_XL,), "euler",
        1, 0.0, _LIGHTNING, {**_TRAILING, "prediction_type": "sample"},
        pattern=r"lightning.*1[ _-]?step",
    ),
    "lightning-2step": _lightning(2),
    "lightning-4step": _lightning(4),
    "lightning-8step": _lightning(8),
    "turbo": FineTune(
        "SDXL Turbo (Sauer et al. 2023), 1 to 4 steps", (_XL,), "euler_a", 1, 0.0,
        "https://huggingface.co/docs/diffusers/using-diffusers/sdxl_turbo", _TRAILING,
        size=(512, 512), pattern=r"turbo",
    ),
    "hyper-1step": FineTune(
        "Hyper-SD and Hyper-SDXL, the unified LoRA merged, 1 to 8 steps (Ren et al. 2024)",
        (_SD, _XL), "tcd", 1, 0.0, _HYPER, eta=1.0, pattern=r"hyper.*1[ _-]?step",
    ),
    "hyper-2step": _hyper(2),
    "hyper-4step": _hyper(4),
    "hyper-8step": _hyper(8),
    "hyper-8step-cfg": _hyper_with_guidance(8),
    "hyper-12step-cfg": _hyper_with_guidance(12),
    "lcm": FineTune(
        "Latent consistency model whose UNet takes the guidance scale (Luo et al. 2023)",
        (_SD, _XL), "lcm", 4, 8.0,
        "https://huggingface.co/docs/diffusers/using-diffusers/inference_with_lcm",
        embeds_guidance=True,
    ),
    "lcm-lora": FineTune(
        "Checkpoint with an LCM-LoRA merged in (Luo et al. 2023), 2 to 8 steps", (_SD, _XL), "lcm",
        4, 1.0, "https://huggingface.co/docs/diffusers/using-diffusers/inference_with_lcm",
        pattern=r"\blcm|lcm\b|_lcm|lcm_",
    ),
    "dmd2-4step": FineTune(
        "DMD2, 4 steps (Yin et al. 2024)", (_XL,), "lcm", 4, 0.0,
        "https://huggingface.co/tianweiy/DMD2",
        # This option gives the timesteps 999, 749, 499 and 249, for which it was trained.
        {"original_inference_steps": 4}, pattern=r"dmd2?",
    ),
    "tcd": FineTune(
        "Checkpoint with a TCD-LoRA merged in (Zheng et al. 2024), 2 to 8 steps", (_SD, _XL), "tcd",
        4, 0.0, "https://github.com/jabir-zheng/TCD", eta=0.3, pattern=r"\btcd|tcd\b|_tcd|tcd_",
    ),
    "noobai-vpred": FineTune(
        "NoobAI-XL V-Pred and what is made of it", (_XL,), "euler", 28, 5.0,
        "https://huggingface.co/Laxhar/noobai-XL-Vpred-1.0",
        {"prediction_type": "v_prediction", "rescale_betas_zero_snr": True},
        pattern=r"v[ _-]?pred",
    ),
    "dreamshaper-turbo": FineTune(
        "DreamShaper XL Turbo and its kind, 4 to 8 steps", (_XL,), "dpmpp_sde_karras", 6, 2.0,
        "https://civitai.com/models/112902", pattern=r"turbo",
    ),
    "dreamshaper-lightning": FineTune(
        "DreamShaper XL Lightning and its kind, 3 to 6 steps", (_XL,), "dpmpp_sde_karras", 4, 2.0,
        "https://civitai.com/models/112902", pattern=r"lightning",
    ),
}  # fmt: skip


# Those that are published as adapters too, and a regular expression for what calls them so: whole
# words in small letters, a space between two of them. The first one that is found counts.
ADAPTER_WORDS: Mapping[str, str] = {
    **{f"lightning-{n}step": rf"\blightning\b.*\b{n} ?steps?\b" for n in (2, 4, 8)},
    "turbo": r"\bturbo\b",
    **{f"hyper-{n}step-cfg": rf"\bhyper\b.*\b{n} ?steps? cfg\b" for n in (8, 12)},
    **{f"hyper-{n}step": rf"\bhyper\b.*\b{n} ?steps?\b" for n in (1, 2, 4, 8)},
    "lcm-lora": r"\blcm\b",
    "dmd2-4step": r"\bdmd2?\b",
    "tcd": r"\btcd\b",
}
# So many characters of a text are looked through; a title has fewer.
_LONGEST_TEXT = 200
# Metadata in which trainers name an adapter.
TITLES = ("modelspec.title", "ss_output_name")
# Metadata of an adapter that was trained on pictures and their captions, as styles are. Those of
# ADAPTER_WORDS were distilled from their model.
TRAINED_ON_PICTURES = ("ss_tag_frequency", "ss_dataset_dirs", "ss_num_train_images")
# Regular expressions for names of tensors. What was distilled changes the whole denoiser, the
# convolutions of its residual blocks included (``target_modules`` of diffusers'
# train_lcm_distill_lora_sdxl.py), and no text encoder; most styles change attention alone.
TEXT_ENCODER_KEY = r"(^|[._])(te\d?|text_encoder(_\d)?|clip_[lg])[._]"
RESIDUAL_KEY = r"resnets[._]\d+[._]conv|(^|[._])in_layers[._]"


def suggest_fine_tunes(file_name: str, architecture: str) -> list[str]:
    """Return the fine-tunes that a file may be by its name, in the table's order.

    Args:
        file_name: name of the checkpoint's file.
        architecture: name of its family's architecture.
    """
    text = file_name.lower()
    return [
        name
        for name, tune in FINE_TUNES.items()
        if tune.pattern and architecture in tune.architectures and re.search(tune.pattern, text)
    ]


def find_adapter_fine_tune(
    names: Iterable[str], metadata: Mapping[str, str], keys: Iterable[str], architecture: str
) -> str | None:
    """Return the fine-tune that an adapter makes of a checkpoint; None for an ordinary adapter.

    A name alone does not decide: ``turbo-granny.safetensors`` is a style. The file must change the
    layers that distillation changes, and its metadata must not say that pictures trained it. Then
    what its metadata calls it counts first, and what it is called else.

    Args:
        names: where the adapter comes from, for example the names of its repository and file.
        metadata: of its file.
        keys: names of its tensors.
        architecture: name of its family's architecture.
    """
    listed = list(keys)
    if any(key in metadata for key in TRAINED_ON_PICTURES):
        return None
    if any(re.search(TEXT_ENCODER_KEY, key) for key in listed):
        return None
    if not any(re.search(RESIDUAL_KEY, key) for key in listed):
        return None
    for text in (*(metadata.get(key, "") for key in TITLES), *names):
        words = " ".join(re.findall("[a-z0-9]+", text[:_LONGEST_TEXT].lower()))
        for name, pattern in ADAPTER_WORDS.items():
            if architecture in FINE_TUNES[name].architectures and re.search(pattern, words):
                return name
    return None


def run_time_scheduler(tune: FineTune) -> str:
    """Return the scheduler that draws as a fine-tune needs it in a bundle of another checkpoint.

    There the scheduler takes over the spacing of timesteps that the checkpoint has, so one whose
    name says the spacing is needed.
    """
    spacing = tune.config.get("timestep_spacing")
    return tune.scheduler if spacing is None else f"{tune.scheduler}_{spacing}"
