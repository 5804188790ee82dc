"""Meals: solid dirt, and combinations of dirt that occur together."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.dishes import Dish
from platecheck.data.render.pixels import Floats, linear
from platecheck.data.render.sauces import Sauce, dried_ring, drips, film, grease, pools, smears
from platecheck.data.render.shapes import EDGE
from platecheck.data.render.surface import Part, Surface

Colour = tuple[int, int, int]  # sRGB
Points = NDArray[np.float64]

TURN = np.linspace(0, 2 * np.pi, 14, endpoint=False)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], -1)

# colours, and size in units of the dish's radius
SOLIDS: dict[str, tuple[tuple[Colour, ...], float]] = {
    "crumb": (((196, 150, 92), (160, 112, 60), (222, 184, 128), (116, 76, 40)), 0.03),
    "rice": (((240, 232, 208), (230, 210, 160)), 0.022),
    "noodle": (((232, 200, 120), (226, 170, 90)), 0.035),
    "herb": (((50, 96, 30), (80, 124, 40), (36, 66, 24), (70, 90, 30)), 0.026),
    "leaf": (((98, 126, 56), (70, 98, 44), (136, 148, 84)), 0.11),
    "pea": (((96, 150, 44), (120, 160, 60)), 0.05),
    "piece": (((214, 110, 30), (190, 150, 80), (150, 60, 40)), 0.06),
    "shred": (((230, 180, 70), (220, 120, 40), (236, 220, 160)), 0.035),
}


def cluster(rng: np.random.Generator, s: Surface, count: int) -> Points:
    """Draw points [count, 2] on the surface, clustered around one to three centres."""
    centres = np.array([s.place(rng, 0.6) for _ in range(rng.integers(1, 4))])
    spread = rng.uniform(0.08, 0.45)
    places = centres[rng.integers(len(centres), size=count)] + rng.normal(0, spread, (count, 2))
    r = np.hypot(places[:, 0], places[:, 1] * s.dish.chart.shape.aspect)
    # Move points beyond the rim back inside.
    back = np.where(r > 0.88, rng.uniform(0.3, 0.9, count) / np.maximum(r, 1e-6), 1.0)
    return np.asarray(places * back[:, None])


def crumbs(rng: np.random.Generator, s: Surface, colours: tuple[Colour, ...], count: int) -> None:
    """Add crumbs, a few large and many small."""
    sizes = 0.008 + 0.03 * rng.random(count) ** 2.5
    _scatter(rng, s, "crumb", colours, sizes)


def pieces(rng: np.random.Generator, s: Surface, kind: str, colours: tuple[Colour, ...]) -> None:
    """Add pieces of one of the `SOLIDS`."""
    if kind == "noodle":
        _strands(rng, s, colours)
        return
    low, high = {"pea": (2, 8), "piece": (2, 8), "leaf": (1, 4)}.get(kind, (6, 32))
    sizes = SOLIDS[kind][1] * rng.uniform(0.6, 1.35, rng.integers(low, high))
    _scatter(rng, s, kind, colours, sizes)


def _outline(rng: np.random.Generator, kind: str) -> Points:
    """Draw the outline [k, 2] of a solid of size 1 around (0, 0)."""
    if kind == "rice":
        return CIRCLE * (1.5, 0.5)
    if kind == "pea":
        return CIRCLE * 1.1
    if kind == "shred":
        t = np.linspace(-1, 1, 6)
        top = np.stack([t * 2.2, rng.normal(0, 0.6) * (1 - t * t) + 0.2], -1)
        return np.concatenate([top, top[::-1] - (0, 0.4)])
    if kind == "piece":
        corners = np.array([[-1.3, -1], [-0.2, -1.2], [1.1, -1.2], [1.3, 1], [0, 1.1], [-1.1, 1.2]])
        return np.asarray(corners + rng.normal(0, 0.2, corners.shape))
    if kind == "herb":  # a torn flake
        return CIRCLE * rng.uniform(0.5, 1.2, (14, 1)) * (1.2, rng.uniform(0.4, 0.8))
    if kind == "leaf":  # pointed at both ends, with a frayed edge
        t = np.linspace(0, 2 * np.pi, 40, endpoint=False)
        edge = np.sin(t) * np.abs(np.sin(t)) * rng.uniform(0.4, 0.65)
        return np.asarray(np.stack([np.cos(t), edge], -1) * rng.uniform(0.94, 1.04, (40, 1)))
    t = np.sort(rng.uniform(0, 2 * np.pi, 8))
    ragged = rng.uniform(0.6, 1.2, 8)
    return np.stack([np.cos(t) * ragged, np.sin(t) * ragged * rng.uniform(0.6, 1)], -1)


class _Drawing:
    """Solids drawn flat on a part of the chart: cover, image (sRGB) and height."""

    def __init__(self, s: Surface, places: Points, reach: float) -> None:
        self.s = s
        low, high = places.min(0) - reach, places.max(0) + reach
        self.part: Part = s.part((low[0], low[1]), (high[0], high[1]))
        shape = s.relief[self.part].shape
        self.cover = np.zeros(shape, np.uint8)
        self.image = np.zeros((*shape, 3), np.uint8)
        self.height = np.zeros(shape, np.float32)
        self.corner = np.array([self.part[1].start, self.part[0].start])

    def pixels(self, points: Points) -> NDArray[np.int32]:
        """Convert points to OpenCV's fixed-point pixels."""
        fixed = ((points + EDGE) / self.s.pixel - 0.5 - self.corner) * 16
        return np.asarray(fixed.round(), np.int32)

    def settle(self, rng: np.random.Generator, rounding: float, rough: float) -> None:
        """Add the drawing to the surface, rounded over a length and roughened."""
        height: Floats = cv2.GaussianBlur(self.height, (0, 0), max(0.7, rounding / self.s.pixel))
        height += np.float32(rough) * self.s.noise(rng, "grain", self.part, 0.5)
        self.s.lay(self.part, self.cover.astype(np.float32) / 255, self.image, height)


