"""The figures of an exchange of tables, and what they say.

The terms are the field's: Mixed-Same, Mixed-Rand, Mixed-Next, BG-Gap and Only-BG of Xiao, Engstrom,
Ilyas and Madry, *Noise or Signal: the role of image backgrounds in object recognition* (2020);
worst-group accuracy of Sagawa, Koh, Hashimoto and Liang, *Distributionally robust neural networks
for group shifts* (2020).
"""

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from platecheck.evaluation.metrics import Frozen, wilson_interval

# A smaller group's accuracy says little: it is listed, but is not called the worst.
FEWEST_IN_GROUP = 10


class Proportion(Frozen):
    """A share of right answers: `correct` of `photos`, and its Wilson 95 % interval."""

    photos: int
    correct: int
    accuracy: float
    accuracy_ci95: tuple[float, float]

    @classmethod
    def of(cls, right: NDArray[np.bool_], **more: Any) -> Self:
        """Of answers that are right or not, [N]; `more` is what a kind of share has beside it."""
        photos, correct = len(right), int(right.sum())
        interval = wilson_interval(correct, photos)
        share = correct / photos
        return cls(photos=photos, correct=correct, accuracy=share, accuracy_ci95=interval, **more)


class OnlyBackground(Proportion):
    """Photos without their dish; right is whoever answers the class of the dish that was there.

    Attributes:
        majority_rate: the share that always answering the most frequent class would get.
    """

    majority_rate: float


class Gap(Frozen):
    """One accuracy less another on the same dishes, in [-1, 1].

    Attributes:
        photos: how many dishes.
        gap: the difference.
        gap_ci95: paired bootstrap over the dishes, 95 %, percentiles.
    """

    photos: int
    gap: float
    gap_ci95: tuple[float, float]


class Group(Proportion):
    """Photos of one class on one kind of table, as they are.

    Attributes:
        label: the class.
        kind: of table, from 1, see :attr:`WorstGroup.kinds`.
    """

    label: str
    kind: int


class Kind(Frozen):
    """A kind of table, and the mean colour of its borders as ``#rrggbb``."""

    kind: int
    colour: str
    photos: int


class WorstGroup(Frozen):
    """The group with the lowest accuracy of those that hold enough photos to tell.

    Attributes:
        worst: None where no group holds :data:`FEWEST_IN_GROUP` photos.
        accuracy: of the worst.
        groups: all, also the small ones.
        kinds: of table.
    """

    accuracy: float | None
    worst: Group | None
    groups: list[Group]
    kinds: list[Kind]


class WorstBackground(Proportion):
    """Dishes answered right on every one of `tables` tables."""

    tables: int


class LeftOut(Frozen):
    """Photos that not all was measured on.

    Attributes:
        dishes: photos whose dish is not put on other tables, nearly always since it could not be
            cut out well.
        tables: photos whose table is not used, since its dish could not be cut out well or too
            little table is seen beside it.
    """

    dishes: int
    tables: int


class BackgroundMetrics(Frozen):
    """The figures of one exchange of tables; its JSON has exactly these keys.

    Attributes:
        split: what was measured.
        seed: of every draw.
        original: all photos as they are.
        original_same_dishes: photos as they are, of the dishes that were put on other tables.
        mixed_same: those dishes, in their place, each on a table from another photo of its class.
        mixed_rand: on a table from any other photo.
        mixed_next: on a table from a photo of the next class; with two classes, the other one.
        bg_gap: Mixed-Same less Mixed-Rand.
        next_gap: Mixed-Same less Mixed-Next: what the other class's tables cost.
        only_bg: dishes removed.
        worst_group: class and kind of table that is answered worst.
        worst_table: dishes answered right on every table.
        ece_original_and_mixed_rand: expected calibration error, 15 bins, over the photos of
            `original_same_dishes` and of `mixed_rand` together.
        left_out: how many photos could not be used.
    """

    split: str
    seed: int
    original: Proportion
    original_same_dishes: Proportion
    mixed_same: Proportion
    mixed_rand: Proportion
    mixed_next: Proportion
    bg_gap: Gap
    next_gap: Gap
    only_bg: OnlyBackground
    worst_group: WorstGroup
    worst_table: WorstBackground
    ece_original_and_mixed_rand: float
    left_out: LeftOut


def verdict(result: BackgroundMetrics, classes: int) -> str:
    """What the figures say, in a plain sentence: does the model look at the table?"""
    where = f"On the {'other' if classes == 2 else 'next'} class's tables it"
    low, high = result.next_gap.gap_ci95
    points = f"{100 * abs(result.next_gap.gap):.1f}".removesuffix(".0")
    points += " point" if points == "1" else " points"
    if low > 0:
        much = "" if result.next_gap.gap >= 0.05 else " a little"
        return f"{where} loses {points}: it looks at the table{much}."
    change = "loses" if result.next_gap.gap > 0 else "gains"
    change = f"{change} {points}" if result.next_gap.gap else "loses nothing"
    if high > 0.05:
        return f"{where} {change}, which may be chance: too few dishes to tell."
    return f"{where} {change}: no sign that it looks at the table."


def meanings(result: BackgroundMetrics, classes: int) -> list[tuple[str, Proportion | Gap, str]]:
    """Name, figure and meaning of each line of a table for people, in their order."""
    other = "other" if classes == 2 else "next"
    alone, worst = result.only_bg, result.worst_group.worst
    lines: list[tuple[str, Proportion | Gap, str]] = [
        ("Original", result.original, "all photos as they are"),
        ("of these dishes", result.original_same_dishes, "those that are used below"),
        ("Mixed-Same", result.mixed_same, "on tables of its own class"),
        ("Mixed-Rand", result.mixed_rand, "on any other table"),
        ("Mixed-Next", result.mixed_next, f"on the {other} class's tables"),
        ("BG-Gap", result.bg_gap, "Mixed-Same less Mixed-Rand"),
        ("to Mixed-Next", result.next_gap, "Mixed-Same less Mixed-Next"),
        ("Only-BG", alone, f"no dish; majority is {alone.majority_rate:.1%}"),
    ]
    if worst:
        lines.append(("worst group", worst, f"{worst.label}, kind of table {worst.kind}"))
    everywhere = result.worst_table
    lines.append(("worst table", everywhere, f"right on all of {everywhere.tables} tables"))
    return lines


def left_out(result: BackgroundMetrics) -> str:
    """How much was left out, in a plain sentence."""
    out, photos = result.left_out, result.original.photos
    return (
        f"Left out: {out.dishes} of {photos} dishes, which could not be cut out well, and"
        f" {out.tables} of {photos} tables, of which too little is seen."
    )
