"""Dishes on a chart seen from above: materials, glazes and decoration."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.pixels import (
    Floats,
    from_srgb,
    grey,
    linear,
    mean_colour,
    mix,
    sample,
    spot,
    step,
    tinted,
)
from platecheck.data.render.shapes import EDGE, REACH, STEPS, Chart, chart_of, draw_shape, look_up

Colour = tuple[int, int, int]

INKS: tuple[Colour, ...] = (
    (36, 62, 130), (150, 34, 40), (40, 96, 60), (188, 146, 60), (28, 28, 32), (206, 92, 108),
    (96, 60, 120), (214, 120, 40), (60, 130, 150), (110, 76, 50),
)  # fmt: skip
LEAVES: tuple[Colour, ...] = ((70, 120, 60), (100, 140, 90), (50, 90, 70))
SPECKS: tuple[Colour, ...] = ((70, 48, 34), (40, 40, 44), (110, 74, 44))

SPLASHES: tuple[tuple[Colour, ...], ...] = (
    ((120, 60, 34), (164, 96, 44)), ((146, 34, 30), (190, 70, 40)), ((74, 96, 50), (120, 120, 60)),
    ((96, 70, 44), (60, 44, 34)), ((190, 130, 40), (150, 84, 30)),
)  # fmt: skip

# A petal along the real axis, from 0 to 1.
_TURN = np.linspace(0, 2 * np.pi, 16)
PETAL = (1 - np.cos(_TURN)) / 2 + 1j * np.sin(_TURN) * np.sin(_TURN / 2)


def decorate(rng: np.random.Generator, kind: str, colour: Floats, chart: Chart) -> Floats:
    """Draw the linear albedo [n, n, 3] of a dish of base `colour` [3] (sRGB, 0 to 255)."""
    image = np.empty((*chart.r.shape, 3), np.uint8)
    image[:] = colour.astype(np.uint8)
    if kind == "patterned":
        painter = Painter(rng, image, chart.shape.aspect)
        patterns = (
            painter.floral_rim, painter.floral_rim, painter.bouquet, painter.ring_of_motifs,
            painter.all_over, painter.rays,
        )  # fmt: skip
        patterns[rng.integers(len(patterns))]()
    elif kind == "splashed":
        Painter(rng, image, chart.shape.aspect).splashes()
    albedo = from_srgb(image)
    if kind == "patterned" and rng.random() < 0.5:
        _bands(rng, albedo, chart.r, int(rng.integers(1, 4)))
    elif kind in ("plate", "deep-plate", "bowl") and rng.random() < 0.3:
        _bands(rng, albedo, chart.r, 1)
    elif kind == "speckled":
        _speckles(rng, albedo, chart)
    elif kind == "plastic" and rng.random() < 0.4:
        _ribs(rng, albedo, chart)
    a, b = spot(rng)
    cloud = sample("cloud", chart.u * np.float32(0.1) + a, chart.v * np.float32(0.1) + b)
    albedo *= grey(1 + np.float32(0.015) * cloud)  # glazes are slightly uneven
    return albedo


def _bands(rng: np.random.Generator, albedo: Floats, r: Floats, count: int) -> None:
    """Draw bands of one colour, the first on the edge and the others further in."""
    ink = linear(INKS[rng.integers(len(INKS))])
    for k in range(count):
        inner, outer = 1 - rng.uniform(0.015, 0.06), 1.2
        if k > 0:
            inner = rng.uniform(0.62, 0.95)
            outer = inner + float(rng.choice([0.008, 0.015, 0.05]))
        band = step(inner - 0.006, inner + 0.006, r) * step(outer + 0.006, outer - 0.006, r)
        albedo[:] = mix(albedo, ink, np.float32(0.92) * band)


def _speckles(rng: np.random.Generator, albedo: Floats, chart: Chart) -> None:
    """Draw stoneware: iron specks, maybe a dark edge and the rings of a reactive glaze."""
    a, b = spot(rng)
    ink = linear(SPECKS[rng.integers(len(SPECKS))])
    k = np.float32(rng.uniform(0.22, 0.48))
    many = rng.uniform(1.8, 2.4)
    fine = sample("grain", chart.u * k + a, chart.v * k + b)
    coarse = sample("blobs", chart.u * k * 0.9 + b, chart.v * k * 0.9 + a)
    specks = step(many, many + 0.5, fine) + step(many + 0.25, many + 0.5, coarse)
    albedo[:] = mix(albedo, ink, np.float32(0.75) * np.minimum(specks, 1))
    if rng.random() < 0.5:
        wobble = sample("cloud", chart.u * np.float32(0.1) + b, chart.v * np.float32(0.1) + a)
        edge = step(0.86, 1.0, chart.r + 0.02 * wobble) * np.float32(rng.uniform(0.4, 0.9))
        albedo[:] = mix(albedo, ink * 1.3, edge)
    if rng.random() < 0.35:
        turned = sample("cloud", np.full_like(chart.r, a), chart.r * np.float32(0.35) + b)
        albedo *= grey(np.exp(np.float32(0.12) * turned))


def _ribs(rng: np.random.Generator, albedo: Floats, chart: Chart) -> None:
    ribs = np.cos(chart.angle * np.float32(2 * np.pi * rng.integers(40, 90)))
    rim = step(0.9, 0.93, chart.r) * step(0.99, 0.97, chart.r)
    albedo *= grey(1 - np.float32(0.1) * rim * ribs)


class Painter:
    """Draws flowers and motifs on an image [n, n, 3] of a dish, in the dish's coordinates."""

    def __init__(self, rng: np.random.Generator, image: NDArray[np.uint8], aspect: float) -> None:
        self.rng, self.image, self.aspect = rng, image, aspect

    def ink(self, inks: tuple[Colour, ...] = INKS) -> Colour:
        return inks[self.rng.integers(len(inks))]

    def at(self, r: float, angle: float) -> tuple[float, float]:
        return r * np.cos(angle), r * np.sin(angle) / self.aspect

    def _pixels(self, points: Floats) -> NDArray[np.int32]:
        half = len(self.image) / 2
        return ((np.asarray(points) / EDGE + 1) * half * 16).astype(np.int32)

    def fill(self, points: Floats, colour: Colour) -> None:
        cv2.fillPoly(self.image, [self._pixels(points)], colour, cv2.LINE_AA, 4)

    def line(self, points: Floats, colour: Colour, width: float) -> None:
        pixels = max(1, round(width * len(self.image) / 2))
        line = [self._pixels(points)]
        cv2.polylines(self.image, line, False, colour, pixels, cv2.LINE_AA, 4)

    def dot(self, at: tuple[float, float], size: float, colour: Colour, corners: int = 20) -> None:
        t = np.linspace(0, 2 * np.pi, corners, endpoint=False) + np.arctan2(at[1], at[0])
        self.fill(np.stack([at[0] + np.cos(t) * size, at[1] + np.sin(t) * size], -1), colour)

    def petal(
        self, at: tuple[float, float], angle: float, length: float, width: float, *, ink: Colour
    ) -> None:
        """Fill a petal or leaf that starts at a point."""
        shape = (PETAL.real * length + 1j * PETAL.imag * width) * np.exp(1j * angle)
        points = self._pixels(np.stack([shape.real + at[0], shape.imag + at[1]], -1))
        cv2.fillConvexPoly(self.image, points, ink, cv2.LINE_AA, 4)

    def flower(self, at: tuple[float, float], size: float, ink: Colour) -> None:
        """Draw five to seven petals around a yellow centre."""
        turn, petals = self.rng.uniform(0, 2 * np.pi), int(self.rng.integers(5, 8))
        dark = (int(ink[0] * 0.7), int(ink[1] * 0.7), int(ink[2] * 0.7))
        for k in range(petals):
            angle = turn + k * 2 * np.pi / petals
            self.petal(at, angle, size, size * 0.42, ink=ink)
            self.petal(at, angle, size * 0.6, size * 0.14, ink=dark)
        self.dot(at, size * 0.22, (226, 186, 70))

    def sprig(self, at: tuple[float, float], angle: float, length: float, ink: Colour) -> None:
        """Draw a curved stem with leaves and a flower at its end."""
        leaf = self.ink(LEAVES) if self.rng.random() < 0.7 else ink
        way = angle + self.rng.uniform(-1.2, 1.2) * np.linspace(0, 1, 12)
        x = at[0] + np.cumsum(np.cos(way)) * length / 12
        y = at[1] + np.cumsum(np.sin(way)) * length / 12
        self.line(np.stack([x, y], -1), leaf, 0.008)
        for k in range(2, 11, 2):
            for side in (-0.9, 0.9):
                size = length * self.rng.uniform(0.18, 0.3)
                self.petal((x[k], y[k]), way[k] + side, size, size * 0.3, ink=leaf)
        self.flower((x[-1], y[-1]), length * self.rng.uniform(0.24, 0.38), ink)

    def floral_rim(self) -> None:
        """Draw flowers and sprigs around the rim."""
        groups, ink, other = int(self.rng.integers(3, 9)), self.ink(), self.ink()
        turn = self.rng.uniform(0, 2 * np.pi)
        for k in range(groups):
            angle = turn + k * 2 * np.pi / groups
            length = self.rng.uniform(0.18, 0.28)
            for way in (1.9, -1.9):
                self.sprig(self.at(0.8, angle), angle + way, length, other)
            self.flower(self.at(0.8, angle), self.rng.uniform(0.09, 0.13), ink)

    def bouquet(self) -> None:
        """Draw sprigs from the centre outward."""
        for k in range(int(self.rng.integers(4, 8))):
            angle = k * 2.4 + self.rng.uniform(0, 1)
            self.sprig(self.at(0.1, angle), angle, self.rng.uniform(0.2, 0.42), self.ink())
        self.flower((0, 0), self.rng.uniform(0.12, 0.18), self.ink())

    def ring_of_motifs(self) -> None:
        """Draw dots, diamonds, leaves or a zigzag around the rim."""
        ink, count = self.ink(), int(self.rng.integers(14, 40))
        r, size = self.rng.uniform(0.78, 0.88), self.rng.uniform(0.04, 0.08)
        motif = self.rng.choice(["dot", "diamond", "leaf", "zigzag"])
        for k in range(count):
            angle = k * 2 * np.pi / count
            if motif == "leaf":
                self.petal(self.at(r, angle), angle + 0.7, size * 2.2, size * 0.7, ink=ink)
            elif motif == "zigzag":
                half = np.pi / count
                corners = [(r - size, angle - half), (r + size, angle), (r - size, angle + half)]
                self.line(np.array([self.at(*corner) for corner in corners]), ink, 0.016)
            else:
                self.dot(self.at(r, angle), size * 0.6, ink, 4 if motif == "diamond" else 20)

    def all_over(self) -> None:
        """Draw flowers and leaves all over the dish."""
        ink, other = self.ink(), self.ink()
        for _ in range(int(self.rng.integers(16, 34))):
            at = self.at(np.sqrt(self.rng.random()), self.rng.uniform(0, 2 * np.pi))
            if self.rng.random() < 0.5:
                self.flower(at, self.rng.uniform(0.06, 0.13), ink)
            else:
                self.petal(at, self.rng.uniform(0, 2 * np.pi), 0.16, 0.05, ink=other)

    def splashes(self) -> None:
        """Draw splashes and spatter of glaze, as on enamel and studio ware."""
        inks = SPLASHES[self.rng.integers(len(SPLASHES))]
        for _ in range(int(self.rng.integers(5, 12))):
            x, y = self.at(0.85 * np.sqrt(self.rng.random()), self.rng.uniform(0, 2 * np.pi))
            ink, size = self.ink(inks), self.rng.uniform(0.05, 0.2)
            turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
            edge = np.full_like(turn, 1.0)
            for k in range(2, 7):
                edge += self.rng.normal(0, 0.5 / k) * np.cos(k * turn + self.rng.uniform(0, 7))
            edge = size * edge.clip(0.25)
            self.fill(np.stack([x + edge * np.cos(turn), y + edge * np.sin(turn)], -1), ink)
            for _ in range(int(self.rng.integers(4, 14))):  # droplets thrown outward
                angle, far = self.rng.uniform(0, 2 * np.pi), size * self.rng.uniform(1.1, 2.4)
                at = (x + far * np.cos(angle), y + far * np.sin(angle))
                self.dot(at, size * self.rng.uniform(0.03, 0.14), ink)

    def rays(self) -> None:
        """Draw brush strokes from the well to the rim, as on painted earthenware."""
        inks, count = (self.ink(), self.ink()), int(self.rng.integers(12, 30))
        start = self.rng.uniform(0.5, 0.7)
        for k in range(count):
            angle = k * 2 * np.pi / count
            self.petal(self.at(start, angle), angle, 0.93 - start, 0.06, ink=inks[k % 2])


