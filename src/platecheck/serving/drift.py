"""How far what is asked now is from what the model was judged on.

The population stability index, sum of (p - q) ln(p / q) over bins, of the last answers against the
validation photos (Siddiqi, Credit Risk Scorecards, 2006, chapter 9; as customary, below 0.1 nothing
has changed, above 0.25 look at the photos). Once for the answers, a bin each; once for the
features, by their Mahalanobis distance from those that the model learnt from, in bins that hold a
tenth of the validation photos each.
"""

import threading
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Sequence
from math import log

from platecheck.classifier import Prediction
from platecheck.model_info import Reference

# Answers looked back on, and the least from which a distance says something.
WINDOW, LEAST = 1000, 100


class Drift:
    """A running comparison of the last :data:`WINDOW` answers with validation's."""

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._labels: deque[str] = deque(maxlen=WINDOW)
        self._oddness: deque[int] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()

    def add(self, prediction: Prediction) -> None:
        """Take an answer into account; photos that could not be opened do not count."""
        if prediction.error:
            return
        with self._lock:
            self._labels.append(prediction.label)
            if prediction.oddness is not None and self._reference.oddness_deciles:
                self._oddness.append(
                    bisect_right(self._reference.oddness_deciles, prediction.oddness)
                )

    def answers(self) -> float | None:
        """Distance of the answers' distribution; None before there are :data:`LEAST`."""
        with self._lock:
            seen = Counter(self._labels)
        bins = sorted(set(seen) | set(self._reference.answers))
        return _stability(
            [seen[name] for name in bins], [self._reference.answers.get(name, 0) for name in bins]
        )

    def features(self) -> float | None:
        """Distance of the features' distribution; None where the model does not tell."""
        with self._lock:
            seen = Counter(self._oddness)
        bins = len(self._reference.oddness_deciles) + 1
        return _stability([seen[number] for number in range(bins)], [1] * bins)


def population_stability_index(p: Sequence[float], q: Sequence[float]) -> float:
    """Population stability index of two distributions over the same bins, all above 0."""
    return sum((a - b) * log(a / b) for a, b in zip(p, q, strict=True))


def _stability(seen: Sequence[int], expected: Sequence[int]) -> float | None:
    if sum(seen) < LEAST:
        return None
    return population_stability_index(_shares(seen), _shares(expected))


def _shares(counts: Sequence[int]) -> list[float]:
    """Shares, none of them 0: half a photo is added to each bin."""
    total = sum(counts) + len(counts) / 2
    return [(count + 0.5) / total for count in counts]
