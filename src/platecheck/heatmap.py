"""Where the dirt is, drawn over the photo."""

from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.photo import MAX_PIXELS, Color, Source, open_photo

LARGEST_SIDE = 1024
COLOUR = np.array([255, 0, 90], np.float32)
# Below the first nothing is drawn, from the second on the colour is as strong as it gets.
FAINT, FULL, STRONGEST = 0.22, 0.7, 0.7


def overlay(
    photo: Source,
    evidence: NDArray[np.float32],
    *,
    color: Color = "rgb",
    max_pixels: int = MAX_PIXELS,
) -> Image.Image:
    """The photo, upright, its dirty places in colour.

    Args:
        photo: what was predicted on.
        evidence: float32 [h, w] in [0, 1], of :class:`~platecheck.classifier.Prediction`.
        color: the order of an array's channels, ``"rgb"`` or ``"bgr"``.
        max_pixels: the largest height × width accepted.

    Raises:
        PhotoError: the photo cannot be opened.
    """
    pixels = open_photo(photo, color=color, max_pixels=max_pixels)
    height, width = pixels.shape[:2]
    if max(height, width) > LARGEST_SIDE:
        scale = LARGEST_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
    over = _opacity(evidence, width, height)[..., None]
    return Image.fromarray(np.rint(over * COLOUR + (1 - over) * pixels).astype(np.uint8))


def heatmap_png(evidence: NDArray[np.float32], scale: int = 4) -> bytes:
    """The dirty places alone: a PNG file, transparent elsewhere, to be stretched over the photo.

    Args:
        evidence: float32 [h, w] in [0, 1].
        scale: pixels a cell of it.
    """
    height, width = evidence.shape
    opacity = np.rint(255 * _opacity(evidence, width * scale, height * scale))
    picture = np.empty((*opacity.shape, 4), np.uint8)
    picture[..., :3] = COLOUR
    picture[..., 3] = opacity
    file = BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def _opacity(evidence: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    """How strong the colour is, [height, width] in [0, :data:`STRONGEST`]."""
    small = Image.fromarray(np.asarray(evidence, np.float32))
    dirt = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    opacity = STRONGEST * np.clip((dirt - FAINT) / (FULL - FAINT), 0, 1)
    return opacity.astype(np.float32)
