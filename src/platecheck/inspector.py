"""Inspect photos: find every dish with a detector, classify each."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from platecheck.classifier import Classifier, Prediction
from platecheck.detector import Box, Detection, Detector
from platecheck.errors import ModelError, PhotoError
from platecheck.model_file import ModelSource
from platecheck.model_info import CLEAN, NO_DISH, UNSURE, class_key
from platecheck.photo import (
    MAX_PIXELS,
    Color,
    ReducedPhoto,
    Source,
    open_reduced,
    photo_name,
    read_photo,
    resize_photo,
)
from platecheck.quality import CROWDED, HIDDEN, OK, measure
from platecheck.stream import stream

NOTHING_FOUND = "no dish"
DIRTY = "dirty"

# Chosen on training photos, see docs/inspecting.md.
MARGIN = 0.15  # around a dish, as a share of its box
FILLS = 0.2  # share of the photo from which its only dish is judged in the whole photo
MIN_VISIBLE = 0.7  # share of a dish at the photo's edge below which it cannot be called clean
MIN_ASPECT = 0.25  # shorter by longer side of a box, likewise
EDGE = 0.01  # share of the photo within which a box touches its edge
POSSIBLE = 0.7  # share of the detector's threshold from which a box may be a dish
MANY = 2  # possible dishes from which a photo cannot be called clean


@dataclass(frozen=True, slots=True)
class Dish:
    """One dish in a photo.

    Attributes:
        box: left, top, right and bottom of what can be seen of it, in pixels of the upright photo.
        score: how sure the detector is that it is a dish, in [0, 1].
        prediction: for the part of the photo in `crop`, which its heatmap covers.
        crop: the box with a margin, or the whole photo if this dish fills it; likewise in pixels.
    """

    box: Box
    score: float
    prediction: Prediction
    crop: Box

    @property
    def label(self) -> str:
        """A class of the classifier, or "unsure"."""
        return self.prediction.label

    @property
    def quality(self) -> str:
        """ "ok", or why the dish cannot be called clean, a key of `platecheck.quality.ADVICE`."""
        return self.prediction.quality

    def as_dict(self) -> dict[str, Any]:
        """Return an item of `dishes` of `Inspection.as_dict`; the box in tenths of a pixel."""
        return {
            "box": [round(side, 1) for side in self.box],
            "score": self.score,
            "label": self.label,
            "probability": self.prediction.probability,
            "probabilities": self.prediction.probabilities,
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """The dishes in one photo.

    Attributes:
        source: path or name of the photo.
        width: of the upright photo in pixels; 0 if it could not be opened.
        height: likewise.
        dishes: the surest detection first.
        quality: "ok", or why a dish, or the photo, cannot be judged, a key of
            `platecheck.quality.ADVICE`; "" if the photo could not be opened.
        error: why the photo could not be opened.
    """

    source: str
    width: int = 0
    height: int = 0
    dishes: tuple[Dish, ...] = ()
    quality: str = ""
    error: PhotoError | None = None

    @property
    def verdict(self) -> str:
        """ "dirty" if any dish is, else "unsure" if any is, else "clean"; "no dish" without any.

        A class beside "clean" and "dirty" counts as dirty. A photo that may show more dishes than
        were found is "unsure" instead of "clean". "" if the photo could not be opened.
        """
        if self.error:
            return ""
        labels = {class_key(dish.label) for dish in self.dishes}
        if labels - {CLEAN, UNSURE}:
            return DIRTY
        if not labels:
            return NOTHING_FOUND
        return UNSURE if UNSURE in labels or self.quality == CROWDED else CLEAN

    @property
    def counts(self) -> dict[str, int]:
        """Number of dishes by label."""
        found = Counter(class_key(dish.label) for dish in self.dishes)
        return {CLEAN: 0, DIRTY: 0, UNSURE: 0} | dict(found)

    def as_dict(self) -> dict[str, Any]:
        """Return what ``platecheck inspect --json`` prints; without heatmaps."""
        return {
            "photo": self.source,
            "width": self.width,
            "height": self.height,
            "verdict": self.verdict or None,
            "counts": self.counts,
            "dishes": [dish.as_dict() for dish in self.dishes],
            "quality": self.quality or None,
            "error": self.error and self.error.reason,
        }


class Inspector:
    """A detector and a classifier. Thread-safe; pickles if both came from files or bytes.

    Examples:
        >>> inspector = Inspector.load()
        >>> inspector.inspect("rack.jpg").verdict
        'dirty'
    """

    def __init__(self, classifier: Classifier, detector: Detector) -> None:
        """Combine two models; raise ModelError if the classifier has no class "clean"."""
        if CLEAN not in map(class_key, classifier.classes):
            found = ", ".join(classifier.classes)
            raise ModelError(f"to inspect, a model needs the class clean; its classes: {found}")
        self.classifier = classifier
        self.detector = detector

    @classmethod
    def load(
        cls,
        model: ModelSource | None = None,
        detector: ModelSource | None = None,
        *,
        providers: Sequence[str] | None = None,
    ) -> "Inspector":
        """Load both models.

        Args:
            model: see `Classifier.load`.
            detector: see `Detector.load`.
            providers: ONNX Runtime execution providers [default: the CPU].

        Raises:
            ModelError: a model cannot be used.
        """
        return cls(
            Classifier.load(model, providers=providers),
            Detector.load(detector, providers=providers),
        )

    def inspect(
        self,
        photo: Source,
        *,
        color: Color = "rgb",
        max_pixels: int = MAX_PIXELS,
        name: str | None = None,
    ) -> Inspection:
        """Find and classify the dishes in one photo.

        Args:
            photo: see `Classifier.predict`.
            color: channel order of an array, ``"rgb"`` or ``"bgr"``.
            max_pixels: largest height × width accepted.
            name: name of the photo [default: its path or type].

        Returns:
            At most `platecheck.detector.MAX_DISHES` dishes.

        Raises:
            PhotoError: the photo cannot be opened, or has another type.
            ModelError: ONNX Runtime cannot run a model, or an output is not finite.
        """
        name = name or photo_name(photo)
        source = read_photo(photo, name)
        open_at = partial(open_reduced, source, color=color, max_pixels=max_pixels, name=name)
        opened = open_at(self.classifier.size)
        threshold = self.detector.info.threshold
        possible = self.detector.detect(opened.pixels, threshold=POSSIBLE * threshold)
        found = [
            replace(each, box=_scale(each.box, opened))
            for each in possible
            if each.score >= threshold
        ]
        width, height = opened.width, opened.height
        if len(found) == 1 and _area(found[0].box) >= FILLS * width * height:
            # Judged as by the classifier alone, which may also see that it is no dish.
            dishes = self._judge(opened, found, [(0, 0, width, height)], name)
            dishes = [dish for dish in dishes if dish.label != NO_DISH]
        else:
            crops = [_with_margin(each.box, width, height) for each in found]
            if (share := self._needed_scale(crops)) * height > opened.pixels.shape[0]:
                size = (math.ceil(share * height), math.ceil(share * width))
                opened = open_at(size, exact=True)
            judged = self._judge(opened, found, crops, name)
            dishes = [self._judge_part(dish, opened) for dish in judged]
        quality = next((dish.quality for dish in dishes if dish.quality != OK), OK)
        if quality == OK and self.classifier.info.quality_check:
            if not dishes:
                quality = measure(opened.pixels).reason
            elif len(possible) - len(found) >= MANY:
                quality = CROWDED
        return Inspection(name, width, height, tuple(dishes), quality)

    def _needed_scale(self, crops: Sequence[Box]) -> float:
        """Return the scale, at most 1, at which the smallest crop fills the classifier's input."""
        side = min((min(x1 - x0, y1 - y0) for x0, y0, x1, y1 in crops), default=math.inf)
        return min(1.0, self.classifier.size / max(side, 1.0))

    def _judge(
        self, opened: ReducedPhoto, found: Sequence[Detection], crops: Sequence[Box], name: str
    ) -> list[Dish]:
        """Classify the crops in one batch."""
        if not found:
            return []
        parts = [_cut(opened, crop) for crop in crops]
        size = self.classifier.size
        resized = np.stack([resize_photo(part, size) for part in parts])
        predictions = self.classifier.predict_pixels(resized, [name] * len(parts))
        if self.classifier.info.quality_check:
            predictions = [
                prediction.with_quality(measure(part).reason)
                for prediction, part in zip(predictions, parts, strict=True)
            ]
        return [
            Dish(each.box, each.score, prediction, crop)
            for each, crop, prediction in zip(found, crops, predictions, strict=True)
        ]

    def _judge_part(self, dish: Dish, opened: ReducedPhoto) -> Dish:
        """Return a dish of several, or a small one: never *not a dish*, nor clean if hidden."""
        prediction = dish.prediction
        if prediction.label == NO_DISH:  # a score that was calibrated on whole photos
            prediction = replace(prediction, label=UNSURE)
        is_hidden = _is_hidden(dish.box, opened.width, opened.height)
        if is_hidden and prediction.quality == OK and self.classifier.info.quality_check:
            prediction = prediction.with_quality(HIDDEN)
        return replace(dish, prediction=prediction)

    def inspect_many(
        self,
        photos: Iterable[Source],
        workers: int | None = None,
        *,
        color: Color = "rgb",
        max_pixels: int = MAX_PIXELS,
    ) -> Iterator[Inspection]:
        """Inspect many photos in parallel and yield the results in order.

        A photo that cannot be opened yields an `Inspection` with an `error`. `photos` is consumed
        lazily, so memory is bounded.

        Args:
            photos: an iterable of anything `inspect` accepts, or an array [N, H, W, 3].
            workers: threads, at least 1 [default: one per core].
            color: see `inspect`.
            max_pixels: see `inspect`.

        Raises:
            TypeError: `photos` is a single photo.
            ValueError: `workers` is below 1.
        """
        work = partial(self.inspect_batch, color=color, max_pixels=max_pixels)
        return stream(work, photos, 1, workers)

    def inspect_batch(
        self, photos: Sequence[Source], names: Sequence[str] | None = None, **options: Any
    ) -> list[Inspection]:
        """Inspect photos on the calling thread; see `inspect` for options, `inspect_many`."""
        inspections = []
        for photo, name in zip(photos, names or map(photo_name, photos), strict=True):
            try:
                inspections.append(self.inspect(photo, name=name, **options))
            except PhotoError as error:
                inspections.append(Inspection(name, error=error))
        return inspections


