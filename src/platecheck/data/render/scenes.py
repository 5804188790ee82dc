"""Render scenes: racks, trays, sinks and tables with dishes, and places without any."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import develop
from platecheck.data.render.frame import DIRTY, render
from platecheck.data.render.scene import LABELS
from platecheck.data.render.settings import SETTINGS, Setting
from platecheck.errors import DataError

DISH_KINDS = ("rack", "tray", "sink", "table")
EMPTY_KINDS = tuple(kind for kind in SETTINGS if kind not in DISH_KINDS)
SCENE_KINDS = DISH_KINDS + EMPTY_KINDS
MOST_DISHES = 12
MIN_SIZE, MAX_SIZE = 160, 1280
LEAST = 3e-4  # of the photo; a dish that shows less has no box


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
    share = (
        dirty if dirty is not None else float(rng.choice([0, 1, rng.random()], p=(0.2, 0.2, 0.6)))
    )
    setting = Setting(rng, size, count if kind in DISH_KINDS else 0, share)
    SETTINGS[kind](setting)
    scene, camera = setting.finish()
    image, frame, paint = render(scene, camera, size)
    height, width = _aspect(rng, size)
    top, left = (size - height) // 2, (size - width) // 2
    window = slice(top, top + height), slice(left, left + width)
    bright = float(image.mean())
    image *= np.float32((0.36 / max(bright, 0.03)) ** rng.uniform(0.3, 0.9))  # as cameras expose
    photo = develop(rng, image, size)[window]

    boxes, labels, visible, masks, dirt = [], [], [], [], []
    for number, solid in enumerate(scene.solids):
        mask = (frame.thing == number + 3)[window]
        rows, columns = mask.any(1).nonzero()[0], mask.any(0).nonzero()[0]
        if not solid.dish or mask.sum() < LEAST * height * width:
            continue
        boxes.append((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
        soiled = mask & (paint.dirt[window] > DIRTY) & paint.soiled[number]
        labels.append(LABELS[int(soiled.any())])
        visible.append(min(1.0, mask.sum() / max(frame.whole(solid), 1)))
        masks.append(mask)
        dirt.append(soiled)
    shape = (len(boxes), height, width)
    return RenderedScene(
        np.ascontiguousarray(photo),
        kind,
        np.array(boxes, np.float32).reshape(-1, 4),
        tuple(labels),
        np.array(visible, np.float32),
        np.array(masks, bool).reshape(shape),
        np.array(dirt, bool).reshape(shape),
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
