"""Scenes of coloured shapes, which the tiny models learn to draw, and their captions.

A scene is one to three flat shapes on a plain or gradient background. Sampling
is seeded; lengths are fractions of the picture's edge, so that one scene can be
drawn at any resolution.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

from wsd.models.tiny.common import EXAMPLES

SHAPES = ("circle", "square", "triangle", "star", "cross", "diamond", "ring", "heart")
# sRGB. Objects are saturated and backgrounds are not, so that objects stand out.
COLORS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 20),
    "yellow": (250, 215, 40),
    "green": (40, 160, 70),
    "cyan": (40, 200, 215),
    "blue": (40, 80, 210),
    "purple": (130, 60, 180),
    "pink": (250, 120, 180),
}
# What no training of the models shows: LoRAs teach it. The words are in the vocabulary. A brighter
# dark red, as (115, 30, 40), comes out of tiny-sdxl's autoencoder as red in every third picture.
NEW_SHAPES = ("pentagon",)
NEW_COLORS = {"dark red": (90, 15, 20)}
BACKGROUNDS = {
    "white": (250, 250, 250),
    "gray": (150, 150, 150),
    "black": (25, 25, 25),
    "light blue": (205, 225, 250),
    "light green": (210, 240, 210),
    "light yellow": (250, 245, 205),
}
DEFAULT_BACKGROUND = "white"
# Radius of the circle around a shape.
SIZES = {"small": (0.11, 0.13), "large": (0.175, 0.2)}
RELATIONS = ("left of", "right of", "above", "below")
# Positions that a caption may ask for: column and row of a 3x3 grid.
PLACES = {
    "in the center": (1, 1),
    "at the top": (1, 0),
    "at the bottom": (1, 2),
    "at the left": (0, 1),
    "at the right": (2, 1),
    "at the top left": (0, 0),
    "at the top right": (2, 0),
    "at the bottom left": (0, 2),
    "at the bottom right": (2, 2),
}
COUNTS = {2: "two", 3: "three"}
_MARGIN, _GAP = 0.03, 0.04
# One scene of this many is held out: it is never trained on.
_HELD_OUT_EVERY = 8


@dataclass(frozen=True)
class Thing:
    """One shape.

    Attributes:
        shape: one of :data:`SHAPES` or :data:`NEW_SHAPES`.
        color: one of :data:`COLORS` or :data:`NEW_COLORS`.
        size: ``small`` or ``large``.
        radius, x, y: where it is, as fractions of the picture's edge.
        size_said: whether the caption gives the size.
    """

    shape: str
    color: str
    size: str
    radius: float
    x: float
    y: float
    size_said: bool

    def phrase(self) -> str:
        """Return ``large red circle``, or ``red circle`` if the size is not said."""
        size = f"{self.size} " if self.size_said else ""
        return f"{size}{self.color} {self.shape}"


@dataclass(frozen=True)
class Scene:
    """A picture to be drawn, and what its caption says of it.

    Attributes:
        things: one to three shapes; several without a relation are alike.
        relation: of the first thing to the second: one of :data:`RELATIONS`,
            ``and`` for two things wherever they are, None otherwise.
        place: a key of :data:`PLACES` that the caption names, or None.
        background: names at the top and at the bottom; equal when plain.
        background_said: whether the caption names the background.
    """

    things: tuple[Thing, ...]
    relation: str | None
    place: str | None
    background: tuple[str, str]
    background_said: bool

    @property
    def caption(self) -> str:
        """The prompt that describes this scene."""
        first = self.things[0]
        if self.relation is not None:
            words = f"a {first.phrase()} {self.relation} a {self.things[1].phrase()}"
        elif len(self.things) > 1:
            words = f"{COUNTS[len(self.things)]} {first.phrase()}{_plural(first.shape)}"
        else:
            words = f"a {first.phrase()}" + (f" {self.place}" if self.place else "")
        # "an orange circle"
        words = words.replace("a orange", "an orange")
        if not self.background_said:
            return words
        top, bottom = self.background
        if top == bottom:
            return f"{words} on a {top} background"
        return f"{words} on a {top} to {bottom} gradient background"

    @property
    def held_out(self) -> bool:
        """Whether this caption is held out from training: its hash decides; examples always are."""
        caption = self.caption
        drawn = hashlib.sha256(caption.encode()).digest()[0]
        return drawn % _HELD_OUT_EVERY == 0 or caption in EXAMPLES


def _plural(shape: str) -> str:
    return "es" if shape.endswith("s") else "s"


def scenes(seed: int, held_out: bool) -> Iterator[Scene]:
    """Yield scenes without end: only held-out ones, or only the others."""
    random = Random(seed)
    while True:
        scene = sample_scene(random)
        if scene.held_out == held_out:
            yield scene


def scenes_with(word: str, seed: int, held_out: bool) -> Iterator[Scene]:
    """Yield scenes without end in which a thing has a new colour or shape, or all things have it.

    Args:
        word: one of :data:`NEW_SHAPES` or :data:`NEW_COLORS`.
        seed: the same seed gives the same scenes.
        held_out: yield only held-out scenes, or only the others.
    """

    def with_look(thing: Thing) -> Thing:
        """Return a thing of the new shape, or in the new colour."""
        return replace(thing, shape=word) if word in NEW_SHAPES else replace(thing, color=word)

    random = Random(seed)
    while True:
        scene = sample_scene(random)
        # Things of a group are alike; of a pair, one at least is new.
        changed = tuple(range(len(scene.things)))
        if scene.relation is not None:
            changed = random.choice(((0,), (1,), (0, 1)))
        things = tuple(
            with_look(thing) if n in changed else thing for n, thing in enumerate(scene.things)
        )
        scene = replace(scene, things=things)
        if scene.held_out == held_out:
            yield scene


def sample_scene(random: Random) -> Scene:
    """Draw one scene: a single shape, a pair, or two or three alike."""
    kind = random.random()
    place = relation = None
    if kind < 0.35:
        thing = _look(random)
        place = random.choice([None, *PLACES])
        things = [_put(thing, *_single_position(random, thing.radius, place))]
    elif kind < 0.8:
        relation = random.choice((*RELATIONS, "and"))
        things = _pair(random, _look(random), _look(random), relation)
    else:
        things = _group(random, _look(random), random.choice(list(COUNTS)))
    background, said = _background(random)
    return Scene(tuple(things), relation, place, background, said)


def _look(random: Random) -> Thing:
    size = random.choice(list(SIZES))
    return Thing(
        shape=random.choice(SHAPES),
        color=random.choice(list(COLORS)),
        size=size,
        radius=random.uniform(*SIZES[size]),
        x=0.5,
        y=0.5,
        size_said=random.random() < 0.7,
    )


def _put(thing: Thing, x: float, y: float, radius: float | None = None) -> Thing:
    return replace(thing, x=x, y=y, radius=radius or thing.radius)


def _single_position(random: Random, radius: float, place: str | None) -> tuple[float, float]:
    low, high = _MARGIN + radius, 1 - _MARGIN - radius
    if place is None:
        return random.uniform(low, high), random.uniform(low, high)
    near = 0.03

    def coordinate(cell: int) -> float:
        if cell == 1:
            return random.uniform(0.5 - near, 0.5 + near)
        offset = random.uniform(0, 2 * near)
        return low + offset if cell == 0 else high - offset

    column, row = PLACES[place]
    return coordinate(column), coordinate(row)


def _pair(random: Random, first: Thing, second: Thing, relation: str) -> list[Thing]:
    """Place two shapes so far apart that their relation is clear."""
    if relation == "and":
        relation = random.choice(RELATIONS)
    least = first.radius + second.radius + _GAP
    while True:
        a, b = (
            [random.uniform(_MARGIN + t.radius, 1 - _MARGIN - t.radius) for _ in range(2)]
            for t in (first, second)
        )
        across, down = b[0] - a[0], b[1] - a[1]
        ahead, aside = (across, down) if relation in ("left of", "right of") else (down, across)
        if relation in ("right of", "below"):
            ahead = -ahead
        if ahead >= least and abs(aside) <= 0.6 * ahead:
            return [_put(first, *a), _put(second, *b)]


def _group(random: Random, thing: Thing, count: int) -> list[Thing]:
    """Place equal shapes in different quarters of the picture."""
    quarters = random.sample([(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)], count)
    things = []
    for x, y in quarters:
        radius = random.uniform(*SIZES[thing.size])
        slack = 0.25 - _GAP / 2 - radius
        shift = [random.uniform(-slack, slack) for _ in range(2)]
        things.append(_put(thing, x + shift[0], y + shift[1], radius))
    return things


def _background(random: Random) -> tuple[tuple[str, str], bool]:
    if random.random() < 0.2:
        return (DEFAULT_BACKGROUND, DEFAULT_BACKGROUND), False
    top = random.choice(list(BACKGROUNDS))
    bottom = random.choice(list(BACKGROUNDS)) if random.random() < 0.4 else top
    return (top, bottom), True
