"""Comparing two things on a machine that others use too."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        what: what was compared.
        baseline: what everyone does, and its median seconds.
        ours: what platecheck does, and its median seconds.
        ratios: baseline / ours of each round: above 1, platecheck is faster.
        goal: the ratio aimed at.
        note: what else there is to say.
    """

    what: str
    baseline: str
    baseline_seconds: float
    ours: str
    ours_seconds: float
    ratios: tuple[float, ...]
    goal: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float:
        """The median round's."""
        return statistics.median(self.ratios)


def seconds(action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def compare(
    what: str,
    baseline: tuple[str, Callable[[], object]],
    ours: tuple[str, Callable[[], object]],
    *,
    rounds: int,
    goal: float | None = None,
    note: str = "",
    warm_up: bool = True,
) -> Row:
    """Alternate two actions, so that what else the machine does hits both alike."""
    if warm_up:
        baseline[1]()
        ours[1]()
    pairs = [(seconds(baseline[1]), seconds(ours[1])) for _ in range(rounds)]
    return Row(
        what,
        baseline[0],
        statistics.median(theirs for theirs, _ in pairs),
        ours[0],
        statistics.median(own for _, own in pairs),
        tuple(theirs / own for theirs, own in pairs),
        goal,
        note,
    )
