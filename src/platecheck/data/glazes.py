"""Glaze dishes anew: celadon, crackle, wood, stoneware, bands, brush strokes, running glaze.

What is on the dish stays visible, for a glaze only tints its light.
"""

import colorsys
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask

Floats = NDArray[np.floating[Any]]


def glaze_dish(
    rng: np.random.Generator, pixels: NDArray[np.uint8], mask: Mask
) -> NDArray[np.uint8]:
    """Tint the dish in a photo [H, W, 3] at random; `mask` [H, W] is 255 on it."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return pixels
    here = np.s_[top : top + height, left : left + width]
    kinds = (_celadon, _crackle, _wood, _stoneware, _bands, _brush, _running)
    tint = kinds[rng.integers(len(kinds))](rng, height, width)
    eroded = cv2.erode(mask[here], np.ones((3, 3), np.uint8)).astype(np.float32)
    inside = (cv2.GaussianBlur(eroded, (0, 0), 1) * (mask[here] > 0) / 255)[..., None]
    found = pixels.copy()
    found[here] = np.clip(pixels[here] * (1 + inside * (tint - 1)), 0, 255)
    return found


def _radius(rng: np.random.Generator, height: int, width: int) -> tuple[Floats, Floats]:
    """Return each pixel's distance from the middle, 1 at the rim, and its direction."""
    x, y = rng.uniform(-0.06, 0.06, 2)
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None] - np.float32(y)
    right = np.linspace(-1, 1, width, dtype=np.float32)[None] - np.float32(x)
    return np.hypot(right, down), np.arctan2(down, right)


def _color(rng: np.random.Generator, least: float = 0.3) -> Floats:
    """Draw a tint [3]; most glazes are muted."""
    color = colorsys.hsv_to_rgb(rng.random(), rng.beta(1.2, 2.5), rng.uniform(least, 1))
    return np.array(color, np.float32)


def _clouds(
    rng: np.random.Generator, height: int, width: int, cells: tuple[float, float]
) -> Floats:
    """Draw smooth noise in about [0, 1], `cells` of it along height and width."""
    grain = rng.random([max(2, round(each)) for each in cells], np.float32)
    return np.asarray(cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _mix(share: Floats, low: Floats, high: Floats) -> Floats:
    return low + np.clip(share, 0, 1)[..., None] * (high - low)


def _celadon(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A glaze that pools in the middle, or thins at the rim."""
    radius, _ = _radius(rng, height, width)
    cloudy = 0.3 * _clouds(rng, height, width, (4, 4))
    share = radius ** rng.uniform(0.7, 4) + rng.uniform(0, 1) * cloudy
    return _mix(share, _color(rng, 0.45), _color(rng, 0.45))


def _crackle(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Fine cracks around cells, on a light tint."""
    seeds = np.full((height, width), 255, np.uint8)
    count = int(rng.integers(20, 260))
    seeds[rng.integers(height, size=count), rng.integers(width, size=count)] = 0
    _, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5)
    turned = np.roll(cells, 1, 0), np.roll(cells, 1, 1)
    cracks = ((cells != turned[0]) | (cells != turned[1])).astype(np.float32)
    soft = cv2.GaussianBlur(cracks, (0, 0), rng.uniform(0.4, 0.8)) * rng.uniform(0.25, 0.9)
    return _mix(np.asarray(soft), _color(rng, 0.75), _color(rng))


def _wood(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Wavy rings along one direction."""
    along = _clouds(rng, height, width, (rng.uniform(8, 30), 3))
    fine = _clouds(rng, height, width, (height / 2, rng.uniform(3, 12)))
    rings = np.sin(rng.uniform(8, 40) * (along + np.linspace(0, 1, height)[:, None]))
    grain = 0.5 + 0.35 * rings + 0.4 * (fine - 0.5)
    low = np.array([0.45, 0.28, 0.15]) * rng.uniform(0.7, 1.3)
    high = low + np.array([0.35, 0.3, 0.22]) * rng.uniform(0.6, 1.2)
    tint = _mix(grain.astype(np.float32), low.astype(np.float32), high.astype(np.float32))
    return tint if rng.random() < 0.5 or height != width else tint.transpose(1, 0, 2)


def _stoneware(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Mottled clay with iron specks."""
    coarse, fine = (_clouds(rng, height, width, (n, n)) for n in (rng.uniform(3, 12), 40))
    tint = _mix(0.7 * coarse + 0.3 * fine, _color(rng), _color(rng, 0.5))
    specks = (rng.random((height, width)) < rng.uniform(0, 0.012)).astype(np.float32)
    soft = np.clip(cv2.GaussianBlur(specks, (0, 0), rng.uniform(0.5, 0.9)) * 4, 0, 0.8)
    return np.asarray(tint * (1 - soft[..., None]), np.float32)


def _bands(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Rings of two or three colours."""
    radius, _ = _radius(rng, height, width)
    edges = np.sort(rng.uniform(0.25, 1, rng.integers(1, 6)))
    colors = [_color(rng) for _ in range(3)]
    tint = np.broadcast_to(colors[0], (height, width, 3)).copy()
    for number, edge in enumerate(edges):
        tint[radius > edge] = colors[(number + 1) % 3] if rng.random() < 0.7 else 1
    return np.asarray(cv2.GaussianBlur(tint, (0, 0), rng.uniform(0.5, 1.5)), np.float32)


def _brush(rng: np.random.Generator, height: int, width: int) -> Floats:
    """Strokes of a brush round the middle."""
    radius, angle = _radius(rng, height, width)
    strokes = _clouds(rng, 64, 64, (rng.uniform(3, 10), rng.uniform(16, 64)))
    turn = (angle / (2 * np.pi) + rng.uniform(0.2, 2) * radius) % 1
    share = cv2.remap(
        strokes, (radius * 45).clip(0, 63), (turn * 63).astype(np.float32), cv2.INTER_LINEAR
    )
    return _mix(np.asarray(share, np.float32), _color(rng), _color(rng, 0.5))


def _running(rng: np.random.Generator, height: int, width: int) -> Floats:
    """A rim whose glaze has run inwards."""
    radius, angle = _radius(rng, height, width)
    reach = rng.uniform(0.5, 0.95)
    for waves in rng.integers(3, 40, 4):
        reach = reach + rng.uniform(0, 0.04) * np.cos(waves * angle + rng.uniform(0, 6))
    soft = rng.uniform(0.01, 0.15)
    return _mix((radius - reach) / soft + 0.5, _color(rng, 0.6), _color(rng))
