"""Calibration of logits: temperature scaling, and Platt scaling for models of robust recipes."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax, softmax

BOUNDS = (math.log(0.05), math.log(20))  # of the logarithm of the temperature


class Scaling(NamedTuple):
    """Calibrated probabilities are the softmax of ``logits / temperature + bias``."""

    temperature: float = 1.0
    bias: tuple[float, ...] = (0.0,)  # one for each class, or one for all

    def toward(self, other: "Scaling", share: float) -> "Scaling":
        """Return the scaling between this (`share` 0) and another (1)."""
        ratio = other.temperature / self.temperature
        biases = zip(*np.broadcast_arrays(self.bias, other.bias), strict=True)
        bias = tuple(float(ours + share * (theirs - ours)) for ours, theirs in biases)
        return Scaling(self.temperature * ratio**share, bias)


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature that minimizes the cross-entropy of ``logits / temperature``.

    It is searched in [0.05, 20]: if all photos are classified correctly, it would otherwise go
    to 0 (Guo et al., On Calibration of Modern Neural Networks, 2017, 4.2).

    Args:
        logits: [N, classes], of validation photos.
        labels: [N].
    """

    def cross_entropy(log_temperature: float) -> float:
        scores = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scores[np.arange(len(labels)), labels].mean())

    found = minimize_scalar(cross_entropy, bounds=BOUNDS, method="bounded")
    return float(np.exp(found.x))


def fit_platt(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Scaling:
    """Fit temperature and bias with every class weighted equally.

    So the probabilities are those of a photo that is as likely to be of one class as of another,
    whatever the validation photos are. The target of a class with n photos is (n + 1) / (n + 2),
    the rest is shared among the others (Platt, Probabilistic outputs for support vector machines,
    1999, section 2.2), so that a few photos, nearly all correct, do not make the model
    overconfident.

    Args:
        logits: [N, classes], of validation photos.
        labels: [N].
    """
    logits = logits.astype(np.float64)
    classes = logits.shape[1]
    counts = np.bincount(labels, minlength=classes)
    aim = (counts + 1) / (counts + 2)
    others = (1 - aim) / max(1, classes - 1)
    targets = np.where(
        labels[:, None] == np.arange(classes), aim[labels, None], others[labels, None]
    )
    weights = targets / counts[labels, None] / np.count_nonzero(counts)

    def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scores = logits / np.exp(parameters[0]) + parameters[1:]
        error = weights.sum(axis=1, keepdims=True) * softmax(scores, axis=1) - weights
        slope = -float((error * logits).sum() / np.exp(parameters[0]))
        return -float((weights * log_softmax(scores, axis=1)).sum()), np.array(
            [slope, *error.sum(axis=0)]
        )

    start = np.array([math.log(fit_temperature(logits, labels)), *np.zeros(classes)])
    found = minimize(loss, start, jac=True, bounds=[BOUNDS, *[(-5.0, 5.0)] * classes])
    bias = found.x[1:] - found.x[1:].mean()
    return Scaling(float(np.exp(found.x[0])), tuple(map(float, bias)))
