"""The manifest of a model, version 2: every field that a page needs to draw with it.

A bundle has one ``manifest.json`` for each model. Its files lie beside it, and nothing is
inferred from their names. These classes are the one definition: ``python -m
tools.generate_types`` writes the JSON Schema (``wsd/bundle/manifest.schema.json``) and the
TypeScript types (``web/src/bundle/manifest.generated.ts``) from them, descriptions included.

Every object is frozen, refuses unknown fields, and takes values of exactly the declared types.
Versions before this one are upgraded when they are read (:mod:`wsd.bundle.manifest_v1`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.dataclasses import dataclass

from wsd.spec.entry import CONFIG, Entry, SparseEntry
from wsd.spec.parameter import SCALE, Storage, stored_bytes
from wsd.spec.paths import MAX_NAME, ByName, FolderAddress, Name, check_name
from wsd.spec.precision import Precision
from wsd.spec.roles import (
    BLOCK_SCALES,
    CHUNKED_DENOISER,
    DENOISER,
    LAYERED_TEXT_ENCODER,
    MASKED_BLEND,
    REQUIRED_ROLES,
    RGBA_TO_IMAGE,
    ROLES,
    SAFETY_CHECKER,
    SHALLOW_DENOISER,
    TEXT_STATES,
    VAE_ENCODER,
)
from wsd.spec.selection import SelectionRules
from wsd.spec.tensor import Size, TensorSpec

SCHEMA_VERSION: Final = 2
# Most examples that the page has room for, and limits of each.
MAX_EXAMPLES: Final = 6
MAX_EXAMPLE_BYTES: Final = 1 << 14
MAX_EXAMPLE_SETTINGS: Final = 20_000
# Most LoRAs that the page offers, and trigger words of each.
MAX_EXAMPLE_LORAS: Final = 8
MAX_TRIGGER_WORDS: Final = 20


def _require_role(role: str) -> str:
    if role not in ROLES:
        raise ValueError(f"{role!r} is not a role; roles: {', '.join(ROLES)}")
    return role


Role = Annotated[str, AfterValidator(_require_role), Field(json_schema_extra={"enum": list(ROLES)})]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Integrity = Annotated[str, Field(pattern=r"^sha384-[A-Za-z0-9+/]{64}$")]
ModelName = Annotated[
    str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=MAX_NAME), AfterValidator(check_name)
]


class FileEntry(Entry):
    """One file beside the manifest."""

    file: Name
    """Name of the file, without a folder."""
    bytes: PositiveInt
    """Size of the file in bytes."""
    sha256: Sha256
    """SHA-256 of the file in lower-case hexadecimal."""


class AdapterEntry(Entry):
    """An adapter, such as a LoRA, that a build merged into the weights."""

    source: str
    """The file: its path on the hub and the commit, or its name."""
    sha256: Sha256
    """SHA-256 of the file in lower-case hexadecimal."""
    scale: float
    """Factor on what it adds to the weights."""
    license: str = ""
    """Its licence as the file's metadata states it; empty if it states none."""


class ModelEntry(SparseEntry):
    """What the model is, for people and for tools."""

    name: ModelName
    """Name on the page: ``wsd build --name``, or that of the family."""
    title: str
    """One line for people."""
    pipeline: str
    """Class of diffusers that draws the same pictures."""
    dtype: Precision
    """How the weights are stored; sums are float32 in every precision."""
    source: str
    """The checkpoint: a hub id and commit, or the name of a file or folder."""
    options: Mapping[str, str] = {}
    """What was said of the checkpoint where it was built: option of ``wsd build`` to value."""
    license: str = ""
    """Licence of the weights as the checkpoint states it; empty if it states none."""
    weights: ByName[tuple[Sha256, ...]] = Field(default={})
    """Component id to the SHA-256 of each file that its weights were read from."""
    family: str = Field(default="", pattern=r"^([a-z0-9][a-z0-9-]*)?$", max_length=MAX_NAME)
    """Name of the model family, as ``wsd build --model`` takes it; empty if it is ``name``."""
    adapters: Annotated[tuple[AdapterEntry, ...], Field(min_length=1)] | None = None
    """Adapters that are merged into the weights, in the order in which they were applied; absent
    if there are none."""


