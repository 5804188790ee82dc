"""Answers that may be unsure: counts of what was answered, and of what was wrong."""

import numpy as np
import pytest

from platecheck.evaluation.answers import DecisionMetrics, Proportion, evaluate_decisions
from platecheck.evaluation.metrics import wilson_interval
from platecheck.model_info import NO_DISH, UNSURE

CLASSES = ("clean", "dirty")


def figures(*pairs: tuple[str, str]) -> DecisionMetrics:
    """Judge (answer, truth) pairs."""
    labels = np.array([CLASSES.index(truth) for _, truth in pairs])
    return evaluate_decisions([answer for answer, _ in pairs], labels, CLASSES)


def counts(share: Proportion) -> tuple[int, int]:
    return share.count, share.of


FOUND = figures(
    ("clean", "clean"),
    ("clean", "clean"),
    ("clean", "dirty"),
    ("dirty", "dirty"),
    ("dirty", "clean"),
    (UNSURE, "dirty"),
    (UNSURE, "clean"),
    (NO_DISH, "dirty"),
)


def test_what_is_answered() -> None:
    assert counts(FOUND.coverage) == (5, 8)
    assert counts(FOUND.accuracy) == (3, 5)
    assert counts(FOUND.unsure) == (2, 8)
    assert counts(FOUND.no_dish) == (1, 8)


def test_wrong_among_those_that_were_given_the_class() -> None:
    assert counts(FOUND.wrong["clean"]) == (1, 3)
    assert counts(FOUND.wrong["dirty"]) == (1, 2)


def test_missed_among_those_of_the_class_and_unsure_is_not_missed() -> None:
    assert counts(FOUND.missed["dirty"]) == (1, 4)
    assert counts(FOUND.missed["clean"]) == (1, 4)


def test_a_share_has_its_interval() -> None:
    assert FOUND.accuracy.share == pytest.approx(0.6)
    assert FOUND.accuracy.ci95 == wilson_interval(3, 5)
    assert str(FOUND.accuracy).startswith("3/5 = 60.00%")


def test_nothing_answered_has_no_share() -> None:
    found = figures((UNSURE, "clean"), (NO_DISH, "dirty"))
    assert counts(found.coverage) == (0, 2)
    assert found.accuracy.share is None
    assert found.accuracy.ci95 is None
    assert str(found.accuracy) == "none"
