"""Segment the dish in a photo: GrabCut, initialized with a centred ellipse, then a smooth outline.

Rother et al., GrabCut: interactive foreground extraction using iterated graph cuts, 2004. The
assumption that the dish is near the centre replaces the user's interaction.
"""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.cpus import cpu_count
from platecheck.data.cache import default_folder
from platecheck.data.folders import Photo
from platecheck.files import write_text
from platecheck.photo import open_photo

# OpenCV respects a container's CPU quota, but not that of a nested cgroup.
cv2.setNumThreads(min(cv2.getNumThreads(), cpu_count()))

WORKING_SIZE = 128  # side in pixels; larger is much slower without being more accurate
ITERATIONS = 4
GOOD = 0.5  # masks of a lower quality are not used to exchange backgrounds
VERSION = 1  # part of the cache key; increase it when any outline changes

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class DishMask:
    """Outline of the dish in a photo, as fractions of its width and height."""

    outline: tuple[tuple[float, float], ...]  # points (x, y); empty if no dish was found
    quality: float  # 0 to 1; below `GOOD`, the outline is probably wrong

    @property
    def good(self) -> bool:
        return self.quality >= GOOD

    def mask(self, height: int, width: int) -> Mask:
        """Rasterize the mask: uint8 [height, width], 255 on the dish, 0 elsewhere."""
        mask = np.zeros((height, width), np.uint8)
        if self.outline:
            points = np.array(self.outline) * (width, height) - 0.5
            cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 255)
        return mask


NO_MASK = DishMask((), 0.0)


def segment_dish(pixels: NDArray[np.uint8]) -> DishMask:
    """Segment the dish in a photo, uint8 [H, W, 3], in which it is roughly centred."""
    if pixels.shape[:2] != (WORKING_SIZE, WORKING_SIZE):
        size = (WORKING_SIZE, WORKING_SIZE)
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    contour = max(_contours(pixels), key=cv2.contourArea, default=None)
    if contour is None:
        return NO_MASK
    hull = cv2.convexHull(contour).astype(np.int32)
    area, hull_area = cv2.contourArea(contour), cv2.contourArea(hull)
    if hull_area < 1:
        return NO_MASK
    solidity = area / hull_area
    outline = hull if solidity > 0.85 else contour
    points = (outline[:, 0] + 0.5) / WORKING_SIZE
    quality = _quality(solidity, hull_area / WORKING_SIZE**2, hull)
    return DishMask(tuple((round(float(x), 5), round(float(y), 5)) for x, y in points), quality)


class MaskCache:
    """Disk cache of dish masks, keyed by the hash of the photo; damaged entries are recomputed."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = (folder or default_folder()) / "cutouts"

    def get(self, photo: Photo) -> DishMask:
        """Return the mask of a photo with a hash from the cache, or compute and store it."""
        if not photo.sha256:
            raise ValueError("the photo has no hash; read the folder with read_photos")
        entry = self.folder / photo.sha256[:2] / f"{photo.sha256}-v{VERSION}.json"
        with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
            content = json.loads(entry.read_text(encoding="utf-8"))
            outline = tuple((float(x), float(y)) for x, y in content["outline"])
            dish_mask = DishMask(outline, float(content["quality"]))
            values = np.array([*outline, (dish_mask.quality, 0)])
            if ((values >= 0) & (values <= 1)).all():  # False for NaN
                return dish_mask
        dish_mask = segment_dish(open_photo(photo.path, size=WORKING_SIZE))
        with contextlib.suppress(OSError):  # the cache is optional
            content = {"outline": dish_mask.outline, "quality": dish_mask.quality}
            write_text(entry, json.dumps(content))
        return dish_mask


def _contours(pixels: NDArray[np.uint8]) -> Sequence[NDArray[Any]]:
    size = WORKING_SIZE
    guess = np.full((size, size), cv2.GC_PR_BGD, np.uint8)
    middle = (size // 2, size // 2)
    cv2.ellipse(guess, middle, (int(size * 0.42), int(size * 0.42)), 0, 0, 360, cv2.GC_PR_FGD, -1)
    cv2.ellipse(guess, middle, (int(size * 0.12), int(size * 0.12)), 0, 0, 360, cv2.GC_FGD, -1)
    rim = max(2, size // 40)
    for side in (np.s_[:rim], np.s_[-rim:], np.s_[:, :rim], np.s_[:, -rim:]):
        guess[side] = cv2.GC_BGD
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    lab, no_rectangle = cv2.cvtColor(pixels, cv2.COLOR_RGB2Lab), (0, 0, 0, 0)
    cv2.grabCut(lab, guess, no_rectangle, *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
    foreground = ((guess == cv2.GC_FGD) | (guess == cv2.GC_PR_FGD)).astype(np.uint8)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    foreground = cv2.morphologyEx(foreground, cv2.MORPH_OPEN, disc)
    return cv2.findContours(foreground, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]


def _quality(solidity: float, share: float, hull: NDArray[np.int32]) -> float:
    """Rate a mask: dishes are convex, of plausible size, mostly inside the photo, and regular."""
    edge = WORKING_SIZE // 40 + 1
    points = hull[:, 0]
    cropped = ((points <= edge) | (points >= WORKING_SIZE - 1 - edge)).any(axis=1).mean()
    return float(
        _ramp(solidity, 0.80, 0.95)
        * _ramp(share, 0.05, 0.12)
        * _ramp(-share, -0.92, -0.80)
        * _ramp(-cropped, -0.6, -0.3)
        * _ramp(_regularity(hull), 0.86, 0.93)
    )


def _regularity(hull: NDArray[np.int32]) -> float:
    """Return the intersection over union with the best-fitting ellipse or rectangle."""
    if len(hull) < 5:
        return 0.0
    dish, ellipse, rectangle = np.zeros((3, WORKING_SIZE, WORKING_SIZE), np.uint8)
    cv2.fillPoly(dish, [hull], 1)
    cv2.ellipse(ellipse, cv2.fitEllipse(hull), 1, -1)
    cv2.fillPoly(rectangle, [cv2.boxPoints(cv2.minAreaRect(hull)).astype(np.int32)], 1)
    overlaps = [(dish & shape).sum() / (dish | shape).sum() for shape in (ellipse, rectangle)]
    return float(max(overlaps))


def _ramp(value: float, low: float, high: float) -> float:
    return float(np.clip((value - low) / (high - low), 0, 1))
