"""Edits of scenes: one of two things is missing, and a mask asks for it where it should be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from training.evaluate import PROMPT_SEED
from training.rasterizer import draw_scenes
from training.scenes import Scene, scenes
from wsd.runtime.given_picture import GivenPicture

# Room around the missing thing, as a fraction of the picture's edge: less than the gap between two
# things, so that no mask touches the other one.
_ROOM = 0.035


@dataclass(frozen=True)
class Edit:
    """A scene, and the picture of it that lacks its second thing.

    Attributes:
        scene: what the picture should show afterwards; its caption is the prompt.
        picture: the scene without the thing, and the mask of its place.
    """

    scene: Scene
    picture: GivenPicture

    def is_kept(self, image: np.ndarray) -> bool:
        """Tell whether a picture, (edge, edge, 3) uint8, is unchanged where nothing is masked."""
        kept = np.asarray(self.picture.mask) < 128
        return bool((image[kept] == self.picture.image[kept]).all())

    def put_back(self, image: np.ndarray) -> np.ndarray:
        """Return a picture, (edge, edge, 3) uint8, with the given one where nothing is masked."""
        masked = np.asarray(self.picture.mask)[..., None] >= 128
        return np.where(masked, image, self.picture.image)


def make_edit(scene: Scene, edge: int, strength: float = 1.0) -> Edit:
    """Return the edit that gives a scene its last thing.

    Args:
        scene: several things.
        edge: of the picture, in pixels.
        strength: how much is drawn anew within the mask.
    """
    missing = scene.things[-1]
    [image] = draw_scenes([replace(scene, things=scene.things[:-1])], edge)
    reach = missing.radius + _ROOM
    places = (np.arange(edge) + 0.5) / edge
    across, down = (abs(places - center) <= reach for center in (missing.x, missing.y))
    mask = (down[:, None] & across[None]).astype(np.uint8) * 255
    return Edit(scene, GivenPicture(image, strength, mask))


def held_out_edits(count: int, edge: int) -> list[Edit]:
    """Return edits of different pairs of things whose captions were never trained on."""
    return [make_edit(scene, edge) for scene in islice(_pairs(), count)]


def _pairs() -> Iterator[Scene]:
    seen = set()
    for scene in scenes(PROMPT_SEED, held_out=True):
        looks = {thing.phrase() for thing in scene.things}
        # Which of two equal things is which, no picture tells.
        if scene.relation is not None and len(looks) == 2 and scene.caption not in seen:
            seen.add(scene.caption)
            yield scene
