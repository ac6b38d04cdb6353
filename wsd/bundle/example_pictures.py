"""``wsd build --examples``: read pictures that people saved, and make small copies for a bundle.

They are PNGs that the page, ``wsd render`` and other programs write. Each carries its settings as a
text with the keyword ``parameters`` (``web/src/settings/infotext.ts``). The page shows each picture
as a button, takes its settings when it is clicked, and draws the same picture again.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, PngImagePlugin

from wsd.checkpoint.checkpoint import Checkpoint
from wsd.checkpoint.links import check_inside
from wsd.errors import UsageError
from wsd.spec.manifest import MAX_EXAMPLE_SETTINGS, MAX_EXAMPLES
from wsd.util.hashing import canonical_json, sha256_bytes

# Folder beside a checkpoint's weights whose pictures are the model's examples by default.
FOLDER_NAME = "example-pictures"
KEYWORD = "parameters"

# Pixels of each edge of a small picture: the page shows it in at most about so many.
_EDGE = 128
# Bytes that a small picture should have: the first of the qualities that gives no more is taken.
_AIM = 4096
_QUALITIES = (95, 85, 75, 65, 50, 35, 20)
# Bytes and pixels of the largest picture that is read; the page reads files of the same size.
_LARGEST_FILE = 256 << 20
_LARGEST_AREA = 8192 * 8192
# How the lines begin that stand below the prompt.
_NEGATIVE = "Negative prompt:"
_STEPS = re.compile(r"Steps: ?\d")
_MODEL_HASH = re.compile(r"(?:^|, )Model hash: ([0-9a-f]{10})(?:,|$)")
# What Pillow raises for files that are no PNG, or damaged.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, OverflowError, struct.error, zlib.error)
_TAKES = "give a folder of PNGs that were saved from WSD's page or written by wsd render"
_SMALLER = f"a picture has at most {_LARGEST_AREA} pixels: make it smaller, or leave it out"
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Example:
    """A prompt to offer, with the picture that was drawn of it.

    Attributes:
        prompt: what was drawn.
        settings: everything that decided the picture, as the text of its PNG has it.
        picture: a small copy of it, as the bytes of a WebP file.
    """

    prompt: str
    settings: str
    picture: bytes


def read_examples(folder: Path, checkpoint: Path | None = None) -> tuple[Example, ...]:
    """Read the PNGs of a folder, in the order of their names.

    Args:
        folder: whose files that end in ``.png`` are read; others are left out.
        checkpoint: folder that links among them may lead into; None for ``folder`` alone.

    Returns:
        an example for each.

    Raises:
        UsageError: if there are none or too many, if one is damaged, too large or carries no
            settings, or if two have the same prompt.
        CheckpointError: if one is a link out of the folder.
        OSError: if the folder or a file cannot be read.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder of example pictures", _TAKES)
    paths = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    pictures = [path for path in paths if path.suffix.lower() == ".png" and path.is_file()]
    if not pictures:
        raise UsageError(f"{folder} holds no PNG", _TAKES)
    if len(pictures) > MAX_EXAMPLES:
        raise UsageError(
            f"{folder} holds {len(pictures)} PNGs, and the page has room for {MAX_EXAMPLES}",
            "leave some of them out",
        )
    for path in paths:
        if path not in pictures:
            _LOG.warning("%s is no PNG, so it is no example", path)
    examples: dict[str, tuple[Path, Example]] = {}
    for path in pictures:
        example = _read_example(check_inside(path, checkpoint or folder))
        other, _ = examples.setdefault(example.prompt, (path, example))
        if other != path:
            raise UsageError(
                f"{other} and {path} have the same prompt",
                "leave one of them out: visitors tell examples apart by their prompts",
            )
    return tuple(example for _, example in examples.values())


