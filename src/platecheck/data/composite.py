"""A dish on another table: soft edges, and the shadow where it stands."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask


@dataclass(frozen=True)
class Placement:
    """Where a dish goes, relative to where it was.

    Attributes:
        scale: 1 leaves its size.
        angle: degrees, counter-clockwise.
        shift: to the right and down, in shares of the photo's sides.
    """

    scale: float = 1.0
    angle: float = 0.0
    shift: tuple[float, float] = (0.0, 0.0)

    def warp(self, picture: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
        """Move a picture [H, W] or [H, W, 3]; `border` is one of OpenCV's ways to fill the rest."""
        height, width = picture.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), self.angle, self.scale)
        turn[:, 2] += self.shift[0] * width, self.shift[1] * height
        return _bytes(cv2.warpAffine(picture, turn, (width, height), borderMode=border))


@dataclass(frozen=True)
class Shadow:
    """The shadow that a dish casts on the table around it.

    Attributes:
        strength: 0 for none to 1 for black.
        width: of its blur, as a share of the photo's width.
        shift: to the right and down, in shares of the photo's sides.
    """

    strength: float = 0.45
    width: float = 0.025
    shift: tuple[float, float] = (0.008, 0.012)


HERE = Placement()
CONTACT = Shadow()


def composite(
    table: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    mask: Mask,
    *,
    placement: Placement = HERE,
    shadow: Shadow = CONTACT,
    opacity: float = 1.0,
) -> tuple[NDArray[np.uint8], Mask]:
    """The dish of one photo on a table.

    The outline is drawn in by a pixel, so that no rim of its old table comes along.

    Args:
        table: uint8 [H, W, 3].
        pixels: uint8 [H, W, 3], of the same size.
        mask: uint8 [H, W], 255 on the dish.
        placement: where to.
        shadow: on the table.
        opacity: of the dish; below 1 the table shines through, as with glass and thin plastic.

    Returns:
        The photo, uint8 [H, W, 3], and where the dish is in it, uint8 [H, W].
    """
    height, width = mask.shape
    drawn_in = cv2.erode(mask, np.ones((3, 3), np.uint8))
    alpha = _bytes(cv2.GaussianBlur(drawn_in, (0, 0), max(0.6, width / 300)))
    if placement != HERE:
        pixels = placement.warp(pixels, cv2.BORDER_REFLECT)
        alpha = placement.warp(alpha, cv2.BORDER_CONSTANT)
    dark = cv2.GaussianBlur(alpha, (0, 0), max(0.8, shadow.width * width))
    move = np.array([[1, 0, shadow.shift[0] * width], [0, 1, shadow.shift[1] * height]])
    dark = cv2.warpAffine(dark, move, (width, height))
    lit = table * (1 - shadow.strength / 255 * dark.astype(np.float32))[..., None]
    over = (alpha.astype(np.float32) * (opacity / 255))[..., None]
    return np.rint(over * pixels + (1 - over) * lit).astype(np.uint8), alpha


def remove_foreground(
    pixels: NDArray[np.uint8], mask: Mask, table: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Cover the dish with the photo's own background, as `extract_background` gives it."""
    width = mask.shape[1]
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(2, width // 40))
    over = (cv2.GaussianBlur(grown, (0, 0), width / 100).astype(np.float32) / 255)[..., None]
    return np.rint(over * table + (1 - over) * pixels).astype(np.uint8)


def _bytes(picture: Any) -> NDArray[np.uint8]:
    return np.asarray(picture, np.uint8)
