"""Light, camera and file change how a photo looks, not what it is: its size and its content."""

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


@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 70), width=st.integers(1, 70),
    level=st.integers(0, 255) | st.none(),
)  # fmt: skip
def test_any_photo_stays_a_photo_of_its_size_and_chance_alone_decides(
    seed: int, height: int, width: int, level: int | None
) -> None:
    pixels = noise(height, width)
    if level is not None:
        pixels[:] = level
    before = pixels.copy()
    found = photometric_augment(np.random.default_rng(seed), pixels)
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    np.testing.assert_array_equal(pixels, before)  # what was given is not written to
    np.testing.assert_array_equal(found, photometric_augment(np.random.default_rng(seed), pixels))


@pytest.mark.parametrize("shape", [(1, 1), (1, 64), (64, 1), (2, 3), (37, 64)])
def test_sizes_at_the_edge(shape: tuple[int, int]) -> None:
    for seed in SEEDS:
        assert photometric_augment(np.random.default_rng(seed), noise(*shape)).shape == (*shape, 3)


@pytest.mark.parametrize(
    "view", [np.s_[:, ::-1], np.s_[::-1], np.s_[::2, 1::3]], ids=["mirrored", "upside down", "thin"]
)
def test_a_view_is_as_good_as_a_copy(view: tuple[slice, ...]) -> None:
    pixels = noise(40, 40)[view]
    for seed in SEEDS:
        np.testing.assert_array_equal(
            photometric_augment(np.random.default_rng(seed), pixels),
            photometric_augment(np.random.default_rng(seed), pixels.copy()),
        )


def test_the_generator_moves_on() -> None:
    rng = np.random.default_rng(0)
    pixels = noise(32, 32)
    changed = {photometric_augment(rng, pixels).tobytes() for _ in SEEDS}
    assert len(changed) > 0.9 * len(SEEDS)


def test_nearly_every_photo_really_changes_and_stays_recognisable() -> None:
    dish = render_dish(np.random.default_rng(1), size=64).photo
    others = [render_dish(np.random.default_rng(seed), size=64).photo for seed in range(2, 8)]

    def likeness(found: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
        """Correlation of the brightness."""
        return float(np.corrcoef(found.mean(axis=2).ravel(), other.mean(axis=2).ravel())[0, 1])

    found = [photometric_augment(np.random.default_rng(seed), dish) for seed in SEEDS]
    differences = [np.abs(pixels.astype(float) - dish).mean() for pixels in found]
    assert sum(difference > 2 for difference in differences) > 0.9 * len(SEEDS)
    alike = [likeness(pixels, dish) for pixels in found]
    assert np.median(alike) > 0.9
    nearest = [max(likeness(pixels, other) for other in others) for pixels in found]
    assert np.mean(np.array(alike) > nearest) > 0.95


def test_each_kind_of_change_is_among_them() -> None:
    """Darker, brighter, tinted, paler, blurred, noisier: some photo is so, by a good measure."""
    pixels = np.full((64, 64, 3), (150, 120, 90), np.uint8)
    pixels[24:40, 24:40] = (60, 80, 100)
    found = [
        photometric_augment(np.random.default_rng(seed), pixels).astype(float)
        for seed in range(200)
    ]
    flat = [f[:20, :20] for f in found]
    brightness = np.array([f.mean() for f in found]) / pixels.mean()
    assert brightness.min() < 0.65
    assert brightness.max() > 1.1
    colour = np.array([f.mean(axis=(0, 1)) / f.mean() for f in flat])
    assert (np.ptp(colour, axis=0) > 0.1).all()  # a tint, in any channel
    saturation = np.array([np.ptp(f.mean(axis=(0, 1))) / f.mean() for f in flat])
    assert saturation.min() < 0.3  # 0.5 as it was
    assert saturation.max() > 0.6
    rough = np.array([f.std(axis=(0, 1)).mean() for f in flat])
    assert rough.max() > 4  # noise where there was none
    assert np.median(rough) < 4  # and not in every photo