def find_examples(checkpoint: Checkpoint) -> tuple[Example, ...]:
    """Return the examples beside a checkpoint's weights; none if there are none.

    Those that were drawn with other weights, by the hash that :func:`hash_weights` gives, are left
    out, and that is said.

    Raises:
        UsageError, CheckpointError: if there are pictures that cannot be read; see
            :func:`read_examples`.
    """
    folder = checkpoint.source.extra_file(FOLDER_NAME)
    if folder is None:
        return ()
    examples = read_examples(folder, folder.parent)
    expected = hash_weights(checkpoint)
    for example in examples:
        if _read_model_hash(example.settings) not in (None, expected):
            _LOG.warning(
                "%s is of other weights, so the bundle has none of its pictures: give the folder "
                "by --examples if they are this model's",
                folder,
            )
            return ()
    return examples


def hash_weights(checkpoint: Checkpoint) -> str:
    """Return ten hexadecimal digits that name a checkpoint's weights.

    The setting ``Model hash`` of pictures beside a checkpoint has them. Other programs write there
    the digits of a single file's digest.
    """
    drawing = checkpoint.family.drawing_components
    digests = {c.id: list(checkpoint.weight_digests(c)) for c in drawing}
    return sha256_bytes(canonical_json(digests))[:10]


def read_prompt(settings: str) -> str | None:
    """Return the prompt of a picture's settings; None if the text holds no settings."""
    split = _split(settings)
    if split is None:
        return None
    words, _ = split
    negative = [index for index, line in enumerate(words) if line.startswith(_NEGATIVE)]
    return "\n".join(words[: negative[0]] if negative else words)


def _split(settings: str) -> tuple[list[str], str] | None:
    """Return the lines above the settings' line of pairs, and that line; None if there is none."""
    lines = settings.replace("\r\n", "\n").rstrip().split("\n")
    steps = [index for index, line in enumerate(lines) if _STEPS.match(line)]
    return (lines[: steps[-1]], lines[steps[-1]]) if steps else None


def _read_model_hash(settings: str) -> str | None:
    split = _split(settings)
    found = None if split is None else _MODEL_HASH.search(split[1])
    return None if found is None else found[1]


def _read_example(path: Path) -> Example:
    if path.stat().st_size > _LARGEST_FILE:
        raise UsageError(f"{path} is larger than any picture", _TAKES)
    # What is read is in memory, so that errors of the file system are not taken for a broken PNG.
    data = path.read_bytes()
    try:
        with warnings.catch_warnings():
            # Pillow warns of large pictures; how large they may be is decided here.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
                if image.width * image.height > _LARGEST_AREA:
                    raise UsageError(f"{path} has {image.width}x{image.height} pixels", _SMALLER)
                settings = _read_text(image)
                small = _shrink(image)
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path} has too many pixels", _SMALLER) from error
    except _BROKEN as error:
        raise UsageError(f"{path} is no PNG, or damaged ({error})", _TAKES) from error
    prompt = None if settings is None else read_prompt(settings)
    if settings is None or prompt is None:
        raise UsageError(f"{path} does not say with which settings it was drawn", _TAKES)
    if len(settings) > MAX_EXAMPLE_SETTINGS:
        raise UsageError(
            f"the settings of {path} have {len(settings)} characters, "
            f"expected at most {MAX_EXAMPLE_SETTINGS}",
            "draw it from a shorter prompt",
        )
    if not prompt.strip():
        raise UsageError(
            f"{path} was drawn without a prompt",
            "an example is offered by its prompt: leave it out",
        )
    return Example(prompt, settings, small)


def _read_text(image: Image.Image) -> str | None:
    """Return the settings' text of a PNG; None if it has none."""
    assert isinstance(image, PngImagePlugin.PngImageFile)
    text = image.text.get(KEYWORD)
    return None if text is None else str(text)


def _shrink(image: Image.Image) -> bytes:
    """Return the middle of a picture as a small square WebP file, the same bytes at every build."""
    rgb = image.convert("RGB")
    # Otherwise the file would carry the picture's texts and profiles.
    rgb.info = {}
    edge = min(_EDGE, *rgb.size)
    # Bicubic weights are polynomials: unlike Lanczos' sines they are the same on every machine.
    small = ImageOps.fit(rgb, (edge, edge), Image.Resampling.BICUBIC)
    for quality in _QUALITIES:
        data = io.BytesIO()
        small.save(data, format="WEBP", quality=quality, method=6)
        if len(data.getvalue()) <= _AIM:
            break
    return data.getvalue()
