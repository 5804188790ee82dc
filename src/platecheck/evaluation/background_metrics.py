"""Background-swap metrics and their description.

Mixed-Same, Mixed-Rand, Mixed-Next, BG-Gap and Only-BG are defined in Xiao, Engstrom, Ilyas and
Madry, *Noise or Signal: the role of image backgrounds in object recognition* (2020); worst-group
accuracy in Sagawa, Koh, Hashimoto and Liang, *Distributionally robust neural networks for group
shifts* (2020).
"""

from typing import Any

from pydantic import model_serializer

from platecheck.evaluation.metrics import Frozen, Proportion


class Accuracy(Proportion):
    """Correct predictions; a proportion with other names in JSON, and the fields of subclasses."""

    @model_serializer
    def _as_json(self) -> dict[str, Any]:
        own: dict[str, Any] = {"photos": self.total, "correct": self.count}
        own |= {"accuracy": self.value, "accuracy_ci95": self.interval}
        added = [name for name in type(self).model_fields if name not in Proportion.model_fields]
        return own | {name: getattr(self, name) for name in added}

    def cells(self) -> tuple[str, str, str]:
        """Return count, value and interval for display."""
        low, high = (100 * end for end in self.interval or (0, 1))
        return f"{self.count}/{self.total}", f"{self.value or 0:.1%}", f"{low:.1f}–{high:.1f}%"


class OnlyBackground(Accuracy):
    """Photos with their dish removed; correct means predicted as the removed dish's class."""

    majority_rate: float  # proportion of the most frequent class


class AccuracyGap(Frozen):
    """Difference of two accuracies on the same dishes, in [-1, 1].

    `gap_ci95` is the 95 % percentile interval of a paired bootstrap over the dishes.
    """

    photos: int
    gap: float
    gap_ci95: tuple[float, float]

    def cells(self) -> tuple[str, str, str]:
        """Return an empty count, value and interval for display."""
        low, high = (100 * end for end in self.gap_ci95)
        return "", f"{100 * self.gap:+.1f} points", f"{low:+.1f} to {high:+.1f}"


class GroupAccuracy(Accuracy):
    """Original photos of one class in one background group (`WorstGroup.kinds`), from 1."""

    label: str
    kind: int


class BackgroundGroup(Frozen):
    """A cluster of backgrounds, and the mean color of its borders as ``#rrggbb``."""

    kind: int
    colour: str
    photos: int


class WorstGroup(Frozen):
    """The group with the lowest accuracy among those large enough; None if all are small.

    `groups` also lists the small ones, and `kinds` the background groups.
    """

    accuracy: float | None
    worst: GroupAccuracy | None
    groups: list[GroupAccuracy]
    kinds: list[BackgroundGroup]


class WorstBackground(Accuracy):
    """Dishes classified correctly on every one of `tables` backgrounds."""

    tables: int


class LeftOut(Frozen):
    """Photos that were not used."""

    dishes: int  # photos whose dish was not moved, nearly always for lack of a good mask
    tables: int  # photos whose background was not used: no good mask, or too little background


class BackgroundMetrics(Frozen):
    """Background-swap metrics; its JSON has exactly these keys."""

    split: str
    seed: int
    original: Accuracy  # all original photos
    original_same_dishes: Accuracy  # original photos of the dishes that were moved
    mixed_same: Accuracy  # those dishes, each on a background from another photo of its class
    mixed_rand: Accuracy  # on a background from any other photo
    mixed_next: Accuracy  # on a background from the next class; with two classes, the other one
    bg_gap: AccuracyGap  # Mixed-Same minus Mixed-Rand
    next_gap: AccuracyGap  # Mixed-Same minus Mixed-Next
    only_bg: OnlyBackground
    worst_group: WorstGroup
    worst_table: WorstBackground
    ece_original_and_mixed_rand: float  # 15 bins, `original_same_dishes` and `mixed_rand` together
    left_out: LeftOut

    def verdict(self, classes: int) -> str:
        """Return a sentence that says whether the model depends on the background."""
        where = f"On the {'other' if classes == 2 else 'next'} class's backgrounds it"
        gap, (low, high) = self.next_gap.gap, self.next_gap.gap_ci95
        points = f"{100 * abs(gap):.1f}".removesuffix(".0")
        points += " point" if points == "1" else " points"
        if low > 0:
            degree = "" if gap >= 0.05 else " slightly"
            return f"{where} loses {points}: it{degree} depends on the background."
        change = f"{'loses' if gap > 0 else 'gains'} {points}" if gap else "loses nothing"
        if high > 0.05:
            return f"{where} {change}, not statistically significant: too few dishes."
        return f"{where} {change}: no sign that it depends on the background."

    def rows(self, classes: int) -> list[tuple[str, str, str, str, str]]:
        """Return a table for display: name, count, value, interval, description."""
        other = "other" if classes == 2 else "next"
        only, worst, everywhere = self.only_bg, self.worst_group.worst, self.worst_table
        metrics: list[tuple[str, Accuracy | AccuracyGap, str]] = [
            ("Original", self.original, "all photos, unchanged"),
            ("of these dishes", self.original_same_dishes, "those used below"),
            ("Mixed-Same", self.mixed_same, "on backgrounds of the same class"),
            ("Mixed-Rand", self.mixed_rand, "on any other background"),
            ("Mixed-Next", self.mixed_next, f"on the {other} class's backgrounds"),
            ("BG-Gap", self.bg_gap, "Mixed-Same − Mixed-Rand"),
            ("to Mixed-Next", self.next_gap, "Mixed-Same − Mixed-Next"),
            ("Only-BG", only, f"dish removed; majority class {only.majority_rate:.1%}"),
        ]
        if worst:
            metrics.append(("worst group", worst, f"{worst.label}, background group {worst.kind}"))
        description = f"correct on all of {everywhere.tables} backgrounds"
        metrics.append(("worst background", everywhere, description))
        ece = f"{self.ece_original_and_mixed_rand:.3f}"
        return [
            *((name, *metric.cells(), text) for name, metric, text in metrics),
            ("calibration error", "", ece, "", "15 bins, Original and Mixed-Rand"),
        ]

    def describe_left_out(self) -> str:
        """Return a sentence on the photos that were not used."""
        photos = self.original.total
        return (
            f"Left out: {self.left_out.dishes} of {photos} dishes without a good mask, and"
            f" {self.left_out.tables} of {photos} backgrounds of which too little is visible."
        )
