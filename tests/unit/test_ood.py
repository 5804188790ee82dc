"""Oddness is the Mahalanobis distance, and its limit lets nearly all dishes pass."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import mahalanobis
from scipy.stats import beta

from platecheck.export.ood import (
    DIRECTIONS,
    FALSE_ALARMS,
    LEAST_SCALE,
    MARGIN,
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
def test_with_all_directions_kept_it_is_the_mahalanobis_distance(size: int) -> None:
    rng = np.random.default_rng(0)
    train, new = features(rng, 500, size, main=min(6, size)), rng.normal(3, 8, (40, size))
    found = fit_ood(train, train).ood_score(new.astype(np.float32))
    inverse = np.linalg.inv(np.cov(train.astype(float).T))
    middle = train.astype(float).mean(axis=0)
    wanted = [mahalanobis(row, middle, inverse) / np.sqrt(size) for row in new]
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_small_variances_are_taken_as_equal() -> None:
    """As many directions as are kept count by their own variance, the rest by its mean."""
    rng = np.random.default_rng(1)
    size = DIRECTIONS + 48
    train, new = features(rng, 900, size), features(rng, 50, size) * 2
    # Of standardised features.
    scale = train.astype(float).std(axis=0)
    scale += LEAST_SCALE * scale.mean()
    train, new = train / scale, new / scale
    variances, axes = np.linalg.eigh(np.cov(train.astype(float).T))
    variances, axes = variances[::-1].copy(), axes[:, ::-1]
    variances[DIRECTIONS:] = variances[DIRECTIONS:].mean()
    apart = (new - train.astype(float).mean(axis=0)) @ axes
    wanted = np.sqrt((apart**2 / variances).sum(axis=1) / size)
    found = fit_ood(*2 * [(train * scale).astype(np.float32)])
    odd = found.ood_score((new * scale).astype(np.float32))
    np.testing.assert_allclose(odd, wanted, rtol=2e-3)


def test_all_variances_equal() -> None:
    """Then it is the plain distance, in standard deviations: 1 on average."""
    rng = np.random.default_rng(2)
    train = rng.normal(5, 0.3, (4000, 100)).astype(np.float32)
    fitted = fit_ood(train, train)
    new = rng.normal(5, 0.3, (300, 100)).astype(np.float32)
    plain = np.sqrt((((new - 5) / 0.3) ** 2).mean(axis=1))
    np.testing.assert_allclose(fitted.ood_score(new), plain, rtol=0.08)
    assert fitted.ood_score(new).mean() == pytest.approx(1, abs=0.05)


def test_about_as_many_new_photos_are_above_the_limit_as_promised() -> None:
    rng = np.random.default_rng(3)
    above = []
    for _ in range(60):
        fitted = fit_ood(features(rng, 300, 40), features(rng, 250, 40))
        above.append((fitted.ood_score(features(rng, 400, 40)) > fitted.limit / MARGIN).mean())
    assert 0.3 * FALSE_ALARMS < np.mean(above) <= 1.2 * FALSE_ALARMS
    # No single fit is far off: chance alone gives a beta distribution.
    worst = beta.ppf(1 - 1e-4 / 60, 3, 248)
    assert np.max(above) < worst + 0.02


def test_the_limit_is_that_of_validation_photos_not_of_those_it_was_fitted_to() -> None:
    """A network's features of photos that it has learnt lie closer together."""
    rng = np.random.default_rng(4)
    train, new = features(rng, 200, 60), 3 + (features(rng, 200, 60) - 3) * 1.5
    assert fit_ood(train, new).limit > 1.3 * fit_ood(train, train).limit


def test_what_is_drawn_is_distributed_as_what_it_was_fitted_to() -> None:
    rng = np.random.default_rng(9)
    train = features(rng, 3000, 80)
    drawn = fit_ood(train, train).sample(3000, seed=0)
    np.testing.assert_allclose(drawn.mean(axis=0), train.mean(axis=0), atol=0.35)
    ours, theirs = (np.linalg.eigvalsh(np.cov(some.astype(float).T)) for some in (drawn, train))
    np.testing.assert_allclose(ours[-6:], theirs[-6:], rtol=0.15)  # the large ones
    assert ours[:-6].mean() == pytest.approx(theirs[:-6].mean(), rel=0.1)


def test_what_was_familiar_before_stays_so_and_what_was_odd_too() -> None:
    """Photos of the first model are not there when the second one learns others."""
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


@pytest.mark.parametrize("away", ["far off", "a new direction", "zeros", "huge"])
def test_what_is_unlike_the_training_photos_is_odd(away: str) -> None:
    rng = np.random.default_rng(5)
    fitted = fit_ood(features(rng, 300, 64), features(rng, 200, 64))
    new = {
        "far off": features(rng, 20, 64) + 8,
        "a new direction": features(rng, 20, 64) + 6 * np.eye(64, dtype=np.float32)[:20],
        "zeros": np.zeros((20, 64), np.float32),
        "huge": np.full((20, 64), 1e4, np.float32),
    }[away]
    odd = fitted.ood_score(new)
    assert np.isfinite(odd).all()
    assert (odd > fitted.limit).all()


def test_it_is_kept_in_a_file(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("count", [1, 2, 3, 20])
@pytest.mark.parametrize("size", [1, 4, 100])
def test_few_photos(count: int, size: int, tmp_path: Path) -> None:
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


def test_features_that_never_change() -> None:
    """A dead unit, or all of them."""
    rng = np.random.default_rng(8)
    train = features(rng, 100, 40)
    train[:, 3] = 0
    fitted = fit_ood(train, train)
    assert np.isfinite(fitted.ood_score(train)).all()
    same = np.ones((10, 40), np.float32)
    fitted = fit_ood(same, same)
    assert fitted.ood_score(same) == pytest.approx(np.zeros(10))
    assert (fitted.ood_score(same + 1) > fitted.limit).all()