@dataclass
class Dish:
    """A clean dish."""

    chart: Chart  # coordinates of each pixel
    slope_u: Floats  # the inner surface's slope [n, n]
    slope_v: Floats
    albedo: Floats  # linear RGB [n, n, 3]
    reflectance: float  # at normal incidence, 0.04 for glaze, 0.5 for steel
    blur: float  # blur of the reflected room, in pixels of the room map
    open_sky: Floats  # fraction of the sky visible from the inner surface [n, n]
    outside: Floats  # albedo [3] of the outer wall


# sRGB; the first seven are near white
GLAZES = (
    (240, 238, 232), (236, 228, 210), (226, 214, 190), (238, 240, 244), (214, 218, 220),
    (244, 242, 240), (232, 232, 228), (150, 178, 190), (84, 150, 152), (176, 190, 160),
    (60, 74, 96), (48, 48, 50), (190, 120, 96), (206, 180, 120), (112, 128, 112),
)  # fmt: skip
WHITES = GLAZES[:7]
PLASTICS = (
    (34, 150, 60), (200, 30, 44), (214, 48, 128), (40, 60, 160), (30, 150, 190),
    (130, 200, 40), (240, 170, 30), (28, 170, 150), (232, 232, 226), (120, 70, 160),
    (240, 110, 60), (170, 200, 220), (236, 196, 200),
)  # fmt: skip


