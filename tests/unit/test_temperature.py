import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from platecheck.training.temperature import Scaling, fit_platt, fit_temperature


def three_of_four_right(logit: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Photos that all get the logits (`logit`, 0); three of four are of the first class."""
    return np.tile([logit, 0.0], (40, 1)), np.repeat([0, 1], [30, 10])


@pytest.mark.parametrize("temperature", [0.1, 1.7, 10.0])
def test_fit_temperature_finds_the_analytic_one(temperature: float) -> None:
    # softmax((T ln 3, 0) / T) = (3/4, 1/4), which is what the labels say.
    logits, labels = three_of_four_right(temperature * np.log(3))
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=1e-3)


@pytest.mark.parametrize("temperature", [0.3, 4.0])
def test_fit_temperature_finds_the_one_labels_were_drawn_with(temperature: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(20_000, 3)).astype(np.float32)
    gumbel = rng.gumbel(size=logits.shape)  # argmax(scores + Gumbel noise) draws from softmax
    labels = (logits / temperature + gumbel).argmax(axis=1)
    assert fit_temperature(logits, labels) == pytest.approx(temperature, rel=0.05)


def test_scaling_toward_another_is_between_them() -> None:
    first, other = Scaling(0.5, (1.0, -1.0)), Scaling(2.0, (0.0, 0.0))
    assert first.toward(other, 0) == first
    assert first.toward(other, 1) == other
    assert first.toward(other, 0.5) == Scaling(1.0, (0.5, -0.5))
    assert first.toward(Scaling(0.5), 0.25) == Scaling(0.5, (0.75, -0.75))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.integers(2, 5))
def test_fit_temperature_changes_no_prediction_and_never_raises_the_loss(
    seed: int, scale: float, classes: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=scale, size=(30, classes))
    labels = rng.integers(0, classes, 30)
    temperature = fit_temperature(logits, labels)
    assert 0.05 <= temperature <= 20
    calibrated = logits / temperature
    assert (calibrated.argmax(axis=1) == logits.argmax(axis=1)).all()
    assert cross_entropy(calibrated, labels) <= cross_entropy(logits, labels) + 1e-6


def cross_entropy(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-scores[np.arange(len(labels)), labels].mean())


def test_fit_temperature_all_correct_or_wrong_ends_at_a_bound() -> None:
    logits = np.tile([0.2, 0.0], (20, 1))
    assert fit_temperature(logits, np.zeros(20, int)) == pytest.approx(0.05, rel=0.01)
    assert fit_temperature(logits, np.ones(20, int)) == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize(
    "logits",
    [np.zeros((8, 2)), np.tile([1e6, -1e6], (8, 1)), np.full((8, 3), 1e-30)],
    ids=["all alike", "huge", "tiny"],
)
def test_fit_temperature_extreme_logits_stays_within_bounds(logits: NDArray[np.float64]) -> None:
    for dtype in (np.float32, np.float64):
        for labels in (np.arange(8) % 2, np.zeros(8, int), np.ones(8, int)):
            assert 0.05 <= fit_temperature(logits.astype(dtype), labels) <= 20


def drawn(scale: float, shift: float, counts: tuple[int, int]) -> tuple[NDArray, NDArray]:
    """Photos of two classes, whose log-odds of the second are ±2 with noise, scaled and shifted."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], counts)
    odds = rng.normal(loc=4 * labels - 2, scale=2)  # equal variances: calibrated for equal classes
    return np.stack([np.zeros(len(odds)), scale * (odds + shift)], axis=1), labels


@pytest.mark.parametrize("counts", [(20_000, 20_000), (4_000, 36_000)])
@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (3.0, 2.0), (0.5, -1.0)])
def test_fit_platt_undoes_scale_and_shift_for_any_share_of_classes(
    scale: float, shift: float, counts: tuple[int, int]
) -> None:
    found = fit_platt(*drawn(scale, shift, counts))
    assert found.temperature == pytest.approx(scale, rel=0.08)
    assert sum(found.bias) == pytest.approx(0, abs=1e-9)
    assert found.bias[1] - found.bias[0] == pytest.approx(-shift, abs=0.08)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.integers(2, 5), st.integers(1, 30))
def test_fit_platt_is_finite_and_no_worse_than_temperature_for_equal_classes(
    seed: int, scale: float, classes: int, each: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    logits = rng.normal(scale=scale, size=(len(labels), classes))
    temperature, bias = fit_platt(logits, labels)
    assert 0.05 - 1e-9 <= temperature <= 20 + 1e-9
    smooth = np.full((len(labels), classes), 1 / (each + 2) / (classes - 1))
    smooth[np.arange(len(labels)), labels] = (each + 1) / (each + 2)

    def loss(calibrated: NDArray[np.floating]) -> float:
        shifted = calibrated - calibrated.max(axis=1, keepdims=True)
        scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return float(-(smooth * scores).sum(axis=1).mean())

    ours = loss(logits / temperature + np.array(bias))
    assert ours <= loss(logits / fit_temperature(logits, labels)) + 1e-6


def test_fit_platt_of_few_photos_all_correct_is_not_sure() -> None:
    logits, labels = np.array([[4.0, 0], [6, 0], [0, 8], [0, 10]]), np.array([0, 0, 1, 1])
    temperature, bias = fit_platt(logits, labels)
    calibrated = logits / temperature + np.array(bias)
    probabilities = np.exp(calibrated) / np.exp(calibrated).sum(axis=1, keepdims=True)
    assert (probabilities.argmax(axis=1) == labels).all()
    assert probabilities.max(axis=1).mean() == pytest.approx(3 / 4, abs=0.05)


def test_fit_platt_without_photos_of_a_class_stays_finite() -> None:
    found = fit_platt(np.array([[1.0, 0.0], [2.0, 0.0]]), np.zeros(2, int))
    assert np.isfinite([found.temperature, *found.bias]).all()
