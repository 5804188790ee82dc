"""One photo: a dish, maybe its dirt, on a table, in a light, through a camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.synth.camera import Camera, across, aim, develop
from platecheck.data.synth.dishes import draw_dish
from platecheck.data.synth.light import Light, draw_light
from platecheck.data.synth.meals import soil
from platecheck.data.synth.pixels import Floats, grey, mean_colour, mix
from platecheck.data.synth.shade import flat_ambient, light_dish, light_table, light_wall
from platecheck.data.synth.shapes import EDGE, KINDS, Shape
from platecheck.data.synth.surface import Surface
from platecheck.data.synth.tables import TABLES, draw_table
from platecheck.errors import DataError

LABELS = ("clean", "dirty")
SMALLEST, LARGEST = 32, 1024
FINER = 1.2  # the dish is drawn this much finer than the table, for smooth edges


@dataclass(frozen=True)
class RenderedDish:
    """An artificial photo and what is where in it.

    Attributes:
        photo: uint8 RGB [size, size, 3].
        label: ``clean`` or ``dirty``.
        table: one of the `TABLES`.
        kind: one of the `KINDS` of dish.
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
        kind: one of the `KINDS` of dish, or None to draw one.

    Raises:
        DataError: an argument is not one of these.
    """
    for what, value, allowed in (
        ("label", label, LABELS),
        ("table", table, TABLES),
        ("kind", kind, KINDS),
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
    dish = draw_dish(for_dish, kind, round(canvas * FINER * 0.8))
    surface = soil(for_dirt, dish) if label == "dirty" else Surface(dish)

    picture = light_table(ground, light, camera, a, b)
    picture *= grey(_shadow(dish.chart.shape, light, camera, canvas))
    dish_mask, dirt_mask = _place_dish(picture, surface, light, camera, below)
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


def _outline(
    shape: Shape, camera: Camera, side: int, ring: tuple[float, float], move: Floats | float = 0.0
) -> NDArray[np.int32]:
    """The dish's outline at ring = (height, radius), moved by `move`, as fixed-point pixels."""
    z, radius = ring
    rim = shape.outline * np.float32(radius) + move
    points = np.concatenate([rim, np.full((len(rim), 1), z, np.float32)], 1)
    pixels: NDArray[np.int32] = (camera.project(points, side) * 16).round().astype(np.int32)
    return pixels


def _rings(shape: Shape, count: int) -> list[tuple[float, float]]:
    """(height, radius) of the outer wall at `count` heights from the table to the rim."""
    t = np.linspace(0, 1, count).tolist()
    return [(shape.height * q, shape.foot + (1 - shape.foot) * q**shape.bulge) for q in t]


def _soft(mask: NDArray[np.uint8], blur: float) -> Floats:
    """A mask (0 to 255) as 0 to 1, blurred by as many pixels."""
    soft: Floats = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.6, blur))
    return soft


def _shadow(shape: Shape, light: Light, camera: Camera, side: int) -> Floats:
    """How much light [side, side] the dish leaves to the table around it, 0 to 1."""
    small = side // 2
    radius = small * camera.zoom / camera.place[2] / 2  # of the dish in pixels
    toward = light.direction[:2] / light.direction[2]

    cast = np.zeros((small, small), np.uint8)  # the shadow in the key light
    for z, wide in _rings(shape, 5):
        outline = _outline(shape, camera, small, (0, wide), -toward * np.float32(z))
        cv2.fillPoly(cast, [outline], 255, cv2.LINE_AA, 4)
    in_key = _soft(cast, radius * shape.height * light.softness * 0.6)
    # The sky that the rim hides, and the dark line where the foot meets the table.
    hidden = []
    for wide, blur in ((1.0, 0.02 + 0.35 * shape.height), (0.5 + 0.5 * shape.foot, 0.03)):
        disc = np.zeros((small, small), np.uint8)
        cv2.fillPoly(disc, [_outline(shape, camera, small, (0, wide))], 255, cv2.LINE_AA, 4)
        hidden.append(_soft(disc, radius * blur))
    from_sky = np.maximum(0.5 * hidden[0], 0.8 * hidden[1])

    key = light.key.mean() * light.direction[2]
    share = key / (key + flat_ambient(light).mean())
    shadow: Floats = cv2.resize((1 - share * in_key) * (1 - (1 - share) * from_sky), (side, side))
    return shadow


