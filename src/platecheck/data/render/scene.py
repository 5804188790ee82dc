"""One photo: a dish, maybe its dirt, on a table, in a light, through a camera."""

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
from platecheck.data.render.shade import light_table
from platecheck.data.render.shapes import KINDS, RARE_KINDS
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import TABLES, draw_table
from platecheck.errors import DataError

LABELS = ("clean", "dirty")
SMALLEST, LARGEST = 32, 1024


@dataclass(frozen=True)
class RenderedDish:
    """An artificial photo and what is where in it.

    Attributes:
        photo: uint8 RGB [size, size, 3].
        label: ``clean`` or ``dirty``.
        table: one of the `TABLES`.
        kind: one of the `KINDS` or `RARE_KINDS` of dish.
        dish_mask: bool [size, size], where the dish is.
        dirt_mask: bool [size, size], where dirt is seen; all False when clean.
    """

    photo: NDArray[np.uint8]
    label: str
    table: str
    kind: str
    dish_mask: NDArray[np.bool_]
    dirt_mask: NDArray[np.bool_]


def render_dish(
    rng: np.random.Generator,
    *,
    size: int = 256,
    label: str = "clean",
    table: str | None = None,
    kind: str | None = None,
) -> RenderedDish:
    """Render an artificial photo of a dish.

    The scene (dish, table, light, camera) does not depend on the label: two generators in the same
    state give the same dish clean and dirty.

    Args:
        rng: where all chance comes from; it moves on by the same few draws whatever the arguments.
        size: side of the photo in pixels, 32 to 1024.
        label: ``clean`` or ``dirty``.
        table: one of the `TABLES`, or None to draw one.
        kind: one of the `KINDS` or `RARE_KINDS` of dish, or None to draw one of the former.

    Raises:
        DataError: an argument is not one of these.
    """
    for what, value, allowed in (
        ("label", label, LABELS),
        ("table", table, TABLES),
        ("kind", kind, (*KINDS, *RARE_KINDS)),
    ):
        if value is not None and value not in allowed:
            raise DataError(f"no such {what}: {value!r}; choose one of {', '.join(allowed)}")
    check_size(size)
    drawn = (TABLES[rng.integers(len(TABLES))], KINDS[rng.integers(len(KINDS))])
    table, kind = table or drawn[0], kind or drawn[1]
    # One stream for each part, so that dirt leaves the rest of the scene alone.
    streams = [np.random.default_rng(seed) for seed in rng.integers(0, 2**63, 5)]
    for_camera, for_table, for_dish, for_dirt, for_photo = streams

    canvas = max(size, 192)
    camera = aim(for_camera)
    q = across(canvas)
    a, b = camera.slopes(q, q)
    x, y = camera.at_height(a, b, 0)
    ground = draw_table(for_table, table, x, y)
    below = mean_colour(ground.albedo)
    light = draw_light(for_camera, below)
    dish = draw_dish(for_dish, kind, canvas * 9 // 10)  # about as fine as the photo shows it
    surface = soil(for_dirt, dish) if label == "dirty" else Surface(dish)

    picture = light_table(ground, light, camera, a, b)
    picture *= grey(cast_shadow(dish.chart.shape, light, camera, canvas))
    dish_mask, dirt_mask = place_dish(picture, surface, light, camera, below)
    return RenderedDish(
        develop(for_photo, picture, size),
        label,
        table,
        kind,
        cv2.resize(dish_mask, (size, size), interpolation=cv2.INTER_AREA) > 0.5,
        cv2.resize(dirt_mask, (size, size), interpolation=cv2.INTER_AREA) > 0.25,
    )


def check_size(size: int) -> None:
    """Raise DataError unless `size` is a side that can be rendered."""
    if not SMALLEST <= size <= LARGEST:
        raise DataError(f"size {size} is out of range; choose {SMALLEST} to {LARGEST} pixels")
