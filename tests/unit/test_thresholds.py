import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import softmax

from platecheck.export.thresholds import NEVER, choose_thresholds, worst_view

TWO = ("clean", "dirty")
THREE = ("clean", "dirty", "greasy")
Photos = tuple[NDArray[np.float64], NDArray[np.int64]]


def draw(rng: np.random.Generator, count: int, classes: int = 2) -> Photos:
    """Probabilities of a model that is right most of the time, and the labels."""
    labels = rng.integers(0, classes, count)
    logits = rng.normal(0, 1, (count, classes))
    logits[np.arange(count), labels] += 1.3
    return softmax(1.5 * logits, axis=1), labels


def named(photos: Photos, index: int, threshold: float) -> NDArray[np.bool_]:
    """Photos that are given a class."""
    probabilities, _ = photos
    return (probabilities.argmax(axis=1) == index) & (probabilities[:, index] >= threshold)


def wrong_share(photos: Photos, index: int, threshold: float) -> float:
    """Of the photos that are given a class, those of another one; 0 where there are none."""
    given_it = named(photos, index, threshold)
    return float((photos[1][given_it] != index).mean()) if given_it.any() else 0.0


def without_the_one(photos: Photos, index: int, allowed: float) -> float:
    """What would be chosen by the calibration photos' own share of wrong answers."""
    scores = photos[0][photos[0].argmax(axis=1) == index, index]
    kept = [t for t in np.unique(scores) if wrong_share(photos, index, t) <= allowed]
    return float(min(kept, default=NEVER))


@pytest.mark.parametrize("count", [60, 300])
@pytest.mark.parametrize("classes", [TWO, THREE])
def test_guarantee_is_kept_on_average(count: int, classes: tuple[str, ...]) -> None:
    allowed = 0.05
    rng = np.random.default_rng([count, len(classes)])
    ours, naive, answered = [], [], []
    for _ in range(120):
        calibration = draw(rng, count, len(classes))
        test = draw(rng, 1500, len(classes))
        thresholds, _ = choose_thresholds(*calibration, classes, dict.fromkeys(classes, allowed))
        for index, name in enumerate(classes):
            ours.append(wrong_share(test, index, thresholds[name]))
            answered.append(named(test, index, thresholds[name]).mean())
            naive.append(wrong_share(test, index, without_the_one(calibration, index, allowed)))
    # Four standard errors of the mean: chance of the draws, not of the rule.
    margin = 4 * np.std(ours) / np.sqrt(len(ours))
    assert np.mean(ours) <= allowed + margin
    if count == 60:  # hard to keep: without the +1 it is broken
        assert np.mean(naive) > allowed + margin
    else:
        assert np.mean(answered) > 0.02  # it is kept by answering, not by silence


def separable(count: int) -> Photos:
    """`count` photos of each class, all answered right."""
    labels = np.repeat([0, 1], count)
    sure = np.linspace(0.8, 0.99, 2 * count)
    clean = np.where(labels == 0, sure, 1 - sure)
    return np.stack([clean, 1 - clean], axis=1), labels


@pytest.mark.parametrize(("count", "enough"), [(5, False), (40, False), (110, True), (400, True)])
def test_guarantee_with_few_photos_never_predicts(count: int, enough: bool) -> None:
    """Without a mistake among n photos of other classes, about 1 in n is all that is known."""
    photos = separable(count)
    thresholds, promise = choose_thresholds(*photos, TWO, {"clean": 0.01, "dirty": 0.01})
    for index, name in enumerate(TWO):
        lowest = photos[0][photos[1] == index, index].min()
        assert thresholds[name] == (lowest if enough else NEVER)
    assert NEVER > 1
    assert promise.answered == float(enough)
    assert without_the_one(photos, 0, 0.01) < 1  # the +1 makes the difference


