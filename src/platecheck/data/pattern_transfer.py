"""What is on one dish, put on another: decoration, say."""

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask

# Decoration and dirt are found at this size, as what differs from the dish around it.
WORKING_SIZE = 96
AROUND = 31  # pixels of the median filter, odd
# Distances in CIE Lab (8 bits a channel) where something begins to show, and is all there is.
FAINT, FULL = 7, 20
# Less than this share of the dish cannot be seen, and nothing is borrowed.
LEAST = 0.004


def transfer_pattern(
    rng: np.random.Generator,
    pixels: NDArray[np.uint8],
    mask: Mask,
    donor: NDArray[np.uint8],
    lender_mask: Mask,
) -> tuple[NDArray[np.uint8], Mask] | None:
    """The dish with what is on the lender's, turned at random.

    Args:
        rng: where all chance comes from.
        pixels: uint8 [H, W, 3].
        mask: uint8 [H, W], 255 on the dish.
        lender: uint8 [H, W, 3], of the same size.
        lender_mask: uint8 [H, W].

    Returns:
        The photo and what was borrowed, uint8 [H, W]; None where the lender's dish is bare.
    """
    if not mask.any() or not lender_mask.any():
        return None
    height, width = mask.shape
    turn = _onto(lender_mask, mask, rng.uniform(0, 360))
    moved = cv2.warpAffine(donor, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    cover = cv2.warpAffine(_what_is_on(donor, lender_mask), turn, (width, height))
    dish = mask > 0
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=max(1, width // 96)) > 0
    over = cover * inner
    seen = np.where(over > 0.4, 255, 0).astype(np.uint8)
    if over.sum() < LEAST * dish.sum() or not seen.any():
        return None
    light = np.clip(pixels[dish].mean() / max(40.0, float(moved[dish].mean())), 0.5, 1.6)
    photo = over[..., None] * (moved * light) + (1 - over[..., None]) * pixels
    return np.clip(photo, 0, 255).astype(np.uint8), seen


def _what_is_on(pixels: NDArray[np.uint8], mask: Mask) -> NDArray[np.float32]:
    """In [0, 1], how far every pixel differs from the dish around it; 0 near the rim."""
    height, width = mask.shape
    small = cv2.resize(pixels, (WORKING_SIZE, WORKING_SIZE), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.medianBlur(small, AROUND), (width, height))
    here, there = (cv2.cvtColor(p, cv2.COLOR_RGB2Lab).astype(np.float32) for p in (pixels, around))
    # Lightness counts less than colour: shade and glare are no decoration, and no dirt.
    distance = np.linalg.norm((here - there) * (0.4, 1, 1), axis=2)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=max(1, width // 32))
    cover = np.clip((distance - FAINT) / (FULL - FAINT), 0, 1) * (inner > 0)
    return np.asarray(cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.6), np.float32)


def _onto(source: Mask, target: Mask, angle: float) -> NDArray[np.float64]:
    """The affine map [2, 3] that lays one dish on the other, turned by degrees."""
    (x, y, reach), (to_x, to_y, to_reach) = _box(source), _box(target)
    turn = cv2.getRotationMatrix2D((x, y), angle, to_reach / reach)
    move = np.array([[0, 0, to_x - x], [0, 0, to_y - y]])
    return np.asarray(turn + move, np.float64)


def _box(mask: Mask) -> tuple[float, float, float]:
    """Middle (x, y) of a dish, and its side were it a square."""
    x, y, width, height = cv2.boundingRect(mask)
    return x + width / 2, y + height / 2, float(np.sqrt(width * height))