@dataclass(frozen=True, config=CONFIG)
class EntryPoint:
    """One compiled function of the library."""

    name: str
    """Name by which the browser looks the function up."""
    role: Role
    """What the function does in the pipeline."""
    component: str | None
    """Id of the component whose parameters it takes as its last argument, or null."""
    size: Size | None
    """Width and height in pixels of the picture that it is for; null where any size will do."""
    inputs: tuple[TensorSpec, ...]
    """Tensors that it takes, in order, without the parameters."""
    outputs: tuple[TensorSpec, ...]
    """Tensors that it returns, in order."""
    kernels: tuple[str, ...] = ()
    """Names of the shaders that it runs."""
    workspace_bytes: NonNegativeInt = 0
    """Bytes of GPU memory that one call works in, outputs included."""
    largest_buffer_bytes: NonNegativeInt = 0
    """Bytes of the largest buffer that one call works in."""
    dispatches: NonNegativeInt = 0
    """Number of shaders that one call dispatches."""
    operations: NonNegativeInt = 0
    """Floating-point operations of one call, as TVM counts them."""


class ParameterRecord(Entry):
    """Place of one parameter in its component's stream, which is its shards laid end to end."""

    name: str
    """Name in the state dict; the scales of int8 and int4 weights follow them, ``<name>.scale``."""
    shape: tuple[PositiveInt, ...]
    """Shape in which the values are stored: a convolution's is (out, height, width, in)."""
    dtype: Storage
    """How values are stored: all but float32 are packed, low bits first, into uint32 words."""
    offset: Annotated[int, Field(ge=0, multiple_of=4)]
    """Where in the stream it begins, in bytes."""
    bytes: PositiveInt
    """Its size in bytes, padded to a multiple of 4."""


class ComponentEntry(Entry):
    """Parameters of one component of the pipeline."""

    folder: Name
    """Folder in the diffusers layout that the weights came from; several entries may share it."""
    role: Role
    """What the component does in the pipeline."""
    bytes: NonNegativeInt
    """Sum of the sizes of the shards in bytes."""
    records: tuple[ParameterRecord, ...]
    """Parameters in the order of the params tuple of the entry points."""
    shards: tuple[FileEntry, ...]
    """Files of the stream, in order."""

    def find_inconsistencies(self) -> Iterator[str]:
        """Yield where records, shards and size contradict each other."""
        end = 0
        for record in self.records:
            if record.offset != end:
                yield f"{record.name} is at {record.offset}, expected {end}"
                return
            if record.bytes != (size := stored_bytes(record.shape, record.dtype)):
                yield f"{record.name} has {record.bytes} bytes, expected {size}"
            end = record.offset + record.bytes
        for what, size in (("records", end), ("shards", sum(s.bytes for s in self.shards))):
            if size != self.bytes:
                yield f"its {what} have {size} bytes, expected {self.bytes}"


class ExamplePicture(FileEntry):
    """A small picture of one of the examples, as a WebP file, and the settings that drew it."""

    prompt: str
    """The example that it is of."""
    settings: Annotated[str, Field(max_length=MAX_EXAMPLE_SETTINGS)]
    """Everything that decided the picture, as the text of its PNG had it."""


class ExampleLora(FileEntry):
    """A LoRA that the page offers with the model, as a safetensors file."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What people call it."""
    layers: PositiveInt
    """Number of parameters that it changes."""
    trigger_words: Annotated[tuple[str, ...], Field(max_length=MAX_TRIGGER_WORDS)]
    """Words that it was trained with, as its metadata names them."""
    license: str
    """Its licence as its metadata states it; empty if it states none."""


