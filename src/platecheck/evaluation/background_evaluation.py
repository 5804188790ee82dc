"""Measure how much a model depends on the background, by exchanging backgrounds."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Model
from platecheck.evaluation.background_groups import background_groups, border_features
from platecheck.evaluation.background_metrics import (
    MIN_GROUP_SIZE,
    Accuracy,
    AccuracyGap,
    BackgroundGroup,
    BackgroundMetrics,
    GroupAccuracy,
    LeftOut,
    OnlyBackground,
    WorstBackground,
    WorstGroup,
)
from platecheck.evaluation.background_swap import BackgroundSwap, probabilities_of
from platecheck.evaluation.evaluate import Evaluation
from platecheck.evaluation.metrics import reliability

RESAMPLES = 10_000
MIXED = ("mixed_same", "mixed_rand", "mixed_next")

Rows = NDArray[np.float32]
Correct = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BackgroundEvaluation:
    """Metrics, and the predictions they were computed from.

    Attributes:
        result: the metrics.
        swap: renders the images.
        backgrounds: by variant (``mixed_same``, …), the background of each dish of `swap.dishes`.
        probabilities: by variant, including ``original``, [dishes, C].
        only_background: by photo whose background is visible, [C].
    """

    result: BackgroundMetrics
    swap: BackgroundSwap
    backgrounds: dict[str, list[int]]
    probabilities: dict[str, Rows]
    only_background: dict[int, Rows]


def evaluate_backgrounds(
    model: Model,
    evaluation: Evaluation,
    *,
    seed: int = 0,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> BackgroundEvaluation:
    """Evaluate a model on dishes of a split composited onto one another's backgrounds.

    Args:
        model: the evaluated model.
        evaluation: from `platecheck.evaluation.evaluate.evaluate`.
        seed: random seed, 0 or more; the same seed gives the same metrics.
        on_start: called with the number of photos to segment, then of images to classify.
        on_photo: called after each of them.

    Raises:
        DataError: too few dishes have a good mask, or only one class shows its background.
    """
    if on_start:
        on_start(len(evaluation.photos))
    swap = BackgroundSwap(evaluation.photos, model.size, seed=seed, on_photo=on_photo)
    dishes, visible = swap.dishes, sorted(swap.backgrounds.tolist())
    choices = (swap.same_class, swap.others, swap.next_class)
    backgrounds = {
        name: [swap.draw(dish, choice(dish), variant) for dish in dishes]
        for variant, (name, choice) in enumerate(zip(MIXED, choices, strict=True))
    }
    images = [
        partial(swap.mixed, dish, background)
        for chosen in backgrounds.values()
        for dish, background in zip(dishes, chosen, strict=True)
    ]
    images += [
        partial(swap.mixed, dish, background)
        for dish in dishes
        for background in swap.sample_backgrounds(dish)
    ]
    without_dish = [partial(swap.only_background, index) for index in visible]
    if on_start:
        on_start(len(images) + len(without_dish))
    rows = probabilities_of(model, [*images, *without_dish], on_photo=on_photo)

    n = len(dishes)
    mixed = dict(zip(backgrounds, rows[: 3 * n].reshape(3, n, -1), strict=True))
    probabilities = {"original": evaluation.probabilities[dishes], **mixed}
    labels = evaluation.labels[dishes]
    correct = {name: values.argmax(axis=1) == labels for name, values in probabilities.items()}
    everywhere = rows[3 * n : len(images)].argmax(axis=1).reshape(n, -1) == labels[:, None]
    only, only_labels = rows[len(images) :], evaluation.labels[visible]
    original = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    calibrated = np.concatenate([probabilities["original"], probabilities["mixed_rand"]])
    result = BackgroundMetrics(
        split=evaluation.split,
        seed=seed,
        original=Accuracy.from_correct(original),
        original_same_dishes=Accuracy.from_correct(correct["original"]),
        mixed_same=Accuracy.from_correct(correct["mixed_same"]),
        mixed_rand=Accuracy.from_correct(correct["mixed_rand"]),
        mixed_next=Accuracy.from_correct(correct["mixed_next"]),
        bg_gap=_gap(correct["mixed_same"], correct["mixed_rand"], seed),
        next_gap=_gap(correct["mixed_same"], correct["mixed_next"], seed),
        only_bg=OnlyBackground.from_correct(
            only.argmax(axis=1) == only_labels,
            majority_rate=float(np.bincount(only_labels).max() / len(only_labels)),
        ),
        worst_group=_worst_group(swap, evaluation, original, seed),
        worst_table=WorstBackground.from_correct(
            everywhere.all(axis=1), tables=everywhere.shape[1]
        ),
        ece_original_and_mixed_rand=reliability(calibrated, np.tile(labels, 2)).ece,
        left_out=LeftOut(
            dishes=len(evaluation.photos) - n, tables=len(evaluation.photos) - len(visible)
        ),
    )
    return BackgroundEvaluation(
        result, swap, backgrounds, probabilities, dict(zip(visible, only, strict=True))
    )


def _gap(first: Correct, second: Correct, seed: int) -> AccuracyGap:
    """Resampling dishes is a multinomial draw of those that lose, gain and stay the same."""
    change = first.astype(int) - second
    proportions = np.array([(change == step).mean() for step in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(len(change), proportions, RESAMPLES)
    low, high = np.percentile((drawn[:, 2] - drawn[:, 0]) / len(change), (2.5, 97.5))
    return AccuracyGap(
        photos=len(change), gap=float(change.mean()), gap_ci95=(float(low), float(high))
    )


def _worst_group(
    swap: BackgroundSwap, evaluation: Evaluation, correct: Correct, seed: int
) -> WorstGroup:
    borders = [
        border_features(swap.original(index), photo.dish_mask)
        for index, photo in enumerate(swap.photos)
    ]
    clusters = background_groups(borders, seed=seed)
    groups = []
    for label, name in enumerate(evaluation.result.classes):
        for kind in range(len(clusters.colors)):
            members = (evaluation.labels == label) & (clusters.group == kind)
            if members.any():
                groups.append(
                    GroupAccuracy.from_correct(correct[members], label=name, kind=kind + 1)
                )
    large = [group for group in groups if group.photos >= MIN_GROUP_SIZE]
    worst = min(large, key=lambda group: group.accuracy, default=None)
    return WorstGroup(
        accuracy=None if worst is None else worst.accuracy,
        worst=worst,
        groups=groups,
        kinds=[
            BackgroundGroup(kind=kind + 1, colour=color, photos=int((clusters.group == kind).sum()))
            for kind, color in enumerate(clusters.colors)
        ],
    )
