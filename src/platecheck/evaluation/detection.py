"""Evaluate a detector on photos with boxes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from platecheck.data.boxes import KINDS, BoxedPhotoSet
from platecheck.data.folders import UNSPLIT, Photo
from platecheck.detector import Detector
from platecheck.errors import DataError
from platecheck.photo import open_photo
from platecheck.training.detection.metrics import (
    LEAST_SCORE,
    Matched,
    average_precision,
    match,
    precision_recall,
)


class DetectionCounts(BaseModel):
    """How many dishes of some photos are found, at the detector's threshold."""

    photos: int
    dishes: int
    found: int  # dishes
    boxes: int  # found where every dish is boxed, or that match a dish
    empty: int  # photos without a dish
    silent: int  # of these, in which nothing was found
    ap50: float | None  # area under the precision-recall curve; None without dishes

    @property
    def recall(self) -> float | None:
        return self.found / self.dishes if self.dishes else None

    @property
    def precision(self) -> float | None:
        return self.found / self.boxes if self.boxes else None


class DetectionResult(BaseModel):
    """Counts of all photos and of each kind: `platecheck.data.boxes.KINDS`."""

    split: str
    threshold: float
    all: DetectionCounts
    kinds: dict[str, DetectionCounts]


@dataclass(frozen=True, eq=False)
class SearchedPhoto:
    """A photo, its dishes and the boxes found, in pixels, with scores of at least `LEAST_SCORE`.

    Attributes:
        truth: float32 [M, 4].
        found: float32 [D, 4], best first.
        scores: float32 [D].
        matched: hits and misses; without boxes that may be dishes nobody has boxed.
    """

    photo: Photo
    truth: NDArray[np.float32]
    found: NDArray[np.float32]
    scores: NDArray[np.float32]
    matched: Matched

    def mistakes(self, threshold: float) -> int:
        """Return the number of dishes missed and of boxes without a dish."""
        kept = self.matched.hits[self.matched.scores >= threshold]
        return self.matched.total + len(kept) - 2 * int(kept.sum())


@dataclass(frozen=True, eq=False)
class DetectionEvaluation:
    """Counts, and the photos that they were counted in."""

    result: DetectionResult
    photos: tuple[SearchedPhoto, ...]


def evaluate_detector(
    detector: Detector,
    data: BoxedPhotoSet,
    *,
    split: str | None = None,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> DetectionEvaluation:
    """Search the photos of one split for dishes and compare with their boxes.

    Args:
        detector: an exported detector.
        data: photos with boxes.
        split: name of the split [default: ``test``, or the only one].
        on_start: called with the number of photos.
        on_photo: called after each photo.

    Raises:
        DataError: there is no such split.
    """
    splits = data.photos.splits
    if not split and "test" not in splits and len(splits) > 1:
        names = ", ".join(splits)
        raise DataError(f"{data.photos.folder} has no test split; choose with --split: {names}")
    name = split or ("test" if "test" in splits else (*splits, UNSPLIT)[0])
    chosen = data.photos.split(name)
    if on_start:
        on_start(len(chosen))
    searched = []
    for photo in chosen:
        searched.append(search(detector, photo, data.boxes[photo.name]))
        if on_photo:
            on_photo()
    threshold = detector.info.threshold
    kinds = {kind: [p for p in searched if p.photo.label == i] for i, kind in enumerate(KINDS)}
    result = DetectionResult(
        split=name,
        threshold=threshold,
        all=count(searched, threshold),
        kinds={kind: count(photos, threshold) for kind, photos in kinds.items() if photos},
    )
    return DetectionEvaluation(result, tuple(searched))


def search(detector: Detector, photo: Photo, boxes: NDArray[np.float32]) -> SearchedPhoto:
    """Search one photo; `boxes` are its dishes as shares of width and height."""
    pixels = open_photo(photo.path)
    height, width = pixels.shape[:2]
    found = detector.detect(pixels, threshold=LEAST_SCORE)
    places = np.array([each.box for each in found], np.float32).reshape(-1, 4)
    scores = np.array([each.score for each in found], np.float32)
    truth = boxes * np.array((width, height, width, height), np.float32)
    matched = match(places, scores, truth, complete=KINDS[photo.label] != "partly")
    return SearchedPhoto(photo, truth, places, scores, matched)


def count(photos: list[SearchedPhoto], threshold: float) -> DetectionCounts:
    """Count what is found with at least this score."""
    matched = [each.matched for each in photos]
    kept = [each.hits[each.scores >= threshold] for each in matched]
    empty = [len(hits) for each, hits in zip(matched, kept, strict=True) if not each.total]
    dishes = sum(each.total for each in matched)
    return DetectionCounts(
        photos=len(photos),
        dishes=dishes,
        found=sum(int(hits.sum()) for hits in kept),
        boxes=sum(len(hits) for hits in kept),
        empty=len(empty),
        silent=empty.count(0),
        ap50=average_precision(matched) if dishes else None,
    )


def choose_threshold(photos: list[SearchedPhoto], *, silent: float) -> float:
    """Return the score with the best F0.5, or a higher one: enough empty photos must stay silent.

    F0.5 weighs precision more than recall, since a box without a dish is judged like one.

    Args:
        photos: validation photos, with and without dishes.
        silent: smallest share of the photos without a dish in which nothing may be found.
    """
    scores, precision, recall = precision_recall([each.matched for each in photos])
    best = 0.5
    if recall.any():
        f = 1.25 * precision * recall / np.maximum(0.25 * precision + recall, 1e-9)
        best = float(scores[f.argmax()])
    loudest = sorted(float(each.scores.max(initial=0)) for each in photos if not each.matched.total)
    if loudest:
        allowed = int((1 - silent) * len(loudest) + 1e-9)
        best = max(best, float(np.nextafter(np.float32(loudest[-1 - allowed]), np.float32(1))))
    return min(best, 1.0)
