"""Draw heatmaps of dirt over photos."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.photo import MAX_PIXELS, Color, Source, open_photo

MAX_SIDE = 1024
COLOR = np.array([255, 0, 90], np.float32)
# Opacity rises linearly from 0 at LOW to MAX_OPACITY at HIGH.
LOW, HIGH, MAX_OPACITY = 0.22, 0.7, 0.7


def overlay(
    photo: Source,
    heatmap: NDArray[np.float32],
    *,
    color: Color = "rgb",
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """Return the photo, upright, with a heatmap of a `Prediction`, [h, w] in [0, 1], blended in.

    See `open_photo` for `color` and `max_pixels`.
    """
    pixels = open_photo(photo, color=color, max_pixels=max_pixels)
    height, width = pixels.shape[:2]
    if max(height, width) > MAX_SIDE:
        scale = MAX_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
    alpha = _opacity(heatmap, width, height)[..., None]
    return Image.fromarray(np.rint(alpha * COLOR + (1 - alpha) * pixels).astype(np.uint8))


def heatmap_png(heatmap: NDArray[np.float32], scale: int = 4) -> bytes:
    """Return a heatmap [h, w] as a transparent PNG of `scale` pixels per cell."""
    height, width = heatmap.shape
    opacity = np.rint(255 * _opacity(heatmap, width * scale, height * scale))
    picture = np.empty((*opacity.shape, 4), np.uint8)
    picture[..., :3] = COLOR
    picture[..., 3] = opacity
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _opacity(heatmap: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    small = Image.fromarray(np.asarray(heatmap, np.float32))
    dirt = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return (MAX_OPACITY * np.clip((dirt - LOW) / (HIGH - LOW), 0, 1)).astype(np.float32)
