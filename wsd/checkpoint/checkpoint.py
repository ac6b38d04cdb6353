"""Open a checkpoint for a family: check that they agree, and find its scheduler.

A checkpoint is a folder in the diffusers layout, the id of one on the Hugging Face hub, or a
single file in the original layout. Every key of a folder's configurations agrees with the family,
or has a rule by which it selects a variant of the family or changes nothing, or the checkpoint is
refused and the key named (:mod:`wsd.checkpoint.config_comparison`). Every tensor must have the
shape that the compiled library expects; the error names the tensor that has not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from wsd.checkpoint.adapters.adapter import open_adapter
from wsd.checkpoint.adapters.merged_source import AppliedAdapter, WithAdapters
from wsd.checkpoint.config_comparison import (
    PipelineFindings,
    apply_changes,
    compare_config,
    compare_pipeline,
)
from wsd.checkpoint.diffusers_folder import DiffusersFolder, describe_place
from wsd.checkpoint.encoders_override import TextEncodersOverride, open_text_encoders
from wsd.checkpoint.number_formats import check_finite
from wsd.checkpoint.safetensors_file import list_safetensors, read_metadata
from wsd.checkpoint.safety_checker_source import SafetyCheckerFolder, WithSafetyChecker
from wsd.checkpoint.single_file import SingleFile
from wsd.checkpoint.tokenizer import check_tokenizers
from wsd.checkpoint.vae_override import VaeOverride
from wsd.checkpoint.weight_source import WeightSource, read_json
from wsd.errors import CheckpointError, UsageError
from wsd.models.config_rules import Config
from wsd.models.family import Component, Family
from wsd.models.fine_tunes import FINE_TUNES, find_adapter_fine_tune
from wsd.models.instantiate import build_skeleton
from wsd.models.resolution import is_size
from wsd.models.schedule_options import (
    NO_OPTIONS,
    Denoising,
    ScheduleOptions,
    compose_denoising,
)
from wsd.spec.roles import DENOISER, SAFETY_CHECKER
from wsd.spec.tensor import Size
from wsd.util.hashing import canonical_json, sha256_bytes

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A family and the weights that it is built with.

    Attributes:
        family: the registry's entry, with the checkpoint's own values where they select a
            variant; it is compiled as it is here.
        source: where the weights come from.
        scheduler: configuration of the scheduler in diffusers' terms: the checkpoint's own, since
            fine-tunes differ in how they are to be denoised, else the family's; changed by what
            was said with options (:mod:`wsd.models.schedule_options`).
        options: what was said, by option.
        default_scheduler: name of the scheduler that draws unless a picture names one; None for
            the one that ``scheduler`` means.
        safety_checker: where the family's safety checker comes from; None if it has none.
        adapters: what is merged into the weights, in the order in which it is applied.
    """

    family: Family
    source: WeightSource
    scheduler: Mapping[str, Any]
    options: Mapping[str, str] = field(default_factory=dict)
    default_scheduler: str | None = None
    safety_checker: SafetyCheckerFolder | None = None
    adapters: tuple[AppliedAdapter, ...] = ()

    def weight_digests(self, component: Component) -> list[str]:
        """Return what tells a component's weights from others: files, and adapters with scales.

        Args:
            component: one of the family's.

        Returns:
            64 hexadecimal digits for each file of the checkpoint, and for each adapter that
            changes the component.
        """
        changed = [a for a in self.adapters if component.id in a.adapter.layers]
        return [
            *self.source.digests(component),
            *(
                sha256_bytes(canonical_json({"adapter": a.adapter.sha256, "scale": a.scale}))
                for a in changed
            ),
        ]

    def load(self, component: Component) -> torch.nn.Module:
        """Return a component with its weights, float32, in evaluation mode, on the CPU.

        It is built from the component's configuration, as it is compiled. What the checkpoint
        lacks of :attr:`Component.optional` is zeros.

        Args:
            component: one of the family's.

        Raises:
            CheckpointError: as :meth:`WeightSource.tensors`, and for values that are not finite.
        """
        return self._fill(component, build_skeleton(component))

    def load_own(self, component: Component) -> torch.nn.Module:
        """Return a component as :meth:`load`, but built from the checkpoint's own configuration.

        A reference is built from what the checkpoint says, so that a key that the family does not
        know shows as a difference.

        Args:
            component: one of the family's.

        Raises:
            CheckpointError: as :meth:`load`, and if the checkpoint's ``config.json`` is unreadable.
        """
        own = self.source.component_config(component)
        return self._fill(component, build_skeleton(component, own))

    def _fill(self, component: Component, module: torch.nn.Module) -> torch.nn.Module:
        """Read every parameter; those that a file may lack, and does, become zeros."""
        missing = set(self.source.missing(component)) if component.optional else set()
        state = {}
        with torch.no_grad():
            for name, parameter in module.named_parameters():
                if name in missing:
                    parameter.zero_()
                else:
                    state[name] = parameter
        shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
        with torch.no_grad():
            tensors = self.source.tensors(component, shapes)
            for (name, parameter), tensor in zip(state.items(), tensors, strict=True):
                parameter.copy_(tensor)
                check_finite(name, parameter)
        return module


