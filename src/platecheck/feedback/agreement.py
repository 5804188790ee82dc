"""Inter-rater agreement of reviewers."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of two reviewers.

    Attributes:
        reviewers: their names, in alphabetical order.
        photos: number of photos labelled by both.
        agreed: number of photos with the same label.
        kappa: Cohen's kappa; None if undefined, as when both used a single label.
    """

    reviewers: tuple[str, str]
    photos: int
    agreed: int
    kappa: float | None


def agreements(decisions: Mapping[str, Mapping[str, str]]) -> list[Agreement]:
    """Compute the agreement of each pair of reviewers with photos in common.

    Args:
        decisions: labels by photo and reviewer.
    """
    pairs: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for made in decisions.values():
        for one, other in combinations(sorted(made), 2):
            pairs.setdefault((one, other), []).append((made[one], made[other]))
    return [
        Agreement(names, len(both), sum(a == b for a, b in both), cohens_kappa(both))
        for names, both in sorted(pairs.items())
    ]


def disagreed(decisions: Mapping[str, Mapping[str, str]]) -> list[str]:
    """Return the photos that reviewers labelled differently."""
    return [photo for photo, made in sorted(decisions.items()) if len(set(made.values())) > 1]


def cohens_kappa(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Compute Cohen's kappa (1960): (observed - expected) / (1 - expected).

    Implemented here to avoid a dependency on scikit-learn.

    Returns:
        A value up to 1; 0 is agreement by chance; None if chance alone gives 1.
    """
    both = list(pairs)
    ones, others = (Counter(labels) for labels in zip(*both, strict=True))
    total = len(both)
    observed = sum(one == other for one, other in both) / total
    by_chance = sum(count * others[label] for label, count in ones.items())
    if by_chance == total**2:
        return None
    expected = by_chance / total**2
    return (observed - expected) / (1 - expected)
