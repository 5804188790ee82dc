"""Transfer decoration or dirt from one dish to another."""

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask

# Decoration and dirt are detected at this size, as deviations from the surrounding dish.
WORKING_SIZE = 96
MEDIAN_SIZE = 31  # pixels of the median filter, odd
# CIE Lab distances (8 bits per channel) at which a deviation starts to count, and counts fully.
FAINT, FULL = 7, 20
# A smaller fraction of the dish is not visible.
MIN_SHARE = 0.004


def transfer_pattern(
    rng: np.random.Generator,
    pixels: NDArray[np.uint8],
    mask: Mask,
    donor: NDArray[np.uint8],
    donor_mask: Mask,
) -> tuple[NDArray[np.uint8], Mask] | None:
    """Transfer what is on the donor's dish to another dish, rotated at random.

    Photos are uint8 [H, W, 3] of one size; masks [H, W] are 255 on the dish. Returns the photo and
    the mask of the pattern, uint8 [H, W]; None if the donor's dish is plain.
    """
    if not mask.any() or not donor_mask.any():
        return None
    height, width = mask.shape
    turn = _align(donor_mask, mask, rng.uniform(0, 360))
    moved = cv2.warpAffine(donor, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    cover = cv2.warpAffine(_detect_pattern(donor, donor_mask), turn, (width, height))
    dish = mask > 0
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=max(1, width // 96)) > 0
    over = cover * inner
    visible = np.where(over > 0.4, 255, 0).astype(np.uint8)
    if over.sum() < MIN_SHARE * dish.sum() or not visible.any():
        return None
    light = np.clip(pixels[dish].mean() / max(40.0, float(moved[dish].mean())), 0.5, 1.6)
    photo = over[..., None] * (moved * light) + (1 - over[..., None]) * pixels
    return np.clip(photo, 0, 255).astype(np.uint8), visible


def _detect_pattern(pixels: NDArray[np.uint8], mask: Mask) -> NDArray[np.float32]:
    """Return how much each pixel differs from the dish around it, 0 to 1; 0 near the rim."""
    height, width = mask.shape
    small = cv2.resize(pixels, (WORKING_SIZE, WORKING_SIZE), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(cv2.medianBlur(small, MEDIAN_SIZE), (width, height))
    lab, plain_lab = (
        cv2.cvtColor(p, cv2.COLOR_RGB2Lab).astype(np.float32) for p in (pixels, plain)
    )
    # Weight lightness less than colour: shade and glare are neither decoration nor dirt.
    distance = np.linalg.norm((lab - plain_lab) * (0.4, 1, 1), axis=2)
    inner = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=max(1, width // 32))
    cover = np.clip((distance - FAINT) / (FULL - FAINT), 0, 1) * (inner > 0)
    return np.asarray(cv2.GaussianBlur(cover.astype(np.float32), (0, 0), 0.6), np.float32)


def _align(source: Mask, target: Mask, angle: float) -> NDArray[np.float64]:
    """Return the affine map [2, 3] of one dish onto the other, rotated by `angle` degrees."""
    (x, y, reach), (to_x, to_y, to_reach) = _box(source), _box(target)
    turn = cv2.getRotationMatrix2D((x, y), angle, to_reach / reach)
    move = np.array([[0, 0, to_x - x], [0, 0, to_y - y]])
    return np.asarray(turn + move, np.float64)


def _box(mask: Mask) -> tuple[float, float, float]:
    """Return the centre (x, y) of a dish and the side of a square of its bounding box's area."""
    x, y, width, height = cv2.boundingRect(mask)
    return x + width / 2, y + height / 2, float(np.sqrt(width * height))
