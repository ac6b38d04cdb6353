"""Does the browser draw what was asked for? Prompts that no training saw."""

from wsd.drawing import Drawing
from wsd.tiny.evaluate import held_out_scenes
from wsd.tiny.measure import score


def chosen():
    """Return a scene of two things, one somewhere of the other.

    On a plain background: the evaluation counts how often the model gets the hard
    ones, this asks whether the browser draws what the model can.
    """
    return next(
        scene
        for scene in held_out_scenes(60)
        if scene.background[0] == scene.background[1] and scene.relation not in (None, "and")
    )


def assert_drawn(renderer, scene):
    # Fewer steps than usual: software adapters are slow, and these are enough here.
    drawn = renderer.draw(Drawing(scene.caption, steps=8, seed=2))
    found = score(scene, drawn.images[0])
    assert found.color
    assert found.shape
    assert found.count
    assert found.relation is not False


def test_tiny_sd15_draws_a_held_out_prompt(renderer):
    assert_drawn(renderer, chosen())


def test_tiny_sdxl_draws_a_held_out_prompt(xl_renderer):
    assert_drawn(xl_renderer, chosen())
