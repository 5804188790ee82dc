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
from collections.abc import Mapping, Sequence
from math import log
from typing import TypeVar

from platecheck.classifier import Prediction
from platecheck.model_info import Reference

# Answers looked back on, and the least from which a distance says something.
WINDOW, LEAST = 1000, 100

Bin = TypeVar("Bin", str, int)


class Drift:
    """A running comparison of the last `WINDOW` answers with validation's."""

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
            if prediction.ood_score is not None and self._reference.ood_deciles:
                self._oddness.append(
                    bisect_right(self._reference.ood_deciles, prediction.ood_score)
                )

    def answers(self) -> float | None:
        """Distance of the answers' distribution; None before there are `LEAST`."""
        with self._lock:
            seen = Counter(self._labels)
        return _stability(seen, self._reference.answers)

    def features(self) -> float | None:
        """Distance of the features' distribution; None where the model does not tell."""
        with self._lock:
            seen = Counter(self._oddness)
        tenths = range(len(self._reference.ood_deciles) + 1)
        return _stability(seen, dict.fromkeys(tenths, 1))


def population_stability_index(p: Sequence[float], q: Sequence[float]) -> float:
    """Population stability index of two distributions over the same bins, all above 0."""
    return sum((a - b) * log(a / b) for a, b in zip(p, q, strict=True))


def _stability(seen: Mapping[Bin, int], expected: Mapping[Bin, int]) -> float | None:
    if sum(seen.values()) < LEAST:
        return None
    bins = sorted(seen.keys() | expected.keys())
    # Half a photo is added to each bin, so that none is empty.
    counts = [[count.get(name, 0) + 0.5 for name in bins] for count in (seen, expected)]
    return population_stability_index(*([n / sum(each) for n in each] for each in counts))
