"""Gallery of the dishes most affected by other backgrounds."""

from collections.abc import Sequence

import numpy as np

from platecheck.evaluation.background_evaluation import BackgroundEvaluation
from platecheck.evaluation.plots import PredictedPhoto
from platecheck.report.page import GalleryRow

MAX_ROWS = 12
TITLES = {
    "original": "Original",
    "mixed_same": "Mixed-Same",
    "mixed_rand": "Mixed-Rand",
    "mixed_next": "Mixed-Next",
}


def gallery(
    measurement: BackgroundEvaluation, classes: Sequence[str], max_rows: int = MAX_ROWS
) -> list[GalleryRow]:
    """Return the dishes that lose most on other backgrounds, worst first.

    Dishes classified correctly on their own background and wrongly on another come first, then
    those with the largest drop in the true class's probability. Dishes without a drop are omitted.

    Args:
        measurement: from `platecheck.evaluation.background_evaluation.evaluate_backgrounds`.
        classes: class names.
        max_rows: maximum number of dishes.
    """
    swap = measurement.swap
    rows = []
    for at in _worst_first(measurement)[:max_rows]:
        dish = swap.dishes[at]
        photo = swap.photos[dish].photo
        truth = classes[photo.label]
        images = {"original": swap.original(dish)}
        images |= {
            name: swap.mixed(dish, chosen[at]) for name, chosen in measurement.backgrounds.items()
        }
        predictions = [
            PredictedPhoto.from_probabilities(
                pixels, measurement.probabilities[name][at], classes, truth, TITLES[name]
            )
            for name, pixels in images.items()
        ]
        if dish in measurement.only_background:
            pixels = swap.only_background(dish)
            row = measurement.only_background[dish]
            predictions.append(
                PredictedPhoto.from_probabilities(pixels, row, classes, None, "Only-BG")
            )
        rows.append(GalleryRow(photo.name, truth, predictions))
    return rows


def _worst_first(measurement: BackgroundEvaluation) -> list[int]:
    swap = measurement.swap
    labels = np.array([swap.photos[dish].photo.label for dish in swap.dishes])
    each = np.arange(len(labels))
    mixed = np.stack([measurement.probabilities[name] for name in measurement.backgrounds])
    before = measurement.probabilities["original"]
    drop = before[each, labels] - mixed[:, each, labels].min(axis=0)
    lost = (before.argmax(axis=1) == labels) & (mixed.argmax(axis=2) != labels).any(axis=0)
    order = np.lexsort((-drop, ~lost))
    worst_first: list[int] = order[drop[order] > 0].tolist()
    return worst_first
