"""Draw patterns that are not dirt: speckled or mottled glaze, rims, motifs, glare, scratches.

Drawn on clean and dirty dishes alike, they teach a network to tell patterns from dirt.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask

Floats = NDArray[np.float32]


def draw_pattern(
    rng: np.random.Generator, pixels: NDArray[np.uint8], mask: Mask
) -> NDArray[np.uint8]:
    """Draw a random pattern on the dish in a photo [H, W, 3]; `mask` [H, W] is 255 on it."""
    if not mask.any():
        return pixels
    kinds = (_speckles, _rim, _motifs, _motifs, _glare, _mottled, _scratches)
    cover, colour = kinds[rng.integers(len(kinds))](rng, mask)
    inside = cv2.GaussianBlur(cv2.erode(mask, np.ones((5, 5), np.uint8)), (0, 0), 1)
    inside = np.minimum(inside, mask)  # the blur extends a pixel beyond the dish
    over = (cover * (inside.astype(np.float32) / 255))[..., None]
    return np.clip(pixels * (1 - over) + colour * over, 0, 255).astype(np.uint8)


def _from_middle(mask: Mask) -> tuple[Floats, Floats]:
    """Return each pixel's offset right of and below the dish's centre; 1 at the rim."""
    (x, y), (reach_x, reach_y) = _middle(mask)
    rows, columns = np.mgrid[: mask.shape[0], : mask.shape[1]].astype(np.float32)
    return (columns - x) / reach_x, (rows - y) / reach_y


def _middle(mask: Mask) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the centre (x, y) of the dish and its half width and half height, in pixels."""
    rows, columns = np.nonzero(mask)
    reach = max(4.0, float(np.ptp(columns)) / 2), max(4.0, float(np.ptp(rows)) / 2)
    return (float(columns.mean()), float(rows.mean())), reach


def _colour(rng: np.random.Generator) -> Floats:
    return rng.uniform(0, 255, 3).astype(np.float32)


def _speckles(rng: np.random.Generator, mask: Mask) -> tuple[Floats, Floats]:
    dots = (rng.random(mask.shape) < rng.uniform(0.004, 0.05)).astype(np.float32)
    soft = np.asarray(cv2.GaussianBlur(dots, (0, 0), rng.uniform(0.5, 1.1)), np.float32)
    cover = np.clip(soft * rng.uniform(3, 7), 0, 1) * rng.uniform(0.3, 0.9)
    return cover.astype(np.float32), _colour(rng)


def _rim(rng: np.random.Generator, mask: Mask) -> tuple[Floats, Floats]:
    right, down = _from_middle(mask)
    radius, angle = np.hypot(right, down), np.arctan2(down, right)
    cover = np.zeros(mask.shape, bool)
    for _ in range(rng.integers(1, 4)):
        cover |= np.abs(radius - rng.uniform(0.4, 1)) < rng.uniform(0.01, 0.05)
    if rng.random() < 0.6:
        waves = np.cos(rng.integers(6, 28) * angle + rng.uniform(0, 6)) > rng.uniform(0.2, 0.9)
        cover |= waves & (np.abs(radius - rng.uniform(0.6, 0.95)) < rng.uniform(0.02, 0.12))
    soft = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.7)
    return np.asarray(soft, np.float32) * np.float32(rng.uniform(0.4, 1)), _colour(rng)


