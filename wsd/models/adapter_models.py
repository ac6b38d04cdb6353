"""Which published model an adapter was made for, as names and shapes of its layers tell it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_XL = "Stable Diffusion XL"


@dataclass(frozen=True)
class _Kind:
    """A kind of denoiser, which its layers' names tell.

    Attributes:
        name: for messages, where no published model is known.
        layers: regular expression for names of layers that no other kind has.
        wide: regular expression for layers whose number of input features tells models apart.
        reads: says of what that is the number of features.
        published: number of features → the published model.
    """

    name: str
    layers: re.Pattern[str]
    wide: re.Pattern[str]
    reads: str
    published: Mapping[int, str]


# A UNet's blocks have transformer blocks inside, and a transformer has nothing else.
_TRANSFORMER = _Kind(
    "diffusion transformer",
    re.compile(
        r"^(transformer\.|lora_transformer_|lycoris_)?transformer_blocks[._]\d"
        r"|joint_blocks[._]|(joint|single)_transformer_blocks|(double|single)_blocks"
    ),
    re.compile(
        r"attn2?[._](to_[qkv]|add_[qkv]_proj|qkv)$|(ff|ff_context)[._]net[._]0[._]proj$"
        r"|mlp[._]fc1$|norm1(_context)?[._]linear$|adaLN_modulation[._]1$"
    ),
    "transformer",
    {1536: "Stable Diffusion 3 or 3.5 Medium", 2432: "Stable Diffusion 3.5 Large"},
)
_UNET = _Kind(
    "UNet",
    re.compile(r"(down|up|input|output)_blocks[._]|(mid|middle)_block[._]"),
    re.compile(r"attn2[._](processor\.)?to_[kv]$"),
    "cross attention",
    {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: _XL},
)
# Names of layers that one model alone has → the model.
_BY_NAME = (
    (re.compile(r"double_blocks|single_blocks|single_transformer_blocks"), "FLUX"),
    (re.compile(r"joint_transformer_blocks"), "AuraFlow"),
)
_SECOND_ENCODER = re.compile(r"(lora_te2_|text_encoder_2\.)")


@dataclass(frozen=True)
class AdapterModel:
    """A model as the layers of an adapter tell it, or as its own layers do.

    Attributes:
        name: of the published model; empty if that is unknown.
        kind: of its denoiser; None if no layer tells it.
        width: features that its cross attention or its transformer reads; None if no layer tells.
    """

    name: str
    kind: _Kind | None
    width: int | None

    def differs(self, own: AdapterModel) -> bool:
        """Tell whether it is known to be another model than the one that an adapter is for."""
        if self.kind is not None and own.kind is not None and self.kind is not own.kind:
            return True
        if self.is_of_other_width(own):
            return True
        return self.name not in ("", own.name)

    def is_of_other_width(self, other: AdapterModel) -> bool:
        """Tell whether both are of one kind, and of different widths."""
        widths = (self.width, other.width)
        return self.kind is other.kind and None not in widths and self.width != other.width

    def title(self, own: AdapterModel) -> str:
        """Return what it is called in messages beside the model that an adapter is for."""
        if self.name or self.kind is None:
            return self.name or "another model"
        return f"{'another' if self.kind is own.kind else 'a'} {self.kind.name}"

    @property
    def reads(self) -> str:
        """Return of what its width is the number of features, for messages."""
        assert self.kind is not None
        return f"whose {self.kind.reads} reads {self.width}"


def find_adapter_model(inputs: Mapping[str, int | None], *, encoders: int) -> AdapterModel:
    """Return which model the layers of an adapter are of; of a model's own layers, what it is.

    Args:
        inputs: name of a layer, as a file or the model has it → features of its input; None where
            these are unknown.
        encoders: number of text encoders of the model that the adapter was taken for.
    """
    kind = next((k for k in (_TRANSFORMER, _UNET) if _has(k.layers, inputs)), None)
    width = None
    if kind is not None:
        # CLIP has layers of such names too.
        own = {name: features for name, features in inputs.items() if kind.layers.search(name)}
        widths = [features for name, features in own.items() if kind.wide.search(name)]
        width = next((features for features in widths if features is not None), None)
    name = next((model for pattern, model in _BY_NAME if _has(pattern, inputs)), "")
    if not name and kind is not None and width is not None:
        name = kind.published.get(width, "")
    if not name and kind is not _TRANSFORMER and encoders == 1 and _has(_SECOND_ENCODER, inputs):
        name = _XL
    return AdapterModel(name, kind, width)


def _has(pattern: re.Pattern[str], names: Iterable[str]) -> bool:
    return any(pattern.search(name) for name in names)
