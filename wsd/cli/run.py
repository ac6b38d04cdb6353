"""Commands that run a bundle: serve, render."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsd.cli.command import command
from wsd.cli.options import (
    NAME,
    OUTPUT_FILE,
    ignored_rules_option,
    kernels_option,
    picture_options,
    request_options,
    settings_option,
    text_encoder_3_option,
    write_report,
)
from wsd.util.terminal import say

if TYPE_CHECKING:
    from wsd.runtime.given_picture import GivenPicture
    from wsd.runtime.request import GenerationRequest
    from wsd.spec.inference_settings import DiffusionSettings


@command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=8080, help="0 takes a free one.")
def serve(folder: Path, port: int) -> None:
    """Serve a bundle on this machine with the production headers."""
    from wsd.runtime.server import serve_forever

    serve_forever(folder, port)


@command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME", type=NAME,
              help="Which model of a bundle; the first unless given.")  # fmt: skip
@request_options()
@picture_options
@click.option("--offload", is_flag=True, help="Keep one stage's weights on the GPU at a time.")
@click.option("--tiling", is_flag=True, help="Decode in tiles: less GPU memory.")
@text_encoder_3_option
@settings_option
@kernels_option
@ignored_rules_option
@click.option("--json", "json_path", type=OUTPUT_FILE, help="Timings, adapter and digests.")
def render(
    folder: Path, model: str | None, request: GenerationRequest, out: Path,
    json_path: Path | None, picture: GivenPicture | None, settings: DiffusionSettings | None,
    kernels: str, ignored_rules: str | None, text_encoder_3: bool | None, *, offload: bool,
    tiling: bool,
) -> None:  # fmt: skip
    """Draw a picture with a bundle, in headless Chromium."""
    from wsd.runtime.driver import LoadOptions
    from wsd.runtime.driver import render as draw
    from wsd.runtime.png import write_pngs
    from wsd.util.progress import Progress

    options = LoadOptions(offload, tiling, kernels, ignored_rules, text_encoder_3, settings)
    rendered = draw(folder, request, Progress(), options, model, picture)
    paths = write_pngs(rendered.images, out, rendered.settings)
    write_report(rendered.report(), json_path)
    for path in paths:
        say(path)