def _motifs(rng: np.random.Generator, mask: Mask) -> tuple[Floats, Floats]:
    (x, y), reach = _middle(mask)
    paint = np.zeros((*mask.shape, 3), np.uint8)
    cover = np.zeros(mask.shape, np.uint8)
    palette = [rng.integers(0, 256, 3).tolist() for _ in range(rng.integers(1, 4))]
    where = rng.integers(3)
    count = 1 if where == 0 else int(rng.integers(4, 26))
    shape = _shape(rng)
    for turn in np.linspace(0, 2 * np.pi, count, endpoint=False) + rng.uniform(0, 2 * np.pi):
        far = {0: 0.0, 1: 0.8, 2: rng.uniform(0, 0.85)}[int(where)]
        towards = turn if where == 1 else rng.uniform(0, 2 * np.pi)
        side = rng.uniform(0.25, 0.6) if where == 0 else rng.uniform(0.04, 0.16)
        spin = turn + (np.pi / 2 if where == 1 else rng.uniform(0, 6))
        if rng.random() < 0.15:
            shape = _shape(rng)
        middle = np.array([x, y]) + far * np.array(reach) * (np.cos(towards), np.sin(towards))
        for shrink in (1.0, 0.55, 0.25)[: rng.integers(1, 4)]:
            turned = shape @ np.array([[np.cos(spin), np.sin(spin)], [-np.sin(spin), np.cos(spin)]])
            points = np.rint(middle + turned * shrink * side * min(reach)).astype(np.int32)
            cv2.fillPoly(paint, [points], palette[rng.integers(len(palette))], cv2.LINE_AA)
            cv2.fillPoly(cover, [points], 255, cv2.LINE_AA)
    strength = cover.astype(np.float32) / 255 * rng.uniform(0.5, 1)
    return strength.astype(np.float32), paint.astype(np.float32)


def _shape(rng: np.random.Generator) -> Floats:
    """Draw the outline [points, 2] of a motif of radius about 1."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    if rng.random() < 0.2:  # a heart
        right, down = 16 * np.sin(angle) ** 3, -(13 * np.cos(angle) - 5 * np.cos(2 * angle))
        return (np.stack([right, down], axis=1) / 16).astype(np.float32)
    petals, depth = rng.integers(1, 12), rng.uniform(0.1, 0.9)
    radius = 1 - depth * np.abs(np.sin(petals * angle / 2)) ** rng.uniform(0.4, 2)
    flat = rng.uniform(0.3, 1)
    outline = np.stack([radius * np.cos(angle), flat * radius * np.sin(angle)], axis=1)
    return outline.astype(np.float32)


def _glare(rng: np.random.Generator, mask: Mask) -> tuple[Floats, Floats]:
    right, down = _from_middle(mask)
    cover = np.zeros(mask.shape, np.float32)
    for _ in range(rng.integers(1, 4)):
        (x, y), (wide, high) = rng.uniform(-0.6, 0.6, 2), rng.uniform(0.02, 0.2, 2)
        far = ((right - x) / wide) ** 2 + ((down - y) / high) ** 2
        lamp = np.exp(-(far ** rng.uniform(0.6, 2)))
        cover = np.maximum(cover, lamp.astype(np.float32))
    return cover * np.float32(rng.uniform(0.4, 0.95)), np.array([255, 250, 245], np.float32)


def _mottled(rng: np.random.Generator, mask: Mask) -> tuple[Floats, Floats]:
    cells = int(rng.uniform(6, 50))
    grain = rng.random((cells, cells), np.float32)
    clouds = cv2.resize(grain, mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    cover = np.clip((clouds - 0.5) * rng.uniform(1, 6), 0, 1) * rng.uniform(0.1, 0.5)
    return cover.astype(np.float32), _colour(rng)


def _scratches(rng: np.random.Generator, mask: Mask) -> tuple[Floats, Floats]:
    (x, y), (reach_x, reach_y) = _middle(mask)
    lines = np.zeros(mask.shape, np.uint8)
    for _ in range(rng.integers(4, 40)):
        middle = np.array([x + rng.normal(0, 0.35) * reach_x, y + rng.normal(0, 0.35) * reach_y])
        angle, half = rng.uniform(0, np.pi), rng.uniform(0.05, 0.5) * reach_x
        along = half * np.array([np.cos(angle), np.sin(angle)])
        begin, end = (np.rint(middle + sign * along).astype(int).tolist() for sign in (-1, 1))
        cv2.line(lines, begin, end, 255, 1, cv2.LINE_AA)
    shade = np.full(3, 230 if rng.random() < 0.5 else 70, np.float32)
    cover = lines.astype(np.float32) / 255 * rng.uniform(0.1, 0.45)
    return cover.astype(np.float32), shade
