"""Oddness is the Mahalanobis distance, and its limit lets nearly all dishes pass."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis
from scipy.stats import beta

from platecheck.export.ood import (
    DIRECTIONS,
    FALSE_ALARM_RATE,
    MARGIN,
    MIN_RELATIVE_SCALE,
    MahalanobisOOD,
    fit_ood,
)

Features = NDArray[np.float32]


def features(rng: np.random.Generator, count: int, size: int, *, main: int = 6) -> Features:
    """Gaussian: a few directions of large and unlike variances, all others small."""
    axes = np.linalg.qr(np.random.default_rng(size).normal(size=(size, size)))[0]
    scales = np.full(size, 0.5)
    scales[:main] = np.linspace(6, 1, main)
    return (rng.normal(size=(count, size)) * scales @ axes + 3).astype(np.float32)


@pytest.mark.parametrize("size", [2, 5, DIRECTIONS + 1])
def test_ood_score_with_all_directions_is_the_mahalanobis_distance(size: int) -> None:
    rng = np.random.default_rng(0)
    train, new = features(rng, 500, size, main=min(6, size)), rng.normal(3, 8, (40, size))
    found = fit_ood(train, train).ood_score(new.astype(np.float32))
    inverse = np.linalg.inv(np.cov(train.astype(float).T))
    middle = train.astype(float).mean(axis=0)
    wanted = [mahalanobis(row, middle, inverse) / np.sqrt(size) for row in new]
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_ood_score_averages_small_variances() -> None:
    """As many directions as are kept count by their own variance, the rest by its mean."""
    rng = np.random.default_rng(1)
    size = DIRECTIONS + 48
    train, new = features(rng, 900, size), features(rng, 50, size) * 2
    odd = fit_ood(train, train).ood_score(new)
    # Of standardised features.
    scale = train.astype(float).std(axis=0)
    scale += MIN_RELATIVE_SCALE * scale.mean()
    train, new = train / scale, new / scale
    variances, axes = np.linalg.eigh(np.cov(train.T))  # the smallest first
    variances[:-DIRECTIONS] = variances[:-DIRECTIONS].mean()
    apart = (new - train.mean(axis=0)) @ axes
    wanted = np.sqrt((apart**2 / variances).sum(axis=1) / size)
    np.testing.assert_allclose(odd, wanted, rtol=2e-3)


def test_limit_is_exceeded_by_the_expected_share_of_new_photos() -> None:
    rng = np.random.default_rng(3)
    above = []
    for _ in range(30):
        fitted = fit_ood(features(rng, 300, 40), features(rng, 250, 40))
        above.append((fitted.ood_score(features(rng, 400, 40)) > fitted.limit / MARGIN).mean())
    assert 0.3 * FALSE_ALARM_RATE < np.mean(above) <= 1.2 * FALSE_ALARM_RATE
    # No single fit is far off: chance alone gives a beta distribution.
    worst = beta.ppf(1 - 1e-4 / 30, 3, 248)
    assert np.max(above) < worst + 0.02


def test_sample_has_the_distribution_of_the_training_features() -> None:
    rng = np.random.default_rng(9)
    train = features(rng, 3000, 80)
    drawn = fit_ood(train, train).sample(3000, seed=0)
    np.testing.assert_allclose(drawn.mean(axis=0), train.mean(axis=0), atol=0.35)
    ours, theirs = (np.linalg.eigvalsh(np.cov(some.astype(float).T)) for some in (drawn, train))
    np.testing.assert_allclose(ours[-6:], theirs[-6:], rtol=0.15)  # the large ones
    assert ours[:-6].mean() == pytest.approx(theirs[:-6].mean(), rel=0.1)


def test_fit_after_fine_tuning_keeps_earlier_dishes() -> None:
    rng = np.random.default_rng(10)
    old, other = features(rng, 400, 64), features(rng, 60, 64) + 6
    first = fit_ood(old, features(rng, 200, 64))
    forgetful, second = (fit_ood(other, other, before) for before in (None, first))
    new = features(rng, 200, 64)
    assert (forgetful.ood_score(new) > forgetful.limit).mean() > 0.95
    assert (second.ood_score(new) > second.limit).mean() < 0.02
    assert (second.ood_score(features(rng, 200, 64) + 6) > second.limit).mean() < 0.02
    elsewhere = features(rng, 20, 64) + 15 * np.eye(64, dtype=np.float32)[:20]
    assert (second.ood_score(elsewhere) > second.limit).all()
    assert second.limit >= first.limit


def test_ood_score_of_unlike_features_exceeds_the_limit() -> None:
    rng = np.random.default_rng(5)
    fitted = fit_ood(features(rng, 300, 64), features(rng, 200, 64))
    for new in (
        features(rng, 20, 64) + 8,  # far off
        features(rng, 20, 64) + 6 * np.eye(64, dtype=np.float32)[:20],  # a new direction
        np.zeros((20, 64), np.float32),
        np.full((20, 64), 1e4, np.float32),
    ):
        odd = fitted.ood_score(new)
        assert np.isfinite(odd).all()
        assert (odd > fitted.limit).all()


def test_saved_ood_loads_equal(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    fitted = fit_ood(features(rng, 100, 50), features(rng, 60, 50))
    fitted.save(tmp_path / "familiarity.safetensors")
    found = MahalanobisOOD.load(tmp_path / "familiarity.safetensors")
    assert found.limit == pytest.approx(fitted.limit, rel=1e-6)
    assert found.precision == pytest.approx(fitted.precision, rel=1e-6)
    new = features(rng, 30, 50)
    np.testing.assert_allclose(found.ood_score(new), fitted.ood_score(new), rtol=1e-5)
    # None of the photos that it was fitted to is on the other side now.
    assert ((found.ood_score(new) > found.limit) == (fitted.ood_score(new) > fitted.limit)).all()
    assert [path.name for path in tmp_path.iterdir()] == ["familiarity.safetensors"]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("size", [1, 100])
def test_fit_with_few_photos_is_finite(count: int, size: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    train, validation = (rng.normal(0, 1, (count, size)).astype(np.float32) for _ in range(2))
    fitted = fit_ood(train, validation)
    fitted.save(tmp_path / "f.safetensors")
    fitted = MahalanobisOOD.load(tmp_path / "f.safetensors")
    odd = fitted.ood_score(validation)
    assert np.isfinite(odd).all()
    assert np.isfinite(fitted.limit)
    # Of fewer than a hundred photos none can be left out.
    assert fitted.limit == pytest.approx(MARGIN * odd.max(), rel=1e-5)
    assert (fitted.ood_score(np.full((1, size), 1e3, np.float32)) > fitted.limit).all()


def test_fit_with_constant_features_is_finite() -> None:
    rng = np.random.default_rng(8)
    train = features(rng, 100, 40)
    train[:, 3] = 0  # a dead unit
    fitted = fit_ood(train, train)
    assert np.isfinite(fitted.ood_score(train)).all()
    same = np.ones((10, 40), np.float32)
    fitted = fit_ood(same, same)
    assert fitted.ood_score(same) == pytest.approx(np.zeros(10))
    assert (fitted.ood_score(same + 1) > fitted.limit).all()
