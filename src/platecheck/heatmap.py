"""Where the dirt is, drawn over the photo."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.classifier import Source
from platecheck.photo import open_photo

LARGEST_SIDE = 1024
COLOUR = np.array([255, 0, 90], np.float32)
# Below the first nothing is drawn, from the second on the colour is as strong as it gets.
FAINT, FULL, STRONGEST = 0.22, 0.7, 0.7


def overlay(photo: Source, evidence: NDArray[np.float32]) -> Image.Image:
    """The photo, upright, its dirty places in colour.

    Args:
        photo: what was predicted on.
        evidence: float32 [h, w] in [0, 1], of :class:`~platecheck.classifier.Prediction`.

    Raises:
        PhotoError: the photo cannot be opened.
    """
    pixels = open_photo(photo)
    height, width = pixels.shape[:2]
    if max(height, width) > LARGEST_SIDE:
        scale = LARGEST_SIDE / max(height, width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
        height, width = pixels.shape[:2]
    small = Image.fromarray(np.asarray(evidence, np.float32))
    dirt = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    over = STRONGEST * np.clip((dirt - FAINT) / (FULL - FAINT), 0, 1)[..., None]
    return Image.fromarray(np.rint(over * COLOUR + (1 - over) * pixels).astype(np.uint8))
