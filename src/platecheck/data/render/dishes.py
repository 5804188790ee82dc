"""Dishes and their materials, on a chart seen from above.

All lengths are in units of the dish's radius.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from platecheck.data.render.decor import decorate
from platecheck.data.render.noise import sample, spot
from platecheck.data.render.pixels import Floats, linear, mean_colour, mix, step, tinted
from platecheck.data.render.shapes import EDGE, REACH, STEPS, Chart, chart_of, draw_shape, look_up


@dataclass
class Dish:
    """A clean dish.

    Attributes:
        chart: coordinates of each pixel.
        slope_u, slope_v: the inner surface's slope [n, n].
        albedo: linear RGB [n, n, 3].
        reflectance: at normal incidence, 0.04 for glaze, 0.5 for steel.
        blur: blur of the reflected room, in pixels of the room map.
        open_sky: fraction of the sky visible from the inner surface [n, n].
        outside: albedo [3] of the outer wall.
    """

    chart: Chart
    slope_u: Floats
    slope_v: Floats
    albedo: Floats
    reflectance: float
    blur: float
    open_sky: Floats
    outside: Floats


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
