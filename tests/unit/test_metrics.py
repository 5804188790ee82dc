import json
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platecheck.errors import DataError
from platecheck.evaluation.metrics import (
    EvaluationResult,
    Metrics,
    evaluate_decisions,
    evaluate_probabilities,
    mistakes,
    reliability,
    wilson_interval,
)
from platecheck.model_info import NO_DISH, UNSURE

few = settings(max_examples=60)

NAMES = [f"class {i}" for i in range(7)]
Answers = tuple[NDArray[np.float32], NDArray[np.int64]]


def random_answers(photos: int, classes: int, seed: int = 0, sharpness: float = 2) -> Answers:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, photos)
    logits = rng.normal(0, sharpness, (photos, classes))
    logits[np.arange(photos), labels] += sharpness
    odds = np.exp(logits)
    return (odds / odds.sum(axis=1, keepdims=True)).astype(np.float32), labels


@st.composite
def answers(draw: st.DrawFn) -> Answers:
    """Draw any valid input: few or many photos, absent classes, ties, certainties."""
    classes = draw(st.integers(2, 4))
    photos = draw(st.integers(1, 30))
    row = st.lists(st.integers(0, 5), min_size=classes, max_size=classes).filter(any)
    weights = draw(st.lists(row, min_size=photos, max_size=photos))
    labels = draw(st.lists(st.integers(0, classes - 1), min_size=photos, max_size=photos))
    odds = np.array(weights, np.float32)
    return odds / odds.sum(axis=1, keepdims=True), np.array(labels)


def test_metrics_of_a_small_case_equal_those_computed_by_hand() -> None:
    probabilities = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9]])
    labels = np.array([0, 0, 1, 1, 1])
    metrics = evaluate_probabilities(probabilities, labels, ["clean", "dirty"])

    assert metrics.photos == 5
    assert metrics.correct == 3
    assert metrics.accuracy == pytest.approx(0.6)
    # Wilson: centre (p + z²/2n) / (1 + z²/n), n = 5, p = 0.6, z = 1.96
    assert metrics.accuracy_ci95 == pytest.approx((0.2307, 0.8824), abs=1e-4)
    assert metrics.confusion_matrix == [[1, 1], [1, 2]]
    assert metrics.precision == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert metrics.recall == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert metrics.f1 == pytest.approx((1 / 2 + 2 / 3) / 2)
    # dirty scores 0.8 0.3 0.9 against clean scores 0.1 0.6: 5 of 6 pairs in order
    assert metrics.auroc == pytest.approx(5 / 6)
    assert metrics.brier == pytest.approx(2 * (0.01 + 0.36 + 0.04 + 0.49 + 0.01) / 5)
    assert metrics.mean_confidence == pytest.approx((0.9 + 0.6 + 0.8 + 0.7 + 0.9) / 5)
    # bins of 1/15: {0.6 wrong}, {0.7 wrong}, {0.8 right}, {0.9, 0.9 right}
    assert metrics.ece == pytest.approx((0.6 + 0.7 + 0.2 + 2 * 0.1) / 5)
    assert metrics.per_class["dirty"].model_dump() == pytest.approx(
        {"precision": 2 / 3, "recall": 2 / 3, "f1": 2 / 3, "support": 3}
    )


@pytest.mark.parametrize(
    ("counts", "verdict", "sentence"),
    [
        ([[20, 20], [20, 40]], "not better", "No better than {}: 60/100 = 60.0%."),
        (
            [[0, 40], [0, 60]],
            "not better",
            "No better than {}: 60/100 = 60.0%. It only predicts 'dirty'.",
        ),
        (
            [[20, 20], [15, 45]],
            "not told apart",
            "Not significantly better than {}: 60/100 = 60.0% (p = 0.18).",
        ),
        ([[35, 5], [5, 55]], "better", "Better than {}: 60/100 = 60.0% (p < 0.001)."),
        ([[1, 0], [0, 9]], "too few photos", "Too few photos to compare with {}: 9/10 = 90.0%."),
        ([[0, 0], [5, 45]], "too few photos", "Too few photos to compare with {}: 50/50 = 100.0%."),
    ],
)
def test_majority_baseline_verdict_and_sentence(
    counts: list[list[int]], verdict: str, sentence: str
) -> None:
    cells = [(t, p) for t, row in enumerate(counts) for p, n in enumerate(row) for _ in range(n)]
    labels, predicted = np.array(cells).T
    probabilities = np.eye(2)[predicted]
    found = evaluate_probabilities(probabilities, labels, ["clean", "dirty"]).majority_baseline
    assert found.verdict == verdict
    assert str(found) == sentence.format("always predicting 'dirty'")
    # The exact binomial test: the probability of as many correct photos by chance.
    photos, chance = len(labels), labels.mean()
    p = [comb(photos, k) * chance**k * (1 - chance) ** (photos - k) for k in range(photos + 1)]
    assert found.p_value == pytest.approx(sum(p[np.trace(counts) :]))