@given(seed=st.integers(0, 10_000), count=st.integers(2, 150), classes=st.sampled_from([2, 3]))
def test_higher_error_rate_predicts_more(seed: int, count: int, classes: int) -> None:
    names = THREE[:classes]
    photos = draw(np.random.default_rng(seed), count, classes)
    found, answered = [], []
    for allowed in (0.01, 0.05, 0.1, 0.3, 0.6, 1.0):
        thresholds, promise = choose_thresholds(*photos, names, dict.fromkeys(names, allowed))
        found.append([thresholds[name] for name in names])
        answered.append(promise.answered)
    for stricter, laxer in itertools.pairwise(found):
        assert all(a >= b for a, b in zip(stricter, laxer, strict=True))
    assert answered == sorted(answered)
    assert found[-1] == [0] * classes  # all wrong answers are allowed: nothing is unsure
    assert answered[-1] == 1


def test_lowest_threshold_is_found_beyond_a_mistake() -> None:
    """One sure mistake on top must not end the search: below it the share falls again."""
    probabilities, labels = separable(300)
    probabilities[labels == 1] = [0.05, 0.95]
    probabilities[300] = [0.999, 0.001]  # of a dirty dish
    thresholds, _ = choose_thresholds(probabilities, labels, TWO, {"clean": 0.02, "dirty": 1})
    assert thresholds["clean"] == probabilities[:300, 0].min()


def test_a_class_that_is_never_given_is_never_answered() -> None:
    probabilities = np.tile([0.9, 0.1], (50, 1))
    thresholds, promise = choose_thresholds(
        probabilities, np.repeat([0, 1], 25), TWO, {"clean": 0.9, "dirty": 0.5}
    )
    assert thresholds["dirty"] == NEVER
    assert thresholds["clean"] == 0.9
    assert promise.answered == 1


def test_the_promise_says_what_it_was_made_of() -> None:
    rng = np.random.default_rng(3)
    photos = draw(rng, 400, 3)
    wrong = {"greasy": 0.2, "clean": 0.05, "dirty": 0.1}
    thresholds, promise = choose_thresholds(*photos, THREE, wrong)
    assert promise.wrong == wrong
    assert promise.photos == 400
    assert promise.shares == pytest.approx(
        {name: (photos[1] == index).mean() for index, name in enumerate(THREE)}
    )
    given_any = sum(named(photos, i, thresholds[name]).sum() for i, name in enumerate(THREE))
    assert promise.answered == pytest.approx(given_any / 400)
    assert 0 < promise.answered < 1


def test_float32_probabilities_meet_their_own_threshold() -> None:
    """The photo that sets the threshold is answered, as the file's answers are float32."""
    probabilities, labels = draw(np.random.default_rng(1), 300)
    single = probabilities.astype(np.float32)
    thresholds, promise = choose_thresholds(single, labels, TWO, {"clean": 0.1, "dirty": 0.1})
    best = single.max(axis=1)
    least = np.array([thresholds[TWO[i]] for i in single.argmax(axis=1)])
    assert (best >= least).mean() == promise.answered
    for name in TWO:
        assert np.float32(thresholds[name]) in single


def test_of_several_views_the_one_that_speaks_least_for_its_own_class() -> None:
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    labels, owners = np.array([0, 1, 0, 1, 1]), np.array([7, 3, 7, 3, 5])
    found, of = worst_view(probabilities, labels, owners)
    assert of.tolist() == [1, 1, 0]  # in the order of the owners: 3, 5, 7
    np.testing.assert_allclose(found, probabilities[[3, 4, 2]])


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32))
def test_every_dish_counts_once_however_often_it_was_seen(
    count: int, times: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    photos = draw(rng, count)
    order = rng.permutation(count * times)
    seen = [np.tile(photos[0], (times, 1))[order], np.tile(photos[1], times)[order]]
    found = worst_view(*seen, np.tile(np.arange(count), times)[order])
    wrong = {"clean": 0.2, "dirty": 0.2}
    assert choose_thresholds(*found, TWO, wrong) == choose_thresholds(*photos, TWO, wrong)
