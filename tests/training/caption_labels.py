"""Labels of a caption: its answers to fixed questions, for training text encoders."""

from __future__ import annotations

from collections.abc import Sequence

from training.scenes import BACKGROUNDS, COLORS, PLACES, RELATIONS, SHAPES, SIZES, Scene

UNSAID = -1
_LOOKS: dict[str, Sequence[str]] = {"shape": SHAPES, "color": list(COLORS), "size": list(SIZES)}
# Questions name a thing by its order in the caption, or by where the caption puts it.
_WHICH = ("first", "second", "left", "right", "above", "below")
CHOICES: dict[str, Sequence[str]] = {
    **{f"{which} {look}": words for which in _WHICH for look, words in _LOOKS.items()},
    "count": ("1", "2", "3"),
    "relation": (*RELATIONS, "and"),
    "place": list(PLACES),
    "top": list(BACKGROUNDS),
    "bottom": list(BACKGROUNDS),
}
_OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


def answers(scene: Scene) -> list[int]:
    """Return the index of the right choice for each question.

    It is -1 if the caption does not say, or says something that is none of the choices.
    """
    said: dict[str, str | None] = {
        "count": str(len(scene.things)),
        "relation": scene.relation,
        "place": scene.place,
        "top": scene.background[0],
        "bottom": scene.background[1],
    }
    named = {"first": scene.things[0]}
    if scene.relation is not None:
        named["second"] = scene.things[1]
        if (side := scene.relation.removesuffix(" of")) in _OPPOSITE:
            named |= {side: scene.things[0], _OPPOSITE[side]: scene.things[1]}
    for which, thing in named.items():
        said |= {f"{which} shape": thing.shape, f"{which} color": thing.color}
        said[f"{which} size"] = thing.size if thing.size_said else None
    found = []
    for question, choices in CHOICES.items():
        word = said.get(question)
        found.append(UNSAID if word is None or word not in choices else list(choices).index(word))
    return found
