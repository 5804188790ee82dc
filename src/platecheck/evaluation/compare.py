"""Compare two models on the same photos."""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from platecheck.evaluation.metrics import wilson_interval


@dataclass(frozen=True)
class Comparison:
    """Paired counts of photos that models A and B both, or only one or neither, got right."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def photos(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of B minus that of A, in [-1, 1]."""
        return (self.only_b - self.only_a) / self.photos

    @property
    def p_value(self) -> float:
        """P-value of McNemar's exact test (binomial, two-sided).

        McNemar, Note on the sampling error of the
        difference between correlated proportions or percentages, 1947.
        """
        changed = self.only_a + self.only_b
        return float(binomtest(self.only_b, changed).pvalue) if changed else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference.

        Newcombe, Improved confidence intervals for the difference between binomial proportions
        based on paired data, 1998, method 10: Wilson intervals of both accuracies, combined with
        their correlation.
        """
        n = self.photos
        correct_a, correct_b = self.both + self.only_a, self.both + self.only_b
        (low_a, high_a), (low_b, high_b) = (wilson_interval(k, n) for k in (correct_a, correct_b))
        a, b = correct_a / n, correct_b / n
        correlation = self._correlation(correct_a, correct_b)

        def distance(x: float, y: float) -> float:
            return sqrt(max(0.0, x**2 - 2 * correlation * x * y + y**2))

        return (
            self.difference - distance(b - low_b, high_a - a),
            self.difference + distance(high_b - b, a - low_a),
        )

    def _correlation(self, correct_a: int, correct_b: int) -> float:
        """Return the correlation of correctness, with Newcombe's continuity correction."""
        n = self.photos
        margins = correct_a * (n - correct_a) * correct_b * (n - correct_b)
        if margins == 0:
            return 0.0
        product: float = self.both * self.neither - self.only_a * self.only_b
        if product > 0:
            product = max(0, product - n / 2)
        return product / sqrt(margins)

    @property
    def verdict(self) -> str:
        """``better`` or ``worse`` (B than A) if p is below 0.05, else ``not told apart``."""
        if self.p_value >= 0.05:
            return "not told apart"
        return "better" if self.difference > 0 else "worse"

    def not_worse(self, margin: float) -> bool:
        """Return whether B is non-inferior: the whole interval lies above ``-margin``.

        Piaggio et al., Reporting of noninferiority and equivalence randomized trials, 2012.
        """
        return self.interval[0] > -margin

    def as_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "photos": self.photos,
            "difference": self.difference,
            "difference_ci95": list(self.interval),
            "p_value": self.p_value,
            "verdict": self.verdict,
        }


def compare(correct_a: NDArray[np.bool_], correct_b: NDArray[np.bool_]) -> Comparison:
    """Compare two models, given whether each is correct on each of N photos, [N].

    Raises:
        ValueError: the lengths differ, or N is 0.
    """
    if correct_a.shape != correct_b.shape or correct_a.size == 0:
        raise ValueError(f"cannot pair {correct_a.size} predictions with {correct_b.size}")
    return Comparison(
        both=int((correct_a & correct_b).sum()),
        only_a=int((correct_a & ~correct_b).sum()),
        only_b=int((~correct_a & correct_b).sum()),
        neither=int((~correct_a & ~correct_b).sum()),
    )
