"""How far a model looks at the table: its answers when dishes stand on other tables."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Model
from platecheck.evaluation.background_groups import background_groups, border_of
from platecheck.evaluation.background_metrics import (
    FEWEST_IN_GROUP,
    BackgroundMetrics,
    Gap,
    Group,
    Kind,
    LeftOut,
    OnlyBackground,
    Proportion,
    WorstBackground,
    WorstGroup,
)
from platecheck.evaluation.background_swap import BackgroundSwap, probabilities_of
from platecheck.evaluation.evaluate import Evaluation
from platecheck.evaluation.metrics import reliability

RESAMPLES = 10_000
MIXED = ("mixed_same", "mixed_rand", "mixed_next")

Rows = NDArray[np.float32]
Right = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class BackgroundEvaluation:
    """Figures, and what they were computed from.

    Attributes:
        result: the figures.
        exchange: makes the pictures.
        tables: by variant (``mixed_same``, …): the table of each dish of `exchange.dishes`.
        probabilities: by variant, ``original`` among them: [dishes, C].
        only_background: by photo that shows its table: [C].
    """

    result: BackgroundMetrics
    exchange: BackgroundSwap
    tables: dict[str, list[int]]
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
    """Put the dishes of an evaluated split on one another's tables, and ask the model again.

    Args:
        model: the one that was evaluated.
        evaluation: from :func:`platecheck.evaluation.evaluate.evaluate`.
        seed: of every draw, 0 or more; the same seed gives the same figures.
        on_start: called with the number of photos to cut out, then with that of the pictures.
        on_photo: called after each of them.

    Raises:
        DataError: too few dishes can be cut out, or tables are seen in one class only.
    """
    if on_start:
        on_start(len(evaluation.photos))
    exchange = BackgroundSwap(evaluation.photos, model.size, seed=seed, on_photo=on_photo)
    dishes, shown = exchange.dishes, sorted(exchange.tables.tolist())
    choices = (exchange.same, exchange.others, exchange.next)
    tables = {
        name: [exchange.draw(dish, choice(dish), variant) for dish in dishes]
        for variant, (name, choice) in enumerate(zip(MIXED, choices, strict=True))
    }
    pictures = [
        partial(exchange.mixed, dish, table)
        for chosen in tables.values()
        for dish, table in zip(dishes, chosen, strict=True)
    ]
    pictures += [
        partial(exchange.mixed, dish, table) for dish in dishes for table in exchange.lot(dish)
    ]
    backgrounds = [partial(exchange.only_background, index) for index in shown]
    if on_start:
        on_start(len(pictures) + len(backgrounds))
    rows = probabilities_of(model, [*pictures, *backgrounds], on_photo=on_photo)

    n = len(dishes)
    mixed = dict(zip(tables, rows[: 3 * n].reshape(3, n, -1), strict=True))
    probabilities = {"original": evaluation.probabilities[dishes], **mixed}
    labels = evaluation.labels[dishes]
    right = {name: found.argmax(axis=1) == labels for name, found in probabilities.items()}
    everywhere = rows[3 * n : len(pictures)].argmax(axis=1).reshape(n, -1) == labels[:, None]
    alone, theirs = rows[len(pictures) :], evaluation.labels[shown]
    answered = evaluation.probabilities.argmax(axis=1) == evaluation.labels
    calibrated = np.concatenate([probabilities["original"], probabilities["mixed_rand"]])
    result = BackgroundMetrics(
        split=evaluation.split,
        seed=seed,
        original=Proportion.of(answered),
        original_same_dishes=Proportion.of(right["original"]),
        mixed_same=Proportion.of(right["mixed_same"]),
        mixed_rand=Proportion.of(right["mixed_rand"]),
        mixed_next=Proportion.of(right["mixed_next"]),
        bg_gap=_gap(right["mixed_same"], right["mixed_rand"], seed),
        next_gap=_gap(right["mixed_same"], right["mixed_next"], seed),
        only_bg=OnlyBackground.of(
            alone.argmax(axis=1) == theirs,
            majority_rate=float(np.bincount(theirs).max() / len(theirs)),
        ),
        worst_group=_worst_group(exchange, evaluation, answered, seed),
        worst_table=WorstBackground.of(everywhere.all(axis=1), tables=everywhere.shape[1]),
        ece_original_and_mixed_rand=reliability(calibrated, np.tile(labels, 2)).ece,
        left_out=LeftOut(
            dishes=len(evaluation.photos) - n, tables=len(evaluation.photos) - len(shown)
        ),
    )
    return BackgroundEvaluation(
        result, exchange, tables, probabilities, dict(zip(shown, alone, strict=True))
    )


def _gap(first: Right, second: Right, seed: int) -> Gap:
    """Drawing dishes anew is drawing how many of them lose, gain and stay the same."""
    change = first.astype(int) - second
    shares = np.array([(change == step).mean() for step in (-1, 0, 1)])
    drawn = np.random.default_rng(seed).multinomial(len(change), shares, RESAMPLES)
    low, high = np.percentile((drawn[:, 2] - drawn[:, 0]) / len(change), (2.5, 97.5))
    return Gap(photos=len(change), gap=float(change.mean()), gap_ci95=(float(low), float(high)))


def _worst_group(
    exchange: BackgroundSwap, evaluation: Evaluation, answered: Right, seed: int
) -> WorstGroup:
    borders = [
        border_of(exchange.original(index), found.cutout)
        for index, found in enumerate(exchange.found)
    ]
    kinds = background_groups(borders, seed=seed)
    groups = []
    for label, name in enumerate(evaluation.result.classes):
        for kind in range(len(kinds.colours)):
            members = (evaluation.labels == label) & (kinds.kind == kind)
            if members.any():
                groups.append(Group.of(answered[members], label=name, kind=kind + 1))
    counted = [group for group in groups if group.photos >= FEWEST_IN_GROUP]
    worst = min(counted, key=lambda group: group.accuracy, default=None)
    return WorstGroup(
        accuracy=None if worst is None else worst.accuracy,
        worst=worst,
        groups=groups,
        kinds=[
            Kind(kind=kind + 1, colour=colour, photos=int((kinds.kind == kind).sum()))
            for kind, colour in enumerate(kinds.colours)
        ],
    )
