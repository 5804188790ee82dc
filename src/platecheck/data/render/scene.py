"""Render one photo: dish, dirt, background, light and camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import across, aim, develop
from platecheck.data.render.dishes import draw_dish
from platecheck.data.render.light import draw_light
from platecheck.data.render.meals import soil
from platecheck.data.render.pixels import grey, mean_colour
from platecheck.data.render.placing import cast_shadow, place_dish
from platecheck.data.render.shade import light_background
from platecheck.data.render.shapes import KINDS, RARE_KINDS
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import BACKGROUNDS, draw_background
from platecheck.errors import DataError

LABELS = ("clean", "dirty")
MIN_SIZE, MAX_SIZE = 32, 1024


@dataclass(frozen=True)
class RenderedDish:
    """A rendered photo with its masks.

    Attributes:
        photo: uint8 RGB [size, size, 3].
        label: ``clean`` or ``dirty``.
        background: one of the `BACKGROUNDS`.
        kind: one of the `KINDS` or `RARE_KINDS` of dish.
        dish_mask: bool [size, size], True on the dish.
        dirt_mask: bool [size, size], True on visible dirt; all False if clean.
    """

    photo: NDArray[np.uint8]
    label: str
    background: str
    kind: str
    dish_mask: NDArray[np.bool_]
    dirt_mask: NDArray[np.bool_]


def render_dish(
    rng: np.random.Generator,
    *,
    size: int = 256,
    label: str = "clean",
    background: str | None = None,
    kind: str | None = None,
) -> RenderedDish:
    """Render a photo of a dish.

    The scene (dish, background, light, camera) does not depend on the label: two generators in the
    same state give the same dish clean and dirty.

    Args:
        rng: source of randomness; advances by the same number of draws whatever the arguments.
        size: side of the photo in pixels, 32 to 1024.
        label: ``clean`` or ``dirty``.
        background: one of the `BACKGROUNDS`; drawn by default.
        kind: one of the `KINDS` or `RARE_KINDS`; drawn from `KINDS` by default.

    Raises:
        DataError: an argument has an invalid value.
    """
    for name, value, allowed in (
        ("label", label, LABELS),
        ("background", background, BACKGROUNDS),
        ("kind", kind, (*KINDS, *RARE_KINDS)),
    ):
        if value is not None and value not in allowed:
            raise DataError(f"no such {name}: {value!r}; choose one of {', '.join(allowed)}")
    check_size(size)
    drawn = (BACKGROUNDS[rng.integers(len(BACKGROUNDS))], KINDS[rng.integers(len(KINDS))])
    background, kind = background or drawn[0], kind or drawn[1]
    # One stream per part, so that dirt does not change the rest of the scene.
    streams = [np.random.default_rng(seed) for seed in rng.integers(0, 2**63, 5)]
    for_camera, for_background, for_dish, for_dirt, for_photo = streams

    canvas = max(size, 192)
    camera = aim(for_camera)
    q = across(canvas)
    a, b = camera.slopes(q, q)
    x, y = camera.at_height(a, b, 0)
    ground = draw_background(for_background, background, x, y)
    below = mean_colour(ground.albedo)
    light = draw_light(for_camera, below)
    dish = draw_dish(for_dish, kind, canvas * 9 // 10)  # about the resolution of the photo
    surface = soil(for_dirt, dish) if label == "dirty" else Surface(dish)

    image = light_background(ground, light, camera, a, b)
    image *= grey(cast_shadow(dish.chart.shape, light, camera, canvas))
    dish_mask, dirt_mask = place_dish(image, surface, light, camera, below)
    return RenderedDish(
        develop(for_photo, image, size),
        label,
        background,
        kind,
        cv2.resize(dish_mask, (size, size), interpolation=cv2.INTER_AREA) > 0.5,
        cv2.resize(dirt_mask, (size, size), interpolation=cv2.INTER_AREA) > 0.25,
    )


def check_size(size: int) -> None:
    """Raise DataError if `size` is out of range."""
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise DataError(f"size {size} is out of range; choose {MIN_SIZE} to {MAX_SIZE} pixels")
