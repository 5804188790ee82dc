"""Which position learns which box, and the losses of scores and boxes."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

RADIUS = 1.5  # a box is learnt by the positions this close to its centre, in strides
# Longer sides, in strides, of the boxes of a level; boxes between two levels belong to both.
SIDES = (0.0, 10.0), (4.0, 10.0), (4.0, float("inf"))
SEEN = 0.1  # unlabelled positions with a higher score may be dishes that nobody has boxed
BOX_WEIGHT = 2.0


class Target(NamedTuple):
    """Boxes of a photo.

    Attributes:
        boxes: [M, 4], x0 y0 x1 y1 in pixels.
        learn: bool [M]; False for what is left of a dish that is mostly outside the photo: it is
            neither dish nor background.
        complete: whether every dish in the photo has a box.
    """

    boxes: Tensor
    learn: Tensor
    complete: bool


def detection_loss(
    logits: Tensor, boxes: Tensor, positions: Tensor, targets: list[Target]
) -> tuple[Tensor, Tensor]:
    """Return the losses of scores and of boxes, per position that learns a box.

    Args:
        logits: [N, A].
        boxes: predicted [N, A, 4], in pixels.
        positions: [A, 3], from `DishDetector`.
        targets: of N photos.
    """
    quality, known = torch.zeros_like(logits), torch.ones_like(logits, dtype=torch.bool)
    overlaps, count = [], 0
    for index, target in enumerate(targets):
        owner, inside = assign(positions, target)
        learns = owner >= 0
        if learns.any():
            wanted, found = target.boxes[owner[learns]], boxes[index, learns]
            iou, generalized = box_iou(found, wanted)
            quality[index, learns] = iou.detach().clamp(0, 1)
            overlaps.append(1 - generalized)
            count += int(learns.sum())
        known[index] = learns | ~inside
        if not target.complete:
            suspected = logits[index].detach().sigmoid() > SEEN
            anywhere = _contains(positions, target.boxes).any(dim=1)
            known[index] &= learns | anywhere | ~suspected
    error = nn.functional.binary_cross_entropy_with_logits(logits, quality, reduction="none")
    focal = error * (logits.sigmoid() - quality).abs().square()
    scored = (focal * known).sum() / max(1, count)
    fitted = torch.cat(overlaps).mean() if overlaps else boxes.sum() * 0
    return scored, BOX_WEIGHT * fitted


def assign(positions: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Return the index of the box that each position learns, or -1, and which are to be ignored.

    A position learns the smallest box that fits its level and whose centre is near.

    Args:
        positions: [A, 3].
        target: with M boxes.

    Returns:
        Indices int64 [A], and bool [A]: inside a box that is not to be learnt.
    """
    boxes = target.boxes
    if not len(boxes):
        return torch.full((len(positions),), -1, device=positions.device), _nowhere(positions)
    stride = positions[:, 2:]
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    # Every box has a position that learns it, however small it is.
    reach = torch.minimum(RADIUS * stride[:, None], torch.maximum(sizes, stride[:, None]) / 2)
    near = (positions[:, None, :2] - centres).abs() <= reach
    longest = sizes.amax(dim=1) / stride
    least, most = _limits(stride)
    fits = near.all(dim=2) & (longest >= least) & (longest < most) & target.learn
    area = sizes.prod(dim=1).expand(len(positions), -1).masked_fill(~fits, torch.inf)
    smallest, owner = area.min(dim=1)
    ignored = _contains(positions, boxes[~target.learn]).any(dim=1)
    return owner.masked_fill(smallest.isinf(), -1), ignored


def box_iou(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return intersection over union and generalized IoU of pairs of boxes [M, 4]."""
    low, high = torch.minimum(first, second), torch.maximum(first, second)
    inside = (low[:, 2:] - high[:, :2]).clamp(min=0).prod(dim=1)
    hull = high[:, 2:] - low[:, :2]
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first, second)]
    union = (areas[0] + areas[1] - inside).clamp(min=1e-6)
    around = hull.prod(dim=1).clamp(min=1e-6)
    iou = inside / union
    return iou, iou - (around - union) / around


def _limits(stride: Tensor) -> tuple[Tensor, Tensor]:
    level = (stride / stride.min()).log2().long()
    limits = torch.tensor(SIDES, device=stride.device)[level]
    return limits[..., 0], limits[..., 1]


def _contains(positions: Tensor, boxes: Tensor) -> Tensor:
    """Return whether positions [A, 3] lie in boxes [M, 4], bool [A, M]."""
    points = positions[:, None, :2]
    return ((points > boxes[:, :2]) & (points < boxes[:, 2:])).all(dim=2)


def _nowhere(positions: Tensor) -> Tensor:
    return torch.zeros(len(positions), dtype=torch.bool, device=positions.device)
