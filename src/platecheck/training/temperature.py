"""Temperature scaling: Guo et al., On Calibration of Modern Neural Networks, 2017, 4.2."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def fit_temperature(
    logits: NDArray[np.floating], labels: NDArray[np.integer], *, cautious: bool = False
) -> float:
    """Return the temperature that minimizes the cross-entropy of ``logits / temperature``.

    It is searched in [0.05, 20]: if all photos are classified correctly, it would otherwise go
    to 0.

    Args:
        logits: [N, classes], of validation photos.
        labels: [N].
        cautious: use Platt's smoothed target (n + 1) / (n + 2) for a class with n photos, and
            share the rest among the others (Platt, Probabilistic outputs for support vector
            machines, 1999, section 2.2), so that a few photos, nearly all correct, do not make
            the model overconfident.
    """
    targets = np.zeros(logits.shape)
    for index in range(logits.shape[1]):
        of_class = labels == index
        count = int(of_class.sum())
        aim = (count + 1) / (count + 2) if cautious else 1.0
        targets[of_class] = (1 - aim) / max(1, logits.shape[1] - 1)
        targets[of_class, index] = aim

    def cross_entropy(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-(targets * scores).sum(axis=1).mean())

    found = minimize_scalar(cross_entropy, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return float(np.exp(found.x))
