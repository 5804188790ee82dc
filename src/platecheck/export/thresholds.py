"""When to answer and when to say *unsure*, so that a promise is kept.

Of the dishes called clean, at most a stated share is dirty; and the same for every class. A
threshold on the class's probability keeps it, chosen by conformal selection (Jin and Candès,
Selection by prediction with conformal p-values, 2023): for a photo of another class, exchangeable
with the n validation photos of other classes, the chance to be given the class is at most
(1 + k) / (n + 1), where k of those n are. This holds for any model and any n; it is the conformal
risk control (Angelopoulos et al., 2022) of that error. Multiplied with the share of other classes
and divided by the share of photos that are given the class, both as in validation, it bounds the
share of wrong answers among those of the class.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from platecheck.model_info import ErrorGuarantee

# A threshold above every probability: the class is never answered.
NEVER = 1.1


def choose_thresholds(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    wrong: Mapping[str, float],
) -> tuple[dict[str, float], ErrorGuarantee]:
    """The least thresholds that keep a promise.

    Args:
        probabilities: [N, classes], calibrated, of photos that the model did not learn from.
        labels: [N].
        classes: names.
        wrong: by class, the largest share of wrong answers among those of this class, in (0, 1].

    Returns:
        By class the least probability to answer with (`NEVER` where no threshold keeps the
        promise: there are too few photos, or too many mistakes), and the promise.
    """
    answers = probabilities.argmax(axis=1)
    thresholds = {
        name: _threshold(probabilities[:, index], answers == index, labels != index, wrong[name])
        for index, name in enumerate(classes)
    }
    least = np.array([thresholds[name] for name in classes])
    answered = probabilities.max(axis=1) >= least[answers]
    guarantee = ErrorGuarantee(
        wrong={name: wrong[name] for name in classes},
        shares={name: float((labels == index).mean()) for index, name in enumerate(classes)},
        photos=len(labels),
        answered=float(answered.mean()),
    )
    return thresholds, guarantee


def worst_view(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    owners: NDArray[np.integer],
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Of several views of each dish, the one that its own class is least probable in.

    A dish on two tables is one dish: counted twice, it would make the promise look safer than it
    is. What holds for its worst view holds for each.

    Args:
        probabilities: [N, classes].
        labels: [N].
        owners: [N], which of M dishes each is a view of.

    Returns:
        Probabilities [M, classes] and labels [M].
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    rows = np.lexsort((own, owners))
    _, first = np.unique(owners[rows], return_index=True)
    worst = rows[first]
    return probabilities[worst], labels[worst]


def _threshold(
    scores: NDArray[np.floating],
    given: NDArray[np.bool_],
    other: NDArray[np.bool_],
    allowed: float,
) -> float:
    """Least threshold for one class, of probability `scores` [N]; `other`: photos of others."""
    if allowed >= 1:  # nothing is promised
        return 0.0
    best = NEVER
    share_of_others = other.mean()
    for threshold in np.unique(scores[given])[::-1]:
        named = given & (scores >= threshold)
        chance = (1 + int((named & other).sum())) / (int(other.sum()) + 1)
        # What is bounded may rise again further down: every threshold is tried.
        if chance * share_of_others / named.mean() <= allowed:
            best = float(threshold)
    return best