def _shade(rng: np.random.Generator, colours: tuple[Colour, ...]) -> tuple[int, int, int]:
    tone = np.array(colours[rng.integers(len(colours))]) * rng.uniform(0.8, 1.15)
    r, g, b = tone.clip(0, 250).astype(int).tolist()
    return r, g, b


def _scatter(
    rng: np.random.Generator, s: Surface, kind: str, colours: tuple[Colour, ...], sizes: Points
) -> None:
    places = cluster(rng, s, len(sizes))
    drawing = _Drawing(s, places, 3 * float(sizes.max()))
    flat, rough = (0.3, 0.01) if kind in ("herb", "leaf") else (0.8, 0.08)
    for place, size in zip(places, sizes, strict=True):
        turn = rng.uniform(0, 2 * np.pi)
        c, q = np.cos(turn) * size, np.sin(turn) * size
        points = [drawing.pixels(_outline(rng, kind) @ np.array([[c, q], [-q, c]]) + place)]
        shade = _shade(rng, colours)
        # The colour extends slightly beyond the cover, whose edge is antialiased.
        cv2.polylines(drawing.image, points, True, shade, 2, cv2.LINE_8, 4)
        cv2.fillPoly(drawing.image, points, shade, cv2.LINE_8, 4)
        if kind == "leaf":  # its midrib
            pale = (shade[0] + 40, shade[1] + 40, shade[2] + 30)
            ends = (points[0][0].tolist(), points[0][20].tolist())
            cv2.line(drawing.image, *ends, pale, 1, cv2.LINE_AA, 4)
        cv2.fillPoly(drawing.cover, points, 255, cv2.LINE_AA, 4)
        cv2.fillPoly(drawing.height, points, float(size * flat), cv2.LINE_8, 4)
    drawing.settle(rng, 0.4 * float(sizes.mean()), rough * float(sizes.mean()))


def _strands(rng: np.random.Generator, s: Surface, colours: tuple[Colour, ...]) -> None:
    width = rng.uniform(0.025, 0.045)
    pixels = max(2, round(width / s.pixel))
    drawing = _Drawing(s, np.array([[-0.9, -0.9], [0.9, 0.9]]), 0.1)
    for _ in range(rng.integers(2, 7)):
        curl = rng.normal(0, 0.12) + rng.normal(0, 0.25, 30)
        turn = rng.uniform(0, 2 * np.pi) + np.cumsum(curl)
        way = s.place(rng, 0.5) + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], -1), 0) * 0.025
        inside = np.hypot(way[:, 0], way[:, 1] * s.dish.chart.shape.aspect) < 0.85
        points = [drawing.pixels(way[inside])]
        shade = _shade(rng, colours)
        cv2.polylines(drawing.image, points, False, shade, pixels + 2, cv2.LINE_8, 4)
        cv2.polylines(drawing.cover, points, False, 255, pixels, cv2.LINE_AA, 4)
    solid = (drawing.cover > 127).astype(np.uint8)
    round_: Floats = cv2.distanceTransform(solid, cv2.DIST_L2, 3)
    drawing.height = round_ * np.float32(s.pixel)
    drawing.settle(rng, width * 0.12, 0.0)


MIN_CONTRAST = 0.25  # smaller colour differences are not visible
MIN_COVERAGE = 0.012  # fraction of the dish


@dataclass(frozen=True)
class Meal:
    """The leftovers of a meal, colours in sRGB."""

    sauce: Colour  # colour of the sauce
    body: float  # how fast the sauce becomes opaque with thickness
    bits: tuple[Colour, ...]  # colours of the crumbs
    solids: tuple[str, ...]  # kinds of `SOLIDS`