def open_checkpoint(
    path: Path,
    family: Family,
    tokenizer: Path | None = None,
    vae: Path | None = None,
    options: ScheduleOptions = NO_OPTIONS,
    safety_checker: Path | None = None,
    adapters: Sequence[tuple[Path, float]] = (),
    text_encoders: Path | None = None,
) -> Checkpoint:
    """Open a diffusers folder or a single file for a family.

    Args:
        path: what :func:`wsd.checkpoint.resolve.choose_checkpoint` returned.
        family: the registry's entry.
        tokenizer: folder with the files of a tokenizer, for a checkpoint that has none.
        vae: what :func:`wsd.checkpoint.resolve.find_vae` returned, in place of the checkpoint's.
        options: what a person says about how it is denoised.
        safety_checker: what :func:`wsd.checkpoint.resolve.find_safety_checker` returned.
        adapters: files of adapters and their scales, in the order in which they are applied.
        text_encoders: what :func:`wsd.checkpoint.resolve.find_text_encoders` returned, in place of
            the checkpoint's.

    Raises:
        UsageError: for options that do not suit the family, or a safety checker that it cannot
            have.
        CheckpointError: if a component is missing, if its configuration differs from the
            family's, if its files hold tensors that nobody reads, if a text encoder does not
            take its tokenizer's ids, or if the browser cannot follow the scheduler; as
            :func:`wsd.checkpoint.adapters.adapter.open_adapter`.
    """
    source = open_source(path, family, tokenizer)
    if text_encoders is not None:
        source = TextEncodersOverride(source, open_text_encoders(text_encoders, family), family)
    family = choose_encoders(family, source)
    options = _follow_adapters(family, adapters, options)
    if vae is not None:
        source = VaeOverride(source, vae, family)
    checker = None
    if safety_checker is not None:
        family, source, checker = add_safety_checker(family, source, safety_checker)
    checkpoint = read_configurations(family, source, options)
    check_tokenizers(checkpoint.family, source, fetched=False)
    source.check_tensors(checkpoint.family.components)
    if checker is not None:
        checker.image_processor(checkpoint.family.component(SAFETY_CHECKER).config["image_size"])
    complete = _without_missing_parts(checkpoint.family, source)
    applied = tuple(AppliedAdapter(open_adapter(file, complete), scale) for file, scale in adapters)
    merged = WithAdapters(source, applied) if applied else source
    return replace(
        checkpoint, family=complete, source=merged, safety_checker=checker, adapters=applied
    )


def _follow_adapters(
    family: Family, adapters: Sequence[tuple[Path, float]], options: ScheduleOptions
) -> ScheduleOptions:
    """Return options with the fine-tune that an adapter makes of a checkpoint, and say so.

    LCM, Lightning, Hyper and the like are published as adapters too, and draw only with a
    scheduler, steps and guidance of their own. Whoever names a fine-tune or a scheduler is not
    contradicted.
    """
    if not options.draws or options.fine_tune is not None or options.scheduler is not None:
        return options
    for path, scale in adapters:
        place = describe_place(path)
        name = find_adapter_fine_tune(
            [place], read_metadata(path), list_safetensors(path), family.architecture.name
        )
        if name is not None and scale != 0:
            tune = FINE_TUNES[name]
            _LOG.warning(
                "%s is taken for an adapter of the fine-tune %s: scheduler %s, %d steps, guidance "
                "%g; name another with --fine-tune, or a scheduler with --scheduler",
                place, name, tune.scheduler, tune.steps, tune.guidance_scale,
            )  # fmt: skip
            return replace(options, fine_tune=name)
    return options


def choose_encoders(family: Family, source: WeightSource) -> Family:
    """Return the family without those text encoders that can be left out and a checkpoint lacks.

    Args:
        family: the registry's entry, or one for which the encoder was asked for
            (:meth:`wsd.models.family.Family.choose_encoders`).
        source: the checkpoint; no weights are read.

    Raises:
        CheckpointError: if it lacks one that was asked for.
    """
    conditioning = family.conditioning
    optional = [e for e in family.text_encoders() if e.id in conditioning.optional]
    left_out = [encoder for encoder in optional if source.lacks(encoder)]
    for encoder in left_out:
        lacks = f"{source.provenance} has no {encoder.id} ({encoder.class_name})"
        if encoder.id in conditioning.demanded:
            raise CheckpointError(
                f"{lacks}, which is asked for",
                "take a checkpoint that has it, name text encoders that have it with "
                "--text-encoders, or leave --text-encoder-3 out",
            )
        # A file that has no text encoder at all is refused, and nothing is said of this one.
        if not all(source.lacks(encoder) for encoder in family.text_encoders()):
            _LOG.warning("%s, so prompts are read by the other text encoders alone", lacks)
    return family.without_encoders([encoder.id for encoder in left_out]) if left_out else family


