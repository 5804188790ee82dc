"""Metrics of a classifier that may also answer *unsure* or *not a dish*."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from platecheck.evaluation.metrics import wilson_interval
from platecheck.model_info import NO_DISH, UNSURE


class Proportion(BaseModel):
    """A count out of a total, with its 95 % Wilson interval; None if the total is 0."""

    model_config = ConfigDict(frozen=True)

    count: int
    of: int
    share: float | None
    ci95: tuple[float, float] | None

    @classmethod
    def from_masks(cls, counted: NDArray[np.bool_], total: NDArray[np.bool_]) -> "Proportion":
        count, of = int(counted.sum()), int(total.sum())
        if not of:
            return cls(count=count, of=of, share=None, ci95=None)
        return cls(count=count, of=of, share=count / of, ci95=wilson_interval(count, of))

    def __str__(self) -> str:
        if self.share is None or self.ci95 is None:
            return "none"
        low, high = self.ci95
        return f"{self.count}/{self.of} = {self.share:.2%}  ({low:.1%} to {high:.1%})"


class DecisionMetrics(BaseModel):
    """Metrics of decisions.

    Attributes:
        coverage: photos given a class.
        accuracy: correct ones among these.
        unsure: photos labeled unsure.
        no_dish: photos labeled not a dish.
        wrong: by class, false discoveries among photos given that class. For ``clean``, these are
            dirty dishes that would be used.
        missed: by class, photos of the class given another one. For ``clean``, these are false
            alarms.
    """

    model_config = ConfigDict(frozen=True)

    coverage: Proportion
    accuracy: Proportion
    unsure: Proportion
    no_dish: Proportion
    wrong: dict[str, Proportion]
    missed: dict[str, Proportion]


def evaluate_decisions(
    decisions: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str]
) -> DecisionMetrics:
    """Compute metrics of decisions.

    Args:
        decisions: [N], each a class, `UNSURE` or `NO_DISH`.
        labels: [N] indices of the true classes.
        classes: class names.
    """
    given = np.array(decisions)
    truth = np.array(classes)[labels]
    decided = np.isin(given, classes)
    right = given == truth
    every = np.ones(len(given), bool)
    of = Proportion.from_masks
    return DecisionMetrics(
        coverage=of(decided, every),
        accuracy=of(right, decided),
        unsure=of(given == UNSURE, every),
        no_dish=of(given == NO_DISH, every),
        wrong={name: of((given == name) & ~right, given == name) for name in classes},
        missed={name: of((truth == name) & decided & ~right, truth == name) for name in classes},
    )
