from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from platecheck.auditing.features import FileFacts, PhotoFeatures
from platecheck.auditing.labels import cross_validated, label_findings
from platecheck.data.folders import Photo

CLASSES = ("clean", "dirty")


def told_by(values: Sequence[float], labels: Sequence[int]) -> list[PhotoFeatures]:
    """Looks of which some numbers of the dish tell the class; the others are noise."""
    rng = np.random.default_rng(0)
    nothing = np.zeros(1, np.float32)
    return [
        PhotoFeatures(
            photo=Photo(Path(f"{at}.jpg"), f"{at}.jpg", label, "all", str(at)),
            file=FileFacts("JPEG", 9, 9, 9, 0),
            phash=np.zeros(64, bool),
            grey=nothing,
            properties={},
            rim=nothing,
            light=nothing,
            sharpness=nothing,
            blur=0,
            dish=np.float32([*(value + rng.standard_normal(9) / 9), *rng.standard_normal(9)]),
        )
        for at, (value, label) in enumerate(zip(values, labels, strict=True))
    ]


@pytest.fixture
def features() -> list[PhotoFeatures]:
    """100 photos, well apart; numbers 3, 50 and 77 are filed wrongly."""
    truth = np.arange(100) % 2
    labels = truth.copy()
    labels[[3, 50, 77]] ^= 1
    noise = np.random.default_rng(1).standard_normal(100) / 4
    return told_by(truth * 2 - 1 + noise, labels.tolist())


def test_wrong_labels_are_found_least_probable_first(features: list[PhotoFeatures]) -> None:
    probabilities = cross_validated(features, range(100), None)
    assert probabilities is not None
    assert probabilities.shape == (100, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    found = label_findings(features, probabilities, CLASSES)
    assert {finding.photos for finding in found} == {("3.jpg",), ("50.jpg",), ("77.jpg",)}
    of_3 = next(finding for finding in found if finding.photos == ("3.jpg",))
    assert of_3.details["label"] == "clean"
    assert of_3.details["likely"] == "dirty"
    assert of_3.message.startswith("The photo is labelled 'clean' but predicted 'dirty'")
    doubts = [finding.details["probability_of_label"] for finding in found]
    assert doubts == sorted(doubts)


def test_predictions_of_a_classifier_improve_the_model() -> None:
    truth = np.arange(100) % 2
    blind = [replace(item, dish=item.dish[9:]) for item in told_by([0] * 100, truth.tolist())]
    answers = np.stack([1 - 0.9 * truth, 0.9 * truth], axis=1)
    without, helped = (cross_validated(blind, range(100), given) for given in (None, answers))
    assert without is not None
    assert helped is not None
    assert (helped.argmax(axis=1) == truth).mean() == 1
    assert (without.argmax(axis=1) == truth).mean() < 0.7


def test_copies_of_a_photo_stay_in_one_fold() -> None:
    # Labels of pure chance, each photo five times: only its copies could tell.
    rng = np.random.default_rng(0)
    single = told_by(rng.standard_normal(40).tolist(), (np.arange(40) % 2).tolist())
    single = [replace(item, dish=rng.standard_normal(200)) for item in single]
    features = [item for item in single for _ in range(5)]
    labels = np.array([item.photo.label for item in features])
    apart = cross_validated(features, [at // 5 for at in range(200)], None)
    together = cross_validated(features, range(200), None)
    assert apart is not None
    assert together is not None
    assert (together.argmax(axis=1) == labels).mean() > 0.9
    assert (apart.argmax(axis=1) == labels).mean() < 0.8


def test_too_few_different_photos_give_none() -> None:
    few = told_by(np.zeros(19).tolist(), [0] * 9 + [1] * 10)
    assert cross_validated(few, range(19), None) is None
    copies = told_by(np.zeros(40).tolist(), (np.arange(40) % 2).tolist())
    assert cross_validated(copies, [at % 10 for at in range(40)], None) is None