class TokenizerEntry(FileEntry, SparseEntry):
    """A tokenizer: ``tokenizer.json`` of Hugging Face's tokenizers, and how to pad."""

    max_length: Annotated[int, Field(ge=2)]
    """Number of tokens that a text is cut or padded to."""
    bos_token_id: NonNegativeInt | None = None
    """Token that begins a text; absent where none does, as with T5."""
    eos_token_id: NonNegativeInt
    """Token that ends a text."""
    pad_token_id: NonNegativeInt
    """Token that fills a text up to ``max_length``."""


class Conditioning(SparseEntry):
    """How prompts become what conditions the denoiser."""

    encoders: Annotated[tuple[str, ...], Field(min_length=1)]
    """Ids of the text encoders, in the order in which they run."""
    join: Literal["features", "sequence"]
    """How their outputs are joined: along the feature axis, or those of the last encoder behind
    the others'."""
    empty_negative: Literal["encode", "zeros"]
    """What a missing negative prompt means: the encoding of the empty text, or zeros."""
    optional: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Ids of the text encoders that a page can leave out: where the states of one would be, the
    denoiser gets zeros. Absent if all are needed."""


class LatentSpace(SparseEntry):
    """The space that the denoiser works in and the VAE decodes."""

    channels: PositiveInt
    """Channels of the latents that the VAE decodes."""
    scale_factor: PositiveInt
    """Pixels of the image per pixel of the latents, each way."""
    scaling_factor: Annotated[float, Field(gt=0)]
    """Factor on the VAE's latents that gives the denoiser's; the decoder divides by it."""
    shift_factor: float
    """Subtracted from the VAE's latents before they are scaled; the decoder adds it."""
    mean: tuple[float, ...] | None = None
    """Mean of each channel of the VAE's latents, which is subtracted from what the encoder gives;
    absent where the model does not normalise channels. The decoder adds it."""
    std: tuple[PositiveFloat, ...] | None = None
    """Standard deviation of each channel, by which what the encoder gives is divided; absent
    likewise."""
    patch_size: Annotated[int, Field(ge=2)] | None = None
    """Edge in latent pixels of what is one token of the denoiser; absent where that is one."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != self.channels:
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std are there together, or neither is")
        return self


class NoiseSchedule(Entry):
    """The noise that the model was trained with."""

    kind: Literal["discrete", "flow"]
    """A variance-preserving process with noise levels at whole timesteps, Ho et al. 2020, or flow
    matching: clean latents times (1 - level) and noise times a level from 1 to 0, Esser et al.
    2024."""
    prediction_type: Literal["epsilon", "v_prediction", "sample", "flow_prediction"]
    """What the denoiser predicts: noise, velocity, clean latents, or the flow to them."""
    num_train_timesteps: PositiveInt
    """Number of timesteps."""
    alphas_cumprod: tuple[Annotated[float, Field(ge=0, le=1)], ...]
    """Product of (1 - beta) up to each timestep, as diffusers computes it in float32; empty for
    flow matching."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        expected = self.num_train_timesteps if self.kind == "discrete" else 0
        if len(self.alphas_cumprod) != expected:
            raise ValueError(
                f"alphas_cumprod has {len(self.alphas_cumprod)} values, num_train_timesteps is "
                f"{self.num_train_timesteps}, kind is {self.kind}"
            )
        if self.kind == "flow" and self.prediction_type != "flow_prediction":
            raise ValueError(f"kind is flow, prediction_type is {self.prediction_type}")
        return self


class DynamicShift(Entry):
    """How far the noise levels of flow matching are shifted for a picture, in diffusers' terms.

    The shift is linear in the picture's number of tokens in the denoiser.
    """

    base_shift: float
    """Shift for ``base_image_seq_len`` tokens."""
    max_shift: float
    """Shift for ``max_image_seq_len`` tokens."""
    base_image_seq_len: PositiveInt
    """Tokens of a small picture."""
    max_image_seq_len: PositiveInt
    """Tokens of a large picture."""
    time_shift_type: Literal["exponential", "linear"]
    """Whether the shift's exponential moves the noise levels, or the shift itself."""