MEALS = (
    Meal((176, 44, 18), 5, ((150, 40, 20), (200, 90, 40), (110, 40, 20)), ("noodle", "herb")),
    Meal((206, 132, 22), 4, ((196, 140, 40), (150, 94, 30)), ("rice", "herb")),
    Meal((96, 54, 22), 4, ((100, 66, 34), (140, 96, 54), (76, 46, 26)), ("pea", "piece")),
    Meal((52, 28, 16), 5, ((60, 36, 22), (96, 62, 42)), ("crumb",)),
    Meal((226, 176, 30), 4, ((220, 190, 110), (190, 140, 60)), ("crumb", "shred")),
    Meal((238, 226, 200), 5, ((230, 215, 180), (200, 180, 140)), ("rice", "herb")),
    Meal((84, 104, 30), 4, ((80, 110, 40), (60, 80, 30)), ("leaf", "noodle")),
    Meal((128, 20, 52), 4, ((120, 24, 60), (80, 14, 30)), ("piece", "crumb")),
    Meal((150, 92, 36), 3, ((190, 140, 80), (150, 100, 54), (120, 76, 40)), ("crumb", "piece")),
    Meal((196, 80, 24), 4, ((200, 100, 40), (230, 150, 70)), ("shred", "rice", "leaf")),
)


def soil(rng: np.random.Generator, dish: Dish) -> Surface:
    """Draw a meal and put its dirt on a dish."""
    s = Surface(dish)
    few = (slice(None, None, 4), slice(None, None, 4))
    ground = dish.albedo[few][dish.chart.r[few] < 0.9].mean(0) + 0.3 * dish.reflectance
    # Prefer a meal whose sauce is visible on the dish.
    order = rng.permutation(len(MEALS)).tolist()
    meal = MEALS[
        next((k for k in order if _contrast(MEALS[k].sauce, ground) > MIN_CONTRAST), order[0])
    ]
    sauce = Sauce(linear(meal.sauce), meal.body)
    bits = _standing_out(meal.bits + SOLIDS["crumb"][0], ground)
    amount = rng.random()
    if amount < 0.25:
        _leave_little(rng, s, sauce)
        crumbs(rng, s, bits, int(rng.integers(10, 50)))
    else:
        _leave_sauce(rng, s, sauce, heavy=amount > 0.6)
        crumbs(rng, s, bits, int(rng.integers(8, 70 if amount > 0.6 else 35)))
        if rng.random() < amount:
            for kind in meal.solids:
                pieces(rng, s, kind, _standing_out(SOLIDS[kind][0], ground))
    # Make sure that the dirt is visible.
    while (s.dirt[dish.chart.r < 0.95] > 0.3).mean() < MIN_COVERAGE:
        smears(rng, s, sauce, 1)
        crumbs(rng, s, bits, 15)
    return s


def _leave_little(rng: np.random.Generator, s: Surface, sauce: Sauce) -> None:
    trace = rng.integers(4)
    if trace == 0:
        drips(rng, s, sauce, int(rng.integers(3, 12)))
    elif trace == 1:
        smears(rng, s, sauce, 1)
    elif trace == 2:
        dried_ring(rng, s, sauce)


def _leave_sauce(rng: np.random.Generator, s: Surface, sauce: Sauce, *, heavy: bool) -> None:
    """Put sauce on the dish; more of it if `heavy`."""
    if rng.random() < (0.8 if heavy else 0.5):
        film(rng, s, sauce, rng.uniform(0.12, 0.6 if heavy else 0.25))
    if rng.random() < 0.3:
        dried_ring(rng, s, sauce)
    if rng.random() < 0.75:
        smears(rng, s, sauce, int(rng.integers(1, 7 if heavy else 4)))
    if rng.random() < 0.5:
        pools(rng, s, sauce, int(rng.integers(1, 5 if heavy else 3)))
    if rng.random() < 0.6:
        drips(rng, s, sauce, int(rng.integers(4, 24)))
    if rng.random() < 0.35:
        grease(rng, s)


def _contrast(colour: Colour, ground: Floats) -> float:
    """Return the largest channel difference on a perceptual scale, 0 to 1."""
    return float(np.abs(np.sqrt(linear(colour)) - np.sqrt(ground)).max())


def _standing_out(colours: tuple[Colour, ...], ground: Floats) -> tuple[Colour, ...]:
    """Return the colours that are visible on the ground, or the most visible one."""
    plain = tuple(colour for colour in colours if _contrast(colour, ground) > MIN_CONTRAST)
    return plain or (max(colours, key=lambda colour: _contrast(colour, ground)),)
