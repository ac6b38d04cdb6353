"""Read how a safety checker wants its pictures: the ``preprocessor_config.json`` of CLIP.

The page prepares pictures as transformers' ``CLIPImageProcessor`` does with Pillow
(``web/src/pipeline/safety_checker.ts``): the shorter edge is resized bicubically, the middle is cut
out, and each channel is normalised. A file that asks for something else is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsd.checkpoint.weight_source import read_json
from wsd.errors import CheckpointError
from wsd.models.config_rules import is_int, is_number

Channels = tuple[float, float, float]

# OpenAI's CLIP (Radford et al. 2021), as transformers has them for a file that lacks them.
_MEAN: Channels = (0.48145466, 0.4578275, 0.40821073)
_STD: Channels = (0.26862954, 0.26130258, 0.27577711)
_EDGE = 224
# Pillow's Image.Resampling.BICUBIC.
_BICUBIC = 3
# Shorter edges beyond this would make pictures of any size slow to check.
_LONGEST_EDGE = 4096
# Switches of CLIPImageProcessor that must be on, as they are where a file lacks them.
_SWITCHES = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
# Names of the class, old and new.
_CLASSES = ("CLIPFeatureExtractor", "CLIPImageProcessor", "CLIPImageProcessorFast",
            "CLIPImageProcessorPil")  # fmt: skip
# Keys that change no value that the checker gets.
_HARMLESS = ("processor_class", "data_format", "input_data_format", "device", "return_tensors",
             "disable_grouping", "default_to_square", "_valid_processor_keys")  # fmt: skip


@dataclass(frozen=True)
class ImageProcessor:
    """How a picture becomes what an image encoder takes.

    Attributes:
        resize: pixels of the shorter edge after resizing.
        mean: what is subtracted from each channel, of values from 0 to 1.
        std: what each channel is divided by afterwards.
    """

    resize: int
    mean: Channels
    std: Channels


def read_image_processor(path: Path | None, edge: int) -> ImageProcessor:
    """Return what a ``preprocessor_config.json`` says.

    Args:
        path: the file; None for transformers' defaults.
        edge: width and height in pixels of the pictures that the image encoder takes.

    Raises:
        CheckpointError: if the file is unreadable, or asks for what is not done; it names the key.
    """
    found = {} if path is None else read_json(path)
    place = "the default of CLIPImageProcessor" if path is None else str(path)

    def refuse(key: str, expected: str) -> CheckpointError:
        return CheckpointError(
            f"{place}: {key} is {found.get(key)!r}, expected {expected}",
            "correct the file, or fetch the safety checker again",
        )

    for key in ("feature_extractor_type", "image_processor_type"):
        if found.get(key, _CLASSES[0]) not in _CLASSES:
            raise refuse(key, "a CLIPImageProcessor")
    for key in _SWITCHES:
        if found.get(key, True) is not True:
            raise refuse(key, "true")
    if found.get("resample", _BICUBIC) != _BICUBIC:
        raise refuse("resample", f"{_BICUBIC}, bicubic")
    factor = found.get("rescale_factor", 1 / 255)
    if not is_number(factor) or abs(factor * 255 - 1) > 1e-9:
        raise refuse("rescale_factor", "1/255")
    crop = _read_edge(found.get("crop_size", _EDGE), ("height", "width"))
    if crop != edge:
        raise CheckpointError(
            f"{place}: crop_size is {found.get('crop_size', _EDGE)!r}, but the image encoder takes "
            f"{edge}x{edge} pixels",
            "put the preprocessor_config.json of this safety checker beside its config.json",
        )
    resize = _read_edge(found.get("size", _EDGE), ("shortest_edge",))
    if resize is None or not edge <= resize <= _LONGEST_EDGE:
        raise refuse("size", f"a shortest edge of {edge} to {_LONGEST_EDGE} pixels")
    mean = _read_channels(found.get("image_mean", _MEAN))
    std = _read_channels(found.get("image_std", _STD))
    if mean is None:
        raise refuse("image_mean", "three numbers")
    if std is None or min(std) <= 0:
        raise refuse("image_std", "three positive numbers")
    known = {*_SWITCHES, *_HARMLESS, "feature_extractor_type", "image_processor_type", "resample",
             "rescale_factor", "crop_size", "size", "image_mean", "image_std"}  # fmt: skip
    for key, value in found.items():
        if key not in known and value is not None:
            raise CheckpointError(
                f"{place}: {key} is {value!r}, and WSD does not know what it changes",
                "if it is an annotation, delete it",
            )
    return ImageProcessor(resize, mean, std)


def _read_edge(value: Any, names: tuple[str, ...]) -> int | None:
    """Return an edge that is a number, or the one number under some names; None otherwise."""
    values = [value]
    if isinstance(value, Mapping):
        values = [value.get(name) for name in names]
        if set(value) != set(names):
            return None
    first: Any = values[0]
    return first if is_int(first) and all(v == first for v in values) else None


def _read_channels(value: Any) -> Channels | None:
    if isinstance(value, list | tuple) and len(value) == 3 and all(map(is_number, value)):
        red, green, blue = map(float, value)
        return (red, green, blue)
    return None
