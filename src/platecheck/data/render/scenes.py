"""Render scenes: racks, trays, sinks and tables with dishes, and places without any."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import develop
from platecheck.data.render.frame import DIRTY, FIRST, render
from platecheck.data.render.scene import LABELS
from platecheck.data.render.settings import SETTINGS, Setting
from platecheck.errors import DataError

DISH_KINDS = ("rack", "tray", "sink", "table")
EMPTY_KINDS = tuple(kind for kind in SETTINGS if kind not in DISH_KINDS)
SCENE_KINDS = DISH_KINDS + EMPTY_KINDS
MOST_DISHES = 12
MIN_SIZE, MAX_SIZE = 160, 1280
LEAST, LEAST_VISIBLE = 1e-3, 0.2  # of the photo, of itself: a dish that shows less has no box


@dataclass(frozen=True)
class RenderedScene:
    """A rendered photo of a scene, with what can be seen of each dish.

    Attributes:
        photo: uint8 RGB [H, W, 3].
        kind: one of the `SCENE_KINDS`.
        boxes: visible extents, float32 [M, 4] (x0, y0, x1, y1 in pixels).
        labels: ``dirty`` if dirt can be seen on the dish, else ``clean``.
        visible: share of each dish that is neither hidden nor outside the photo, float32 [M].
        masks: bool [M, H, W], True where the dish is seen.
        dirt_masks: bool [M, H, W], True where its dirt is seen.
    """

    photo: NDArray[np.uint8]
    kind: str
    boxes: NDArray[np.float32]
    labels: tuple[str, ...]
    visible: NDArray[np.float32]
    masks: NDArray[np.bool_]
    dirt_masks: NDArray[np.bool_]


def render_scene(
    rng: np.random.Generator,
    *,
    size: int = 640,
    kind: str | None = None,
    dishes: int | None = None,
    dirty: float | None = None,
) -> RenderedScene:
    """Render a photo of a place with or without dishes.

    Args:
        rng: source of randomness.
        size: longer side of the photo in pixels, 160 to 1280.
        kind: one of the `SCENE_KINDS`; by default two thirds have dishes.
        dishes: number of dishes that are placed, 1 to 12; drawn by default.
        dirty: probability that a dish is dirty; drawn for each scene by default.

    Raises:
        DataError: an argument has an invalid value.
    """
    check_scene(size=size, kind=kind)
    if dishes is not None and not 1 <= dishes <= MOST_DISHES:
        raise DataError(f"{dishes} dishes are out of range; choose 1 to {MOST_DISHES}")
    if dirty is not None and not 0 <= dirty <= 1:
        raise DataError(f"dirty {dirty} is out of range; choose 0 to 1")
    drawn = DISH_KINDS if rng.random() < 2 / 3 else EMPTY_KINDS
    kind = kind or str(drawn[rng.integers(len(drawn))])
    count = dishes or int(rng.integers(1, MOST_DISHES + 1))
    drawn_share = float(rng.choice([0, 1, rng.random()], p=(0.2, 0.2, 0.6)))
    count = count if kind in DISH_KINDS else 0
    setting = Setting(rng, size, count, drawn_share if dirty is None else dirty)
    SETTINGS[kind](setting)
    scene, camera = setting.finish()
    image, frame, paint = render(scene, camera, size)
    image *= np.float32((0.36 / max(image.mean(), 0.03)) ** rng.uniform(0.3, 0.9))  # exposure
    height, width = _aspect(rng, size)
    top, left = (size - height) // 2, (size - width) // 2
    window = slice(top, top + height), slice(left, left + width)
    photo = np.ascontiguousarray(develop(rng, image, size)[window])

    number = frame.thing[window] - FIRST
    areas = [int((number == n).sum()) for n in range(len(scene.solids))]
    enough = [n for n, area in enumerate(areas) if area > LEAST * number.size]
    dishes_seen = [(n, scene.solids[n]) for n in enough if scene.solids[n].dish]
    shares = {n: areas[n] / max(frame.whole(solid), 1) for n, solid in dishes_seen}
    seen = [n for n, share in shares.items() if share > LEAST_VISIBLE]
    masks = number == np.array(seen, int)[:, None, None]
    dirt = masks & (paint.dirt[window] > DIRTY) & np.array(paint.soiled, bool)[seen][:, None, None]
    dirt &= dirt.sum((1, 2), keepdims=True) > 0.003 * masks.sum((1, 2), keepdims=True)
    boxes = [cv2.boundingRect(mask.astype(np.uint8)) for mask in masks]
    return RenderedScene(
        photo,
        kind,
        np.array([(x, y, x + w, y + h) for x, y, w, h in boxes], np.float32).reshape(-1, 4),
        tuple(LABELS[int(each.any())] for each in dirt),
        np.array([min(shares[n], 1) for n in seen], np.float32),
        masks,
        dirt,
    )


def check_scene(*, size: int, kind: str | None) -> None:
    """Raise DataError if there is no such size or kind of scene."""
    if kind is not None and kind not in SCENE_KINDS:
        raise DataError(f"no such kind of scene: {kind!r}; choose one of {', '.join(SCENE_KINDS)}")
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"size {size} is out of range; choose {MIN_SIZE} to {MAX_SIZE} pixels")


def _aspect(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """Draw the height and width of a photo as cameras take them."""
    short = round(size / float(rng.choice([1, 4 / 3, 3 / 2, 16 / 9], p=(0.4, 0.35, 0.15, 0.1))))
    return (size, short) if rng.random() < 0.5 else (short, size)
