"""``wsd reference``: draw a picture with diffusers in float32, which a bundle's must equal."""

from __future__ import annotations

import functools
import inspect
import itertools
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.overrides import TorchFunctionMode

from wsd.bundle.quantize import round_values
from wsd.checkpoint.checkpoint import Checkpoint
from wsd.checkpoint.tokenizer import open_tokenizer
from wsd.errors import UsageError
from wsd.evaluate.weighted_prompts import weighted_arguments
from wsd.frontend.entry_points import make_entry_point
from wsd.frontend.export import trace_component
from wsd.models.diffusers_pipeline import assemble_pipeline
from wsd.models.family import Family
from wsd.models.fine_tunes import FINE_TUNES
from wsd.models.resolution import is_size
from wsd.models.schedulers import build_scheduler, max_steps, min_steps, noise_kind
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.picture_fit import nearest_size
from wsd.runtime.request import GenerationRequest, GuidanceInterval
from wsd.runtime.validation import check_conditioning
from wsd.spec.parameter import Storage
from wsd.spec.roles import BLOCK_SCALES, SAFETY_CHECKER
from wsd.spec.tensor import Size
from wsd.util.progress import Progress


def load_pipeline(checkpoint: Checkpoint) -> Any:
    """Return a checkpoint as the family's diffusers pipeline, float32, on the CPU.

    Weights come from the checkpoint's source, so that a source that changes them (an adapter that
    is merged in) changes the reference too. Modules are built from the checkpoint's own
    configuration, not from the family's.
    """
    source, family = checkpoint.source, checkpoint.family
    members: dict[str, Any] = {c.id: checkpoint.load_own(c) for c in family.drawing_components}
    for entry in family.tokenizers:
        members[entry.name] = open_tokenizer(family, source, entry)
    scheduler = build_scheduler(checkpoint.scheduler, checkpoint.default_scheduler)
    pipeline = assemble_pipeline(family, members, scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@contextmanager
def restored_level(pipeline: Any) -> Iterator[None]:
    """Let diffusers find the text encoder's last normalisation, which its ``clip_skip`` needs.

    diffusers looks for it at ``text_model``, a level that CLIPTextModel of transformers 5 lacks.
    It is there for a call alone: diffusers also asks for it before it reads a LoRA's names.
    """
    encoder = getattr(pipeline, "text_encoder", None)
    if not hasattr(encoder, "final_layer_norm") or hasattr(encoder, "text_model"):
        yield
        return
    # Not as an attribute of the module, which would be its own submodule then.
    encoder.__dict__["text_model"] = encoder
    try:
        yield
    finally:
        del encoder.__dict__["text_model"]


def round_weights(pipeline: Any, storages: Mapping[str, Mapping[str, Storage]]) -> None:
    """Round a pipeline's weights in place to the values that the compiled functions read.

    Args:
        pipeline: of :func:`load_pipeline`, on any device.
        storages: component id → name of a parameter that the functions read → its storage.
    """
    for component, stored in storages.items():
        if component != SAFETY_CHECKER:
            round_module(getattr(pipeline, component), stored)


def round_pipeline(pipeline: Any, family: Family, dtype: str) -> None:
    """Round a pipeline's weights in place as a bundle of a precision stores them.

    Args:
        pipeline: of :func:`load_pipeline`, on any device.
        family: the checkpoint's.
        dtype: one of :data:`wsd.spec.precision.DTYPES`.
    """
    for component in family.components:
        module = getattr(pipeline, component.id)
        entry = make_entry_point(family, component, module, family.sizes[0])
        parameters = trace_component(component, entry, dtype).parameters
        round_module(module, {parameter.name: parameter.storage for parameter in parameters})


def round_module(module: torch.nn.Module, stored: Mapping[str, Storage]) -> None:
    """Round a module's weights in place to the values that the compiled functions read.

    Args:
        module: of a component, on any device.
        stored: name of a parameter that the functions read → its storage.
    """
    state = dict(module.named_parameters())
    with torch.no_grad():
        for name, storage in stored.items():
            state[name].copy_(round_values(state[name], storage))


def begin_at_first_step(scheduler: Any) -> None:
    """Let a scheduler begin at its first step, as diffusers' pipeline of SDXL does.

    That of SD 1.x looks the first timestep up. Where rounding makes the first two equal, it finds
    the second, and the run ends in an IndexError.
    """
    if not hasattr(scheduler, "set_begin_index"):
        return
    set_timesteps = scheduler.set_timesteps

    def set_and_begin(*arguments: Any, **options: Any) -> None:
        set_timesteps(*arguments, **options)
        scheduler.set_begin_index(0)

    scheduler.set_timesteps = set_and_begin


# Functions whose float32 results differ between processors.
_INEXACT = (torch.Tensor.log, torch.Tensor.exp, torch.Tensor.pow, torch.Tensor.__pow__)


class _RoundingOnce(TorchFunctionMode):
    """Rounds float32 logarithms, exponentials and powers correctly: it computes them in float64.

    PyTorch's own are a unit in the last place off now and then, and which ones depends on the
    processor.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Compute a function of PyTorch; see :class:`torch.overrides.TorchFunctionMode`."""
        given = kwargs or {}
        if func in _INEXACT and args[0].dtype == torch.float32:
            return func(args[0].double(), *args[1:], **given).float()
        return func(*args, **given)


def step_on_processor(scheduler: Any) -> None:
    """Let a scheduler compute its steps on the CPU, and alike on every CPU.

    A scheduler that draws noise by itself draws it on the device of the latents, and a GPU draws
    other noise from a seed than the CPU, whose noise the browser draws. The last bits of float32
    noise levels and logarithms decide where on its Brownian path a step takes noise, so they are
    rounded as the browser rounds them.
    """
    set_timesteps, step = scheduler.set_timesteps, scheduler.step

    @functools.wraps(set_timesteps)
    def set_rounded(*arguments: Any, **options: Any) -> None:
        with _RoundingOnce():
            set_timesteps(*arguments, **options)

    @functools.wraps(step)
    def step_on_cpu(
        prediction: torch.Tensor, timestep: Any, sample: torch.Tensor, **options: Any
    ) -> Any:
        given = (prediction.cpu(), torch.as_tensor(timestep).cpu(), sample.cpu())
        with _RoundingOnce():
            stepped = step(*given, **options)
        if not isinstance(stepped, tuple):
            stepped.prev_sample = stepped.prev_sample.to(sample.device)
            return stepped
        return tuple(result.to(sample.device) for result in stepped)

    scheduler.set_timesteps, scheduler.step = set_rounded, step_on_cpu


def complete_request(checkpoint: Checkpoint, request: GenerationRequest) -> GenerationRequest:
    """Return a request with the checkpoint's defaults for what it leaves open.

    Two may still be None: the negative prompt, which is not the same as an empty one, and the
    scheduler, which is then the one that the checkpoint's configuration means.
    """
    family = checkpoint.family
    guidance, eta = request.guidance_scale, request.eta
    return replace(
        request,
        steps=request.steps or family.steps,
        guidance_scale=family.guidance_scale if guidance is None else guidance,
        size=request.size or family.sizes[0],
        scheduler=request.scheduler or checkpoint.default_scheduler,
        eta=family.eta if eta is None else eta,
    )


def choose_size(family: Family, request: GenerationRequest, picture: GivenPicture | None) -> Size:
    """Return the size in which a reference is drawn.

    It is the request's; if that names none, the picture's own if the family has it, else that of
    the family's sizes which is nearest.

    Args:
        family: the checkpoint's.
        request: what to draw.
        picture: what is drawn from, in any size, if not from the prompt alone.
    """
    if request.size is not None:
        return request.size
    if picture is None:
        return family.sizes[0]
    if is_size(family, picture.size):
        return picture.size
    return nearest_size(picture.size, family.sizes)


def check_early(
    family: Family,
    request: GenerationRequest,
    picture: GivenPicture | None,
    fine_tune: str | None = None,
) -> None:
    """Refuse what no checkpoint of a family draws, before one is opened.

    What a checkpoint's own files decide is left to :func:`check_drawing`.

    Args:
        family: the registry's entry.
        request: what to draw.
        picture: what is drawn from, in any size, if not from the prompt alone.
        fine_tune: a key of :data:`wsd.models.fine_tunes.FINE_TUNES`, whose steps are the default.

    Raises:
        UsageError: for a family that takes no picture, none without a mask, or nothing else; for
            a cache interval if its denoiser is no UNet; if diffusers' pipeline for pictures has no
            guidance rescale that is asked for; if none of the steps would be run.
    """
    if request.cache_interval > 1:
        family.with_deep_cache()
    if picture is None:
        if family.architecture.diffusers_pipeline == family.architecture.diffusers_inpaint:
            raise UsageError(
                f"{family.name} draws a part of a picture anew, and none is given",
                "give a picture and a mask",
            )
        return
    name = _find_pipeline(family, masked=picture.mask is not None)
    if request.guidance_rescale > 0:
        import diffusers

        _require_rescale(getattr(diffusers, name))
    usual = family.steps if fine_tune is None else FINE_TUNES[fine_tune].steps
    picture.count_steps(request.steps or usual, noise_kind(family.scheduler))


def check_drawing(
    checkpoint: Checkpoint, request: GenerationRequest, picture: GivenPicture | None
) -> GenerationRequest:
    """Refuse what a checkpoint does not draw, before its weights are loaded.

    Args:
        checkpoint: the checkpoint, whose family has the defaults.
        request: what to draw.
        picture: what is drawn from, in any size, if not from the prompt alone.

    Returns:
        the request as :func:`complete_request` completes it.

    Raises:
        UsageError: as :func:`check_early`; if the scheduler takes fewer steps, or more, or does not
            suit the checkpoint; for a picture, if the checkpoint has no encoder; for a mask, if its
            VAE normalises latents.
    """
    family = checkpoint.family
    request = complete_request(checkpoint, request)
    check_early(family, request, picture)
    constants = family.architecture.constant_inputs(family, family.sizes[0])
    check_conditioning(
        request,
        family.name,
        len(family.conditioning.encoders),
        family.conditioning.empty_negative,
        inputs=constants,
        has_picture=picture is not None,
        max_clip_skip=family.architecture.max_clip_skip(family),
        prompt_chunks=family.prompt_chunks,
        blocks=len(constants.get(BLOCK_SCALES, ())),
    )
    if picture is not None and not any(component.parts for component in family.components):
        raise UsageError(
            f"{checkpoint.source.provenance} has no encoder for a picture that is given",
            "give none, or take a checkpoint whose VAE has one",
        )
    if picture is not None and picture.mask is not None and family.latent_space.mean is not None:
        raise UsageError(
            f"{family.name} has normalised latents, and diffusers does not draw parts of a picture "
            "with them",
            "give no mask, or take another model",
        )
    scheduler = build_scheduler(checkpoint.scheduler, request.scheduler)
    least, most = min_steps(scheduler), max_steps(scheduler)
    steps = request.steps or family.steps
    if not least <= steps <= most:
        raise UsageError(f"steps is {steps}", f"take {least} to {most} steps with this scheduler")
    return request


def draw_reference(
    checkpoint: Checkpoint,
    pipeline: Any,
    request: GenerationRequest,
    progress: Progress,
    latents: torch.Tensor | None = None,
    picture: GivenPicture | None = None,
    nudge: float = 0.0,
    **given: Any,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw pictures with diffusers; the pipeline's scheduler is replaced.

    With a picture, all random numbers are of one generator, in the order in which diffusers draws
    them: those with which the encoder's latents are sampled, then the noise; with a mask, those of
    the latents of the picture without what is masked; then the noise of each step.

    Args:
        checkpoint: the checkpoint, whose family has the defaults.
        pipeline: of :func:`load_pipeline`, on any device.
        request: what to draw.
        progress: shows the steps.
        latents: initial noise in place of the seed's, (1, channels, height, width); not with a
            picture.
        picture: what is drawn from, in the request's size; it names the size if the request names
            none.
        nudge: relative change of the latents with which the first step begins, for a measure of
            how chaotic the trajectory is; only with a picture.
        given: arguments of diffusers' pipeline in place of the request's: lists of prompts, or
            embeddings with ``prompt=None``.

    Returns:
        (images (images, height, width, 3) uint8, final latents as flat float32).

    Raises:
        UsageError: as :func:`check_drawing`; if the picture has another size than the request.
    """
    family = checkpoint.family
    if picture is not None:
        request = picture.require_size(request)
    request = check_drawing(checkpoint, request, picture)
    if picture is not None:
        pipeline = _image_pipeline(checkpoint, pipeline, masked=picture.mask is not None)
        if nudge:
            _nudge_start(pipeline, nudge)
    steps, size = request.steps or family.steps, request.size or family.sizes[0]
    pipeline.scheduler = build_scheduler(checkpoint.scheduler, request.scheduler)
    begin_at_first_step(pipeline.scheduler)
    if hasattr(pipeline.scheduler, "noise_sampler_seed"):
        # Otherwise it takes one that PyTorch's global generator draws.
        pipeline.scheduler.noise_sampler_seed = request.seed % 2**64
        step_on_processor(pipeline.scheduler)
    # diffusers' StableDiffusion3InpaintPipeline decodes without the shift that its other pipelines
    # and its own encoder have, so that all colours are a little off.
    masked = picture is not None and picture.mask is not None
    decodes = masked and family.latent_space.shift_factor != 0
    kept: dict[str, torch.Tensor] = {}

    def on_step(pipe: Any, step: int, _timestep: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        kept["latents"] = tensors["latents"]
        # Some schedulers evaluate the denoiser twice in a step.
        progress.report("denoise", step + 1, len(pipe.scheduler.timesteps))
        return tensors

    with progress, warnings.catch_warnings():
        # The first and the last noise level are rounded to float32, and torchsde says that it
        # moves them into the range of its Brownian path.
        warnings.filterwarnings("ignore", message="Should have t", module="torchsde")
        arguments = {
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "num_inference_steps": steps,
            "guidance_scale": request.guidance_scale,
            "generator": torch.Generator().manual_seed(request.seed),
            "output_type": "latent" if decodes else "np",
            "eta": request.eta,
            "num_images_per_prompt": request.images,
            "callback_on_step_end": on_step,
            **_prompt_arguments(pipeline, family, request),
            **_placed_arguments(type(pipeline), picture, *size, latents),
            **family.architecture.call_options(family),
        }
        if "eta" not in inspect.signature(type(pipeline).__call__).parameters:
            # Its schedulers, of flow matching, add no share of DDPM's noise.
            del arguments["eta"]
        with (
            restored_level(pipeline),
            guided_within(pipeline, request.guidance_interval),
            cached_within(family, pipeline, request),
        ):
            drawn = pipeline(**{**arguments, **given}).images
        if decodes:
            with torch.no_grad():
                decoded = pipeline.vae.decode(family.latent_space.unscale(drawn)).sample
            drawn = pipeline.image_processor.postprocess(decoded, output_type="np")
    images = (drawn * 255).round().astype(np.uint8)
    return images, kept["latents"].cpu().numpy().ravel()


def _prompt_arguments(pipeline: Any, family: Family, request: GenerationRequest) -> dict[str, Any]:
    """Return the arguments of diffusers' pipeline that not every request has.

    Raises:
        UsageError: if diffusers' pipeline has no such argument.
    """
    arguments: dict[str, Any] = {
        "prompt_2": request.prompt2,
        "negative_prompt_2": request.negative_prompt2,
        "prompt_3": request.prompt3,
        "negative_prompt_3": request.negative_prompt3,
        **request.conditions.arguments(),
    }
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if request.skip_layers is not None:
        arguments |= request.skip_layers.arguments()
    if request.guidance_rescale > 0:
        _require_rescale(type(pipeline))
        arguments["guidance_rescale"] = request.guidance_rescale
    if request.prompt_syntax != "plain":
        # Embeddings stand for all texts.
        arguments = {name: value for name, value in arguments.items() if "prompt" not in name}
        arguments |= weighted_arguments(pipeline, family, request)
    elif request.clip_skip:
        arguments["clip_skip"] = request.clip_skip
    return arguments


def _require_rescale(pipeline: type) -> None:
    """Refuse guidance rescale for a class of diffusers' pipelines that has no such argument.

    Raises:
        UsageError: if it has none.
    """
    if "guidance_rescale" not in inspect.signature(pipeline.__call__).parameters:
        raise UsageError(
            f"diffusers' {pipeline.__name__} has no guidance rescale",
            "leave it out, or draw from the prompt alone",
        )


@contextmanager
def guided_within(pipeline: Any, interval: GuidanceInterval) -> Iterator[None]:
    """Let a pipeline guide within an interval alone; diffusers' pipelines have no such argument.

    A pipeline predicts with both texts as one batch, the prompt's behind the other. Outside of the
    interval its denoiser answers with the prompt's prediction for both: guidance adds their
    difference, which is 0. The prediction without some blocks is replaced likewise, because
    skip-layer guidance is a part of classifier-free guidance.

    Args:
        pipeline: whose denoiser answers otherwise as long as this lasts.
        interval: in which it is as it was.
    """
    if interval.is_whole:
        yield
        return
    predicted = 0
    prompted: torch.Tensor | None = None

    def keep_prompted(
        _module: Any, _inputs: Any, options: dict[str, Any], found: tuple[torch.Tensor]
    ) -> tuple[torch.Tensor]:
        nonlocal predicted, prompted
        if not pipeline.do_classifier_free_guidance:
            return found
        if options.get("skip_layers") is not None:
            return found if prompted is None else (prompted,)
        index, predicted = predicted, predicted + 1
        prompted = None
        if index in interval.guided(pipeline.num_timesteps):
            return found
        prompted = found[0].chunk(2)[1]
        return (torch.cat([prompted, prompted]),)

    denoiser = getattr(pipeline, "transformer", None) or pipeline.unet
    hook = denoiser.register_forward_hook(keep_prompted, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def cached_within(family: Family, pipeline: Any, request: GenerationRequest) -> Iterator[None]:
    """Let a pipeline's UNet run whole in some predictions only; as ``request.runs_whole`` says.

    Args:
        family: the checkpoint's.
        pipeline: whose UNet predicts otherwise as long as this lasts.
        request: its cache interval and its interval of guidance count.
    """
    if request.cache_interval == 1:
        yield
        return
    predicted = itertools.count()

    def runs_whole() -> bool:
        guided = range(0)
        if pipeline.do_classifier_free_guidance:
            guided = request.guidance_interval.guided(pipeline.num_timesteps)
        return request.runs_whole(next(predicted), guided)

    with family.architecture.cached_features(pipeline.unet, runs_whole):
        yield


def _nudge_start(pipeline: Any, amount: float) -> None:
    """Change the latents with which a pipeline's first step begins by a share of their size."""
    prepare = pipeline.prepare_latents

    @functools.wraps(prepare)
    def prepare_changed(*arguments: Any, **options: Any) -> Any:
        prepared = prepare(*arguments, **options)
        # The pipelines for masks also return the noise and the picture's latents, unchanged.
        latents, *others = prepared if isinstance(prepared, tuple) else (prepared,)
        change = torch.randn(latents.shape, generator=torch.Generator().manual_seed(2))
        size = latents.square().mean().sqrt()
        changed = latents + amount * size * change.to(latents.device)
        return (changed, *others) if isinstance(prepared, tuple) else changed

    pipeline.prepare_latents = prepare_changed


def _find_pipeline(family: Family, *, masked: bool) -> str:
    """Return the name of the family's pipeline that draws from a picture, or from its masked part.

    Raises:
        UsageError: if diffusers has none for the family.
    """
    architecture = family.architecture
    name = architecture.diffusers_inpaint if masked else architecture.diffusers_image_to_image
    if not name:
        hint = "give none, or take another model"
        if not masked and architecture.diffusers_inpaint:
            hint = "give a mask too, or take another model"
        raise UsageError(
            f"{family.name} takes no picture {'with' if masked else 'without'} a mask", hint
        )
    return name


def _image_pipeline(checkpoint: Checkpoint, pipeline: Any, *, masked: bool) -> Any:
    """Return the family's pipeline that draws from a picture, with the modules of another one.

    Args:
        checkpoint: the checkpoint.
        pipeline: of :func:`load_pipeline`.
        masked: whether only a part of the picture is drawn anew.
    """
    import diffusers

    family = checkpoint.family
    options = family.architecture.pipeline_options(family)
    kind = getattr(diffusers, _find_pipeline(family, masked=masked))
    made = kind(**{**pipeline.components, **options})
    made.set_progress_bar_config(disable=True)
    return made


def _placed_arguments(
    pipeline: type,
    picture: GivenPicture | None,
    width: int,
    height: int,
    latents: torch.Tensor | None,
) -> dict[str, Any]:
    """Return the arguments of diffusers' pipeline by which pipelines differ.

    Where its image to image takes no size, that is the picture's.
    """
    size = {"width": width, "height": height}
    if "width" not in inspect.signature(pipeline.__call__).parameters:
        size = {}
    if picture is None:
        return {**size, "latents": latents}
    if latents is not None:
        raise UsageError("latents are given beside a picture", "give one of them")
    image = Image.fromarray(picture.image)
    if picture.mask is None:
        return {**size, "image": image, "strength": picture.strength}
    mask = Image.fromarray(picture.mask, mode="L")
    return {**size, "image": image, "mask_image": mask, "strength": picture.strength}
