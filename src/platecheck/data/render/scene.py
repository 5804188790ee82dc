"""Render one photo: dish, dirt, background, light and camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.camera import Camera, across, aim, develop
from platecheck.data.render.dishes import draw_dish
from platecheck.data.render.light import (
    Light,
    draw_light,
    flat_ambient,
    light_background,
    light_dish,
    light_wall,
)
from platecheck.data.render.meals import soil
from platecheck.data.render.pixels import Floats, grey, mean_colour, mix
from platecheck.data.render.shapes import EDGE, KINDS, RARE_KINDS, Shape, look_up
from platecheck.data.render.surface import Surface
from platecheck.data.render.tabletops import BACKGROUNDS, draw_background
from platecheck.errors import DataError

SHIFT = 4  # OpenCV draws at 1/16 of a pixel


def _outline(
    shape: Shape, camera: Camera, side: int, ring: tuple[float, float], move: Floats | float = 0.0
) -> NDArray[np.int32]:
    """Return the outline at ring = (height, radius), moved by `move`, as fixed-point pixels."""
    z, radius = ring
    rim = shape.outline * np.float32(radius) + move
    points = np.concatenate([rim, np.full((len(rim), 1), z, np.float32)], 1)
    return np.asarray((camera.project(points, side) * (1 << SHIFT)).round(), np.int32)


def _rings(shape: Shape, count: int) -> list[tuple[float, float]]:
    """Return (height, radius) of the outer wall at `count` heights from bottom to rim."""
    t = np.linspace(0, 1, count).tolist()
    return [(shape.height * q, shape.foot + (1 - shape.foot) * q**shape.bulge) for q in t]


def _soft(mask: NDArray[np.uint8], blur: float) -> Floats:
    """Return a mask (0 to 255) as 0 to 1, blurred by as many pixels."""
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(0.6, blur))


def cast_shadow(shape: Shape, light: Light, camera: Camera, side: int) -> Floats:
    """Return the fraction of light [side, side] that the dish's shadow leaves, 0 to 1."""
    small = side // 2
    radius = small * camera.zoom / camera.place[2] / 2  # of the dish in pixels
    toward = light.direction[:2] / light.direction[2]

    cast = np.zeros((small, small), np.uint8)  # the shadow in the key light
    for z, wide in _rings(shape, 5):
        outline = _outline(shape, camera, small, (0, wide), -toward * np.float32(z))
        cv2.fillPoly(cast, [outline], 255, cv2.LINE_AA, SHIFT)
    in_key = _soft(cast, radius * shape.height * light.softness * 0.6)
    # Ambient occlusion by the rim, and the contact shadow of the foot.
    hidden = []
    for wide, blur in ((1.0, 0.02 + 0.35 * shape.height), (0.5 + 0.5 * shape.foot, 0.03)):
        disc = np.zeros((small, small), np.uint8)
        cv2.fillPoly(disc, [_outline(shape, camera, small, (0, wide))], 255, cv2.LINE_AA, SHIFT)
        hidden.append(_soft(disc, radius * blur))
    from_sky = np.maximum(0.5 * hidden[0], 0.8 * hidden[1])

    key = light.key.mean() * light.direction[2]
    share = key / (key + flat_ambient(light).mean())
    left = (1 - share * in_key) * (1 - (1 - share) * from_sky)
    return np.asarray(cv2.resize(left, (side, side)))


def place_dish(
    image: Floats, surface: Surface, light: Light, camera: Camera, ground: Floats
) -> tuple[Floats, Floats]:
    """Draw the dish into an image [side, side, 3] in place; `ground` is the background albedo [3].

    Returns the dish's and the dirt's coverage of each pixel, [side, side] each.
    """
    dish, side = surface.dish, len(image)
    shape = dish.chart.shape
    rings = [(z, _outline(shape, camera, side, (z, radius))) for z, radius in _rings(shape, 8)]

    # Work within the dish's bounding box from here on.
    corners = np.concatenate([outline for _, outline in rings]) / (1 << SHIFT)
    x0, y0 = np.clip(corners.min(0) - 2, 0, side - 3).astype(int).tolist()
    x1, y1 = np.clip(corners.max(0) + 3, (x0 + 3, y0 + 3), side).astype(int).tolist()
    window = (slice(y0, y1), slice(x0, x1))
    a, b = camera.slopes(across(side)[window[1]], across(side)[window[0]])

    rim, solid, level = (np.zeros(a.shape, np.uint8) for _ in range(3))
    for z, outline in rings:
        moved = [outline - (np.array([x0, y0], np.int32) << SHIFT)]
        cv2.fillPoly(solid, moved, 255, cv2.LINE_AA, SHIFT)
        cv2.fillPoly(level, moved, round(255 * z / shape.height), cv2.LINE_8, SHIFT)
    cv2.fillPoly(rim, moved, 255, cv2.LINE_AA, SHIFT)  # the last ring is the rim
    inner, alpha = rim.astype(np.float32) / 255, solid.astype(np.float32) / 255

    n = len(surface.relief)
    u, v = ((q / EDGE + 1) * (n / 2) - 0.5 for q in _meet(shape, camera, a, b))
    lit = light_dish(surface, light, camera)
    inside = cv2.remap(lit, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    dirt = cv2.remap(surface.dirt, u, v, cv2.INTER_LINEAR)

    third = (-(-a.shape[1] // 3), -(-a.shape[0] // 3))  # the wall's light changes slowly
    at = camera.at_height(cv2.resize(a, third), cv2.resize(b, third), 0)
    height = cv2.resize(level, third).astype(np.float32) / 255
    wall = cv2.resize(light_wall(dish, light, ground, at, height), a.shape[::-1])

    image[window] = mix(image[window], mix(wall, inside, inner), alpha)
    masks = np.zeros((2, side, side), np.float32)
    masks[0][window], masks[1][window] = alpha, dirt * inner
    return masks[0], masks[1]


def _meet(shape: Shape, camera: Camera, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Intersect rays of slopes (a, b) with the dish's inner surface by bisection."""
    third = (-(-a.shape[1] // 3), -(-a.shape[0] // 3))  # the surface is smooth
    few = cv2.resize(a, third), cv2.resize(b, third)
    low = np.zeros_like(few[0])
    high = np.full_like(low, shape.height)
    for _ in range(7):
        z = (low + high) * np.float32(0.5)
        under = z < look_up(shape.heights, shape.radius(*camera.at_height(*few, z)))
        low, high = np.where(under, z, low), np.where(under, high, z)
    height: Floats = cv2.resize(cv2.GaussianBlur(z, (0, 0), 0.8), a.shape[::-1])
    return camera.at_height(a, b, height)


LABELS = ("clean", "dirty")
MIN_SIZE, MAX_SIZE = 32, 1024


@dataclass(frozen=True)
class RenderedDish:
    """A rendered photo with its masks."""

    photo: NDArray[np.uint8]  # uint8 RGB [size, size, 3]
    label: str  # ``clean`` or ``dirty``
    background: str  # one of the `BACKGROUNDS`
    kind: str  # one of the `KINDS` or `RARE_KINDS` of dish
    dish_mask: NDArray[np.bool_]  # bool [size, size], True on the dish
    dirt_mask: NDArray[np.bool_]  # bool [size, size], True on visible dirt; all False if clean


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
