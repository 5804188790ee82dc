"""Labels that are probably wrong: photos that a cross-validated model would file elsewhere.

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

from platecheck.audit.features import PhotoFeatures
from platecheck.audit.findings import Finding, Severity
from platecheck.audit.shortcuts import enough, folds

# A label that gets less than this is doubted whatever cleanlab says: where nearly all is right and
# the classes are well apart, cleanlab asks for more certainty than a wrong label leaves.
DOUBTED = 0.3
# Strength of the regression's regularisation: many features, few photos.
_C = 0.05

Floats = NDArray[np.floating]


def cross_validated(
    features: Sequence[PhotoFeatures],
    groups: Sequence[int],
    answers: Floats | None,
    *,
    seed: int = 0,
) -> Floats | None:
    """Probabilities of each photo's classes, by a model that has not seen the photo.

    Logistic regression on colours, texture and blemishes of the dish and, where given, on the
    answers of a classifier.

    Args:
        looks: of all photos.
        groups: number of each photo's group of near-identical photos, which share a fold.
        answers: of a classifier, [photos, its classes], each row sums to 1.
        seed: of the folds.

    Returns:
        [photos, classes], each row sums to 1; None where a class has too few different
        photos.
    """
    labels = np.array([photo_features.photo.label for photo_features in features])
    numbers = np.asarray(groups)
    if not enough(labels, numbers, int(labels.max()) + 1):
        return None
    values = np.array([photo_features.dish for photo_features in features], float)
    if answers is not None:
        values = np.hstack([values, np.log(np.clip(answers, 1e-4, 1))])
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=_C, class_weight="balanced", max_iter=2000)
    )
    found: Floats = cross_val_predict(
        model, values, labels, groups=numbers, cv=folds(seed), method="predict_proba"
    )
    return found


def label_findings(
    features: Sequence[PhotoFeatures], probabilities: Floats, classes: Sequence[str]
) -> list[Finding]:
    """A warning for each photo whose label is probably wrong, the least likely label first.

    Args:
        looks: of all photos.
        probabilities: from :func:`cross_validated`.
        classes: names.
    """
    labels = np.array([photo_features.photo.label for photo_features in features])
    of_label = probabilities[np.arange(len(labels)), labels]
    doubted = find_label_issues(labels, probabilities, filter_by="both", n_jobs=1)
    doubted = doubted | (of_label < DOUBTED)
    findings = []
    for at in sorted(np.flatnonzero(doubted).tolist(), key=lambda at: float(of_label[at])):
        likely = int(probabilities[at].argmax())
        filed, seen = classes[labels[at]], classes[likely]
        share = f"{probabilities[at][likely]:.0%}"
        words = f"The photo is filed as '{filed}' but looks '{seen}' ({share})."
        probability = round(float(of_label[at]), 4)
        details = {"label": filed, "likely": seen, "probability_of_label": probability}
        name = features[at].photo.name
        findings.append(Finding("label", Severity.WARNING, words, (name,), details))
    return findings