class FlowLevels(SparseEntry):
    """How a scheduler of flow matching places its noise levels."""

    sigma_min: PositiveFloat
    """Least noise level of the training, as diffusers has shifted it."""
    sigma_max: PositiveFloat
    """Most noise level of the training, likewise."""
    shift: PositiveFloat
    """Shift of the levels between these two towards more noise, Esser et al. 2024, eq. 23."""
    dynamic: DynamicShift | None = None
    """Shift by the picture's size, which then takes the place of ``shift``; absent for none."""
    terminal: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Last noise level before 0, to which all of them are stretched; absent for none."""
    stochastic: bool = False
    """Whether a step goes to the clean latents that are predicted, and adds fresh noise to them."""


class SchedulerConfig(SparseEntry):
    """Configuration of one scheduler, in diffusers' terms."""

    algorithm: str
    """Key of the browser's registry of schedulers, ``web/src/pipeline/schedulers/index.ts``."""
    title: str
    """Name for people."""
    max_steps: PositiveInt
    """Most steps that it can take."""
    timestep_spacing: Literal["linspace", "leading", "trailing"]
    """How timesteps are spaced, Table 2 of Lin et al. 2023."""
    steps_offset: NonNegativeInt
    """Added to timesteps of leading spacing."""
    use_karras_sigmas: bool
    """Whether noise levels follow eq. 5 of Karras et al. 2022."""
    final_alpha_cumprod: float
    """Value that stands for ``alphas_cumprod`` before the first timestep."""
    original_inference_steps: PositiveInt
    """Steps of the schedule that a consistency model was distilled from."""
    timestep_scaling: float
    """Factor on the timestep in a consistency model's boundary conditions."""
    min_steps: PositiveInt = 1
    """Fewest steps that it can take."""
    terminal_alpha_cumprod: Annotated[float, Field(ge=0, le=1)] | None = None
    """Last value of ``alphas_cumprod`` where this scheduler's differs from the noise schedule's:
    with zero terminal SNR some keep it above 0."""
    largest_sigma: PositiveFloat | None = None
    """Largest noise level of the training in float32, where torch's differs in its last bit from
    the nearest value."""
    largest_log_sigma: float | None = None
    """Its logarithm, where numpy's differs likewise. Both decide whether a multistep solver's first
    timestep is rounded down to the one before."""
    use_exponential_sigmas: bool = False
    """Whether noise levels are spaced evenly in their logarithm."""
    use_beta_sigmas: bool = False
    """Whether noise levels follow a beta distribution, Lee et al. 2024."""
    use_lu_lambdas: bool = False
    """Whether noise levels are spaced evenly in their logarithm, at whole timesteps."""
    use_flow_sigmas: bool = False
    """Whether noise levels are those of flow matching, which go from 1 to 0."""
    flow_shift: PositiveFloat = 1.0
    """Shift of flow matching's noise levels towards more noise."""
    sigma_min: PositiveFloat | None = None
    """Smallest noise level of Karras, exponential, beta spacing; absent for the timesteps' own."""
    sigma_max: PositiveFloat | None = None
    """Largest noise level of Karras, exponential, beta spacing; absent for the timesteps' own."""
    final_sigmas_type: Literal["zero", "sigma_min"] = "zero"
    """Noise level after the last step: none, or the least of the training."""
    interpolation_type: Literal["linear", "log_linear"] = "linear"
    """How Euler's method finds noise levels between two timesteps."""
    timestep_type: Literal["discrete", "continuous"] = "discrete"
    """Whether the denoiser is given the timestep, or with velocities a quarter of the noise
    level's logarithm."""
    algorithm_type: Literal["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++"] = (
        "dpmsolver++"
    )
    """Which of the DPM solvers: noise or data prediction, of the ODE or the SDE."""
    solver_order: Annotated[int, Field(ge=1, le=3)] = 2
    """Order of a multistep solver."""
    solver_type: Literal["midpoint", "heun", "bh1", "bh2", "logrho"] = "midpoint"
    """Variant of a multistep solver's update: of DPM-Solver, UniPC or DEIS."""
    lower_order_final: bool = True
    """Whether the last steps of a multistep solver take lower orders."""
    euler_at_final: bool = False
    """Whether the last step of DPM-Solver is Euler's."""
    last_timestep: PositiveInt | None = None
    """Number of timesteps that DPM-Solver uses, where ``lambda_min_clipped`` leaves some out."""
    round_timesteps: bool = True
    """Whether DPM-Solver rounds the timesteps of Karras' noise levels."""
    predict_x0: bool = True
    """Whether UniPC works with clean latents rather than with noise."""
    disable_corrector: tuple[NonNegativeInt, ...] = ()
    """Steps after which UniPC corrects nothing."""
    skip_prk_steps: bool = True
    """Whether PNDM starts without Runge-Kutta steps."""
    variance_type: Literal["fixed_small", "fixed_small_log", "fixed_large"] = "fixed_small"
    """How much noise DDPM draws in a step."""
    flow: FlowLevels | None = None
    """Noise levels of flow matching; absent for schedulers of other models."""


