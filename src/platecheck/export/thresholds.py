"""Decision thresholds, below which a prediction is *unsure*, with an error guarantee.

The guarantee: at most a given share of the dishes predicted clean are dirty; likewise for every
class. A threshold on the class's probability keeps it, chosen by conformal selection (Jin and
Candès, Selection by prediction with conformal p-values, 2023): for a photo of another class,
exchangeable with the n validation photos of other classes, the probability of being given the class
is at most (1 + k) / (n + 1), where k of those n are. This holds for any model and any n.
Multiplied by the share of other classes and divided by the share of photos given the class, both as
in validation, it bounds the share of wrong predictions of the class.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from platecheck.model_info import ErrorGuarantee

# A threshold above every probability: the class is never predicted.
NEVER = 1.1


def choose_thresholds(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    classes: Sequence[str],
    wrong: Mapping[str, float],
) -> tuple[dict[str, float], ErrorGuarantee]:
    """Choose the lowest thresholds that keep an error guarantee.

    Args:
        probabilities: [N, classes], calibrated, of photos that the model was not trained on.
        labels: [N].
        classes: class names.
        wrong: maximum error rate by predicted class, in (0, 1].

    Returns:
        By class the threshold (`NEVER` if none keeps the guarantee), and the guarantee.
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
    probabilities: NDArray[np.floating], labels: NDArray[np.integer], owners: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    """Select, for each dish, the view with the lowest probability of the true class.

    Views of one dish are not independent; counting each would overstate the sample size.

    `owners` [N] is the index of the dish, of M, that each of the probabilities [N, classes] is a
    view of. Returns probabilities [M, classes] and labels [M].
    """
    own = np.take_along_axis(probabilities, labels[:, None], axis=1)[:, 0]
    rows = np.lexsort((own, owners))
    _, first = np.unique(owners[rows], return_index=True)
    worst = rows[first]
    return probabilities[worst], labels[worst]


def _threshold(
    scores: NDArray[np.floating], given: NDArray[np.bool_], other: NDArray[np.bool_], allowed: float
) -> float:
    """Return the lowest threshold of one class on its probabilities [N].

    `given` [N]: it is the most probable class; `other` [N]: the photo is of another class.
    """
    if allowed >= 1:
        return 0.0
    best = NEVER
    share_of_others = other.mean()
    for threshold in np.unique(scores[given])[::-1]:
        named = given & (scores >= threshold)
        chance = (1 + int((named & other).sum())) / (int(other.sum()) + 1)
        # The bound is not monotonic in the threshold, so try all of them.
        if chance * share_of_others / named.mean() <= allowed:
            best = float(threshold)
    return best