def choose_classes(family: Family, configs: Mapping[str, Config]) -> Family:
    """Return the family with those alternatives of its components that a checkpoint has.

    Args:
        family: the registry's entry.
        configs: id of a component → its configuration, which names the class.
    """
    for component in family.components:
        named = configs.get(component.id, {}).get("_class_name")
        for alternative in component.alternatives:
            if alternative.class_name == named:
                family = family.replace_component(alternative)
    return family


def add_safety_checker(
    family: Family, source: WeightSource, path: Path
) -> tuple[Family, WeightSource, SafetyCheckerFolder]:
    """Return a family and a checkpoint with a safety checker; nothing of it is read yet.

    Args:
        family: the registry's entry.
        source: the checkpoint.
        path: what :func:`wsd.checkpoint.resolve.find_safety_checker` returned.

    Raises:
        UsageError: if the family's architecture has no safety checker.
    """
    component = require_safety_checker(family)
    folder = SafetyCheckerFolder(path, component)
    with_checker = family.with_safety_checker(component)
    return with_checker, WithSafetyChecker(source, folder, with_checker), folder


def read_checker_variant(family: Family, path: Path) -> Family:
    """Return a family with the safety checker that a folder's configuration describes.

    Args:
        family: the registry's entry.
        path: the checker's own folder, or a diffusers folder that has one; no weights are read.

    Raises:
        UsageError: if the family's architecture has no safety checker.
        CheckpointError: if the configuration is refused.
    """
    component = require_safety_checker(family)
    folder = SafetyCheckerFolder(path, component)
    with_checker = family.with_safety_checker(component)
    findings = compare_config(with_checker, component, folder.config(), folder.config_place)
    for note in findings.notes:
        _LOG.warning("%s", note)
    return apply_changes(with_checker, {component.id: findings.changes})


def require_safety_checker(family: Family) -> Component:
    """Return the safety checker that a family can have, as it was published.

    Raises:
        UsageError: if the family's architecture has none.
    """
    component = family.architecture.safety_checker()
    if component is None:
        raise UsageError(
            f"{family.name} has no safety checker", "leave --safety-checker out for this model"
        )
    return component


def _without_missing_parts(family: Family, source: WeightSource) -> Family:
    """Return the family without the parts of components whose tensors a checkpoint lacks.

    Raises:
        CheckpointError: if the model draws nothing without them.
    """
    components = []
    for component in family.components:
        missing = source.missing(component) if component.parts else []
        if missing:
            more = f" and {len(missing) - 1} more tensors of {component.id}" * (len(missing) > 1)
            lacks = f"{source.provenance} lacks {missing[0]}{more}"
            if family.needs_picture:
                raise CheckpointError(
                    f"{lacks}, with which {family.name} encodes the picture that it needs",
                    "pass the whole checkpoint, or a VAE that has an encoder with --vae",
                )
            _LOG.warning(
                "%s, so the model draws from text alone: no picture can be given to it", lacks
            )
        components.append(replace(component, parts=()) if missing else component)
    return replace(family, components=tuple(components))


def open_source(path: Path, family: Family, tokenizer: Path | None = None) -> WeightSource:
    """Return a folder or a file as a weight source; nothing of it is read yet.

    Args:
        path: a diffusers folder, or a single file.
        family: the registry's entry.
        tokenizer: folder with the files of a tokenizer, for a checkpoint that has none.

    Raises:
        CheckpointError: for a single file, if none is known of the family's architecture.
    """
    if path.is_file():
        return SingleFile(path, family, tokenizer)
    return DiffusersFolder(path, family, tokenizer)


def read_configurations(
    family: Family, source: WeightSource, options: ScheduleOptions = NO_OPTIONS
) -> Checkpoint:
    """Compare everything that a checkpoint's JSON files say with the family; no weights are read.

    Args:
        family: the registry's entry.
        source: the checkpoint.
        options: what a person says about how it is denoised.

    Raises:
        CheckpointError: if a file is missing, or a key of it is refused.
    """
    pipeline, notes = _read_pipeline(family, source)
    variant, more = _read_configs(family, source, options.sizes or family.sizes)
    for note in (*notes, *more):
        _LOG.warning("%s", note)
    if pipeline.empty_negative is not None:
        conditioning = replace(variant.conditioning, empty_negative=pipeline.empty_negative)
        variant = replace(variant, conditioning=conditioning)
    own = source.scheduler_config()
    if own is not None:
        own = _name_scheduler(own, pipeline, source.provenance, options)
    denoising = compose_denoising(
        variant, own, source.markers, options, source.provenance, pipeline.pipeline_class
    )
    for note in (*denoising.notes, *_note_prediction(source, denoising, options)):
        _LOG.warning("%s", note)
    return Checkpoint(
        denoising.family, source, denoising.scheduler, options.given(), denoising.default_scheduler
    )


