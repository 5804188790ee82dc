"""Backgrounds contain only what is visible beside the dish."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from platecheck.data.backgrounds import (
    MIN_STRIP,
    background_strip,
    extract_background,
    noise_background,
)

SIZE = 60


def photo_and_mask(
    top: int, bottom: int, left: int, right: int, size: int = SIZE
) -> tuple[np.ndarray, np.ndarray]:
    """Return a photo of different pixels, and the mask of a dish between rows and columns."""
    number = np.arange(size * size).reshape(size, size)
    pixels = np.stack([number // 256, number % 256, np.zeros_like(number)], 2).astype(np.uint8)
    mask = np.zeros((size, size), np.uint8)
    mask[top:bottom, left:right] = 255
    return pixels, mask


@pytest.mark.parametrize(
    ("dish", "rows", "columns"),
    [
        ((30, 50, 10, 50), slice(0, 28), slice(None)),
        ((10, 30, 10, 50), slice(32, None), slice(None)),
        ((10, 50, 30, 50), slice(None), slice(0, 28)),
        ((10, 50, 10, 30), slice(None), slice(32, None)),
    ],
    ids=["above", "below", "left", "right"],
)
def test_background_strip_is_the_widest_beside_the_shadow(
    dish: tuple[int, int, int, int], rows: slice, columns: slice
) -> None:
    pixels, mask = photo_and_mask(*dish)
    strip = background_strip(pixels, mask)
    assert strip is not None
    np.testing.assert_array_equal(strip, pixels[rows, columns])


@pytest.mark.parametrize(
    "dish",
    [(0, 0, 0, 0), (0, SIZE, 0, SIZE), (4, 56, 4, 56)],
    ids=["no dish", "all dish", "a rim only"],
)
def test_background_that_is_hardly_visible_is_none(dish: tuple[int, int, int, int]) -> None:
    pixels, mask = photo_and_mask(*dish)
    assert background_strip(pixels, mask) is None
    assert extract_background(pixels, mask, np.random.default_rng(0)) is None


def test_extract_background_mirrors_the_strip_at_a_random_offset() -> None:
    pixels, mask = photo_and_mask(20, 50, 10, 50)
    found, again, other = (
        extract_background(pixels, mask, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    assert found is not None
    np.testing.assert_array_equal(found, again)
    assert (found != other).any()
    number = found[..., 0].astype(int) * 256 + found[..., 1]
    rows, columns = number // SIZE, number % SIZE
    assert rows.max() == 17  # above the dish and its shadow
    assert set(np.unique(np.abs(np.diff(rows, axis=0)))) == {0, 1}
    assert set(np.unique(np.abs(np.diff(columns, axis=1)))) <= {0, 1}
    assert (rows == rows[:, :1]).all()
    assert (columns == columns[:1]).all()


@given(
    height=st.integers(1, 48),
    width=st.integers(1, 48),
    dish=st.tuples(*[st.floats(0, 1)] * 4),
    seed=st.integers(0, 9),
)
def test_extract_background_contains_nothing_of_the_dish(
    height: int, width: int, dish: tuple[float, float, float, float], seed: int
) -> None:
    mask = np.zeros((height, width), np.uint8)
    (top, bottom), (left, right) = sorted(dish[:2]), sorted(dish[2:])
    mask[
        int(top * height) : int(bottom * height) + 1, int(left * width) : int(right * width) + 1
    ] = 255
    assume(mask.any())  # at 1.0 the dish begins beyond the photo
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 200, (height, width, 3), np.uint8)
    pixels[mask > 0] = 255
    background = extract_background(pixels, mask, rng)
    if background is None:
        free = 1 - np.array([mask.any(axis=1).mean(), mask.any(axis=0).mean()])
        room = 2 * max(2, round(0.03 * min(height, width)))
        assert (free * (height, width) < 2 * MIN_STRIP * np.array([height, width]) + room).all()
    else:
        assert background.shape == pixels.shape
        assert background.dtype == np.uint8
        assert background.flags.c_contiguous
        assert background.max() < 200


@given(height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 50))
def test_noise_background_depends_on_size_and_seed_alone(
    height: int, width: int, seed: int
) -> None:
    found, again = (noise_background(np.random.default_rng(seed), height, width) for _ in range(2))
    assert found.shape == (height, width, 3)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, again)


def test_noise_background_varies() -> None:
    means = [noise_background(np.random.default_rng(seed), 32, 32).mean() for seed in range(20)]
    assert np.ptp(means) > 60
