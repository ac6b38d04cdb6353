"""What the page does around the safety checker's image encoder: resizing, preparing, deciding.

Pillow, transformers' image processor and diffusers' own class say what is right.
"""

import base64

import numpy as np
import pytest
import torch
from PIL import Image

from checker import EDGE, make_checker, plain, processor
from wsd.models.stable_diffusion.safety_checker import SafetyScores

FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
# Width and height before and after: smaller, larger, one edge each way, the same, single pixels.
CHANGES = [
    ((97, 61), (32, 20)), ((31, 17), (64, 50)), ((40, 90), (61, 30)), ((33, 21), (33, 40)),
    ((24, 24), (24, 24)), ((90, 40), (85, 20)), ((1, 1), (5, 3)),
    ((19, 23), (1, 1)), ((300, 2), (7, 9)),
]  # fmt: skip


def encode(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def random_picture(size, channels, seed=0):
    width, height = size
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


@pytest.mark.parametrize("name", FILTERS)
def test_pictures_are_resized_as_pillow_does_byte_for_byte(javascript, name):
    for seed, (before, after) in enumerate(CHANGES):
        for channels in (1, 3):
            given = random_picture(before, channels, seed)
            image = Image.fromarray(given[..., 0] if channels == 1 else given)
            expected = np.asarray(image.resize(after, FILTERS[name])).reshape(-1)
            found = javascript(
                {
                    "call": "resize", "data": encode(given), "channels": channels,
                    "from": before, "to": after, "filter": name,
                }
            )  # fmt: skip
            assert base64.b64decode(found) == expected.tobytes(), (before, after, channels)


@pytest.mark.parametrize("name", FILTERS)
def test_a_part_of_a_resized_picture_is_that_part_of_all_of_it(javascript, name):
    """Opaque pictures of four channels, of which only a part is wanted."""
    for seed, (before, after) in enumerate(CHANGES):
        given = random_picture(before, 4, seed)
        given[..., 3] = 255
        whole = np.full((after[1], after[0], 4), 255, np.uint8)
        resized = Image.fromarray(given[..., :3]).resize(after, FILTERS[name])
        whole[..., :3] = np.asarray(resized)
        left, top = after[0] // 3, after[1] // 4
        width, height = (after[0] - left + 1) // 2, (after[1] - top + 1) // 2
        parts = [
            {"left": 0, "top": 0, "width": after[0], "height": after[1]},
            {"left": left, "top": top, "width": width, "height": height},
            {"left": 0, "top": top, "width": after[0], "height": height},
            {"left": left, "top": 0, "width": width, "height": after[1]},
        ]
        for part in parts:
            found = javascript(
                {
                    "call": "resize", "data": encode(given), "channels": 4, "from": before,
                    "to": after, "filter": name, "part": part,
                }
            )  # fmt: skip
            rows = slice(part["top"], part["top"] + part["height"])
            columns = slice(part["left"], part["left"] + part["width"])
            expected = np.ascontiguousarray(whole[rows, columns]).tobytes()
            assert base64.b64decode(found) == expected, (before, after, part)


def test_extreme_values_are_clipped_as_pillow_does(javascript):
    """Cubic and Lanczos filters overshoot at edges of black and white."""
    given = np.where(random_picture((40, 40), 3) > 127, 255, 0).astype(np.uint8)
    for name in ("bicubic", "lanczos"):
        expected = np.asarray(Image.fromarray(given).resize((93, 27), FILTERS[name]))
        found = javascript(
            {"call": "resize", "data": encode(given), "channels": 3, "from": (40, 40),
             "to": (93, 27), "filter": name}
        )  # fmt: skip
        assert base64.b64decode(found) == expected.tobytes()
        assert {0, 255} <= set(expected.ravel().tolist())


def prepare(javascript, picture, made):
    """Return a picture (height, width, 3) as the page gives it to the image encoder."""
    height, width = picture.shape[:2]
    rgba = np.concatenate([picture, np.full((height, width, 1), 255, np.uint8)], axis=2)
    edge = made.crop_size["height"]
    how = {
        "resize": made.size["shortest_edge"], "mean": list(made.image_mean),
        "std": list(made.image_std),
    }  # fmt: skip
    found = javascript(
        {"call": "prepare_pixels", "data": encode(rgba), "size": (width, height), "how": how,
         "edge": edge}
    )  # fmt: skip
    return np.frombuffer(base64.b64decode(found), np.float32).reshape(3, edge, edge)


@pytest.mark.parametrize(
    "size", [(32, 32), (128, 128), (96, 64), (64, 97), (31, 250), (20, 20), (513, 40)]
)
def test_pixels_are_prepared_as_transformers_does_bit_for_bit(javascript, size):
    given = random_picture(size, 3, size[0])
    for resize in (EDGE, EDGE + 5):
        made = processor(resize)
        expected = made(Image.fromarray(given), return_tensors="np")["pixel_values"][0]
        assert expected.dtype == np.float32
        assert np.array_equal(prepare(javascript, given, made), expected)


@pytest.mark.slow
def test_a_picture_of_clips_own_size_is_prepared_alike(javascript):
    given = random_picture((512, 768), 3)
    made = processor(224, 224)
    expected = made(Image.fromarray(given), return_tensors="np")["pixel_values"][0]
    assert np.array_equal(prepare(javascript, given, made), expected)


def diffusers_decision(cosines, special, monkeypatch):
    """Return what diffusers' class reports for given cosines, all thresholds being 0."""
    from diffusers.pipelines.stable_diffusion import safety_checker as module

    checker = make_checker()
    answers = iter([torch.tensor(special)[None], torch.tensor(cosines)[None]])
    monkeypatch.setattr(module, "cosine_distance", lambda *_: next(answers))
    kept = {}
    for name in ("concept_embeds_weights", "special_care_embeds_weights"):
        kept[name] = getattr(checker, name).clone()
        getattr(checker, name).zero_()
    try:
        pixels = torch.zeros(1, 3, EDGE, EDGE)
        _, flagged = checker(pixels, np.zeros((1, 4, 4, 3)))
    finally:
        for name, value in kept.items():
            getattr(checker, name).copy_(value)
    return flagged[0]


# Around the rounding to three digits, and around what special care adds.
EDGES = (-0.5, -0.011, -0.0105, -0.01, -0.0095, -0.009, -0.0006, 0.0, 0.0004, 0.0005, 0.0006, 0.2)


@pytest.mark.parametrize("special", [(-0.2, -0.2, -0.2), (0.3, -0.005, -0.2), (-0.2, 0.0005, -0.1)])
def test_decisions_at_the_edges_of_rounding_are_those_of_diffusers(
    javascript, monkeypatch, special
):
    for score in EDGES:
        concepts = np.full(17, -0.5, np.float32)
        concepts[4] = score
        care = np.float32(special)
        report = javascript(
            {"call": "judge", "concepts": concepts.tolist(), "special": care.tolist()}
        )
        assert report["flagged"] == diffusers_decision(concepts, care, monkeypatch), score
        assert report["concepts"] == ([4] if report["flagged"] else [])


def test_scores_are_rounded_as_numpy_rounds(javascript):
    scores = np.random.default_rng(3).normal(0, 0.3, 4000).astype(np.float32)
    scores[::7] = (np.arange(len(scores[::7])) / 1000 + 0.0005).astype(np.float32)
    report = javascript({"call": "judge", "concepts": scores.tolist(), "special": []})
    expected = [float(round(score + np.float32(0), 3)) for score in scores]
    assert report["conceptScores"] == expected
    assert report["specialScores"] == []


def test_the_compiled_scores_are_the_cosines_of_diffusers_less_the_thresholds():
    from diffusers.pipelines.stable_diffusion.safety_checker import cosine_distance

    checker = make_checker()
    picture = random_picture((40, 60), 3, 9)
    pixels = processor()(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        embedding = checker.visual_projection(checker.vision_model(pixels)[1])
        concepts = cosine_distance(embedding, checker.concept_embeds)
        special = cosine_distance(embedding, checker.special_care_embeds)
        found = SafetyScores(checker)(pixels)
    assert torch.allclose(found[0], concepts - checker.concept_embeds_weights, atol=1e-6)
    assert torch.allclose(found[1], special - checker.special_care_embeds_weights, atol=1e-6)


def test_the_small_checker_flags_some_pictures_and_not_others():
    checker = make_checker()
    pictures = [plain((220, 30, 30)), plain((20, 30, 200)), plain((255, 255, 255))]
    given = processor()([Image.fromarray(p) for p in pictures], return_tensors="pt")
    _, flagged = checker(given["pixel_values"], np.zeros((3, 4, 4, 3)))
    assert flagged == [True, True, False]