def test_json_has_exactly_the_documented_keys() -> None:
    probabilities, labels = random_answers(40, 2)
    classes = ["clean", "dirty"]
    metrics = evaluate_probabilities(probabilities, labels, classes)
    assert Metrics.model_validate_json(metrics.model_dump_json()) == metrics
    found = mistakes(probabilities, labels, classes, [f"{i}.jpg" for i in range(40)])
    assert len(found) == metrics.photos - metrics.correct
    result = EvaluationResult(**dict(metrics), mistakes=found, unreadable=[])
    written = json.loads(result.model_dump_json())
    assert list(written) == [
        "photos", "correct", "accuracy", "accuracy_ci95", "precision", "recall", "f1", "auroc",
        "ece", "brier", "mean_confidence", "classes", "confusion_matrix", "per_class",
        "majority_baseline", "mistakes", "unreadable",
    ]  # fmt: skip
    assert list(written["per_class"]["clean"]) == ["precision", "recall", "f1", "support"]
    assert list(written["mistakes"][0]) == ["path", "label", "predicted", "probability"]


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("case", ["ordinary", "never predicted", "no photo", "neither"])
def test_macro_metrics_equal_torchmetrics(classes: int, case: str) -> None:
    from platecheck.training import torchvision_guard

    torchvision_guard.install()
    import torch
    import torchmetrics.functional.classification as theirs

    probabilities, labels = random_answers(200, classes, seed=classes)
    last = classes - 1
    if case in ("never predicted", "neither"):
        probabilities[:, last] = 0
        probabilities /= probabilities.sum(axis=1, keepdims=True)
    if case in ("no photo", "neither"):
        labels[labels == last] = 0
    metrics = evaluate_probabilities(probabilities, labels, NAMES[:classes])

    p, y = torch.from_numpy(probabilities), torch.from_numpy(labels)
    for ours, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1_score")):
        macro = getattr(theirs, f"multiclass_{name}")(p, y, classes, average="macro").item()
        assert getattr(metrics, ours) == pytest.approx(macro, abs=1e-6)
    accuracy = theirs.multiclass_accuracy(p, y, classes, average="micro").item()
    assert metrics.accuracy == pytest.approx(accuracy, abs=1e-6)
    assert metrics.confusion_matrix == theirs.multiclass_confusion_matrix(p, y, classes).tolist()
    if case in ("ordinary", "no photo"):  # torchmetrics keeps a 16th bin for exactly 1
        ece = theirs.multiclass_calibration_error(p, y, classes, n_bins=15).item()
        assert metrics.ece == pytest.approx(ece, abs=1e-5)
    if case in ("ordinary", "never predicted"):
        auroc = theirs.multiclass_auroc(p, y, classes, average="macro").item()
        assert metrics.auroc == pytest.approx(auroc, abs=1e-6)
    else:
        assert metrics.auroc is None
        assert json.loads(metrics.model_dump_json())["auroc"] is None


@few
@given(answers())
def test_metrics_stay_in_range_and_agree_with_each_other(drawn: Answers) -> None:
    probabilities, labels = drawn
    classes = probabilities.shape[1]
    metrics = evaluate_probabilities(probabilities, labels, NAMES[:classes])
    low, high = metrics.accuracy_ci95
    assert 0 <= low <= metrics.accuracy <= high <= 1
    assert high - low > 0
    assert 0 <= metrics.ece <= 1
    assert 0 <= metrics.brier <= 2 + 1e-6
    assert 1 / classes - 1e-6 <= metrics.mean_confidence <= 1 + 1e-6
    assert metrics.auroc is None or 0 <= metrics.auroc <= 1
    baseline, counts = metrics.majority_baseline, np.bincount(labels)
    assert (baseline.correct, baseline.predicted) == (counts.max(), f"class {counts.argmax()}")
    assert 0 <= baseline.p_value <= 1
    matrix = np.array(metrics.confusion_matrix)
    assert matrix.sum() == metrics.photos == len(labels)
    assert matrix.trace() == metrics.correct
    counts = np.bincount(labels, minlength=classes).tolist()
    assert matrix.sum(axis=1).tolist() == counts
    assert [figures.support for figures in metrics.per_class.values()] == counts


