"""Photometric augmentation changes how a photo looks, but not what it shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from platecheck.data.photometric import photometric_augment
from platecheck.data.render import render_dish

SEEDS = range(60)


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng([height, width]).integers(0, 256, (height, width, 3), np.uint8)


def augment(seed: int, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return photometric_augment(np.random.default_rng(seed), pixels)


@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 70), width=st.integers(1, 70),
    level=st.integers(0, 255) | st.none(),
)  # fmt: skip
def test_photometric_augment_keeps_size_and_input_and_depends_on_the_seed_alone(
    seed: int, height: int, width: int, level: int | None
) -> None:
    pixels = noise(height, width)
    if level is not None:
        pixels[:] = level
    before = pixels.copy()
    found = augment(seed, pixels)
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(found, augment(seed, pixels))


@pytest.mark.parametrize(
    "view", [np.s_[:, ::-1], np.s_[::-1], np.s_[::2, 1::3]], ids=["mirrored", "upside down", "thin"]
)
def test_photometric_augment_accepts_views(view: tuple[slice, ...]) -> None:
    pixels = noise(40, 40)[view]
    for seed in SEEDS:
        np.testing.assert_array_equal(augment(seed, pixels), augment(seed, pixels.copy()))


def test_photometric_augment_changes_photos_but_keeps_them_recognizable() -> None:
    dish, *others = (
        render_dish(np.random.default_rng(seed), size=64).photo for seed in range(1, 8)
    )

    def similarity(found: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
        """Return the correlation of the brightness."""
        return float(np.corrcoef(found.mean(axis=2).ravel(), other.mean(axis=2).ravel())[0, 1])

    found = [augment(seed, dish) for seed in SEEDS]
    differences = [np.abs(pixels.astype(float) - dish).mean() for pixels in found]
    assert sum(difference > 2 for difference in differences) > 0.9 * len(SEEDS)
    alike = [similarity(pixels, dish) for pixels in found]
    assert np.median(alike) > 0.9
    nearest = [max(similarity(pixels, other) for other in others) for pixels in found]
    assert np.mean(np.array(alike) > nearest) > 0.95


def test_photometric_augment_makes_every_kind_of_change() -> None:
    pixels = np.full((64, 64, 3), (150, 120, 90), np.uint8)
    pixels[24:40, 24:40] = (60, 80, 100)
    found = [augment(seed, pixels).astype(float) for seed in range(200)]
    flat = [photo[:20, :20] for photo in found]
    brightness = np.array([photo.mean() for photo in found]) / pixels.mean()
    assert brightness.min() < 0.65
    assert brightness.max() > 1.1
    colour = np.array([f.mean(axis=(0, 1)) / f.mean() for f in flat])
    assert (np.ptp(colour, axis=0) > 0.1).all()  # a tint, in any channel
    saturation = np.array([np.ptp(f.mean(axis=(0, 1))) / f.mean() for f in flat])
    assert saturation.min() < 0.3  # 0.5 originally
    assert saturation.max() > 0.6
    rough = np.array([f.std(axis=(0, 1)).mean() for f in flat])
    assert rough.max() > 4  # noise where there was none
    assert np.median(rough) < 4  # but not in every photo
