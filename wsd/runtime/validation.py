"""What a bundle's model can draw: requests are compared with its manifest before anything slow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from wsd.errors import UsageError
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.picture_fit import nearest_size
from wsd.runtime.prompt_syntax import needs_chunks, parse_weights
from wsd.runtime.request import GenerationRequest, SkipLayerGuidance
from wsd.spec.manifest import Manifest
from wsd.spec.roles import DENOISER, GUIDANCE_EMBEDDING, VAE_ENCODER_TILE
from wsd.spec.selection import SELECTION_RULES
from wsd.spec.tensor import Size

# Key of the browser's registry of pipelines whose UNets take a mask beside the latents.
_INPAINTING = "inpainting"


def check_ignored_rules(manifest: Manifest, ignored: str | None) -> None:
    """Refuse names that none of a model's selection rules has.

    Args:
        manifest: the model's.
        ignored: names separated by commas; None for none.

    Raises:
        UsageError: for a name that no rule has.
    """
    rules = manifest.selection or SELECTION_RULES
    known = [rule.name for rule in (*rules.kernels, *rules.precisions)]
    names = [] if ignored is None else [name.strip() for name in ignored.split(",")]
    if unknown := [name for name in names if name not in known]:
        raise UsageError(
            f"{manifest.model.name} has no selection rule {unknown[0]!r}",
            f"give names separated by commas: {', '.join(known)}",
        )


def check_conditioning(
    request: GenerationRequest,
    model: str,
    encoders: int,
    empty_negative: str,
    *,
    inputs: Collection[str],
    has_picture: bool,
    max_clip_skip: int,
    prompt_chunks: int,
    blocks: int,
) -> None:
    """Refuse prompts and conditions that a model does not take, or that diffusers would ignore.

    Args:
        request: what to draw.
        model: the model's name, for errors.
        encoders: how many text encoders it has.
        empty_negative: what no negative prompt stands for; see
            :class:`wsd.models.conditioning.Conditioning`.
        inputs: names of what its denoiser takes beside latents, a timestep and texts.
        has_picture: whether a picture is drawn from.
        max_clip_skip: how many layers of its text encoders can be left out.
        prompt_chunks: the most chunks that a prompt may have.
        blocks: how many blocks its denoiser has, of which some can be left out; 0 if none can.

    Raises:
        UsageError: for what has no effect, or is out of the model's range.
    """
    if not request.guidance_interval.is_whole and GUIDANCE_EMBEDDING in inputs:
        raise UsageError(
            f"{model} guides itself, and takes no guidance start and stop",
            "leave them out: its UNet makes one prediction a step at any guidance scale",
        )
    if request.skip_layers is not None:
        check_skip_layers(request.skip_layers, model, blocks, has_picture=has_picture)
    if request.clip_skip > max_clip_skip:
        raise UsageError(
            f"clip skip is {request.clip_skip}",
            f"{model} takes 0 to {max_clip_skip}"
            if max_clip_skip
            else f"{model} has no functions for it: leave it out, or build the bundle again",
        )
    if request.prompt_syntax != "plain" and prompt_chunks == 1:
        check_one_chunk(request, model)
    if encoders < 2 and (request.prompt2 is not None or request.negative_prompt2 is not None):
        raise UsageError(
            f"{model} has {encoders} text encoder, and takes no second prompt",
            "leave it out; models of SDXL have two",
        )
    if encoders < 3 and (request.prompt3 is not None or request.negative_prompt3 is not None):
        raise UsageError(
            f"{model} has no third text encoder, and takes no third prompt",
            "leave it out, or take Stable Diffusion 3.5 with T5, its third text encoder",
        )
    if (
        request.negative_prompt2 is not None
        and request.negative_prompt is None
        and empty_negative == "zeros"
    ):
        raise UsageError(
            "a second negative prompt is given without a negative prompt",
            "give both: without a negative prompt this model takes zeros for the whole of it",
        )
    given = request.conditions.given()
    if given and "time_ids" not in inputs:
        raise UsageError(
            f"{model} takes no {next(iter(given)).replace('_', ' ')}",
            "models of SDXL are told of sizes; leave it out",
        )
    if has_picture and "negative_crop_top_left" in given:
        raise UsageError(
            "negative crop top left is given, and a picture to draw from",
            "with a picture, diffusers takes the prompt's crop for the negative prompt too; "
            "leave it out",
        )
    negative = [name for name in given if name.startswith("negative")]
    both = {"negative_original_size", "negative_target_size"} <= given.keys()
    if not has_picture and negative and not both:
        raise UsageError(
            f"{negative[0].replace('_', ' ')} is given without both the negative original size "
            "and the negative target size",
            "give both of them: diffusers takes the three negative conditions together",
        )


def check_skip_layers(
    skip: SkipLayerGuidance, model: str, blocks: int, *, has_picture: bool
) -> None:
    """Refuse skip-layer guidance that a model does not have.

    Raises:
        UsageError: for a model whose blocks cannot be left out, for blocks that it does not have,
            and for a picture to draw from.
    """
    if blocks == 0:
        raise UsageError(
            f"{model} takes no skip guidance layers",
            "leave them out, or take Stable Diffusion 3.5 in a bundle of this version of WSD",
        )
    if max(skip.layers) >= blocks:
        raise UsageError(
            f"skip guidance layers has {max(skip.layers)}",
            f"{model} has {blocks} blocks, counted from 0 to {blocks - 1}",
        )
    if has_picture:
        raise UsageError(
            "skip guidance layers are given, and a picture to draw from",
            "leave them out: diffusers' pipelines for pictures have no skip-layer guidance",
        )


def check_one_chunk(request: GenerationRequest, model: str) -> None:
    """Refuse a prompt of several chunks: silently cut, it would be another picture.

    Raises:
        UsageError: for ``BREAK`` before other words.
    """
    second = (request.prompt2, request.negative_prompt2)
    third = (request.prompt3, request.negative_prompt3)
    for text in (request.prompt, request.negative_prompt, *second, *third):
        if needs_chunks(parse_weights(text or "", "prompt", negative=True)):
            raise UsageError(
                "a prompt has BREAK, which begins another chunk of tokens",
                f"leave it out, or build the bundle again: {model} takes prompts of one chunk",
            )


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


def check_picture(
    manifest: Manifest, request: GenerationRequest, picture: GivenPicture | None
) -> tuple[GenerationRequest, GivenPicture | None]:
    """Refuse a request, and a picture to draw from, that a model cannot draw; fit the picture.

    Returns:
        the request, and the picture in the request's size. If the request names none, it is that
        of the model's sizes which is nearest to the picture's own.

    Raises:
        UsageError: as :func:`check_request`; for a model that takes no picture, or no picture
            without a mask; if none of the steps would be run; if the picture's size leaves nothing
            of its mask.
    """
    check_request(manifest, request)
    name = manifest.model.name
    check_conditioning(
        request,
        name,
        len(manifest.conditioning.encoders),
        manifest.conditioning.empty_negative,
        inputs={spec.name for entry in manifest.entry_points for spec in entry.inputs},
        has_picture=picture is not None,
        max_clip_skip=manifest.max_clip_skip,
        prompt_chunks=manifest.prompt_chunks,
        blocks=manifest.blocks,
    )
    if request.cache_interval > 1 and not manifest.has_deep_cache:
        raise UsageError(
            f"{name} was built without a deep cache, and takes no cache interval",
            "build the bundle again with --deep-cache, which models with a UNet take, or leave it "
            "out",
        )
    if manifest.pipeline == _INPAINTING and (picture is None or picture.mask is None):
        missing = "mask" if picture is not None else "picture"
        raise UsageError(
            f"{name} draws a part of a picture anew, and no {missing} is given",
            "give a picture and a mask, or take another model",
        )
    if picture is None:
        return request, None
    if not manifest.entries(VAE_ENCODER_TILE):
        raise UsageError(
            f"{name} was built without the encoder that a picture needs",
            "build the bundle again, without --text-to-image-only, from a checkpoint whose VAE has "
            "an encoder",
        )
    if picture.mask is not None and manifest.latent_space.mean is not None:
        raise UsageError(
            f"{name} has normalised latents, and diffusers does not draw parts of a picture "
            "with them",
            "give no mask, or take another model",
        )
    steps = request.steps or manifest.defaults.steps
    picture.count_steps(steps, manifest.noise_schedule.kind)
    size = request.size or nearest_size(picture.size, _sizes(manifest))
    return replace(request, size=size), picture.fit_to(size)


def _sizes(manifest: Manifest) -> list[Size]:
    """Return the sizes in the manifest's order, as the page's ``compiledSizes`` does."""
    return [entry.size for entry in manifest.entries(DENOISER) if entry.size is not None]
