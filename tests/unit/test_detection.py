import numpy as np
import pytest
import torch

from platecheck.evaluation.detection import SearchedPhoto, choose_threshold
from platecheck.training.detection.datamodule import Scene, flip, place
from platecheck.training.detection.loss import SEEN, Target, assign, box_iou, detection_loss
from platecheck.training.detection.metrics import (
    Matched,
    average_precision,
    best_boxes,
    match,
    precision_recall,
)
from platecheck.training.detection.network import build_detector
from platecheck.training.recipe import Recipe, load_recipe

SIZE = 64
BIG, SMALL = (2.0, 4.0, 62.0, 60.0), (20.0, 20.0, 26.0, 25.0)


def recipe(*overrides: str) -> Recipe:
    return load_recipe("dishes", ["network.weights=null", f"input.size={SIZE}", *overrides])


def target(*boxes: tuple[float, ...], complete: bool = True, learn: bool = True) -> Target:
    rows = torch.tensor(boxes).reshape(-1, 4)
    return Target(rows, torch.full((len(rows),), learn), complete)


@pytest.fixture(scope="module")
def positions() -> torch.Tensor:
    return build_detector(recipe()).positions


def test_detector_has_a_score_and_a_box_at_every_position() -> None:
    detector = build_detector(recipe()).eval()
    with torch.no_grad():
        logits, boxes = detector(torch.zeros(2, 3, SIZE, SIZE))
    assert logits.shape == (2, 8**2 + 4**2 + 2**2)
    assert boxes.shape == (*logits.shape, 4)
    assert (boxes[..., 2:] > boxes[..., :2]).all()
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in detector.backbone.modules())


def test_first_blocks_keep_their_weights() -> None:
    detector = build_detector(recipe("detection.frozen_blocks=2"))
    fixed = {n for n, p in detector.named_parameters() if not p.requires_grad}
    assert {name.split(".")[1] for name in fixed} == {"conv_stem", "blocks"}
    assert {name.split(".")[2] for name in fixed if ".blocks." in name} == {"0", "1"}


def test_every_box_is_learnt_near_its_centre(positions: torch.Tensor) -> None:
    tiny = (1.0, 1.0, 3.0, 2.0)
    boxes = target(BIG, SMALL, tiny)
    owner, ignored = assign(positions, boxes)
    assert set(owner.tolist()) == {-1, 0, 1, 2}
    assert not ignored.any()
    assert (positions[owner == 1, 2] == 8).all()  # a small one on the fine level only
    assert set(positions[owner == 0, 2].tolist()) == {8}


def test_photo_without_boxes_is_background(positions: torch.Tensor) -> None:
    owner, ignored = assign(positions, target())
    assert (owner == -1).all()
    assert not ignored.any()


def test_dish_mostly_outside_is_neither_dish_nor_background(positions: torch.Tensor) -> None:
    owner, ignored = assign(positions, target(BIG, learn=False))
    assert (owner == -1).all()
    inside = (positions[:, 0] > 2) & (positions[:, 0] < 62)
    inside &= (positions[:, 1] > 4) & (positions[:, 1] < 60)
    assert (ignored == inside).all()


def test_iou_of_boxes() -> None:
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 2, 2]])
    second = torch.tensor([[0.0, 0, 2, 2], [2, 0, 3, 1], [1, 0, 3, 2]])
    iou, generalized = box_iou(first, second)
    torch.testing.assert_close(iou, torch.tensor([1.0, 0.0, 1 / 3]))
    torch.testing.assert_close(generalized, torch.tensor([1.0, -1 / 3, 1 / 3]))


def gradient(positions: torch.Tensor, labelled: Target) -> torch.Tensor:
    """Gradient of the scores [A] of a detector that takes everything for a dish."""
    logits = torch.full((1, len(positions)), 2.0, requires_grad=True)
    centres = positions[:, :2]
    boxes = torch.cat((centres - 4, centres + 4), dim=1)[None].requires_grad_()
    scored, fitted = detection_loss(logits, boxes, positions, [labelled])
    (scored + fitted).backward()
    assert logits.grad is not None
    return logits.grad[0]


