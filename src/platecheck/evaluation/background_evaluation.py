"""Measure how much a model relies on the background, by swapping backgrounds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.preprocessing import StandardScaler

from platecheck.classifier import Model
from platecheck.data.segmentation import DishMask
from platecheck.evaluation.background_metrics import (
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
MIN_GROUP_SIZE = 10  # smaller groups are listed, but never reported as the worst
PHOTOS_PER_GROUP = 40
MAX_GROUPS = 6
# Border features are those of the outermost pixels of a thumbnail.
THUMBNAIL = 64
BORDER_WIDTH = 5

Rows = NDArray[np.float32]
Correct = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BackgroundEvaluation:
    """Metrics, and the predictions they were computed from."""

    result: BackgroundMetrics
    swap: BackgroundSwap
    backgrounds: dict[str, list[int]]  # by variant (``mixed_same``, …), one per dish of the swap
    probabilities: dict[str, Rows]  # by variant, including ``original``, [dishes, C]
    only_background: dict[int, Rows]  # by photo whose background is visible, [C]


def evaluate_backgrounds(
    model: Model,
    evaluation: Evaluation,
    *,
    seed: int = 0,
    on_start: Callable[[int], None] | None = None,
    on_photo: Callable[[], None] | None = None,
) -> BackgroundEvaluation:
    """Evaluate a model on dishes of a split composited onto one another's backgrounds.

    The same seed gives the same metrics. `on_start` is called with the number of photos to segment,
    then of images to classify, and `on_photo` after each of them.

    Raises:
        DataError: too few dishes have a good mask, or only one class shows its background.
    """
    if on_start:
        on_start(len(evaluation.photos))
    swap = BackgroundSwap(evaluation.photos, model.size, seed=seed, on_photo=on_photo)
    dishes, visible = swap.dishes, sorted(swap.backgrounds.tolist())
    backgrounds = {
        name: [swap.draw(dish, choice(dish), variant) for dish in dishes]
        for variant, (name, choice) in enumerate(
            {
                "mixed_same": swap.same_class,
                "mixed_rand": swap.others,
                "mixed_next": swap.next_class,
            }.items()
        )
    }
    pairs = [
        pair for chosen in backgrounds.values() for pair in zip(dishes, chosen, strict=True)
    ] + [(dish, background) for dish in dishes for background in swap.sample_backgrounds(dish)]
    images = [
        *(partial(swap.mixed, *pair) for pair in pairs),
        *(partial(swap.only_background, index) for index in visible),
    ]
    if on_start:
        on_start(len(images))
    rows = probabilities_of(model, images, on_photo=on_photo)

    n = len(dishes)
    mixed = dict(zip(backgrounds, rows[: 3 * n].reshape(3, n, -1), strict=True))
    probabilities = {"original": evaluation.probabilities[dishes], **mixed}
    only_background = dict(zip(visible, rows[len(pairs) :], strict=True))
    everywhere = rows[3 * n : len(pairs)].argmax(axis=1).reshape(n, -1)
    result = _metrics(evaluation, swap, probabilities, everywhere, only_background)
    return BackgroundEvaluation(result, swap, backgrounds, probabilities, only_background)


def _metrics(
    evaluation: Evaluation,
    swap: BackgroundSwap,
    probabilities: dict[str, Rows],
    everywhere: NDArray[np.int64],
    only_background: dict[int, Rows],
) -> BackgroundMetrics:
    """Compute all metrics; `everywhere` is [dishes, backgrounds], the predicted classes."""
    labels = evaluation.labels[swap.dishes]
    correct = {name: rows.argmax(axis=1) == labels for name, rows in probabilities.items()}
    only_labels = evaluation.labels[list(only_background)]
    only = np.stack(list(only_background.values())).argmax(axis=1)
    calibrated = np.concatenate([probabilities["original"], probabilities["mixed_rand"]])
    original = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    photos = len(evaluation.photos)
    return BackgroundMetrics(
        split=evaluation.split,
        seed=swap.seed,
        original=Accuracy.of(original),
        original_same_dishes=Accuracy.of(correct["original"]),
        mixed_same=Accuracy.of(correct["mixed_same"]),
        mixed_rand=Accuracy.of(correct["mixed_rand"]),
        mixed_next=Accuracy.of(correct["mixed_next"]),
        bg_gap=_gap(correct["mixed_same"], correct["mixed_rand"], swap.seed),
        next_gap=_gap(correct["mixed_same"], correct["mixed_next"], swap.seed),
        only_bg=OnlyBackground.of(
            only == only_labels,
            majority_rate=float(np.bincount(only_labels).max() / len(only_labels)),
        ),
        worst_group=_worst_group(swap, evaluation, original),
        worst_table=WorstBackground.of(
            (everywhere == labels[:, None]).all(axis=1), tables=everywhere.shape[1]
        ),
        ece_original_and_mixed_rand=reliability(calibrated, np.tile(labels, 2)).ece,
        left_out=LeftOut(dishes=photos - len(swap.dishes), tables=photos - len(only_background)),
    )


def _gap(first: Correct, second: Correct, seed: int) -> AccuracyGap:
    """Paired bootstrap: a multinomial draw of the dishes that lose, gain and stay the same."""
    change = first.astype(int) - second
    proportions = np.array([(change == step).mean() for step in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(len(change), proportions, RESAMPLES)
    low, high = np.percentile((drawn[:, 2] - drawn[:, 0]) / len(change), (2.5, 97.5))
    return AccuracyGap(
        photos=len(change), gap=float(change.mean()), gap_ci95=(float(low), float(high))
    )


def _worst_group(swap: BackgroundSwap, evaluation: Evaluation, correct: Correct) -> WorstGroup:
    borders = [
        border_features(swap.original(index), photo.dish_mask)
        for index, photo in enumerate(swap.photos)
    ]
    group, colors = background_groups(borders, seed=swap.seed)
    groups = []
    for label, name in enumerate(evaluation.result.classes):
        for kind in range(len(colors)):
            members = (evaluation.labels == label) & (group == kind)
            if members.any():
                groups.append(GroupAccuracy.of(correct[members], label=name, kind=kind + 1))
    large = [each for each in groups if each.total >= MIN_GROUP_SIZE]
    worst = min(large, key=lambda each: each.count / each.total, default=None)
    return WorstGroup(
        accuracy=None if worst is None else worst.value,
        worst=worst,
        groups=groups,
        kinds=[
            BackgroundGroup(kind=kind + 1, colour=color, photos=int((group == kind).sum()))
            for kind, color in enumerate(colors)
        ],
    )


def border_features(pixels: NDArray[np.uint8], dish_mask: DishMask) -> NDArray[np.float64]:
    """Compute color and texture of a photo's border, without the dish if its mask is good.

    Returns:
        float64 [11]: mean RGB; mean and standard deviation of CIELAB; mean absolute horizontal
        and vertical differences of lightness.
    """
    size = (THUMBNAIL, THUMBNAIL)
    small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    band = np.ones(size, bool)
    band[BORDER_WIDTH:-BORDER_WIDTH, BORDER_WIDTH:-BORDER_WIDTH] = False
    if dish_mask.good:
        free = band & (dish_mask.mask(*size) == 0)
        band = free if free.any() else band
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2Lab)
    lightness = lab[..., 0]
    across = np.abs(np.diff(lightness, axis=1, append=lightness[:, -1:]))
    down = np.abs(np.diff(lightness, axis=0, append=lightness[-1:]))
    parts = (
        small[band].mean(axis=0),
        lab[band].mean(axis=0),
        lab[band].std(axis=0),
        [across[band].mean(), down[band].mean()],
    )
    return np.concatenate([np.asarray(part, np.float64) for part in parts])


def background_groups(
    borders: Sequence[NDArray[np.float64]], *, seed: int
) -> tuple[NDArray[np.int64], list[str]]:
    """Cluster backgrounds by k-means, given one or more `border_features`.

    One group per `PHOTOS_PER_GROUP` photos, between 2 and `MAX_GROUPS`, fewer if
    borders are identical. Silhouette scores are not used to choose the number: they favor
    splitting a few odd backgrounds from all others.

    Returns:
        int64 [N], the photos' groups, from 0, largest first; and the mean border color of each
        group, as ``#rrggbb``.
    """
    matrix = np.stack(borders)
    # RGB is only for display; CIELAB holds the same information, perceptually uniform.
    features = StandardScaler().fit_transform(matrix[:, 3:])
    wanted = int(np.clip(len(matrix) // PHOTOS_PER_GROUP, 2, MAX_GROUPS))
    count = min(wanted, len(np.unique(features.round(6), axis=0)))
    clusters = KMeans(count, n_init=10, random_state=seed).fit_predict(features).astype(np.int64)
    order = np.argsort(-np.bincount(clusters), kind="stable")
    group = np.argsort(order)[clusters]
    means = [matrix[group == k, :3].mean(axis=0).round().astype(int) for k in range(len(order))]
    return group, ["#{:02x}{:02x}{:02x}".format(*mean) for mean in means]
