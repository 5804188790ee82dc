"""How often a probe is right, and whether that is more than luck."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from platecheck.audit.probes import PROBES
from platecheck.evaluation.metrics import wilson_interval

# A probe must beat chance by this much of the balanced accuracy, beyond what luck explains: dirt
# on the rim of a dish, or a shadow, may tell a little.
MARGIN = 0.05
# Chance that any probe at all is called a shortcut by luck, in a set that has none.
ALPHA = 0.05

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Score:
    """How often a probe was right.

    Attributes:
        photos: how many it answered.
        correct: how many of them rightly.
        interval: Wilson's 95 % interval of the share.
        majority: share of the commonest class: what no look at all gives.
        balanced: balanced accuracy, the mean over classes of the share found.
        balanced_low: what the balanced accuracy exceeds, all probes considered, unless by luck.
        chance: 1 / number of classes, the balanced accuracy of a guess.
    """

    photos: int
    correct: int
    interval: tuple[float, float]
    majority: float
    balanced: float
    balanced_low: float
    chance: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.photos

    @property
    def tells(self) -> bool:
        """Whether the class can be told this way, by more than luck and :data:`MARGIN`."""
        return self.balanced_low > self.chance + MARGIN


def score(labels: Ints, answers: Ints, classes: int) -> Score:
    """Compare answers with labels.

    The lower end of the balanced accuracy combines the classes' Wilson intervals (Zou and Donner,
    Construction of confidence intervals about effect measures, 2008), one-sided, and at a level
    divided by the number of questions asked: two a probe (Bonferroni).

    Args:
        labels: [N] index of the true class; each class occurs.
        answers: [N] index of the class answered.
        classes: how many there are.
    """
    correct = int((labels == answers).sum())
    counts = np.bincount(labels, minlength=classes)
    rates = np.array([(answers[labels == k] == k).mean() for k in range(classes)])
    z = float(norm.isf(ALPHA / (2 * len(PROBES))))
    lows = _wilson_low(rates, counts, z)
    return Score(
        photos=len(labels),
        correct=correct,
        interval=wilson_interval(correct, len(labels)),
        majority=float(counts.max() / len(labels)),
        balanced=float(rates.mean()),
        balanced_low=float(rates.mean() - np.sqrt(((rates - lows) ** 2).sum()) / classes),
        chance=1 / classes,
    )


def _wilson_low(rates: Floats, counts: Ints, z: float) -> Floats:
    middle = rates + z**2 / (2 * counts)
    reach = z * np.sqrt(rates * (1 - rates) / counts + z**2 / (4 * counts**2))
    low: Floats = (middle - reach) / (1 + z**2 / counts)
    return low