def _scale(box: Box, opened: ReducedPhoto) -> Box:
    """Convert a box from pixels as opened to pixels of the whole photo."""
    height, width = opened.pixels.shape[:2]
    x, y = opened.width / width, opened.height / height
    return (box[0] * x, box[1] * y, box[2] * x, box[3] * y)


def _is_hidden(box: Box, width: int, height: int) -> bool:
    """Return whether most of a dish is probably out of sight.

    Boxes hold what can be seen. A dish that the edge of the photo cuts is narrower than it is wide
    elsewhere; a strip is one of a stack, or seen from the side.
    """
    x0, y0, x1, y1 = box
    wide, high = x1 - x0, y1 - y0
    if min(wide, high) < MIN_ASPECT * max(wide, high):
        return True
    at_side = x0 <= EDGE * width or x1 >= (1 - EDGE) * width
    at_end = y0 <= EDGE * height or y1 >= (1 - EDGE) * height
    return (at_side and wide < MIN_VISIBLE * high) or (at_end and high < MIN_VISIBLE * wide)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _with_margin(box: Box, width: int, height: int) -> Box:
    x0, y0, x1, y1 = box
    x, y = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
    return (max(0, x0 - x), max(0, y0 - y), min(width, x1 + x), min(height, y1 + y))


def _cut(opened: ReducedPhoto, crop: Box) -> Any:
    """Return the pixels of a crop, at least one."""
    height, width = opened.pixels.shape[:2]
    x, y = width / opened.width, height / opened.height
    left, top = min(int(crop[0] * x), width - 1), min(int(crop[1] * y), height - 1)
    right, bottom = max(math.ceil(crop[2] * x), left + 1), max(math.ceil(crop[3] * y), top + 1)
    return opened.pixels[top:bottom, left:right]
