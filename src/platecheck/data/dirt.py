"""Composite rendered dirt onto real dishes, for pairs that differ only in the dirt."""

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.render.pairs import RenderedPair
from platecheck.data.segmentation import Mask

# Less dirt than this is not visible.
MIN_PIXELS = 12


def paste_dirt(
    rng: np.random.Generator, pixels: NDArray[np.uint8], mask: Mask, source: RenderedPair
) -> tuple[NDArray[np.uint8], Mask] | None:
    """Paste the dirt of a rendered dish onto a dish, matched to its brightness.

    `mask` [H, W] is 255 on the dish in `pixels` [H, W, 3]; `source` has the same size. Returns the
    photo and the mask of its dirt, uint8 [H, W]; None if no dirt would be visible.
    """
    if not mask.any():
        return None
    size = mask.shape[::-1]
    middle = (size[0] / 2, size[1] / 2)
    turn = cv2.getRotationMatrix2D(middle, rng.uniform(0, 360), rng.uniform(0.6, 1.2))
    corner, reach = np.reshape(cv2.boundingRect(mask), (2, 2))
    turn[:, 2] = turn[:, 2] + (corner + reach / 2 - middle + rng.uniform(-0.1, 0.1, 2) * reach)
    dirty = cv2.warpAffine(source.dirty, turn, size, borderMode=cv2.BORDER_REFLECT)
    dirty = dirty.astype(np.float32)
    soft = cv2.GaussianBlur(cv2.warpAffine(source.dirt, turn, size), (0, 0), 0.7)
    inside = cv2.erode(mask, np.ones((5, 5), np.uint8)) > 0
    over = soft.astype(np.float32) / 255 * np.float32(rng.uniform(0.6, 1)) * inside
    if (over > 0.4).sum() < MIN_PIXELS:
        return None
    dish = mask > 0
    dirty *= np.clip(pixels[dish].mean() / max(40.0, float(dirty[dish].mean())), 0.4, 1.6)
    photo = over[..., None] * dirty + (1 - over[..., None]) * pixels
    return np.clip(photo, 0, 255).astype(np.uint8), np.where(over > 0.3, 255, 0).astype(np.uint8)
