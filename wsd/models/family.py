"""A model family: everything that is known before a checkpoint is read, as frozen data.

Which components there are, which diffusers or transformers class each one is, its published
configuration, how prompts condition it, and what a picture of it looks like. The code that this
data is for is the family's architecture (:mod:`wsd.models.architecture`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wsd.errors import UsageError
from wsd.models.architecture import Architecture
from wsd.models.conditioning import Conditioning
from wsd.models.latent_space import LatentSpace
from wsd.spec.roles import SAFETY_CHECKER, needs_picture
from wsd.spec.tensor import Size


@dataclass(frozen=True)
class Part:
    """Functions of a component whose parameters are stored apart from the component's own.

    A VAE's encoder is one: who draws from text alone need not fetch it.

    Attributes:
        id: key of the parameters in the manifest and the library, and prefix of their shards.
        role: what the functions do in the pipeline, one of :data:`wsd.spec.roles.ROLES`.
    """

    id: str
    role: str


@dataclass(frozen=True)
class Component:
    """One torch module of a pipeline.

    Attributes:
        id: key in the manifest and the library, prefix of its shards, and name of the
            attribute of the diffusers pipeline.
        role: what it does in the pipeline, one of :data:`wsd.spec.roles.ROLES`.
        library: importable module that has the class: ``transformers``, ``diffusers``, or one of
            WSD's own for a class that it extends.
        class_name: class in that library.
        config: the configuration; a checkpoint must agree on every key of it.
        subfolder: folder in the diffusers layout; empty for the id.
        saved_as: other classes of the library whose files hold this component too.
        levels: beginnings of tensors' names that a file may have and the class's own names may
            lack, or the other way round; the library adds or removes them as it loads.
        optional: beginnings of the names of parameters that pictures from text are drawn without,
            so that a file may lack them. The parts read them.
        parts: functions with parameters of their own, which a checkpoint without the optional
            ones, or a bundle for text alone, does not have.
        saved_by: ``transformers`` or ``diffusers``, whose files and configurations hold the
            component, where ``library`` is neither; empty for ``library``.
        alternatives: components of other classes, as they were published, of which a checkpoint may
            have one instead: its configuration names the class.
    """

    id: str
    role: str
    library: str
    class_name: str
    config: Mapping[str, Any]
    subfolder: str = ""
    saved_as: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    saved_by: str = ""
    alternatives: tuple[Component, ...] = ()

    @property
    def layout(self) -> str:
        """Return the library whose rules name the files and the keys of configurations."""
        return self.saved_by or self.library

    @property
    def folder(self) -> str:
        """Return the folder in the diffusers layout."""
        return self.subfolder or self.id

    @property
    def tokens(self) -> int:
        """Return how many tokens a text encoder is compiled for."""
        # CLIP's key, and T5's.
        found = self.config.get("max_position_embeddings")
        return int(self.config["n_positions"] if found is None else found)


@dataclass(frozen=True)
class TokenizerKind:
    """A kind of tokenizer: how transformers and its files name it, and what they must hold.

    Attributes:
        title: what messages call it.
        class_name: class in transformers that reads its files.
        saved_as: other classes that ``model_index.json`` may name for the same files.
        model: type of the model in ``tokenizer.json``.
        tables: JSON files that hold its tokens where there is no ``tokenizer.json``.
        texts: text files that it needs beside the tables.
        special: settings that name its special tokens, none of which may be null.
        highest_end: ``eos_token_id`` in an encoder's configuration with which transformers takes
            the pooled state at a text's highest id; None if it never does so.
    """

    title: str
    class_name: str
    saved_as: tuple[str, ...]
    model: str
    tables: tuple[str, ...]
    texts: tuple[str, ...]
    special: tuple[str, ...]
    highest_end: int | None = None


@dataclass(frozen=True)
class Tokenizer:
    """A tokenizer of a pipeline.

    Attributes:
        name: folder in the diffusers layout.
        component: id of the text encoder that it serves.
        kind: which files it has, and which class reads them.
        fallback: folder with its files, or for random weights with the files of a small
            tokenizer in the same format.
        hub_id: repository to fetch the files from when a checkpoint has none; None if
            ``fallback`` has them.
        pad_token: token that fills a text up to the maximum length, where the files do not say;
            None for the end token.
    """

    name: str
    component: str
    kind: TokenizerKind
    fallback: Path
    pad_token: str | None = None
    hub_id: str | None = None


@dataclass(frozen=True)
class TrainedSizes:
    """Sizes of the pictures that a model was trained on.

    Attributes:
        edges: the smallest and the largest width and height, in pixels.
        pixels: the least and the most that a picture had in all; None where any widths and heights
            went together.
    """

    edges: tuple[int, int]
    pixels: tuple[int, int] | None = None

    def __str__(self) -> str:
        """Return them as a message has them, after "trained on"."""
        least, most = self.edges
        if least == most:
            return f"{least}x{most}"
        total = "" if self.pixels is None else f", of {self.pixels[1] / 1e6:.1f} megapixels in all"
        return f"widths and heights of {least} to {most} pixels{total}"

    def has(self, size: Size) -> bool:
        """Tell whether a picture is among them.

        Args:
            size: (width, height) in pixels.
        """
        edges, pixels = self.edges, self.pixels
        return all(edges[0] <= edge <= edges[1] for edge in size) and (
            pixels is None or pixels[0] <= size[0] * size[1] <= pixels[1]
        )


@dataclass(frozen=True)
class Family:
    """One model family.

    Attributes:
        name: what ``wsd build --model`` takes.
        title: one line for people.
        architecture: the code that this data is for.
        components: in the order in which a picture needs them.
        conditioning: how prompts condition the denoiser.
        scheduler: the diffusers scheduler configuration, ``_class_name`` included; a checkpoint
            may bring its own.
        tokenizers: one for each text encoder, in the encoders' order.
        sizes: (width, height) of the pictures compiled by default, in pixels; the first one is
            the default.
        tile: edge in pixels of the square tiles that a picture can be decoded in, to save
            memory; the larger the tile, the smaller the difference at the seams.
        steps: default number of denoising steps.
        guidance_scale: default classifier-free guidance scale.
        eta: default share of DDPM's noise that DDIM and TCD add at each step, 0 to 1.
        weights: the diffusers folder that ships with WSD, read when no checkpoint is named;
            None if the caller must name one.
        schedules: a folder of databases of tuned schedules that come with it, one for each version
            of TVM, precision and class of adapters; None if there are none.
        examples: prompts for the page to offer.
        prompt_chunks: the most chunks that a prompt may have; a chunk is as long a text as the
            text encoder takes. Each number above 1 has functions of its own.
        deep_cache: whether the denoiser gives its deep features, and has functions that take them.
        whole_bytes: the most bytes of an image inside the VAE's decoder; the decoder of a picture
            that has larger ones computes them in strips of rows.
        license: licence of the published weights, as their card names it; empty if whoever builds
            has to look at the card.
        trained: sizes of the pictures that it was trained on; None if nothing is known of them.
    """

    name: str
    title: str
    architecture: Architecture
    components: tuple[Component, ...]
    conditioning: Conditioning
    scheduler: Mapping[str, Any]
    tokenizers: tuple[Tokenizer, ...]
    sizes: tuple[Size, ...]
    tile: int
    steps: int
    guidance_scale: float
    eta: float = 0.0
    weights: Path | None = None
    schedules: Path | None = None
    examples: tuple[str, ...] = ()
    prompt_chunks: int = 3
    deep_cache: bool = False
    whole_bytes: int = 512 << 20
    license: str = ""
    trained: TrainedSizes | None = None

    @property
    def latent_space(self) -> LatentSpace:
        """Return shape and scale of the latents."""
        return self.architecture.latent_space(self)

    @property
    def size_multiple(self) -> int:
        """Return what both edges of a picture must be multiples of, in pixels."""
        return self.architecture.size_multiple(self)

    def component(self, role: str) -> Component:
        """Return the first component of a role.

        Args:
            role: one of :data:`wsd.spec.roles.ROLES`.

        Raises:
            KeyError: if there is none.
        """
        for component in self.components:
            if component.role == role:
                return component
        raise KeyError(role)

    def replace_component(self, component: Component) -> Family:
        """Return the family with a component in place of the one that has its id."""
        components = tuple(component if c.id == component.id else c for c in self.components)
        return replace(self, components=components)

    @property
    def drawing_components(self) -> tuple[Component, ...]:
        """Return the components that pictures are drawn with: all but a safety checker."""
        return tuple(c for c in self.components if c.role != SAFETY_CHECKER)

    def with_safety_checker(self, checker: Component) -> Family:
        """Return the family with a component that looks at finished pictures."""
        return replace(self, components=(*self.drawing_components, checker))

    @property
    def needs_picture(self) -> bool:
        """Whether the model draws nothing from text alone, because its denoiser takes a picture."""
        return needs_picture(self.architecture.pipeline)

    def check_text_only(self) -> None:
        """Refuse to leave out what encodes a picture where the model draws nothing without it.

        Raises:
            UsageError: for such a model.
        """
        if self.needs_picture:
            raise UsageError(
                f"{self.name} draws parts of pictures anew, and nothing from text alone",
                "leave --text-to-image-only out, or take a model that draws from text",
            )

    def without_parts(self) -> Family:
        """Return the family without the parts that drawing from text does not need.

        Raises:
            UsageError: if the model draws nothing from text alone.
        """
        self.check_text_only()
        components = tuple(replace(component, parts=()) for component in self.components)
        return replace(self, components=components)

    def with_deep_cache(self) -> Family:
        """Return the family with functions that keep and take the denoiser's deep features.

        Raises:
            UsageError: if its denoiser is no UNet.
        """
        if not self.architecture.caches_features:
            raise UsageError(
                f"{self.name} has no UNet, whose deep features could be kept",
                "leave the deep cache out, or take a model with a UNet, such as sd15 or sdxl",
            )
        return replace(self, deep_cache=True)

    def without_encoders(self, ids: Collection[str]) -> Family:
        """Return the family without some text encoders, and without their tokenizers.

        Args:
            ids: of components that :attr:`Conditioning.optional` names.
        """
        conditioning = replace(
            self.conditioning,
            encoders=tuple(e for e in self.conditioning.encoders if e.component not in ids),
            optional=tuple(name for name in self.conditioning.optional if name not in ids),
        )
        return replace(
            self,
            conditioning=conditioning,
            components=tuple(c for c in self.components if c.id not in ids),
            tokenizers=tuple(t for t in self.tokenizers if t.component not in ids),
        )

    def choose_encoders(self, wanted: bool | None) -> Family:
        """Return the family with the text encoders that can be left out, or without them.

        Args:
            wanted: False leaves them out; True asks for them, so that a checkpoint that has none is
                refused; None takes those that the checkpoint has.

        Raises:
            UsageError: if none can be left out, and something was said of them.
        """
        optional = self.conditioning.optional
        if wanted is None:
            return self
        if not optional:
            raise UsageError(
                f"{self.name} has no text encoder that can be left out",
                "say nothing of it for this model",
            )
        if not wanted:
            return self.without_encoders(optional)
        return replace(self, conditioning=replace(self.conditioning, demanded=optional))

    def text_encoders(self) -> tuple[Component, ...]:
        """Return the text encoders in the order in which they run."""
        by_id = {component.id: component for component in self.components}
        return tuple(by_id[encoder.component] for encoder in self.conditioning.encoders)
