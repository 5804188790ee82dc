"""Pictures of what other tables change, worst first."""

from collections.abc import Sequence

import numpy as np

from platecheck.evaluation.background_evaluation import BackgroundEvaluation
from platecheck.evaluation.plots import AnsweredPhoto
from platecheck.evaluation.report import GalleryRow

ROWS = 12
TITLES = {
    "original": "Original",
    "mixed_same": "Mixed-Same",
    "mixed_rand": "Mixed-Rand",
    "mixed_next": "Mixed-Next",
}


def gallery(
    measurement: BackgroundEvaluation, classes: Sequence[str], rows: int = ROWS
) -> list[GalleryRow]:
    """The dishes that other tables change most for the worse.

    First those that are answered right on their own table and wrong on another, then by how much
    the probability of the true class falls at most. What does not fall is not shown.

    Args:
        measurement: from :func:`platecheck.evaluation.background_evaluation.evaluate_backgrounds`.
        classes: their names.
        rows: how many at most.
    """
    exchange = measurement.exchange
    found = []
    for at in _worst_first(measurement)[:rows]:
        dish = exchange.dishes[at]
        photo = exchange.found[dish].photo
        truth = classes[photo.label]
        made = {"original": exchange.original(dish)}
        made |= {name: exchange.mixed(dish, own[at]) for name, own in measurement.tables.items()}
        pictures = [
            AnsweredPhoto.of(
                pixels, measurement.probabilities[name][at], classes, truth, TITLES[name]
            )
            for name, pixels in made.items()
        ]
        if dish in measurement.only_background:
            pixels = exchange.only_background(dish)
            row = measurement.only_background[dish]
            pictures.append(AnsweredPhoto.of(pixels, row, classes, None, "Only-BG"))
        found.append(GalleryRow(photo.name, truth, pictures))
    return found


def _worst_first(measurement: BackgroundEvaluation) -> list[int]:
    exchange = measurement.exchange
    labels = np.array([exchange.found[dish].photo.label for dish in exchange.dishes])
    each = np.arange(len(labels))
    mixed = np.stack([measurement.probabilities[name] for name in measurement.tables])
    before = measurement.probabilities["original"]
    drop = before[each, labels] - mixed[:, each, labels].min(axis=0)
    lost = (before.argmax(axis=1) == labels) & (mixed.argmax(axis=2) != labels).any(axis=0)
    order = np.lexsort((-drop, ~lost))
    found: list[int] = order[drop[order] > 0].tolist()
    return found
