"""A note where a model is compiled for sizes that it was not trained on."""

import json
import shutil
from dataclasses import replace

import pytest

from commands import wsd
from speck import SPECK
from wsd.checkpoint.checkpoint import open_checkpoint
from wsd.checkpoint.resolve import open_planned, read_variant
from wsd.models.registry import FAMILIES
from wsd.models.resolution import check_sizes, note_untrained
from wsd.models.schedule_options import ScheduleOptions

# Family → sizes that it was trained on or has by itself, and others that it takes.
SIZES = {
    "sd15": (["512x512", "512x768"], ["64x64", "640x640", "1024x1024"]),
    "sd15-inpaint": (["512x512"], ["1024x1024"]),
    "sd15-lcm": (["768x768"], ["1024x1024"]),
    "sdxl": (["1024x1024", "640x1536", "2048x512"], ["512x512", "1024x2048", "2048x2048"]),
    "sdxl-turbo": (["512x512"], ["1024x1024"]),
    "sdxl-inpaint": (["896x1152"], ["768x768"]),
    "sd35-medium": (["512x512", "1440x1440", "512x1440"], ["496x512", "256x256", "1024x1456"]),
    "tiny-sd15": (["128x128"], ["64x64"]),
    "tiny-sdxl": (["192x192"], ["128x128"]),
    "tiny-sd35": (["128x128"], ["192x192"]),
}


def read_size(text):
    width, _, height = text.partition("x")
    return int(width), int(height)


def test_every_family_says_what_it_was_trained_on():
    assert SIZES.keys() == FAMILIES.keys()
    assert all(family.trained is not None for family in FAMILIES.values())


@pytest.mark.parametrize("name", SIZES)
def test_sizes_outside_the_training_are_named_and_no_others(name):
    family = FAMILIES[name]
    trained, others = ([read_size(text) for text in sizes] for sizes in SIZES[name])
    assert check_sizes(family, [*trained, *others])
    assert list(note_untrained(family, (*family.sizes, *trained))) == []
    [note] = note_untrained(family, (*trained, *others))
    assert f"pictures of {', '.join(SIZES[name][1])} may look worse" in note
    assert "{}x{}".format(*family.sizes[0]) in note.rpartition("--size ")[2]


def test_nothing_is_said_where_nothing_is_known():
    assert list(note_untrained(replace(SPECK, trained=None), [(64, 64)])) == []


def test_the_words_of_a_range():
    [note] = note_untrained(FAMILIES["sd35-medium"], [(2048, 2048)])
    assert note == (
        "sd35-medium was trained on widths and heights of 512 to 1440 pixels, and pictures of "
        "2048x2048 may look worse; its own size is --size 1024x1024"
    )
    [note] = note_untrained(FAMILIES["sdxl"], [(512, 512)])
    assert "512 to 2048 pixels, of 1.0 megapixels in all, and" in note


@pytest.mark.parametrize(
    ("command", "weights"), [("compile", ()), ("build", ()), ("build", ("--random-weights", 0))]
)
def test_the_commands_say_it_once(command, weights, monkeypatch, tmp_path, capsys):
    """It is said before anything is compiled."""

    def end(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("wsd.cli.build._find_library", end)
    given = ("--plan",) if command == "build" else ("--out", tmp_path / "out")
    sizes = ("--size", "512x512", "--size", "256x256", "--size", "2048x2048")
    code, _ = wsd(command, "--model", "sd35-medium", *sizes, *weights, *given)
    assert code == 130
    said = capsys.readouterr().err
    assert said.count("was trained on") == 1
    assert "pictures of 256x256, 2048x2048 may look worse" in said


@pytest.mark.slow
@pytest.mark.parametrize("opened", [open_planned, read_variant])
def test_a_checkpoint_says_it_too(opened, family, caplog):
    given = {"options": ScheduleOptions(sizes=((64, 64),))} if opened is open_planned else {}
    sizes = {"sizes": [(64, 64)]} if opened is read_variant else {}
    opened(family, str(family.weights), **given, **sizes)
    assert caplog.text.count("was trained on 128x128, and pictures of 64x64") == 1


@pytest.mark.slow
def test_a_checkpoint_that_was_trained_further_says_its_own(family, tmp_path, caplog):
    copy = tmp_path / "copy"
    shutil.copytree(family.weights, copy)
    config = copy / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "sample_size": 32}))
    for size, own in (((256, 256), 0), ((64, 64), 1)):
        caplog.clear()
        open_checkpoint(copy, family, options=ScheduleOptions(sizes=(size,)))
        assert caplog.text.count("own size is 256x256") == own
        assert "was trained on" not in caplog.text


@pytest.mark.slow
def test_a_fine_tune_that_was_trained_for_a_size(caplog):
    sizes = ((512, 512),)
    open_planned(FAMILIES["sdxl"], None, 0, options=ScheduleOptions(sizes=sizes))
    assert caplog.text.count("was trained on") == 1
    caplog.clear()
    options = ScheduleOptions(fine_tune="turbo", sizes=sizes)
    open_planned(FAMILIES["sdxl"], None, 0, options=options)
    assert "trained" not in caplog.text
