"""Conditioning: which text encoders run, what each gives, and how their outputs are joined."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# How the states of several encoders become one tensor. "features" puts them side by side,
# (1, tokens, sum of hidden sizes), as SDXL does. "sequence" puts those of a last encoder behind
# those of the others, which are side by side and padded with zeros to its width, as SD 3 does.
Join = Literal["features", "sequence"]
# What a negative prompt that is empty or not given stands for: the encoding of the empty text, as
# in SD 1.5, or zeros in place of every output, as in SDXL.
EmptyNegative = Literal["encode", "zeros"]


@dataclass(frozen=True)
class ConditioningEncoder:
    """One text encoder and what the denoiser gets of it.

    Attributes:
        component: id of the component.
        hidden_state: index of the hidden state that conditions the denoiser; None for the last
            one, normalised; -2 for the last but one, without the final normalisation.
        pooled: whether its projected state at the end of the text conditions the denoiser too.
    """

    component: str
    hidden_state: int | None = None
    pooled: bool = False


@dataclass(frozen=True)
class Conditioning:
    """What conditions the denoiser.

    Attributes:
        encoders: in the order in which they run and in which their states are joined.
        join: how their states are joined.
        empty_negative: what an empty or missing negative prompt stands for.
        room: with ``sequence``, tokens that the last encoder has, or zeros where it is left out.
        optional: ids of those encoders that can be left out, when a bundle is built and when it is
            loaded; zeros are in the place of their states then.
        demanded: those of the optional ones without which a checkpoint is refused, because somebody
            asked for them.
    """

    encoders: tuple[ConditioningEncoder, ...]
    join: Join = "features"
    empty_negative: EmptyNegative = "encode"
    room: int = 0
    optional: tuple[str, ...] = ()
    demanded: tuple[str, ...] = ()

    def position(self, component: str) -> int:
        """Return the place of a component among the encoders, counted from 0.

        Raises:
            KeyError: if it is not one of them.
        """
        for position, encoder in enumerate(self.encoders):
            if encoder.component == component:
                return position
        raise KeyError(component)

    def encoder(self, component: str) -> ConditioningEncoder:
        """Return what is taken of an encoder; ``KeyError`` if it is not one of them."""
        return self.encoders[self.position(component)]
