"""Temperature scaling: Guo et al., On Calibration of Modern Neural Networks, 2017, 4.2."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The temperature that minimises the cross-entropy of ``logits / temperature``.

    It changes no answer, only how sure the answers are. Searched in [0.05, 20]: photos that are
    all answered right would otherwise drive it to 0.

    Args:
        logits: [N, classes], of validation photos.
        labels: [N].
    """

    def cross_entropy(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scores[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(cross_entropy, bounds=(math.log(0.05), math.log(20)), method="bounded")
    return float(np.exp(found.x))
