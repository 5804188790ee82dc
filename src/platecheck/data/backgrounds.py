"""Backgrounds: extracted from the part of a photo without the dish, or generated from noise."""

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask

MIN_STRIP = 0.06  # of the photo; narrower strips repeat too often to look real


def extract_background(
    pixels: NDArray[np.uint8], mask: Mask, rng: np.random.Generator
) -> NDArray[np.uint8] | None:
    """Fill a photo [H, W, 3] with its background, or return None if too little of it is visible.

    The widest strip beside the dish is tiled with reflection, at a random offset.
    """
    strip = background_strip(pixels, mask)
    if strip is None:
        return None
    height, width = pixels.shape[:2]
    rows = _mirrored(strip.shape[0], height, int(rng.integers(2 * strip.shape[0])))
    columns = _mirrored(strip.shape[1], width, int(rng.integers(2 * strip.shape[1])))
    return np.ascontiguousarray(strip[np.ix_(rows, columns)])


def background_strip(pixels: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8] | None:
    """Return the widest strip between the dish, with its shadow, and an edge of the photo."""
    height, width = mask.shape
    margin = max(2, round(0.03 * min(height, width)))
    if not mask.any():
        return None
    x, y, wide, high = cv2.boundingRect(mask)
    top, bottom = max(0, y - margin), min(height, y + high + margin)
    left, right = max(0, x - margin), min(width, x + wide + margin)
    strips = [pixels[:top], pixels[bottom:], pixels[:, :left], pixels[:, right:]]
    sides = [top / height, 1 - bottom / height, left / width, 1 - right / width]
    best = int(np.argmax(sides))
    return strips[best] if sides[best] >= MIN_STRIP else None


def noise_background(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """Generate coloured noise at several scales, uint8 [height, width, 3]."""
    background = np.zeros((height, width, 3), np.float32)
    for cells in (2, 5, 13, 34, 89):
        rows, columns = (max(2, int(cells * rng.uniform(0.7, 1.4))) for _ in range(2))
        grain = rng.standard_normal((rows, columns, 3)).astype(np.float32)
        grain = grain.mean(axis=2, keepdims=True) * rng.uniform(0.5, 1.5) + 0.5 * grain
        grown = cv2.resize(grain, (width, height), interpolation=cv2.INTER_CUBIC)
        background += rng.uniform(0, 22) * grown
    background += rng.uniform(30, 225) + rng.uniform(-35, 35, 3)
    return np.clip(background, 0, 255).astype(np.uint8)


def _mirrored(length: int, count: int, start: int) -> NDArray[np.intp]:
    """Return `count` indices that run back and forth over `length`."""
    at = (np.arange(count) + start) % (2 * length)
    return np.where(at < length, at, 2 * length - 1 - at)
