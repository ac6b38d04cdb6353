"""A model in a page of a browser, beside what its pictures are compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from wsd.bundle.builder import build_bundle
from wsd.bundle.self_test import write_fixtures
from wsd.checkpoint.checkpoint import Checkpoint, open_checkpoint
from wsd.checkpoint.resolve import choose_checkpoint
from wsd.compiler.driver import compile_library
from wsd.compiler.library import Library
from wsd.evaluate.diffusers_reference import draw_reference, load_pipeline, round_weights
from wsd.evaluate.metrics import psnr, relative_error
from wsd.models.registry import Family
from wsd.runtime.driver import Rendered, StageRenderer
from wsd.runtime.given_picture import GivenPicture
from wsd.runtime.request import GenerationRequest
from wsd.spec.tolerances import LATENTS_TOLERANCE, PICTURE_PSNR, ROUNDING_PSNR
from wsd.util.progress import Quiet


@dataclass(frozen=True)
class Model:
    """A model in a page, and what it is compared with.

    Attributes:
        checkpoint: its weights.
        library: what was compiled for it.
        pipeline: diffusers' pipeline, with the weights rounded as the bundle stores them.
        renderer: the page.
    """

    checkpoint: Checkpoint
    library: Library
    pipeline: Any
    renderer: StageRenderer

    def inputs(self, role: str, seed: int) -> dict[str, torch.Tensor]:
        """Return random inputs of an entry point, by the manifest's names."""
        draw = torch.Generator().manual_seed(seed)
        (entry,) = self.library.entries(role, self.library.sizes[0])
        return {spec.name: torch.randn(spec.shape, generator=draw) for spec in entry.inputs}


def storages(library: Library) -> dict[str, dict[str, Any]]:
    """Return component id → parameter name → storage; the encoder is a part of the VAE."""
    found: dict[str, dict[str, Any]] = {}
    for name, parameters in library.parameters.items():
        component = found.setdefault("vae" if name == "vae_encoder" else name, {})
        component |= {parameter.name: parameter.storage for parameter in parameters}
    return found


@contextmanager
def open_in_page(
    family: Family,
    dtype: str,
    prompt: str,
    folder: Path,
    open_model: Callable[[Path], AbstractContextManager[StageRenderer]],
    opened: StageRenderer | None = None,
) -> Iterator[Model]:
    """Build a family's bundle and yield it in a page, with its self-test.

    Args:
        family: has random weights of seed 0 unless it ships its own.
        dtype: how the bundle stores weights.
        prompt: of the self-test.
        folder: where the bundle is written.
        open_model: opens a bundle in a page.
        opened: a page that has the model already; then nothing is built.
    """
    seed = None if family.weights else 0
    checkpoint = open_checkpoint(choose_checkpoint(family, None, seed), family)
    library = compile_library(family, family.sizes, dtype, Quiet())
    pipeline = load_pipeline(checkpoint)
    round_weights(pipeline, storages(library))
    if opened is not None:
        yield Model(checkpoint, library, pipeline, opened)
        return
    fixtures = write_fixtures(checkpoint, family.sizes[0], prompt, folder / "fixtures", Quiet())
    bundle = build_bundle(checkpoint, library, folder / "bundle", Quiet(), fixtures)
    with open_model(bundle) as renderer:
        yield Model(checkpoint, library, pipeline, renderer)


def assert_drawn(
    model: Model, request: GenerationRequest, picture: GivenPicture | None = None
) -> Rendered:
    """Draw in the page, and compare latents and pictures with diffusers'.

    Args:
        model: opened by :func:`open_in_page`.
        request: what is drawn.
        picture: what is drawn from.

    Returns:
        What the page drew.
    """
    images, latents = draw_reference(
        model.checkpoint, model.pipeline, request, Quiet(), picture=picture
    )
    drawn = model.renderer.draw(request, picture=picture)
    assert drawn.images.shape == images.shape
    assert relative_error(drawn.latents, latents) < LATENTS_TOLERANCE
    assert min(map(psnr, drawn.images, images)) > PICTURE_PSNR
    # A flat picture would agree too easily.
    assert drawn.images.std() > 5
    if model.library.dtype != "f32":
        exact = load_pipeline(model.checkpoint)
        unrounded, _ = draw_reference(model.checkpoint, exact, request, Quiet(), picture=picture)
        assert psnr(drawn.images, unrounded) > ROUNDING_PSNR[model.library.dtype]
    return drawn
