"""The tiny models' pictures and the measures that judge them."""

import re
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from training.caption_labels import CHOICES, UNSAID, answers
from training.dataset import caption_ids, make_data
from training.evaluate import held_out_scenes, rates
from training.rasterizer import draw_scenes, shape_mask
from training.scenes import BACKGROUNDS, COLORS, SHAPES, Scene, Thing, scenes
from training.shape_metrics import find_things, score
from training.vocabulary import WORDS
from wsd.checkpoint.tokenizer import load_tokenizer
from wsd.models.registry import FAMILIES
from wsd.models.tiny.common import EXAMPLES


def scene_of(*things, relation=None):
    return Scene(things, relation, None, ("white", "white"), background_said=True)


RED_CIRCLE = Thing("circle", "red", "large", 0.19, 0.25, 0.5, size_said=True)
BLUE_SQUARE = Thing("square", "blue", "small", 0.12, 0.75, 0.5, size_said=True)
PAIR = scene_of(RED_CIRCLE, BLUE_SQUARE, relation="left of")


@pytest.mark.slow
def test_variety():
    assert len(SHAPES) >= 6
    assert len(COLORS) >= 8
    sampled = list(islice(scenes(0, held_out=False), 2000))
    assert {len(s.things) for s in sampled} == {1, 2, 3}
    assert {t.shape for s in sampled for t in s.things} == set(SHAPES)
    assert {t.color for s in sampled for t in s.things} == set(COLORS)
    assert {t.size for s in sampled for t in s.things} == {"small", "large"}
    assert {s.background[0] for s in sampled} == set(BACKGROUNDS)
    assert any(s.background[0] != s.background[1] for s in sampled)
    assert {s.relation for s in sampled} == {None, "and", "left of", "right of", "above", "below"}


def test_captions():
    assert PAIR.caption == ("a large red circle left of a small blue square on a white background")
    orange = replace(RED_CIRCLE, color="orange", size_said=False)
    assert scene_of(orange).caption == "an orange circle on a white background"
    cross = replace(RED_CIRCLE, shape="cross")
    assert scene_of(cross, cross, cross).caption.startswith("three large red crosses on")


@pytest.mark.slow
def test_the_vocabulary_has_every_word_of_every_caption():
    for scene in islice(scenes(1, held_out=False), 2000):
        assert set(re.findall(r"\w+", scene.caption)) <= set(WORDS)


@pytest.mark.slow
def test_t5s_vocabulary_has_them_too_and_captions_fit():
    """A word that it lacks would be read letter by letter, and end beyond what T5 takes."""
    family = FAMILIES["tiny-sd35"]
    [entry] = [t for t in family.tokenizers if t.component == "text_encoder_3"]
    tokenizer = load_tokenizer(entry.kind, entry.fallback)
    most = 0
    for scene in islice(scenes(1, held_out=False), 2000):
        ids = tokenizer(scene.caption).input_ids
        assert tokenizer.unk_token_id not in ids, scene.caption
        assert len(ids) == len(scene.caption.split()) + 1, scene.caption
        most = max(most, len(ids))
    [encoder] = [c for c in family.components if c.id == "text_encoder_3"]
    assert most <= encoder.tokens
    # The table has a multiple of eight rows.
    assert 0 <= encoder.config["vocab_size"] - len(tokenizer) < 8


@pytest.mark.slow
def test_the_small_model_of_sd35_is_read_as_the_others():
    family = FAMILIES["tiny-sd35"]
    ids = caption_ids(family, ["a red circle", ""])
    assert {name: tuple(found.shape) for name, found in ids.items()} == {
        "text_encoder": (2, 77), "text_encoder_2": (2, 77), "text_encoder_3": (2, 32)
    }  # fmt: skip
    # T5 ends a text with 1 and fills it up with 0, and begins it with nothing.
    assert ids["text_encoder_3"][1].tolist() == [1] + [0] * 31
    assert ids["text_encoder_2"][0, -1] == 0


@pytest.mark.full
@pytest.mark.slow
def test_held_out_scenes_are_never_trained_on():
    held_out = {scene.caption for scene in held_out_scenes(200)}
    trained = {scene.caption for scene in islice(scenes(0, held_out=False), 20_000)}
    assert len(held_out) == 200
    assert not held_out & trained
    assert not set(EXAMPLES) & trained
    for name in ("tiny-sd15", "tiny-sdxl", "tiny-sd35"):
        assert FAMILIES[name].examples == EXAMPLES


@pytest.mark.slow
def test_the_same_seed_gives_the_same_data():
    family = FAMILIES["tiny-sdxl"]
    one, same, other = (make_data(family, 20, seed) for seed in (3, 3, 4))
    assert (one.table["place"] == same.table["place"]).all()
    assert (one.table["place"] != other.table["place"]).any()
    assert set(one.ids) == {"text_encoder", "text_encoder_2"}
    # SDXL's second tokenizer pads with id 0, the first with the end token.
    assert one.ids["text_encoder"][0, -1] == 719
    assert one.ids["text_encoder_2"][0, -1] == 0


def test_answers_say_what_the_caption_says():
    said = dict(zip(CHOICES, answers(PAIR), strict=True))
    for which in ("first", "left"):
        assert CHOICES[f"{which} shape"][said[f"{which} shape"]] == "circle"
    for which in ("second", "right"):
        assert CHOICES[f"{which} color"][said[f"{which} color"]] == "blue"
    assert said["above shape"] == said["place"] == UNSAID


@pytest.mark.slow
@pytest.mark.parametrize("edge", [128, pytest.param(192, marks=pytest.mark.full)])
def test_measures_agree_with_drawings(edge):
    wanted = held_out_scenes(150)
    found = rates([score(s, i) for s, i in zip(wanted, draw_scenes(wanted, edge), strict=True)])
    assert found["count"] == found["color"] == found["shape"] == 1
    assert min(found["relation"], found["size"], found["place"]) > 0.97


def picture(scene):
    return draw_scenes([scene], 128)[0]


@pytest.mark.parametrize(
    ("wrong", "measure"),
    [
        (scene_of(replace(RED_CIRCLE, color="green"), BLUE_SQUARE, relation="left of"), "color"),
        (scene_of(replace(RED_CIRCLE, shape="star"), BLUE_SQUARE, relation="left of"), "shape"),
        (scene_of(replace(RED_CIRCLE, radius=0.12), BLUE_SQUARE, relation="left of"), "size"),
        (scene_of(replace(RED_CIRCLE, x=0.75), replace(BLUE_SQUARE, x=0.25)), "relation"),
        (scene_of(RED_CIRCLE), "count"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_measures_see_what_is_wrong(wrong, measure):
    assert getattr(score(PAIR, picture(PAIR)), measure)
    assert not getattr(score(PAIR, picture(wrong)), measure)


def test_nothing_is_found_in_an_empty_picture():
    assert find_things(np.full((128, 128, 3), 250, np.uint8)) == []


def test_a_blob_has_no_shape():
    image = np.full((128, 128, 3), 250, np.uint8)
    image[40:50, 20:110] = (220, 40, 40)
    [thing] = find_things(image)
    assert thing.shape is None
    assert thing.color == "red"


def test_masks_fill_their_circle():
    for shape in SHAPES:
        mask = shape_mask(shape)
        assert max(mask[0].max(), mask[-1].max(), mask[:, 0].max(), mask[:, -1].max()) < 0.2
        assert 0.15 < mask.mean() < 0.8
