"""Compare boxes that were found with those that are there, with NumPy only."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platecheck.detector import iou, suppress

LEAST_SCORE = 0.01  # boxes with a lower score are not looked at
MOST_BOXES = 300
MATCH_IOU = 0.5

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Matched:
    """The boxes found in one photo, best first.

    Attributes:
        scores: [D].
        hits: bool [D], whether it is a dish that no better box has found.
        total: number of dishes.
    """

    scores: Floats
    hits: NDArray[np.bool_]
    total: int


def best_boxes(boxes: Floats, scores: Floats, nms_iou: float) -> tuple[Floats, Floats]:
    """Return the boxes [D, 4] and scores [D] that non-maximum suppression leaves, best first."""
    order = np.argsort(-scores, kind="stable")[:MOST_BOXES]
    order = order[scores[order] >= LEAST_SCORE]
    kept = order[suppress(boxes[order], nms_iou)]
    return boxes[kept], scores[kept]


def match(
    boxes: Floats, scores: Floats, truth: Floats, *, complete: bool = True, limit: float = MATCH_IOU
) -> Matched:
    """Match boxes [D, 4], best first, with the dishes [M, 4], each with the best that is left.

    Unless every dish of the photo is in `truth`, boxes that match none are left out.
    """
    free = np.ones(len(truth), np.bool_)
    hits = np.zeros(len(boxes), np.bool_)
    for index, box in enumerate(boxes):
        overlaps = np.where(free, iou(box, truth), 0)
        if len(truth) and overlaps.max() >= limit:
            hits[index] = True
            free[overlaps.argmax()] = False
    counted = hits | complete
    return Matched(scores[counted], hits[counted], len(truth))


def precision_recall(found: list[Matched]) -> tuple[Floats, Floats, Floats]:
    """Return scores, precision and recall [D] if all boxes with at least that score are kept."""
    scores = np.concatenate([each.scores for each in found] or [np.zeros(0, np.float32)])
    hits = np.concatenate([each.hits for each in found] or [np.zeros(0, np.bool_)])
    order = np.argsort(-scores, kind="stable")
    right = hits[order].cumsum()
    total = sum(each.total for each in found)
    precision = right / np.arange(1, len(order) + 1)
    return scores[order], precision.astype(np.float32), (right / max(1, total)).astype(np.float32)


def average_precision(found: list[Matched]) -> float:
    """Return the area under the precision-recall curve, with precision made monotonic."""
    _, precision, recall = precision_recall(found)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall, prepend=0.0) * envelope).sum())
