"""Independent review of feedback photos by several people."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

from platecheck.feedback.entry import Answer, Feedback
from platecheck.model_info import NO_DISH, UNSURE

Decisions = dict[str, dict[str, str]]
"""Labels by photo and reviewer."""


@dataclass(frozen=True, slots=True)
class Item:
    """A photo and all feedback on it, oldest first."""

    photo: str
    feedback: tuple[Feedback, ...]

    @property
    def disputed(self) -> bool:
        """Whether a user considers the prediction wrong; "unsure" is not wrong."""
        return any(each.answer.label not in (UNSURE, each.true_label) for each in self.feedback)

    @property
    def answer(self) -> Answer:
        return self.feedback[-1].answer


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two reviewers on the photos that both have labelled."""

    reviewers: tuple[str, str]
    photos: int
    agreed: int
    kappa: float | None  # see `cohens_kappa`


def review_queue(entries: Iterable[Feedback]) -> list[Item]:
    """Return each photo once: disputed predictions first, then by ascending probability."""
    by_photo: dict[str, list[Feedback]] = {}
    for entry in entries:
        by_photo.setdefault(entry.photo, []).append(entry)
    items = [Item(photo, tuple(each)) for photo, each in by_photo.items()]
    return sorted(items, key=lambda item: (not item.disputed, item.answer.probability, item.photo))


def known_labels(entries: Iterable[Feedback]) -> tuple[str, ...]:
    """Return the labels to choose from: all known classes, then "not a dish"."""
    classes = {name for each in entries for name in (*each.answer.probabilities, each.true_label)}
    return (*sorted(classes - {NO_DISH}), NO_DISH)


def agreements(decisions: Decisions) -> list[Agreement]:
    """Compute the agreement of each pair of reviewers with photos in common."""
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for made in decisions.values():
        for one, other in combinations(sorted(made), 2):
            pairs.setdefault((one, other), []).append((made[one], made[other]))
    return [
        Agreement(names, len(both), sum(a == b for a, b in both), cohens_kappa(both))
        for names, both in sorted(pairs.items())
    ]


def cohens_kappa(pairs: list[tuple[str, str]]) -> float | None:
    """Compute Cohen's kappa (1960): (observed - expected) / (1 - expected).

    0 is agreement by chance, 1 the maximum; None if chance alone gives 1.
    """
    ones, others = (Counter(labels) for labels in zip(*pairs, strict=True))
    total = len(pairs)
    observed = sum(one == other for one, other in pairs) / total
    by_chance = sum(count * others[label] for label, count in ones.items())
    if by_chance == total**2:
        return None
    expected = by_chance / total**2
    return (observed - expected) / (1 - expected)