@few
@given(answers(), st.integers(0, 2**32 - 1))
def test_metrics_do_not_depend_on_the_order_of_photos(drawn: Answers, seed: int) -> None:
    probabilities, labels = drawn
    order = np.random.default_rng(seed).permutation(len(labels))
    classes = NAMES[: probabilities.shape[1]]
    before = evaluate_probabilities(probabilities, labels, classes).model_dump()
    after = evaluate_probabilities(probabilities[order], labels[order], classes).model_dump()
    for key, value in before.items():
        assert after[key] == (pytest.approx(value) if isinstance(value, float) else value)


@few
@given(answers())
def test_metrics_do_not_depend_on_the_order_of_classes(drawn: Answers) -> None:
    probabilities, labels = drawn
    classes = NAMES[: probabilities.shape[1]]
    top = probabilities.max(axis=1, keepdims=True)
    clear = (probabilities == top).sum(axis=1) == 1  # a tie goes to the first class, whichever
    if not clear.any():
        return
    probabilities, labels = probabilities[clear], labels[clear]
    before = evaluate_probabilities(probabilities, labels, classes)
    after = evaluate_probabilities(probabilities[:, ::-1], len(classes) - 1 - labels, classes[::-1])
    assert after.per_class == before.per_class
    for figure in ("accuracy", "precision", "recall", "f1", "auroc", "ece", "brier"):
        assert getattr(after, figure) == pytest.approx(getattr(before, figure))


@few
@given(st.lists(st.integers(0, 2), min_size=3, max_size=40).filter(lambda y: len(set(y)) == 3))
def test_metrics_of_certain_and_correct_predictions_are_perfect(drawn: list[int]) -> None:
    labels = np.array(drawn)
    metrics = evaluate_probabilities(np.eye(3)[labels], labels, NAMES[:3])
    assert metrics.correct == metrics.photos
    assert metrics.accuracy == metrics.precision == metrics.recall == metrics.f1 == 1
    assert metrics.auroc == 1
    assert metrics.ece == metrics.brier == 0
    assert metrics.accuracy_ci95[1] == 1


def test_metrics_of_certain_and_wrong_predictions_are_worst() -> None:
    metrics = evaluate_probabilities(np.eye(2)[[1, 0]], np.array([0, 1]), ["a", "b"])
    assert metrics.accuracy == metrics.f1 == metrics.auroc == 0
    assert metrics.ece == 1
    assert metrics.brier == 2


@few
@given(answers(), st.integers(1, 20))
def test_reliability_bins_photos_by_confidence(drawn: Answers, bins: int) -> None:
    probabilities, labels = drawn
    found = reliability(probabilities, labels, bins)
    assert len(found.edges) == bins + 1
    assert found.count.sum() == len(labels)
    filled = found.count > 0
    assert np.isnan(found.confidence[~filled]).all()
    assert np.isnan(found.accuracy[~filled]).all()
    assert (found.confidence[filled] >= found.edges[:-1][filled] - 1e-9).all()
    assert (found.confidence[filled] <= found.edges[1:][filled] + 1e-6).all()
    right = (found.accuracy[filled] * found.count[filled]).sum()
    assert right == pytest.approx((probabilities.argmax(axis=1) == labels).sum())