def test_unboxed_regions_are_punished_only_where_every_dish_is_boxed(
    positions: torch.Tensor,
) -> None:
    assert torch.sigmoid(torch.tensor(2.0)) > SEEN
    assert (gradient(positions, target(SMALL)) > 0).all()
    punished = gradient(positions, target(SMALL, complete=False)) > 0
    assert punished.any()
    far = (positions[:, 0] > 40) | (positions[:, 1] > 40)
    assert not punished[far].any()


def test_each_dish_is_matched_once_with_the_best_box() -> None:
    truth = np.array([BIG], np.float32)
    boxes = np.array([BIG, BIG, SMALL], np.float32)
    matched = match(boxes, np.array([0.9, 0.8, 0.7], np.float32), truth)
    assert matched.hits.tolist() == [True, False, False]
    matched = match(boxes, np.array([0.9, 0.8, 0.7], np.float32), truth, complete=False)
    assert matched.hits.tolist() == [True]
    assert match(boxes[:0], np.zeros(0, np.float32), truth).total == 1


def test_suppression_keeps_the_best_of_boxes_that_overlap() -> None:
    boxes = np.array([SMALL, BIG, BIG], np.float32)
    kept, scores = best_boxes(boxes, np.array([0.5, 0.6, 0.9], np.float32), 0.6)
    assert kept.tolist() == [list(BIG), list(SMALL)]
    assert scores.tolist() == pytest.approx([0.9, 0.5])


def test_average_precision() -> None:
    def found(*hits: bool, total: int) -> list[Matched]:
        scores = np.linspace(0.9, 0.1, len(hits), dtype=np.float32)
        return [Matched(scores, np.array(hits, bool), total)]

    assert average_precision(found(True, True, total=2)) == pytest.approx(1)
    assert average_precision(found(True, False, True, total=2)) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert average_precision(found(False, True, total=4)) == pytest.approx(0.125)
    assert average_precision([]) == 0
    assert precision_recall(found(True, False, total=1))[1].tolist() == [1, 0.5]


def searched(score: float, *, dish: bool) -> SearchedPhoto:
    scores = np.array([score], np.float32)
    matched = Matched(scores, np.array([dish]), int(dish))
    nothing = np.zeros((0, 4), np.float32)
    return SearchedPhoto(None, nothing, nothing, scores, matched)  # type: ignore[arg-type]


def test_threshold_keeps_photos_without_dishes_silent() -> None:
    dishes = [searched(0.3 + i / 100, dish=True) for i in range(40)]
    empty = [searched(i / 100, dish=False) for i in range(40)]
    strict = choose_threshold([*dishes, *empty], silent=1.0)
    assert 0.39 < strict < 0.391
    assert choose_threshold([*dishes, *empty], silent=0.5) < strict
    assert choose_threshold([], silent=1.0) == 0.5


@pytest.mark.parametrize("shape", [(40, 30), (64, 64), (130, 70)])
def test_boxes_follow_the_photo(shape: tuple[int, int]) -> None:
    """A white dish on black stays within its box, wherever the photo is put."""
    pixels = np.zeros((50, 50, 3), np.uint8)
    pixels[10:30, 20:45] = 255
    boxes = np.array([(0.4, 0.2, 0.9, 0.6)], np.float32)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        scene = place(rng, pixels, boxes, shape, SIZE)
        scene = flip(rng, scene, recipe("augmentation.vertical_flip=true"))
        white = np.argwhere(scene.pixels.min(axis=2) > 200)
        if not len(white):
            assert not scene.learn.any()
            continue
        low, high = white.min(axis=0), white.max(axis=0) + 1
        np.testing.assert_allclose(scene.boxes[0], (*low[::-1], *high[::-1]), atol=2.5)


def test_photo_mostly_outside_is_not_learnt() -> None:
    boxes = np.array([(0, 0, 1, 1)], np.float32)
    scene = place(np.random.default_rng(0), np.zeros((9, 9, 3), np.uint8), boxes, (640, 640), SIZE)
    assert isinstance(scene, Scene)
    assert scene.learn.tolist() == [False]
