"""Metrics of exchanged backgrounds, and their description.

Mixed-Same, Mixed-Rand, Mixed-Next, BG-Gap and Only-BG are defined in Xiao, Engstrom, Ilyas and
Madry, *Noise or Signal: the role of image backgrounds in object recognition* (2020); worst-group
accuracy in Sagawa, Koh, Hashimoto and Liang, *Distributionally robust neural networks for group
shifts* (2020).
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from platecheck.evaluation.metrics import Frozen, wilson_interval

MIN_GROUP_SIZE = 10  # smaller groups are listed, but never reported as the worst


class Accuracy(Frozen):
    """Correct predictions out of `photos`, with the Wilson 95 % interval."""

    photos: int
    correct: int
    accuracy: float
    accuracy_ci95: tuple[float, float]

    @classmethod
    def from_correct(cls, correct: NDArray[np.bool_], **fields: Any) -> Self:
        """Count `correct` [N]; `fields` are those that a subclass adds."""
        photos, count = len(correct), int(correct.sum())
        return cls(
            photos=photos,
            correct=count,
            accuracy=count / photos,
            accuracy_ci95=wilson_interval(count, photos),
            **fields,
        )


class OnlyBackground(Accuracy):
    """Photos with their dish removed; correct means predicted as the removed dish's class.

    Attributes:
        majority_rate: proportion of the most frequent class.
    """

    majority_rate: float


class AccuracyGap(Frozen):
    """Difference of two accuracies on the same dishes, in [-1, 1].

    Attributes:
        photos: number of dishes.
        gap: the difference.
        gap_ci95: 95 % percentile interval of a paired bootstrap over the dishes.
    """

    photos: int
    gap: float
    gap_ci95: tuple[float, float]


class GroupAccuracy(Accuracy):
    """Original photos of one class in one background group.

    Attributes:
        label: the class.
        kind: number of the background group, from 1; see `WorstGroup.kinds`.
    """

    label: str
    kind: int


class BackgroundGroup(Frozen):
    """A cluster of backgrounds, and the mean color of its borders as ``#rrggbb``."""

    kind: int
    colour: str
    photos: int


class WorstGroup(Frozen):
    """The group with the lowest accuracy among those large enough.

    Attributes:
        accuracy: that of `worst`.
        worst: None if no group has `MIN_GROUP_SIZE` photos.
        groups: all groups, including small ones.
        kinds: background groups.
    """

    accuracy: float | None
    worst: GroupAccuracy | None
    groups: list[GroupAccuracy]
    kinds: list[BackgroundGroup]


class WorstBackground(Accuracy):
    """Dishes classified correctly on every one of `tables` backgrounds."""

    tables: int


class LeftOut(Frozen):
    """Photos that were not used.

    Attributes:
        dishes: photos whose dish was not moved, nearly always for lack of a good mask.
        tables: photos whose background was not used: no good mask, or too little background.
    """

    dishes: int
    tables: int


class BackgroundMetrics(Frozen):
    """Metrics of exchanged backgrounds; its JSON has exactly these keys.

    Attributes:
        split: the evaluated split.
        seed: random seed.
        original: all original photos.
        original_same_dishes: original photos of the dishes that were moved.
        mixed_same: those dishes, each on a background from another photo of its class.
        mixed_rand: on a background from any other photo.
        mixed_next: on a background from the next class; with two classes, the other one.
        bg_gap: Mixed-Same minus Mixed-Rand.
        next_gap: Mixed-Same minus Mixed-Next.
        only_bg: dishes removed.
        worst_group: worst combination of class and background group.
        worst_table: dishes classified correctly on every background.
        ece_original_and_mixed_rand: expected calibration error, 15 bins, over
            `original_same_dishes` and `mixed_rand` together.
        left_out: photos that could not be used.
    """

    split: str
    seed: int
    original: Accuracy
    original_same_dishes: Accuracy
    mixed_same: Accuracy
    mixed_rand: Accuracy
    mixed_next: Accuracy
    bg_gap: AccuracyGap
    next_gap: AccuracyGap
    only_bg: OnlyBackground
    worst_group: WorstGroup
    worst_table: WorstBackground
    ece_original_and_mixed_rand: float
    left_out: LeftOut


def verdict(result: BackgroundMetrics, classes: int) -> str:
    """Return a sentence that says whether the model depends on the background."""
    where = f"On the {'other' if classes == 2 else 'next'} class's backgrounds it"
    low, high = result.next_gap.gap_ci95
    points = f"{100 * abs(result.next_gap.gap):.1f}".removesuffix(".0")
    points += " point" if points == "1" else " points"
    if low > 0:
        degree = "" if result.next_gap.gap >= 0.05 else " slightly"
        return f"{where} loses {points}: it{degree} depends on the background."
    change = "loses" if result.next_gap.gap > 0 else "gains"
    change = f"{change} {points}" if result.next_gap.gap else "loses nothing"
    if high > 0.05:
        return f"{where} {change}, which may be chance: too few dishes to tell."
    return f"{where} {change}: no sign that it depends on the background."


def metric_rows(
    result: BackgroundMetrics, classes: int
) -> list[tuple[str, Accuracy | AccuracyGap, str]]:
    """Return the rows of a table for display: name, metric, description."""
    other = "other" if classes == 2 else "next"
    only, worst = result.only_bg, result.worst_group.worst
    rows: list[tuple[str, Accuracy | AccuracyGap, str]] = [
        ("Original", result.original, "all photos, unchanged"),
        ("of these dishes", result.original_same_dishes, "those used below"),
        ("Mixed-Same", result.mixed_same, "on backgrounds of the same class"),
        ("Mixed-Rand", result.mixed_rand, "on any other background"),
        ("Mixed-Next", result.mixed_next, f"on the {other} class's backgrounds"),
        ("BG-Gap", result.bg_gap, "Mixed-Same − Mixed-Rand"),
        ("to Mixed-Next", result.next_gap, "Mixed-Same − Mixed-Next"),
        ("Only-BG", only, f"dish removed; majority class {only.majority_rate:.1%}"),
    ]
    if worst:
        rows.append(("worst group", worst, f"{worst.label}, background group {worst.kind}"))
    everywhere = result.worst_table
    rows.append(
        ("worst background", everywhere, f"correct on all of {everywhere.tables} backgrounds")
    )
    return rows


def describe_left_out(result: BackgroundMetrics) -> str:
    """Return a sentence on the photos that were not used."""
    out, photos = result.left_out, result.original.photos
    return (
        f"Left out: {out.dishes} of {photos} dishes without a good mask, and {out.tables} of"
        f" {photos} backgrounds of which too little is visible."
    )
