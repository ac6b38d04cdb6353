"""Does the browser draw what was asked for? Prompts that no training saw."""

import pytest

from wsd.drawing import Drawing
from wsd.tiny.evaluate import held_out_scenes
from wsd.tiny.measure import score


def chosen():
    """Return a scene of each kind: one thing, a relation.

    On plain backgrounds: the evaluation counts how often the model gets the hard
    ones, this asks whether the browser draws what the model can.
    """
    kinds = {"one": [], "relation": []}
    for scene in held_out_scenes(60):
        if scene.background[0] != scene.background[1]:
            continue
        if scene.relation not in (None, "and"):
            kinds["relation"].append(scene)
        elif scene.relation is None and len(scene.things) == 1:
            kinds["one"].append(scene)
    return [scenes[0] for scenes in kinds.values()]


def assert_drawn(renderer, scene):
    # Fewer steps than usual: software adapters are slow, and these are enough here.
    drawn = renderer.draw(Drawing(scene.caption, steps=8, seed=2))
    found = score(scene, drawn.images[0])
    assert found.color
    assert found.shape
    assert found.count
    assert found.relation is not False


@pytest.mark.parametrize("scene", chosen(), ids=lambda scene: scene.caption)
def test_tiny_sd15_draws_a_held_out_prompt(renderer, scene):
    assert_drawn(renderer, scene)


@pytest.mark.parametrize("scene", chosen()[1:], ids=lambda scene: scene.caption)
def test_tiny_sdxl_draws_a_held_out_prompt(xl_renderer, scene):
    assert_drawn(xl_renderer, scene)
