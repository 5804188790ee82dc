"""Shapes of dishes: an outline seen from above, and a profile from the centre to the rim.

All lengths are in units of the dish's radius; `r` is 0 in the middle and 1 on the rim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from platecheck.data.render.pixels import Floats

EDGE = 1.03  # a chart extends slightly beyond the rim
STEPS = 2048  # of a profile's lookup table
REACH = 1.5  # lookup tables go from r = 0 to here


@dataclass
class Shape:
    """A dish's outline and profile."""

    aspect: float  # length over width
    power: float  # 2 for an ellipse, more for a rounded rectangle
    waves: int  # number of the rim's scallops
    wave: float  # their depth
    height: float  # of the rim
    foot: float  # radius at the bottom
    bulge: float  # below 1, the outside widens early between foot and rim; above 1, late
    heights: Floats  # the inner surface's height over r [STEPS]

    def radius(self, u: Floats, v: Floats) -> Floats:
        """Return r of points (u, v) seen from above: 1 on the rim, whatever the outline."""
        v = v * np.float32(self.aspect)
        if self.power == 2:
            r: Floats = cv2.magnitude(u, v)
        else:
            p = np.float32(self.power)
            r = (np.abs(u) ** p + np.abs(v) ** p) ** (1 / p)
        if self.waves:
            near_rim = np.minimum(r, 1) ** 6
            r = r * (1 + np.float32(self.wave) * np.cos(np.arctan2(v, u) * self.waves) * near_rim)
        return r

    @cached_property
    def outline(self) -> Floats:
        """Points [240, 2] of the rim."""
        angle = np.linspace(0, 2 * np.pi, 240, endpoint=False, dtype=np.float32)
        u, v = np.cos(angle), np.sin(angle) / np.float32(self.aspect)
        r = self.radius(u, v)
        r = self.radius(u / r, v / r) * r  # scallops deepen towards the rim: iterate twice
        return np.stack([u / r, v / r], -1)


@dataclass
class Chart:
    """A dish's shape on a square of n pixels a side, seen from above; u and v go up to EDGE."""

    shape: Shape  # the dish's outline and profile
    u: Floats  # coordinates [n, n]
    v: Floats
    r: Floats  # 0 in the middle, 1 on the rim [n, n]
    angle: Floats  # around the middle, in turns [n, n]


def chart_of(shape: Shape, n: int) -> Chart:
    """Lay a shape on a chart of n pixels a side."""
    line = (np.arange(n, dtype=np.float32) + 0.5) * np.float32(2 * EDGE / n) - np.float32(EDGE)
    u, v = np.meshgrid(line, line)
    angle = cv2.phase(u, v * np.float32(shape.aspect)) * np.float32(0.5 / np.pi)
    return Chart(shape, u, v, shape.radius(u, v), angle)


def look_up(table: Floats, r: Floats) -> Floats:
    """Return values at r of a lookup table over r."""
    index = (np.minimum(r, REACH - 0.01) * np.float32(STEPS / REACH)).astype(np.int32)
    return np.take(table, index)


def draw_shape(rng: np.random.Generator, kind: str) -> Shape:
    """Draw the shape of a kind of dish."""
    form = FORMS[kind][rng.integers(len(FORMS[kind]))]
    points, flat, soft = form(rng)
    outline = rng.random()
    oval = outline < 0.15
    square = kind != "steel" and outline > 0.92
    scalloped = kind in ("plate", "deep-plate", "patterned") and 0.15 <= outline < 0.28
    height = points[-1][1]
    return Shape(
        aspect=rng.uniform(1.15, 1.45) if oval or outline > 0.96 else 1.0,
        power=rng.uniform(3.5, 5.5) if square else 2,
        waves=int(rng.integers(8, 36)) if scalloped else 0,
        wave=rng.uniform(0.008, 0.02),
        height=height,
        foot=0.3 + 0.6 * flat,
        bulge=rng.uniform(0.5, 1.1),
        heights=_round_off(points, soft),
    )


Points = list[tuple[float, float]]  # (r, height) from the middle to the rim
Form = tuple[Points, float, float]  # a profile, where its flat bottom ends, how soft its corners


def _round_off(points: Points, soft: float) -> Floats:
    """Return heights through points as a lookup table, with corners rounded over `soft`."""
    height = points[-1][1]
    points = [*points[:-1], (0.975, height), (1.0, height - 0.01), (REACH, height - 0.06)]
    r = np.linspace(-REACH, 2 * REACH, 3 * STEPS, endpoint=False)
    at, heights = zip(*points, strict=True)
    line = np.interp(np.abs(r), at, heights)
    k = np.exp(-0.5 * np.linspace(-3, 3, int(6 * soft * STEPS / REACH) | 1) ** 2)
    return np.convolve(line, k / k.sum(), "same")[STEPS : 2 * STEPS].astype(np.float32)


def _flat(rng: np.random.Generator) -> Form:
    well, wall = rng.uniform(0.5, 0.68), rng.uniform(0.06, 0.11)
    rise, rim = rng.uniform(0.05, 0.09), rng.uniform(0.02, 0.07)
    if rng.random() < 0.2:  # a coupe: no rim, one smooth curve
        points = [(q, (rise + rim) * q**4) for q in np.linspace(0, 1, 12).tolist()]
    else:
        points = [(0, 0.02), (well, 0.025), (well + wall, rise), (1, rise + rim)]
    return points, well, rng.uniform(0.012, 0.03)


def _deep(rng: np.random.Generator) -> Form:
    well, wall = rng.uniform(0.3, 0.38), rng.uniform(0.18, 0.26)
    rise, rim = rng.uniform(0.14, 0.22), rng.uniform(0.02, 0.06)
    points = [(0, 0.02), (well, 0.025), (well + 0.14 + wall, rise), (1, rise + rim)]
    return points, well + 0.14, rng.uniform(0.03, 0.06)


def _bowl(rng: np.random.Generator) -> Form:
    height, flat = rng.uniform(0.3, 0.58), rng.uniform(0.2, 0.42)
    power = rng.uniform(1.5, 2.6)
    wall = np.linspace(0, 1, 14).tolist()
    points = [(flat + (1 - flat) * q, 0.03 + (height - 0.03) * q**power) for q in wall]
    return [(0.0, 0.03), *points], flat, rng.uniform(0.015, 0.04)


def _basin(rng: np.random.Generator) -> Form:
    height, flat = rng.uniform(0.14, 0.45), rng.uniform(0.4, 0.68)
    flange = rng.uniform(0.03, 0.14)
    points = [(0.0, 0.03), (flat, 0.02), (1 - flange, height - 0.02), (1, height)]
    if rng.random() < 0.6:  # a ring pressed into the bottom
        q = rng.uniform(0.4, 0.8) * flat
        points[1:1] = [(q - 0.03, 0.03), (q, 0.05), (q + 0.03, 0.024)]
    return points, flat, rng.uniform(0.01, 0.03)


FORMS: dict[str, list[Callable[[np.random.Generator], Form]]] = {
    "plate": [_flat],
    "deep-plate": [_deep],
    "bowl": [_bowl],
    "patterned": [_flat, _flat, _deep, _bowl],
    "speckled": [_flat, _deep, _bowl],
    "steel": [_basin, _basin, _bowl],
    "plastic": [_flat, _deep, _bowl, _basin],
    "splashed": [_flat, _flat, _deep],
}
# Drawn only on request: dishes that a model trained on the others misclassifies.
RARE_KINDS = ("splashed",)
KINDS = tuple(kind for kind in FORMS if kind not in RARE_KINDS)