class SchedulerConstants(Entry):
    """Everything about one scheduler of a model that decides a run, but for the run's options.

    It is a file of its own beside the manifest, whose ``schedulers.constants`` names it.
    """

    name: str
    """Name of the scheduler, as the manifest has it."""
    config: SchedulerConfig
    """Its configuration, which the manifest has too."""
    noise_schedule: NoiseSchedule
    """The noise that the model was trained with, which the manifest has too."""


class Schedulers(SparseEntry):
    """The schedulers that can draw with the model."""

    default: str
    """Name of the one that the checkpoint means."""
    available: Annotated[Mapping[str, SchedulerConfig], Field(min_length=1)]
    """Name to configuration."""
    constants: Annotated[ByName[FileEntry], Field(min_length=1)] | None = None
    """Name to the file of its constants, which a page draws with; absent in bundles of older
    versions, whose pages take them from the manifest."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.default not in self.available:
            raise ValueError(
                f"default is {self.default!r}, available are {', '.join(self.available)}"
            )
        return self


class Defaults(Entry):
    """Options of a picture where the caller gives none."""

    steps: PositiveInt
    """Number of denoising steps."""
    guidance_scale: NonNegativeFloat
    """Scale of classifier-free guidance; up to 1 means none."""
    size: Size
    """Width and height in pixels."""
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of DDPM's noise that DDIM and TCD add at each step."""


class LatentPreview(Entry):
    """Colour of a pixel of the latents, from -1 to 1: weights times latents plus bias."""

    weights: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    """Rows for red, green and blue, one factor for each channel of the latents."""
    bias: tuple[float, float, float]
    """Red, green and blue of zero latents."""


class Requirements(Entry):
    """What WebGPU must offer for any picture; what a size needs beyond is in its entry points."""

    features: tuple[str, ...]
    """Names of WebGPU features."""
    limits: Mapping[str, int]
    """Name of a WebGPU limit to the least value that will do."""


@dataclass(frozen=True, config=CONFIG)
class PeakMemory:
    """The most GPU memory that drawing one picture takes, as the compiler planned it."""

    size: Size
    """Width and height of the picture in pixels."""
    offload: bool
    """Whether the parameters of only one stage at a time are on the GPU."""
    tiling: bool
    """Whether the picture is decoded in tiles, and one that is given is encoded in tiles."""
    bytes: PositiveInt
    """The most GPU memory at one time, in bytes."""