def draw_dish(rng: np.random.Generator, kind: str, n: int) -> Dish:
    """Draw a clean dish of one of the `KINDS` on a chart of n pixels a side."""
    shape = draw_shape(rng, kind)
    chart = chart_of(shape, n)
    slope = np.gradient(shape.heights, REACH / STEPS).astype(np.float32)
    slope_r = look_up(slope, chart.r)
    if kind == "steel":
        albedo, rough = _steel(rng, chart)
        slope_r += rough
        reflectance, blur = rng.uniform(0.4, 0.6), rng.uniform(2, 6)
        outside = linear((120, 120, 122))
    else:
        albedo = decorate(rng, kind, _colour(rng, kind), chart)
        matte = kind == "plastic" or rng.random() < 0.15
        reflectance, blur = rng.uniform(0.035, 0.055), rng.uniform(*(1.5, 5) if matte else (0, 1))
        outside = mean_colour(albedo)
    du, dv = _gradient(chart.r)
    slope_u, slope_v = slope_r * du, slope_r * dv
    if shape.waves:  # the scallops are pressed into the rim
        waves = np.cos(chart.angle * np.float32(2 * np.pi * shape.waves))
        lift_u, lift_v = _gradient(np.float32(0.012) * waves * step(0.62, 1.0, chart.r))
        slope_u, slope_v = slope_u + lift_u, slope_v + lift_v

    # About 1 / (1 + d^2) of the sky is visible at depth d in an opening of radius 1.
    depth = (shape.height - shape.heights).clip(0)
    crease = np.gradient(slope, REACH / STEPS).clip(0, 12)
    open_sky = (1 - 0.012 * crease) / (1 + 1.6 * depth**2 + 0.5 * depth)
    sky = look_up(open_sky.astype(np.float32), chart.r)
    return Dish(chart, slope_u, slope_v, albedo, reflectance, blur, sky, outside)


