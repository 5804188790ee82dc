"""What a model's answers are worth when it may also say *unsure* or *not a dish*."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from platecheck.evaluation.metrics import wilson_interval
from platecheck.model_info import NO_DISH, UNSURE


class Share(BaseModel):
    """A count among others, its share, and the 95 % Wilson interval; no share of nothing."""

    model_config = ConfigDict(frozen=True)

    count: int
    of: int
    share: float | None
    ci95: tuple[float, float] | None

    @classmethod
    def made(cls, count: int, of: int) -> "Share":
        if not of:
            return cls(count=count, of=of, share=None, ci95=None)
        return cls(count=count, of=of, share=count / of, ci95=wilson_interval(count, of))

    def __str__(self) -> str:
        if self.share is None or self.ci95 is None:
            return "none"
        low, high = self.ci95
        return f"{self.count}/{self.of} = {self.share:.2%}  ({low:.1%} to {high:.1%})"


class AnswerFigures(BaseModel):
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

    coverage: Share
    accuracy: Share
    unsure: Share
    no_dish: Share
    wrong: dict[str, Share]
    missed: dict[str, Share]


def judge_answers(
    answers: Sequence[str], labels: NDArray[np.integer], classes: Sequence[str]
) -> AnswerFigures:
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
    return AnswerFigures(
        coverage=Share.made(int(answered.sum()), len(given)),
        accuracy=Share.made(int(right.sum()), int(answered.sum())),
        unsure=Share.made(int((given == UNSURE).sum()), len(given)),
        no_dish=Share.made(int((given == NO_DISH).sum()), len(given)),
        wrong={
            name: Share.made(int(((given == name) & ~right).sum()), int((given == name).sum()))
            for name in classes
        },
        missed={
            name: Share.made(
                int(((truth == name) & answered & ~right).sum()), int((truth == name).sum())
            )
            for name in classes
        },
    )