class SafetyChecker(Entry):
    """The component that looks at finished pictures, where a page asks for it.

    A picture is prepared as transformers' ``CLIPImageProcessor`` does: resized bicubically, the
    middle cut out, and normalised.
    """

    resize: PositiveInt
    """Pixels of the shorter edge after resizing."""
    mean: tuple[float, float, float]
    """Subtracted from red, green and blue, of values from 0 to 1."""
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    """What red, green and blue are divided by afterwards."""
    source: str
    """Where it comes from: a hub id and commit, or the name of a folder."""
    license: str = ""
    """Its licence as its card states it; empty if it states none."""


class Manifest(SparseEntry):
    """Everything that a page needs to draw with one model.

    Files lie beside the manifest, and nothing is inferred from their names.
    """

    schema_version: Literal[2]
    """Version of this format."""
    model: ModelEntry
    pipeline: str
    """Key of the browser's registry of pipelines, ``text-to-image`` for example."""
    library: FileEntry
    """The compiled functions: one WebAssembly module."""
    entry_points: Annotated[tuple[EntryPoint, ...], Field(min_length=1)]
    components: Annotated[ByName[ComponentEntry], Field(min_length=1)]
    """Component id to its parameters."""
    conditioning: Conditioning
    tokenizers: Annotated[ByName[TokenizerEntry], Field(min_length=1)]
    """Component id of a text encoder to its tokenizer."""
    latent_space: LatentSpace
    noise_schedule: NoiseSchedule
    schedulers: Schedulers
    defaults: Defaults
    examples: tuple[str, ...]
    """Prompts to offer."""
    preview: LatentPreview
    requires: Requirements
    peak_bytes: Annotated[tuple[PeakMemory, ...], Field(min_length=1)]
    """One entry for each picture size and way of drawing it from text."""
    toolchain: Mapping[str, str]
    """Tool to the version that made the library."""
    kernels: FileEntry | None = None
    """Hand-written variants of the library's shaders; absent if there are none."""
    kernel_choices: FileEntry | None = None
    """Which variant was the fastest in each kernel on some classes of adapters; absent if it was
    built without."""
    self_test: FileEntry | None = None
    """What each stage must give, for the self-test page; absent if it was not built with them."""
    image_peak_bytes: Annotated[tuple[PeakMemory, ...], Field(min_length=1)] | None = None
    """As ``peak_bytes``, where a picture is given and the VAE encodes it first; absent for a model
    without an encoder."""
    safety_checker: SafetyChecker | None = None
    """How pictures are prepared for the safety checker; absent for a model without one."""
    documents: tuple[FileEntry, ...] = ()
    """The checkpoint's card, licences and notices, as texts for people."""
    example_pictures: tuple[ExamplePicture, ...] = ()
    """Pictures of the examples, as far as they have one."""
    example_loras: (
        Annotated[tuple[ExampleLora, ...], Field(min_length=1, max_length=MAX_EXAMPLE_LORAS)] | None
    ) = None
    """LoRAs that the page offers with the model; absent if there are none."""
    selection: SelectionRules | None = None
    """Which kernel variants and which precision run; absent in bundles of earlier versions, which
    the page's own rules are for."""

    @model_validator(mode="after")
    def _check_references(self) -> Self:
        """Refuse ids that no component has, and a preview of other latents."""
        used = {f"entry_points: {e.name}": e.component for e in self.entry_points}
        used |= {f"conditioning: encoders: {name}": name for name in self.conditioning.encoders}
        used |= {f"tokenizers: {name}": name for name in self.tokenizers}
        used |= {
            f"conditioning: optional: {name}": name for name in self.conditioning.optional or ()
        }
        for place, component in used.items():
            if component is not None and component not in self.components:
                raise ValueError(
                    f"{place}: no component {component!r} in {', '.join(self.components)}"
                )
        for row in self.preview.weights:
            if len(row) != self.latent_space.channels:
                raise ValueError(
                    f"preview: weights: a row has {len(row)} factors, the latents have "
                    f"{self.latent_space.channels} channels"
                )
        return self

    def files(self) -> tuple[FileEntry, ...]:
        """Return every file that the manifest names."""
        shards = [shard for component in self.components.values() for shard in component.shards]
        given = (self.kernels, self.kernel_choices, self.self_test)
        optional = [entry for entry in given if entry is not None]
        constants = (self.schedulers.constants or {}).values()
        texts = (*self.tokenizers.values(), *constants, *optional, *self.documents)
        examples = (*self.example_pictures, *(self.example_loras or ()))
        return (self.library, *texts, *examples, *shards)

    def find_inconsistencies(self) -> Iterator[str]:
        """Yield what contradicts itself in a whole manifest, as ``wsd build`` writes none."""
        named: dict[str, FileEntry] = {}
        for entry in self.files():
            other = named.setdefault(entry.file, entry)
            if (other.bytes, other.sha256) != (entry.bytes, entry.sha256):
                yield f"{entry.file} is listed twice, with different sizes or digests"
        for name, component in self.components.items():
            for fault in component.find_inconsistencies():
                yield f"components: {name}: {fault}"
        used = {entry.component for entry in self.entry_points}
        for name in self.components:
            if name not in used:
                yield f"components: no entry point takes {name}"
        for name in self.conditioning.encoders:
            if name not in self.tokenizers:
                yield f"tokenizers: none for {name}"
        constants = self.schedulers.constants
        if constants is not None and constants.keys() != self.schedulers.available.keys():
            yield "schedulers: constants: not one file for each available scheduler"
        yield from self._find_example_faults()
        yield from self._find_gaps()

    def _find_gaps(self) -> Iterator[str]:
        """Yield which roles are missing, and sizes for which no memory is planned."""
        roles = {entry.role for entry in self.entry_points}
        for role in REQUIRED_ROLES.get(self.pipeline, ()):
            if role not in roles:
                yield f"entry_points: none has the role {role}"
        if (SAFETY_CHECKER in roles) != (self.safety_checker is not None):
            yield f"{SAFETY_CHECKER}: the entry point and how pictures are prepared belong together"
        for role in (RGBA_TO_IMAGE, MASKED_BLEND):
            if (VAE_ENCODER in roles) != (role in roles):
                yield f"entry_points: {VAE_ENCODER} and {role} are there together, or neither"
        plans = {"peak_bytes": self.peak_bytes}
        if VAE_ENCODER in roles:
            plans["image_peak_bytes"] = self.image_peak_bytes or ()
        for field, peaks in plans.items():
            for size in {*self.sizes(), self.defaults.size} - {peak.size for peak in peaks}:
                yield f"{field}: nothing is planned for {size[0]}x{size[1]}"

    def _find_example_faults(self) -> Iterator[str]:
        for prompt, count in Counter(picture.prompt for picture in self.example_pictures).items():
            if prompt not in self.examples:
                yield f"example_pictures: {prompt[:60]!r} is not one of the examples"
            if count > 1:
                yield f"example_pictures: {prompt[:60]!r} has {count}"
        for name, count in Counter(lora.name for lora in self.example_loras or ()).items():
            if count > 1:
                yield f"example_loras: {count} are called {name[:60]!r}"

    def scheduler_constants(self, name: str) -> SchedulerConstants:
        """Return what the file of a scheduler's constants holds.

        Args:
            name: of an available scheduler.
        """
        return SchedulerConstants(
            name=name,
            config=self.schedulers.available[name],
            noise_schedule=self.noise_schedule,
        )

    def source_of(self, component: str) -> str:
        """Return where the weights of a component come from: the checkpoint, or a place of its own.

        Args:
            component: its id.
        """
        checker = self.safety_checker
        if checker is not None and component == SAFETY_CHECKER:
            return checker.source
        return self.model.source

    def sizes(self) -> tuple[Size, ...]:
        """Return (width, height) in pixels of the pictures that the model can draw, sorted."""
        return tuple(sorted({e.size for e in self.entry_points if e.size is not None}))

    @property
    def prompt_chunks(self) -> int:
        """The most chunks that a prompt may have: texts as long as the text encoder takes."""
        counts = Counter(entry.size for entry in self.entries(CHUNKED_DENOISER))
        return 1 + max(counts.values(), default=0)

    @property
    def has_deep_cache(self) -> bool:
        """Whether the denoiser has functions that take deep features of earlier predictions."""
        return bool(self.entries(SHALLOW_DENOISER))

    @property
    def max_clip_skip(self) -> int:
        """How many of the last layers of the text encoders can be left out."""
        found = self.entries(LAYERED_TEXT_ENCODER)
        states = (
            sum(output.name.startswith(TEXT_STATES) for output in entry.outputs) for entry in found
        )
        return min(states, default=1) - 1

    @property
    def blocks(self) -> int:
        """How many blocks the denoiser has, of which some can be left out; 0 if none can."""
        inputs = (spec for entry in self.entries(DENOISER) for spec in entry.inputs)
        return next((spec.shape[-1] for spec in inputs if spec.name == BLOCK_SCALES), 0)

    def storages(self) -> dict[str, dict[str, Storage]]:
        """Return component id → name of a parameter → how it is stored; scales are left out.

        The encoder's parameters are among those of the component that it is a part of.
        """
        owners = {
            entry.folder: name
            for name, entry in self.components.items()
            if entry.role != VAE_ENCODER
        }
        found: dict[str, dict[str, Storage]] = {name: {} for name in owners.values()}
        for name, entry in self.components.items():
            found[owners.get(entry.folder, name)] |= {
                record.name: record.dtype
                for record in entry.records
                if not record.name.endswith(SCALE)
            }
        return found

    def entries(self, role: str, size: Size | None = None) -> tuple[EntryPoint, ...]:
        """Return the entry points of a role, and of a picture size where one is given."""
        return tuple(
            entry
            for entry in self.entry_points
            if entry.role == role and (size is None or entry.size in (None, size))
        )

    def peak(
        self,
        size: Size,
        *,
        offload: bool,
        tiling: bool,
        image: bool = False,
        safety_checker: bool = False,
    ) -> int:
        """Return the most bytes of GPU memory that one way to draw a picture takes.

        Args:
            size: (width, height) of the picture in pixels.
            offload: whether the parameters of only one stage at a time are on the GPU.
            tiling: whether pictures are decoded, and encoded, in tiles.
            image: whether a picture is given.
            safety_checker: whether the finished picture is checked.

        Raises:
            KeyError: if the picture cannot be drawn so, or there is no safety checker.
        """
        listed = (self.image_peak_bytes or ()) if image else self.peak_bytes
        peaks = {(p.size, p.offload, p.tiling): p.bytes for p in listed}
        peak = peaks[size, offload, tiling]
        if not safety_checker:
            return peak
        checker = self.components[SAFETY_CHECKER].bytes
        work = sum(entry.workspace_bytes for entry in self.entries(SAFETY_CHECKER))
        # Its workspace is the last: what the stages before worked in has been freed.
        return max(peak, checker + work) if offload else peak + checker


class IndexEntry(Entry):
    """One model of a bundle's ``models/index.json``, in weights of one precision.

    Entries that share a name are one model; the page takes the first that fits the GPU.
    """

    name: ModelName
    """Name of the model."""
    title: str
    """One line for people."""
    dtype: Precision
    """How the weights are stored."""
    manifest: FolderAddress
    """Folder of the manifest relative to the index, with a slash at its end."""
    integrity: Integrity | None = None
    """Digest of the manifest, as ``SRI.json`` has it; absent in bundles of older versions."""
    safety_checker: Literal[True] | None = None
    """True if the page checks finished pictures with the model's safety checker, and blurs those
    that are flagged; absent if it does not."""

    @model_serializer(mode="wrap")
    def _leave_out_absent(self, serialize: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Write no switch that is absent: TypeScript's fields may be missing, but not null."""
        absent = {"safety_checker"} if self.safety_checker is None else set()
        return {key: value for key, value in serialize(self).items() if key not in absent}
