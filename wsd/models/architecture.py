"""What an architecture must give: its entry points, its sizes, its files, and its reference.

A family (:mod:`wsd.models.family`) is data: configurations, defaults, weights. Its architecture is
the code that the data is for. To add one, subclass :class:`Architecture` in a module that imports
only the standard library and WSD at its top, and import torch, diffusers and the wrappers inside
the methods: ``nox`` and ``wsd models`` read the registry before anything is installed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypeVar

from wsd.errors import UsageError
from wsd.spec.tensor import Size, TensorSpec

if TYPE_CHECKING:
    import torch

    from wsd.models.family import Component, Family
    from wsd.models.latent_space import LatentSpace


@dataclass(frozen=True)
class EntryPointModule:
    """A torch module that becomes one function of the compiled library.

    Attributes:
        name: of the function.
        role: one of :data:`wsd.spec.roles.ROLES`, by which the browser finds the function.
        module: takes tensors like ``inputs`` by position and returns a tensor or a tuple of
            tensors like ``outputs``. It holds the component's module as its attribute
            ``model``, or submodules of it under their own names, so that the names of its
            parameters are the component's.
        inputs: tensors that it takes, in order.
        outputs: tensors that it returns, in order.
        size: (width, height) of the picture in pixels; None where it does not matter.
        part: id of the part of the component whose parameters it reads
            (:class:`wsd.models.family.Part`); empty for the component's own.
        whole_bytes: the most bytes of an image that it holds whole
            (:attr:`wsd.models.family.Family.whole_bytes`); None for no limit.
    """

    name: str
    role: str
    module: torch.nn.Module
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size: Size | None
    part: str = ""
    whole_bytes: int | None = None


class TensorView(Protocol):
    """What a converter of single files may do with a tensor, which may still be in its file."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape."""

    @property
    def ndim(self) -> int:
        """Return the number of dimensions."""

    @property
    def T(self) -> Self:  # noqa: N802 - torch's name
        """Return the transposed matrix."""

    def __getitem__(self, index: Any) -> Self:
        """Return a slice."""

    def change(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        """Return a tensor that is ``change`` of this one, when it is read."""

    def contiguous(self) -> Self:
        """Return the same values, contiguous in memory."""

    def clone(self) -> Self:
        """Return a copy."""

    def detach(self) -> Self:
        """Return the tensor without its gradient."""


View = TypeVar("View", bound=TensorView)


class Convert(Protocol):
    """Rename the tensors of a component, by their names in a single file, to diffusers' names."""

    def __call__(self, tensors: dict[str, View], /) -> dict[str, View]:
        """Return the tensors by diffusers' names.

        Raises:
            KeyError: with a tensor's name, if one is missing.
            CheckpointError: for tensors of which it cannot be told what they are.
        """


class CheckModel(Protocol):
    """Refuse the tensors of a component that are of another model, by their names in a file."""

    def __call__(self, tensors: Mapping[str, TensorView], /) -> None:
        """Do nothing if they can be of this model.

        Raises:
            CheckpointError: that names the model whose tensors they are, where it is known.
        """


class Configure(Protocol):
    """Return what the configuration of a component would say, of which a file has only tensors."""

    def __call__(self, tensors: Mapping[str, TensorView], /) -> Mapping[str, Any] | None:
        """Return the configuration, with its class; None if the tensors are not the component's."""


@dataclass(frozen=True)
class SingleFileKeys:
    """Where a single file keeps one component.

    Attributes:
        prefixes: what the names of the component's tensors begin with in the file.
        convert: returns the tensors by diffusers' names.
        last_prefix_wins: whether a component that is there under several prefixes is read under
            the last one alone; otherwise the prefixes are parts of one component.
        check_model: refuses the tensors of another model; None where none is known by its tensors.
        configure: reads the configuration from the tensors of a file that has the component alone;
            None where files do not tell it.
    """

    prefixes: tuple[str, ...]
    convert: Convert
    last_prefix_wins: bool = False
    check_model: CheckModel | None = None
    configure: Configure | None = None


@dataclass(frozen=True)
class ModuleRows:
    """A layer of a model as rows of a layer of an adapter's file.

    They are one and the same, but where the original code of a model has several of the layers as
    one matrix, or the rows of a layer in another order.

    Attributes:
        module: name of the model's layer, as its component's state dict has it.
        pieces: into how many equal pieces the rows of the file's layer are cut.
        order: which of the pieces are the model's layer, in the order in which it has them.
    """

    module: str
    pieces: int = 1
    order: tuple[int, ...] = (0,)


class Architecture(ABC):
    """The code that a family's data is for.

    Attributes:
        name: of the architecture; part of the digest under which libraries are shared.
        pipeline: key of the browser's registry of pipelines, which says how a picture is drawn.
        diffusers_pipeline: name of the diffusers pipeline that draws the same pictures.
        diffusers_image_to_image: name of the one that draws them from a picture; empty for none.
        diffusers_inpaint: name of the one that draws a part of a picture anew; empty for none.
        encoder_files: id of a text encoder to how the name of its file begins, where encoders are
            published as files of their own.
        least_multiple: edges of pictures are multiples of it in pixels, whatever the checkpoint's
            configurations are; :meth:`size_multiple` is this number or a multiple of it.
        caches_features: whether the denoiser can keep deep features for its next predictions
            (:attr:`wsd.models.family.Family.deep_cache`).
    """

    name: ClassVar[str]
    pipeline: ClassVar[str] = "text-to-image"
    diffusers_pipeline: ClassVar[str]
    diffusers_image_to_image: ClassVar[str] = ""
    diffusers_inpaint: ClassVar[str] = ""
    encoder_files: ClassVar[Mapping[str, str]] = {}
    least_multiple: ClassVar[int] = 1
    caches_features: ClassVar[bool] = False

    @abstractmethod
    def latent_space(self, family: Family) -> LatentSpace:
        """Return shape and scale of the latents, as the VAE's configuration gives them."""

    @abstractmethod
    def size_multiple(self, family: Family) -> int:
        """Return what both edges of a picture must be multiples of, in pixels."""

    def smallest_edge(self, family: Family) -> int:
        """Return the least width and height of a picture, in pixels."""
        return self.size_multiple(family)

    @abstractmethod
    def entry_points(
        self, family: Family, component: Component, model: torch.nn.Module, sizes: Sequence[Size]
    ) -> Iterator[EntryPointModule]:
        """Yield every function that a component becomes; none for a component that is not run.

        Args:
            family: the family that is compiled.
            component: which of its components ``model`` is.
            model: the torch module in evaluation mode, float32; its weights may be memory that
                nobody has written to.
            sizes: (width, height) of the pictures in pixels.

        Raises:
            CompileError: for a role or a configuration that the architecture does not know.
        """

    def max_clip_skip(self, family: Family) -> int:
        """Return how many of the last layers of the text encoders can be left out; 0 for none."""
        del family
        return 0

    def safety_checker(self) -> Component | None:
        """Return the component that can look at finished pictures, as published; None for none."""
        return None

    def constant_inputs(
        self, family: Family, size: Size, guidance_scale: float | None = None
    ) -> Mapping[str, Sequence[float]]:
        """Return the denoiser's inputs that are the same on every step, values by name.

        Args:
            family: the family that the denoiser belongs to.
            size: (width, height) of the picture in pixels.
            guidance_scale: for denoisers that take it as an input; the family's own unless given.
        """
        del family, size, guidance_scale
        return {}

    def single_file_keys(self, family: Family, component: Component) -> SingleFileKeys | None:
        """Return where a single file keeps a component; None if there is no such layout."""
        del family, component
        return None

    def spell_adapter_modules(
        self, family: Family, component: Component, modules: Iterable[str]
    ) -> Iterator[tuple[str, ModuleRows]]:
        """Yield the names that adapters give a component's layers, and the layer.

        Args:
            family: that the component is of.
            component: one of its components.
            modules: names of the component's layers, as its state dict has them.

        Yields:
            (name in an adapter's file, layer), several times for a name that stands for several
            layers; nothing for an architecture without adapters.
        """
        del family, component, modules
        yield from ()

    def cached_features(
        self, denoiser: Any, runs_whole: Callable[[], bool]
    ) -> AbstractContextManager[None]:
        """Let the reference's denoiser take its deep features from an earlier prediction.

        Args:
            denoiser: diffusers' module, which predicts otherwise as long as this lasts.
            runs_whole: is called with each prediction, and tells whether all of it runs.

        Raises:
            UsageError: without :attr:`caches_features`.
        """
        del denoiser, runs_whole
        raise UsageError(
            f"{self.name} keeps no deep features of its denoiser",
            "leave the cache interval out, or take a model with a UNet",
        )

    def pipeline_class(self) -> Any:
        """Return the class of the pipeline that is the reference."""
        import diffusers

        return getattr(diffusers, self.diffusers_pipeline)

    def pipeline_options(self, family: Family) -> Mapping[str, Any]:
        """Return what the pipeline's constructor takes besides components and scheduler."""
        del family
        return {}

    def call_options(self, family: Family) -> Mapping[str, Any]:
        """Return what the pipeline takes with every picture besides the request."""
        del family
        return {}

    def adjust_random_weights(self, family: Family, modules: Mapping[str, torch.nn.Module]) -> None:
        """Change freshly initialised modules, by component id, so that pictures are not flat."""
        del family, modules
