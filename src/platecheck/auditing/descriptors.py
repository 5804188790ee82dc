"""Feature vectors of parts of a photo: border, background and dish."""

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.data.backgrounds import background_strip
from platecheck.data.segmentation import Mask

# The border: 5 pixels of a 64 × 64 thumbnail, away from most dishes.
THUMBNAIL = 64
RIM = 5
# Longer side in pixels for background and dish features, so that textures have the same scale.
SIDE = 256
_SCALES = (1.0, 2.0, 4.0)
_DIRECTIONS = 8
_BLUR = 9

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]


def rim(pixels: Pixels) -> Floats:
    """Return the outermost pixels of the thumbnail, [pixels × 3], 0 to 255."""
    size = (THUMBNAIL, THUMBNAIL)
    thumbnail = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(thumbnail[_frame(THUMBNAIL, THUMBNAIL, RIM)], np.float32).ravel()


def rim_light(pixels: Pixels) -> Floats:
    """Return mean and standard deviation of the border's brightness, [2], 0 to 255."""
    grey = _grey(pixels)
    values = grey[_photo_frame(grey)]
    return np.array([values.mean(), values.std()], np.float32)


def rim_sharpness(pixels: Pixels) -> Floats:
    """Return the border's fine detail at full size, relative to its contrast and absolute, [2]."""
    grey = _grey(pixels)
    frame = _photo_frame(grey)
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F))[frame].mean()
    return np.array([detail / (grey[frame].std() + 1), detail], np.float32)


def blur(pixels: Pixels) -> float:
    """Return how blurred a photo is, 0 to 1, by how little changes when it is blurred again.

    Crété-Roffet et al., The blur effect: perception and estimation with a new no-reference
    perceptual blur metric, 2007. cleanvision's measure confuses blur with low contrast.
    """
    grey = _grey(_small(pixels, np.zeros(pixels.shape[:2], np.uint8))[0])
    shares = []
    for axis, window in ((0, (1, _BLUR)), (1, (_BLUR, 1))):
        before = np.abs(np.diff(grey, axis=axis))
        after = np.abs(np.diff(cv2.blur(grey, window), axis=axis))
        lost = np.maximum(0, before - after).sum()
        shares.append(1 - lost / before.sum() if before.sum() else 0.0)
    return float(max(shares))


def background_features(pixels: Pixels, mask: Mask) -> Floats | None:
    """Return colours and texture of the background strip, or None if too little is visible.

    The features ignore the positions of pixels and thus the dish's outline.
    """
    small, small_mask = _small(pixels, mask)
    strip = background_strip(small, small_mask)
    if strip is None or min(strip.shape[:2]) < 3:
        return None
    everywhere = np.ones(strip.shape[:2], bool)
    return np.concatenate([_colours(strip, everywhere), _texture(strip, everywhere)])


def dish_features(pixels: Pixels, mask: Mask | None) -> Floats:
    """Return colours, texture and blemishes of the dish in a photo, uint8 [H, W, 3].

    `mask` [H, W] is nonzero on the dish; without it, a centred disc is used.
    """
    small, found = _small(pixels, mask if mask is not None else _disc(pixels))
    inside = cv2.erode(found, np.ones((3, 3), np.uint8)) > 0
    if inside.sum() < 50:
        inside = _disc(small) > 0
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2Lab).astype(np.float32)
    dish = lab[inside]
    away = np.linalg.norm(dish - np.median(dish, axis=0), axis=1)
    colourful = np.linalg.norm(dish[:, 1:] - 128, axis=1)
    blemishes = [(away > limit).mean() for limit in (10, 20, 40)]
    spread = [np.percentile(values, (50, 75, 90, 95, 99)) for values in (away, colourful)]
    tints = [np.histogram(dish[:, c], bins=12, range=(60, 200))[0] / len(dish) for c in (1, 2)]
    return np.concatenate(
        [_colours(small, inside), _texture(small, inside), blemishes, *spread, *tints]
    ).astype(np.float32)


def _colours(pixels: Pixels, where: NDArray[np.bool_]) -> Floats:
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab)[where].astype(np.float32)
    levels = np.percentile(lab, (5, 25, 50, 75, 95), axis=0)
    return np.concatenate([lab.mean(axis=0), lab.std(axis=0), levels.ravel()]).astype(np.float32)


def _texture(pixels: Pixels, where: NDArray[np.bool_]) -> Floats:
    """Return detail at each scale and its orientation histogram."""
    grey = _grey(pixels)
    details: list[float] = []
    for scale in _SCALES:
        band = cv2.GaussianBlur(grey, (0, 0), scale / 2) - cv2.GaussianBlur(grey, (0, 0), scale)
        details += [float(band[where].std()), *np.percentile(np.abs(band[where]), (50, 90, 99))]
    across, down = (cv2.Sobel(grey, cv2.CV_32F, *way)[where] for way in ((1, 0), (0, 1)))
    angle = np.arctan2(down, across) % np.pi
    steep = np.hypot(across, down)
    runs = np.histogram(angle, bins=_DIRECTIONS, range=(0, np.pi), weights=steep)[0]
    return np.array([*details, *(runs / (runs.sum() + 1e-6))], np.float32)


def _grey(pixels: Pixels) -> Floats:
    return cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _photo_frame(grey: Floats) -> NDArray[np.bool_]:
    height, width = grey.shape
    return _frame(height, width, max(1, round(min(height, width) * RIM / THUMBNAIL)))


def _frame(height: int, width: int, thickness: int) -> NDArray[np.bool_]:
    frame = np.ones((height, width), bool)
    frame[thickness : height - thickness, thickness : width - thickness] = False
    return frame


def _disc(pixels: Pixels) -> Mask:
    height, width = pixels.shape[:2]
    disc = np.zeros((height, width), np.uint8)
    axes = (int(width * 0.35), int(height * 0.35))
    cv2.ellipse(disc, (width // 2, height // 2), axes, 0, 0, 360, 255, -1)
    return disc


def _small(pixels: Pixels, mask: Mask) -> tuple[Pixels, Mask]:
    height, width = mask.shape
    share = min(1.0, SIDE / max(height, width))
    size = (max(8, round(width * share)), max(8, round(height * share)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8), np.asarray(cv2.resize(mask, size), np.uint8)