def test_decisions_are_counted_by_class_and_outcome() -> None:
    pairs = [
        *[("clean", "clean")] * 2, ("clean", "dirty"), ("dirty", "dirty"), ("dirty", "clean"),
        (UNSURE, "dirty"), (UNSURE, "clean"), (NO_DISH, "dirty"),
    ]  # fmt: skip
    labels = np.array([int(truth == "dirty") for _, truth in pairs])
    found = evaluate_decisions([given for given, _ in pairs], labels, ["clean", "dirty"])
    written = found.model_dump(mode="json")
    ci95 = [*wilson_interval(3, 5)]
    assert written["accuracy"] == {"count": 3, "of": 5, "share": 0.6, "ci95": ci95}
    assert str(found.accuracy).startswith("3/5 = 60.00%")
    proportions = {
        "coverage": found.coverage, "unsure": found.unsure, "no_dish": found.no_dish,
        **{f"wrong {name}": each for name, each in found.wrong.items()},
        **{f"missed {name}": each for name, each in found.missed.items()},
    }  # fmt: skip
    assert {name: (each.count, each.total) for name, each in proportions.items()} == {
        "coverage": (5, 8), "unsure": (2, 8), "no_dish": (1, 8),
        "wrong clean": (1, 3), "wrong dirty": (1, 2),
        "missed clean": (1, 4), "missed dirty": (1, 4),
    }  # fmt: skip
    none = evaluate_decisions([UNSURE], np.array([0]), ["clean", "dirty"]).accuracy
    assert (none.value, none.interval, str(none)) == (None, None, "none")


def test_mistakes_are_sorted_by_confidence_then_path() -> None:
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.9, 0.1], [0.2, 0.8], [0.1, 0.9]])
    labels = np.array([1, 0, 0, 1, 0])
    found = mistakes(probabilities, labels, ["clean", "dirty"], ["e", "d", "c", "b", "a"])
    assert [(m.path, m.label, m.predicted, m.probability) for m in found] == [
        ("a", "clean", "dirty", 0.9),
        ("d", "clean", "dirty", 0.9),
        ("e", "dirty", "clean", 0.6),
    ]


def test_mistake_with_undecodable_file_name_is_valid_json() -> None:
    bad = b"dirty/\xff.jpg".decode("utf-8", "surrogateescape")
    (found,) = mistakes(np.array([[0.9, 0.1]]), np.array([1]), ["clean", "dirty"], [bad])
    assert json.loads(found.model_dump_json())["path"] == "dirty/�.jpg"


GOOD = np.array([[0.9, 0.1], [0.4, 0.6]])
TRUTH = np.array([0, 1])


@pytest.mark.parametrize(
    ("probabilities", "labels", "classes", "message"),
    [
        (np.empty((0, 2)), np.empty(0, np.int64), ["a", "b"], "no photo"),
        (GOOD[0], TRUTH, ["a", "b"], r"\[photos, 2 classes or more\], not \[2\]"),
        (np.ones((2, 1)), np.zeros(2, np.int64), ["a"], "2 classes or more"),
        (GOOD, TRUTH[:1], ["a", "b"], "2 rows of probabilities need 2 labels"),
        (GOOD, TRUTH, ["a", "b", "c"], "2 different classes"),
        (GOOD, TRUTH, ["a", "a"], "2 different classes"),
        (GOOD, TRUTH.astype(float), ["a", "b"], "integers"),
        (GOOD, TRUTH + 1, ["a", "b"], "from 1 to 2"),
        (GOOD, TRUTH - 1, ["a", "b"], "from -1 to 0"),
        (np.array([[np.nan, 1], [0, 1]]), TRUTH, ["a", "b"], "NaN"),
        (np.array([[np.inf, 1], [0, 1]]), TRUTH, ["a", "b"], "infinite"),
        (np.array([[3.2, -2.2], [0, 1]]), TRUTH, ["a", "b"], "logits"),
        (np.array([[0.9, 0.8], [0, 1]]), TRUTH, ["a", "b"], "sum to 1"),
    ],
)
def test_invalid_arrays_raise_one_line(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: list[str],
    message: str,
) -> None:
    with pytest.raises(DataError, match=message) as refusal:
        evaluate_probabilities(probabilities, labels, classes)
    assert "\n" not in str(refusal.value)


def test_mistakes_and_reliability_with_invalid_arguments_raise() -> None:
    with pytest.raises(DataError, match="one path per photo"):
        mistakes(GOOD, TRUTH, ["a", "b"], ["only one"])
    with pytest.raises(DataError, match="no photo"):
        reliability(np.empty((0, 2)), np.empty(0, np.int64))
    with pytest.raises(DataError, match="at least one bin"):
        reliability(GOOD, TRUTH, bins=0)


def test_half_precision_probabilities_are_accepted() -> None:
    probabilities, labels = random_answers(50, 7)
    halves = evaluate_probabilities(probabilities.astype(np.float16), labels, NAMES[:7])
    full = evaluate_probabilities(probabilities, labels, NAMES[:7])
    assert halves.brier == pytest.approx(full.brier, abs=1e-3)