def _place_dish(
    picture: Floats, surface: Surface, light: Light, camera: Camera, ground: Floats
) -> tuple[Floats, Floats]:
    """Put the dish into the picture [side, side, 3], in place.

    Returns the dish's and the dirt's coverage of each pixel, [side, side] each.
    """
    dish, shape, side = surface.dish, surface.dish.chart.shape, len(picture)
    outlines = [_outline(shape, camera, side, ring) / 16 for ring in _rings(shape, 3)]
    low = np.clip(np.min([o.min(0) for o in outlines], 0) - 2, 0, side - 1).astype(int)
    high = np.clip(np.max([o.max(0) for o in outlines], 0) + 3, 1, side).astype(int)
    (x0, y0), (x1, y1) = low.tolist(), high.tolist()
    width, height = round((x1 - x0) * FINER), round((y1 - y0) * FINER)
    columns = (np.arange(width, dtype=np.float32) + 0.5) * ((x1 - x0) / width) + x0
    rows = (np.arange(height, dtype=np.float32) + 0.5) * ((y1 - y0) / height) + y0
    a, b = camera.slopes(columns * np.float32(2 / side) - 1, rows * np.float32(2 / side) - 1)

    z = _meet(shape, camera, a, b)
    x, y = camera.at_height(a, b, z)
    scale, middle = (
        np.float32(len(dish.chart.r) / (2 * EDGE)),
        np.float32(len(dish.chart.r) / 2 - 0.5),
    )
    x, y = x * scale + middle, y * scale + middle
    lit = light_dish(surface, light, camera)
    inside = cv2.remap(lit, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    dirt = cv2.remap(surface.dirt, x, y, cv2.INTER_LINEAR)

    # Fine pixels, each outline moved into the window.
    def draw(canvas: NDArray[np.uint8], ring: tuple[float, float], value: int, line: int) -> None:
        outline = _outline(shape, camera, side, ring).astype(np.float32) / 16 + 0.5 - (x0, y0)
        outline = outline * (width / (x1 - x0), height / (y1 - y0)) - 0.5
        cv2.fillPoly(canvas, [(outline * 16).round().astype(np.int32)], value, line, 4)

    rim = np.zeros((height, width), np.uint8)
    draw(rim, (shape.height, 1.0), 255, cv2.LINE_AA)
    solid = rim.copy()
    level = np.zeros((height, width), np.uint8)
    for z_, radius in _rings(shape, 8):
        draw(solid, (z_, radius), 255, cv2.LINE_AA)
        draw(level, (z_, radius), round(255 * z_ / shape.height), cv2.LINE_8)
    inner = rim.astype(np.float32) / 255
    alpha = solid.astype(np.float32) / 255

    third = (width // 3, height // 3)
    x, y = camera.at_height(cv2.resize(a, third), cv2.resize(b, third), 0)
    level_ = cv2.resize(level, third).astype(np.float32) / 255
    wall = cv2.resize(light_wall(dish, light, ground, (x, y), level_), (width, height))
    fine = mix(wall, inside, inner) * grey(alpha)

    part = (slice(y0, y1), slice(x0, x1))
    masks = np.zeros((2, side, side), np.float32)
    for mask, values in zip(masks, (alpha, dirt * inner), strict=True):
        mask[part] = cv2.resize(values, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    picture[part] *= grey(1 - masks[0][part])
    picture[part] += cv2.resize(fine, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    return masks[0], masks[1]


def _meet(shape: Shape, camera: Camera, a: Floats, b: Floats) -> Floats:
    """Height at which rays of slopes (a, b) meet the inner surface, by bisection."""
    full, size = a.shape[::-1], (a.shape[1] // 3, a.shape[0] // 3)
    a, b = cv2.resize(a, size), cv2.resize(b, size)
    low, high = np.zeros_like(a), np.full_like(a, shape.height)
    for _ in range(7):
        z = (low + high) * np.float32(0.5)
        under = z < shape.height_at(shape.radius(*camera.at_height(a, b, z)))
        low, high = np.where(under, z, low), np.where(under, high, z)
    met: Floats = cv2.resize(cv2.GaussianBlur(z, (0, 0), 0.8), full)
    return met
