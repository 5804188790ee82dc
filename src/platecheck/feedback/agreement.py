"""How far reviewers agree."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two reviewers agree.

    Attributes:
        reviewers: their names, in alphabetical order.
        photos: that both decided.
        agreed: those of them that both decided alike.
        kappa: Cohen's kappa; None where it is not defined, as when both always said the same one.
    """

    reviewers: tuple[str, str]
    photos: int
    agreed: int
    kappa: float | None


def agreements(decisions: Mapping[str, Mapping[str, str]]) -> list[Agreement]:
    """For all two reviewers that have photos in common.

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
    """Photos of which reviewers said different things."""
    return [photo for photo, made in sorted(decisions.items()) if len(set(made.values())) > 1]


def cohens_kappa(pairs: Iterable[tuple[str, str]]) -> float | None:
    """Agreement beyond chance (Cohen, 1960): (observed - expected) / (1 - expected).

    Written out, since scikit-learn would be a large package to bring for one line.

    Returns:
        At most 1; 0 for what chance would give; None where chance alone gives 1.
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