def _read_pipeline(family: Family, source: WeightSource) -> tuple[PipelineFindings, list[str]]:
    """Return what the checkpoint's ``model_index.json`` says, and notes about it.

    A single file and a folder of components alone have none.
    """
    path = source.extra_file("model_index.json")
    if path is None:
        return PipelineFindings(), []
    place = f"{source.provenance}/model_index.json"
    findings = compare_pipeline(family, read_json(path), place)
    return findings, list(findings.notes)


def _read_configs(
    family: Family, source: WeightSource, sizes: tuple[Size, ...]
) -> tuple[Family, list[str]]:
    """Return the family with the classes and keys changed that select a variant, and notes.

    Args:
        family: the registry's entry.
        source: the checkpoint.
        sizes: width and height in pixels of each picture size that is asked for.

    Raises:
        CheckpointError: for a configuration that is refused.
    """
    given = {each.id: source.component_config(each) for each in family.components}
    configs = {name: config for name, config in given.items() if config is not None}
    family = choose_classes(family, configs)
    changes: dict[str, Config] = {}
    notes: list[str] = []
    for component in family.components:
        found = configs.get(component.id)
        if found is None:
            continue
        place = source.config_place(component)
        findings = compare_config(family, component, found, place)
        changes[component.id] = findings.changes
        notes += findings.notes
        if component.role == DENOISER:
            notes += _note_own_size(family, found, place, sizes)
    return apply_changes(family, changes), notes


def _note_own_size(
    family: Family, found: Config, place: str, sizes: tuple[Size, ...]
) -> Iterator[str]:
    """Say that a denoiser was trained for another size than those that are asked for.

    Its ``sample_size`` is read as diffusers reads it.
    """
    edge = found.get("sample_size")
    if not isinstance(edge, int) or _is_sample_size_outdated(found):
        return
    pixels = edge * family.latent_space.scale_factor
    if any(pixels in size for size in sizes):
        return
    own = f"{place}: sample_size is {edge}, so the checkpoint's own size is {pixels}x{pixels}: "
    if is_size(family, (pixels, pixels)):
        yield f"{own}pass --size {pixels}x{pixels}"
    else:
        yield f"{own}WSD does not compile it, and pictures may look worse in other sizes"


def _note_prediction(
    source: WeightSource, denoising: Denoising, options: ScheduleOptions
) -> Iterator[str]:
    """Say that a file's metadata names another prediction than the one that is taken.

    diffusers does not read it. A merge may have it of one of its parts, so it is not followed.
    """
    if not options.draws or options.prediction_type is not None:
        return
    stated, taken = source.stated_prediction, denoising.scheduler.get("prediction_type", "epsilon")
    if stated and stated != taken:
        yield (
            f"{source.provenance}: by its metadata its UNet predicts {stated}, and {taken} is "
            f"taken, as diffusers does; if the metadata is right, pass --prediction-type {stated}"
        )


def _is_sample_size_outdated(found: Config) -> bool:
    """Return whether diffusers replaces a UNet's ``sample_size``: it is wrong before 0.9.0."""
    release = str(found.get("_diffusers_version", "1.0")).split(".")[:2]
    return found["sample_size"] < 64 and release in (["0", str(minor)] for minor in range(9))


def _name_scheduler(
    scheduler: Mapping[str, Any], pipeline: PipelineFindings, place: str, options: ScheduleOptions
) -> Mapping[str, Any]:
    """Return the scheduler's configuration under the class that diffusers would load.

    diffusers takes the class from ``model_index.json``, whatever the scheduler's own file says.

    Raises:
        CheckpointError: if neither file names a class, and no option names a scheduler.
    """
    named, own = pipeline.scheduler_class, scheduler.get("_class_name")
    if named is None and own is None and options.need_class():
        raise CheckpointError(
            f"{place}/scheduler/scheduler_config.json: _class_name is missing, and no "
            "model_index.json names the scheduler's class",
            'write it there, as diffusers does ("_class_name": "EulerDiscreteScheduler" for '
            "example), or choose a scheduler with --scheduler",
        )
    if named is None or named == own:
        return scheduler
    if own is not None:
        _LOG.warning(
            "model_index.json names %s and the scheduler's own configuration %s: diffusers takes "
            "the first, and so does WSD",
            named, own,
        )  # fmt: skip
    return {**scheduler, "_class_name": named}
