"""What a model's answers are worth when it may also say *unsure* or *not a dish*."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from platecheck.evaluation.metrics import wilson_interval
from platecheck.model_info import NO_DISH, UNSURE


class Proportion(BaseModel):
    """A count among others, its share, and the 95 % Wilson interval; no share of nothing."""

    model_config = ConfigDict(frozen=True)

    count: int
    of: int
    share: float | None
    ci95: tuple[float, float] | None

    @classmethod
    def made(cls, counted: NDArray[np.bool_], among: NDArray[np.bool_]) -> "Proportion":
        count, of = int(counted.sum()), int(among.sum())
        if not of:
            return cls(count=count, of=of, share=None, ci95=None)
        return cls(count=count, of=of, share=count / of, ci95=wilson_interval(count, of))

    def __str__(self) -> str:
        if self.share is None or self.ci95 is None:
            return "none"
        low, high = self.ci95
        return f"{self.count}/{self.of} = {self.share:.2%}  ({low:.1%} to {high:.1%})"


class DecisionMetrics(BaseModel):
    """Figures of answers.

    Attributes:
        coverage: photos that were given a class.
        accuracy: right ones among these.
        unsure: photos called unsure.
        no_dish: photos called no dish.
        wrong: by class, the wrong ones among the photos that were given it. For ``clean`` these
            are the dirty dishes that would be used.
        missed: by class, the photos of the class that were given another one. For ``dirty`` these
            are the missed ones, for ``clean`` the false alarms.
    """

    model_config = ConfigDict(frozen=True)

    coverage: Proportion
    accuracy: Proportion
    unsure: Proportion
    no_dish: Proportion
    wrong: dict[str, Proportion]
    missed: dict[str, Proportion]


def evaluate_decisions(
    answers: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str]
) -> DecisionMetrics:
    """Count answers.

    Args:
        answers: a class, :data:`UNSURE` or :data:`NO_DISH` for each of N photos.
        labels: [N], the truth.
        classes: names.
    """
    given = np.array(answers)
    truth = np.array(classes)[labels]
    answered = np.isin(given, classes)
    right = given == truth
    every = np.ones(len(given), bool)
    return DecisionMetrics(
        coverage=Proportion.made(answered, every),
        accuracy=Proportion.made(right, answered),
        unsure=Proportion.made(given == UNSURE, every),
        no_dish=Proportion.made(given == NO_DISH, every),
        wrong={n: Proportion.made((given == n) & ~right, given == n) for n in classes},
        missed={n: Proportion.made((truth == n) & answered & ~right, truth == n) for n in classes},
    )
