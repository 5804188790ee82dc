"""Evaluate a model on the same photos made worse, or changed by what is no dirt.

After Hendrycks and Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations, 2019, with changes that matter for dishes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Classifier, Model, Prediction, predict_batch
from platecheck.cpus import in_threads
from platecheck.data.clutter import wet
from platecheck.data.composite import Placement
from platecheck.data.decoration import decorate
from platecheck.data.folders import Photo, sha256_of
from platecheck.data.segmentation import Mask, MaskCache
from platecheck.evaluation.metrics import Frozen, Proportion
from platecheck.model_info import CLEAN, class_key
from platecheck.photo import open_reduced
from platecheck.stream import stream

Pixels = NDArray[np.uint8]
Change = Callable[[np.random.Generator, Pixels, Mask], Pixels]

SIDE = 384  # photos are opened at no fewer pixels a side, and less than twice as many


class Robustness(Frozen):
    """How a model does on photos that were changed in one way.

    Attributes:
        change: a key of `CHANGES`.
        correct: photos whose most probable class is right.
        dangerous: photos of other classes that are answered with "clean", of those classes.
        undecided: photos answered with unsure or not a dish.
    """

    change: str
    correct: Proportion
    dangerous: Proportion
    undecided: Proportion


def _blurred(rng: np.random.Generator, pixels: Pixels, dish: Mask) -> Pixels:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), pixels.shape[1] / 60), np.uint8)


def _scaled(rng: np.random.Generator, pixels: Pixels, dish: Mask, *, factor: float) -> Pixels:
    return np.asarray(np.clip(np.rint(pixels * np.float32(factor)), 0, 255), np.uint8)


def _noisy(rng: np.random.Generator, pixels: Pixels, dish: Mask) -> Pixels:
    noise = 25 * rng.standard_normal(pixels.shape, np.float32)
    return np.asarray(np.clip(pixels + noise, 0, 255), np.uint8)


def _compressed(rng: np.random.Generator, pixels: Pixels, dish: Mask) -> Pixels:
    coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)


def _rotated(rng: np.random.Generator, pixels: Pixels, dish: Mask) -> Pixels:
    return Placement(angle=rng.uniform(20, 340)).warp(pixels, cv2.BORDER_REFLECT)


def _cropped(rng: np.random.Generator, pixels: Pixels, dish: Mask) -> Pixels:
    height, width = (round(0.7 * side) for side in pixels.shape[:2])
    top, left = (rng.integers(round(0.3 * side) + 1) for side in pixels.shape[:2])
    return pixels[top : top + height, left : left + width]


# Those after "cropped" need to know where the dish is.
CHANGES: dict[str, Change] = {
    "none": lambda rng, pixels, dish: pixels,
    "blurred": _blurred,
    "dark": partial(_scaled, factor=0.12),
    "bright": partial(_scaled, factor=3),
    "noisy": _noisy,
    "compressed": _compressed,
    "rotated": _rotated,
    "cropped": _cropped,
    "decorated": decorate,
    "wet": wet,
}
ON_DISH = ("decorated", "wet")


def evaluate_robustness(
    model: Model,
    photos: Sequence[Photo],
    *,
    seed: int = 0,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> list[Robustness]:
    """Evaluate a model on photos changed in every way of `CHANGES`, one after the other.

    Args:
        model: its thresholds, *not a dish* and quality check count, if it has them.
        photos: that can be read; in `ON_DISH`, those without a good mask are left out.
        seed: the same seed gives the same photos.
        on_start: called with the number of photos to classify.
        on_photo: called after each of them.
    """
    photos = [replace(each, sha256=each.sha256 or sha256_of(each.path)) for each in photos]
    dishes = {
        photo.name: mask
        for photo, mask in zip(photos, in_threads(MaskCache().get, photos), strict=True)
    }
    plans = [
        (change, photo)
        for change in CHANGES
        for photo in photos
        if change not in ON_DISH or dishes[photo.name].good
    ]
    if on_start:
        on_start(len(plans))

    def change(name: str, photo: Photo) -> Pixels:
        pixels = open_reduced(photo.path, SIDE).pixels
        mask = dishes[photo.name].mask(*pixels.shape[:2]) if name in ON_DISH else pixels[..., 0]
        rng = np.random.default_rng([seed, int(photo.sha256[:8], 16)])
        return CHANGES[name](rng, np.ascontiguousarray(pixels), mask)

    changed = (change(*plan) for plan in plans)
    workers = None if isinstance(model, Classifier) else 1  # PyTorch has its own threads
    predictions = stream(partial(predict_batch, model), changed, 8, workers)
    found: dict[str, list[tuple[str, Prediction]]] = {name: [] for name in CHANGES}
    for (name, photo), prediction in zip(plans, predictions, strict=True):
        found[name].append((model.classes[photo.label], prediction))
        if on_photo:
            on_photo()
    return list(_summaries(found))


def _summaries(found: dict[str, list[tuple[str, Prediction]]]) -> Iterator[Robustness]:
    for name, rows in found.items():
        right = [row.top_class == label for label, row in rows]
        dirty = [class_key(row.label) == CLEAN for label, row in rows if class_key(label) != CLEAN]
        undecided = [row.label not in row.probabilities for _, row in rows]
        yield Robustness(
            change=name,
            correct=Proportion.of(np.array(right, bool)),
            dangerous=Proportion.of(np.array(dirty, bool)),
            undecided=Proportion.of(np.array(undecided, bool)),
        )
