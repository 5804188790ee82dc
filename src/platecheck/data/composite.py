"""Composite a dish onto another background with soft edges and a contact shadow."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.segmentation import Mask


@dataclass(frozen=True)
class Placement:
    """Transformation of a dish relative to its original position."""

    scale: float = 1.0  # 1 keeps its size
    angle: float = 0.0  # degrees, counter-clockwise
    shift: tuple[float, float] = (0.0, 0.0)  # right and down, as fractions of width and height

    def warp(self, image: NDArray[np.uint8], border: int) -> NDArray[np.uint8]:
        """Transform an image [H, W] or [H, W, 3]; `border` is one of OpenCV's border modes."""
        height, width = image.shape[:2]
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), self.angle, self.scale)
        turn[:, 2] += self.shift[0] * width, self.shift[1] * height
        warped = cv2.warpAffine(image, turn, (width, height), borderMode=border)
        return np.asarray(warped, np.uint8)


@dataclass(frozen=True)
class Shadow:
    """Shadow of the dish on the background."""

    strength: float = 0.45  # 0 (none) to 1 (black)
    width: float = 0.025  # of the blur, as a fraction of the photo's width
    shift: tuple[float, float] = (0.008, 0.012)  # right and down, as fractions of width and height


IDENTITY = Placement()
CONTACT = Shadow()


def composite(
    background: NDArray[np.uint8],
    pixels: NDArray[np.uint8],
    mask: Mask,
    *,
    placement: Placement = IDENTITY,
    shadow: Shadow = CONTACT,
    opacity: float = 1.0,
) -> tuple[NDArray[np.uint8], Mask]:
    """Composite the dish of one photo [H, W, 3] onto a background [H, W, 3].

    The mask [H, W], 255 on the dish, is eroded by a pixel to remove the fringe of the original
    background. With an `opacity` below 1 the background shows through, as with glass or thin
    plastic. Returns the photo and the alpha mask of the dish in it, uint8 [H, W].
    """
    height, width = mask.shape
    eroded = cv2.erode(mask, np.ones((3, 3), np.uint8))
    alpha = np.asarray(cv2.GaussianBlur(eroded, (0, 0), max(0.6, width / 300)), np.uint8)
    if placement != IDENTITY:
        pixels = placement.warp(pixels, cv2.BORDER_REFLECT)
        alpha = placement.warp(alpha, cv2.BORDER_CONSTANT)
    dark = cv2.GaussianBlur(alpha, (0, 0), max(0.8, shadow.width * width))
    move = np.array([[1, 0, shadow.shift[0] * width], [0, 1, shadow.shift[1] * height]])
    dark = cv2.warpAffine(dark, move, (width, height))
    lit = background * (1 - shadow.strength / 255 * dark.astype(np.float32))[..., None]
    over = (alpha.astype(np.float32) * (opacity / 255))[..., None]
    return np.rint(over * pixels + (1 - over) * lit).astype(np.uint8), alpha


def remove_foreground(
    pixels: NDArray[np.uint8], mask: Mask, background: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Cover the dish with a background from `extract_background`."""
    width = mask.shape[1]
    grown = cv2.dilate(mask, np.ones((3, 3), np.uint8), iterations=max(2, width // 40))
    over = (cv2.GaussianBlur(grown, (0, 0), width / 100).astype(np.float32) / 255)[..., None]
    return np.rint(over * background + (1 - over) * pixels).astype(np.uint8)