def _colour(rng: np.random.Generator, kind: str) -> Floats:
    """Draw the colour [3] of the glaze or plastic in sRGB."""
    palette: tuple[tuple[int, int, int], ...] = PLASTICS
    if kind != "plastic":
        white = kind in ("patterned", "splashed") or (kind != "speckled" and rng.random() < 0.5)
        palette = WHITES if white else GLAZES
    own = rng.normal(0, 4) + rng.normal(0, 1.5 if palette is WHITES else 4, 3)
    colour = np.array(palette[rng.integers(len(palette))]) + own
    return colour.clip(12, 247).astype(np.float32)


def _steel(rng: np.random.Generator, chart: Chart) -> tuple[Floats, Floats]:
    """Draw spun steel with fine rings, dents and wear; return its albedo and slope roughness."""
    a, b = spot(rng)
    folded = np.abs(chart.angle - np.float32(0.5))  # no seam after a full turn
    rings = sample("grain", folded * np.float32(0.2) + a, chart.r * np.float32(0.45) + b)
    dents = sample("swell", chart.u * np.float32(0.12) + a, chart.v * np.float32(0.12) + b)
    wear = sample("cloud", chart.u * np.float32(0.2) + b, chart.v * np.float32(0.2) + a)
    rings *= step(0.0, 0.3, chart.r)  # too dense in the centre
    rough = rings * np.float32(rng.uniform(0.008, 0.035))
    rough += dents * np.float32(rng.uniform(0.01, 0.08))
    albedo = tinted(1 + 0.05 * rings + 0.06 * wear, linear((112, 112, 114)))
    if rng.random() < 0.2:  # a coloured edge
        colour = linear(PLASTICS[rng.integers(len(PLASTICS))])
        albedo = mix(albedo, colour, step(0.93, 0.94, chart.r))
    return albedo, rough


def _gradient(values: Floats) -> tuple[Floats, Floats]:
    """Return the slopes of `values` [n, n] along u and v, by central differences."""
    k = np.array([-0.5, 0, 0.5], np.float32) * np.float32(len(values) / (2 * EDGE))
    one = np.ones(1, np.float32)
    return cv2.sepFilter2D(values, -1, k, one), cv2.sepFilter2D(values, -1, one, k)
