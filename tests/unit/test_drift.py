"""Drift: near 0 for answers like validation's, far for others."""

import random

import pytest

from platecheck.classifier import Prediction
from platecheck.errors import PhotoError
from platecheck.model_info import Reference
from platecheck.serving.drift import LEAST, WINDOW, Drift, population_stability_index

REFERENCE = Reference(
    answers={"clean": 60, "dirty": 120, "unsure": 20},
    ood_deciles=tuple(number / 10 for number in range(1, 10)),
)


def like_validation(rng: random.Random, shift: float = 0) -> Prediction:
    label = rng.choices(["clean", "dirty", "unsure"], [60, 120, 20])[0]
    return Prediction("p", label, ood_score=rng.random() + shift)


def test_the_index_is_the_textbooks() -> None:
    # (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln (2/3)
    assert population_stability_index([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.27465, abs=1e-5)
    assert population_stability_index([0.3, 0.7], [0.3, 0.7]) == 0


def test_too_few_answers_say_nothing() -> None:
    drift = Drift(REFERENCE)
    rng = random.Random(0)
    for _ in range(LEAST - 1):
        drift.add(like_validation(rng))
    drift.add(Prediction("bad", error=PhotoError("bad", "damaged")))  # does not count
    assert drift.answers() is None
    assert drift.features() is None
    drift.add(like_validation(rng))
    assert drift.answers() is not None
    assert drift.features() is not None


def test_answers_like_validations_are_near_and_others_far() -> None:
    drift = Drift(REFERENCE)
    rng = random.Random(0)
    for _ in range(WINDOW):
        drift.add(like_validation(rng))
    assert (drift.answers() or 0) < 0.05
    assert (drift.features() or 0) < 0.05
    for _ in range(WINDOW):  # what came before is forgotten
        drift.add(like_validation(rng, shift=0.5))
    assert (drift.answers() or 0) < 0.05
    assert (drift.features() or 0) > 0.25
    for _ in range(WINDOW):
        drift.add(Prediction("p", "not a dish", ood_score=rng.random()))
    assert (drift.answers() or 0) > 0.25
    assert (drift.features() or 0) < 0.05


def test_a_model_without_oddness_tells_only_of_answers() -> None:
    drift = Drift(Reference(answers={"clean": 10, "dirty": 10}))
    for _ in range(LEAST):
        drift.add(Prediction("p", "clean"))
    assert drift.features() is None
    assert (drift.answers() or 0) > 0.25
