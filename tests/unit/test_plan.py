"""`wsd build --plan`: it makes and fetches no weights, and says what a build of them would be."""

import dataclasses

import pytest

from commands import wsd
from grain import GRAIN
from speck import CACHING, CACHING_XL, SPECK, SPECK_XL
from traced import cached_trace
from wsd.bundle.plan import describe_plan
from wsd.checkpoint import resolve
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.random_weights import random_checkpoint
from wsd.checkpoint.resolve import open_planned
from wsd.errors import UsageError
from wsd.models.registry import FAMILIES
from wsd.models.schedule_options import ScheduleOptions
from wsd.models.schedulers import build_scheduler
from wsd.spec.roles import DENOISER

MIB = 1 << 20


def refuse(*_, **__):
    raise AssertionError("a plan makes no weights")


def scheduler_of(opened):
    """Return the default scheduler's class and configuration."""
    built = build_scheduler(opened.scheduler, opened.default_scheduler)
    # Which of the values nobody has stated changes nothing.
    config = {k: value for k, value in built.config.items() if k != "_use_default_values"}
    return type(built), config


def assert_alike(planned, opened):
    assert planned.family == opened.family
    assert planned.default_scheduler == opened.default_scheduler
    assert scheduler_of(planned) == scheduler_of(opened)


@pytest.mark.slow
@pytest.mark.parametrize("family", [SPECK, SPECK_XL, GRAIN], ids=lambda family: family.name)
@pytest.mark.parametrize(
    "options", [{}, {"scheduler": "heun"}, {"timestep_spacing": "trailing"}], ids=str
)
def test_a_plan_of_random_weights_is_that_of_the_weights(family, options, monkeypatch):
    if "flow" in str(family.scheduler["_class_name"]).lower():
        options = {"scheduler": "flow_heun"} if options else options
    options = ScheduleOptions(**options)
    opened = open_checkpoint(random_checkpoint(family, 0), family, options=options)
    monkeypatch.setattr(resolve, "random_checkpoint", refuse)
    assert_alike(open_planned(family, None, 0, options=options), opened)
    # That of a model that ships no weights, of which none are named, is the same.
    assert_alike(open_planned(family, None, options=options), opened)


@pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
def test_every_model_is_planned_without_weights(family, monkeypatch):
    monkeypatch.setattr(resolve, "random_checkpoint", refuse)
    planned = open_planned(family, None, 7)
    assert planned.family == family
    assert scheduler_of(planned)


def test_weights_and_a_seed_exclude_each_other():
    with pytest.raises(UsageError, match="exclude each other"):
        open_planned(SPECK, "owner/name", 0)


@pytest.mark.slow
def test_the_command_draws_nothing(tmp_path, monkeypatch):
    library = cached_trace(SPECK).folder
    monkeypatch.setenv("WSD_CACHE", str(tmp_path / "cache"))
    common = ("build", "--model", "speck", "--library", library, "--plan")
    for given in (("--random-weights", 3), ()):
        code, lines = wsd(*common, *given)
        assert code == 0
        assert lines == list(describe_plan(SPECK, cached_trace(SPECK), SPECK.scheduler))
    assert not (tmp_path / "cache" / "checkpoints").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "caching",
    [CACHING, pytest.param(CACHING_XL, marks=pytest.mark.full)],
    ids=lambda family: family.name,
)
def test_the_planned_memory_has_the_shallow_function(caching):
    """With a deep cache two functions of the UNet run in turn, and both have their workspace."""
    plain = dataclasses.replace(caching, deep_cache=False)

    def plan(family, workspace):
        """Return the plan of a library whose shallow functions work in so many bytes."""
        library = cached_trace(family)
        shallow = library.entries("guided_shallow_denoiser", family.sizes[0])
        assert bool(shallow) == family.deep_cache
        entries = tuple(
            dataclasses.replace(entry, workspace_bytes=workspace) if entry in shallow else entry
            for entry in library.entry_points
        )
        library = dataclasses.replace(library, entry_points=entries)
        return list(describe_plan(family, library, family.scheduler))

    def memory(lines):
        start = next(index for index, line in enumerate(lines) if line.startswith("size"))
        return [float(line[12:24].removesuffix(" MiB")) for line in lines[start + 1 :]]

    without, small, large = plan(plain, MIB), plan(caching, MIB), plan(caching, 64 * MIB)
    assert len(memory(without)) == len(memory(large)) > 1
    # All other functions of a traced library work in one MiB.
    assert max(memory(without)) < 64
    assert min(memory(large)) > 65
    assert all(a <= b for a, b in zip(memory(without), memory(small), strict=True))
    # It reads parameters of the UNet, and has none of its own.
    unet = caching.component(DENOISER).id
    assert [line for line in large if line.startswith(unet)] == [
        line for line in without if line.startswith(unet)
    ]
