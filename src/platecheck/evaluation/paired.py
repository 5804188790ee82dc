"""Whether one model is better than another, judged on the same photos."""

from dataclasses import asdict, dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from platecheck.evaluation.metrics import wilson_interval


@dataclass(frozen=True)
class Comparison:
    """How often two models, A and B, are right on the same photos.

    Attributes:
        both: photos that both get right.
        only_a: that A alone gets right.
        only_b: that B alone gets right.
        neither: that neither gets right.
    """

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def photos(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def difference(self) -> float:
        """Accuracy of B less that of A, in [-1, 1]."""
        return (self.only_b - self.only_a) / self.photos

    @property
    def p_value(self) -> float:
        """Chance of so uneven a count of `only_a` and `only_b`, or more, if the models were equal.

        McNemar's test, exact (binomial, two-sided): McNemar, Note on the sampling error of the
        difference between correlated proportions or percentages, 1947.
        """
        changed = self.only_a + self.only_b
        return float(binomtest(self.only_b, changed).pvalue) if changed else 1.0

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the difference.

        Newcombe, Improved confidence intervals for the difference between binomial proportions
        based on paired data, 1998, method 10: Wilson's intervals of both accuracies, joined with
        their correlation.
        """
        n = self.photos
        right_a, right_b = self.both + self.only_a, self.both + self.only_b
        (low_a, high_a), (low_b, high_b) = (wilson_interval(k, n) for k in (right_a, right_b))
        a, b = right_a / n, right_b / n
        correlation = self._correlation(right_a, right_b)

        def distance(x: float, y: float) -> float:
            return sqrt(max(0.0, x**2 - 2 * correlation * x * y + y**2))

        return (
            self.difference - distance(b - low_b, high_a - a),
            self.difference + distance(high_b - b, a - low_a),
        )

    def _correlation(self, right_a: int, right_b: int) -> float:
        """Of being right, with Newcombe's correction for continuity."""
        n = self.photos
        margins = right_a * (n - right_a) * right_b * (n - right_b)
        if margins == 0:
            return 0.0
        product: float = self.both * self.neither - self.only_a * self.only_b
        if product > 0:
            product = max(0, product - n / 2)
        return product / sqrt(margins)

    @property
    def verdict(self) -> str:
        """``better`` or ``worse``: B than A, where p is below 0.05; else ``not told apart``."""
        if self.p_value >= 0.05:
            return "not told apart"
        return "better" if self.difference > 0 else "worse"

    def not_worse(self, margin: float) -> bool:
        """Whether B is at most `margin` less accurate than A: the whole interval is above that.

        A test of non-inferiority, as Piaggio and others, Reporting of noninferiority and
        equivalence randomized trials, 2012, describe it.
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


def compare(right_a: NDArray[np.bool_], right_b: NDArray[np.bool_]) -> Comparison:
    """Compare two models by what each gets right, photo by photo.

    Args:
        right_a: [N], N at least 1.
        right_b: [N], of the same photos.

    Raises:
        ValueError: the lengths differ, or there is no photo.
    """
    if right_a.shape != right_b.shape or right_a.size == 0:
        raise ValueError(f"cannot pair {right_a.size} answers with {right_b.size}")
    return Comparison(
        both=int((right_a & right_b).sum()),
        only_a=int((right_a & ~right_b).sum()),
        only_b=int((~right_a & right_b).sum()),
        neither=int((~right_a & ~right_b).sum()),
    )
