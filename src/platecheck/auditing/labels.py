"""Find probable label errors with a cross-validated model.

Northcutt et al., Confident learning: estimating uncertainty in dataset labels, 2021 (cleanlab).
"""

from collections.abc import Sequence

import numpy as np
from cleanlab.filter import find_label_issues
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from platecheck.auditing.features import PhotoFeatures
from platecheck.auditing.findings import Finding, Severity
from platecheck.auditing.shortcuts import enough, folds

# A less probable label is always reported: on nearly clean, well separated data, cleanlab's own
# thresholds are too strict to find wrong labels.
MIN_PROBABILITY = 0.3
# Inverse regularization strength: many features, few photos.
_C = 0.05

Floats = NDArray[np.floating]


def cross_validated(
    features: Sequence[PhotoFeatures],
    groups: Sequence[int],
    predictions: Floats | None,
    *,
    seed: int = 0,
) -> Floats | None:
    """Predict each photo's class probabilities with a model that was not trained on it.

    The model is a logistic regression on colours, texture and blemishes of the dish and, if given,
    on a classifier's predictions [photos, its classes]. Near-identical photos share a group number
    and a fold. Returns [photos, classes]; None if a class has too few different photos.
    """
    labels = np.array([item.photo.label for item in features])
    numbers = np.asarray(groups)
    if not enough(labels, numbers, int(labels.max()) + 1):
        return None
    values = np.array([item.dish for item in features], float)
    if predictions is not None:
        values = np.hstack([values, np.log(np.clip(predictions, 1e-4, 1))])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=_C, class_weight="balanced", max_iter=2000)
    )
    probabilities: Floats = cross_val_predict(
        model, values, labels, groups=numbers, cv=folds(seed), method="predict_proba"
    )
    return probabilities


def label_findings(
    features: Sequence[PhotoFeatures], probabilities: Floats, classes: Sequence[str]
) -> list[Finding]:
    """Return a warning per probable label error, the least probable label first.

    `probabilities` are those of `cross_validated`.
    """
    labels = np.array([item.photo.label for item in features])
    of_label = probabilities[np.arange(len(labels)), labels]
    issues = find_label_issues(labels, probabilities, filter_by="both", n_jobs=1)
    issues = issues | (of_label < MIN_PROBABILITY)
    findings = []
    for at in sorted(np.flatnonzero(issues).tolist(), key=lambda at: float(of_label[at])):
        predicted = int(probabilities[at].argmax())
        label, prediction = classes[labels[at]], classes[predicted]
        percent = f"{probabilities[at][predicted]:.0%}"
        message = f"The photo is labelled '{label}' but predicted '{prediction}' ({percent})."
        probability = round(float(of_label[at]), 4)
        details = {"label": label, "likely": prediction, "probability_of_label": probability}
        findings.append(features[at].finding("label", Severity.WARNING, message, **details))
    return findings
