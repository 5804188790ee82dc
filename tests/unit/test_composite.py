"""Composites: the dish as it is, the other table as it is, and a soft seam with a shadow."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.data.composite import Placement, Shadow, composite, remove_foreground

SIZE = 120
MIDDLE = SIZE // 2


def disc(radius: int, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (size // 2, size // 2), radius, 255, -1)
    return mask


@pytest.fixture
def dish() -> np.ndarray:
    """Light, with dirt of single pixels."""
    return np.random.default_rng(0).integers(150, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(1).integers(60, 100, (SIZE, SIZE, 3), np.uint8)


def test_the_dish_and_the_far_table_stay_what_they_are(dish: np.ndarray, table: np.ndarray) -> None:
    picture, where = composite(table, dish, disc(30))
    inside, far = disc(26) > 0, disc(48) == 0
    np.testing.assert_array_equal(picture[inside], dish[inside])
    np.testing.assert_array_equal(picture[far], table[far])
    assert (where[inside] == 255).all()
    assert (where[far] == 0).all()


def test_no_rim_of_the_old_table_comes_along(table: np.ndarray) -> None:
    white_on_red = np.zeros((SIZE, SIZE, 3), np.uint8)
    white_on_red[..., 0] = 255
    white_on_red[disc(30) > 0] = 255
    picture, _ = composite(np.full_like(table, 128), white_on_red, disc(30))
    redder = picture[..., 0].astype(int) - picture[..., 1]
    assert redder.max() < 40


def test_the_edge_is_soft(dish: np.ndarray, table: np.ndarray) -> None:
    _, where = composite(table, dish, disc(30))
    assert len(np.unique(where)) > 5


def test_the_shadow_darkens_the_table_at_the_dish_more_below_than_above() -> None:
    grey = np.full((SIZE, SIZE, 3), 200, np.uint8)
    picture, where = composite(grey, grey, disc(30))
    shade = 200 - picture[..., 0].astype(int)
    assert (shade[where == 255] == 0).all()
    below, above = shade[MIDDLE + 32, MIDDLE], shade[MIDDLE - 33, MIDDLE]
    assert below > above > 0
    assert below > 15
    bare, _ = composite(grey, grey, disc(30), shadow=Shadow(strength=0))
    assert (bare == 200).all()


def test_a_dish_can_be_moved_scaled_and_turned(dish: np.ndarray, table: np.ndarray) -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[MIDDLE - 20 : MIDDLE + 20, MIDDLE - 10 : MIDDLE + 10] = 255

    def extent(placement: Placement) -> tuple[float, float, int, int]:
        _, where = composite(table, dish, mask, placement=placement)
        rows, columns = np.nonzero(where > 127)
        return rows.mean(), columns.mean(), int(np.ptp(rows)), int(np.ptp(columns))

    row, column, height, width = extent(Placement())
    shifted = extent(Placement(shift=(0.1, -0.2)))
    assert shifted[:2] == pytest.approx((row - 0.2 * SIZE, column + 0.1 * SIZE), abs=0.6)
    assert extent(Placement(scale=1.5))[2:] == pytest.approx((1.5 * height, 1.5 * width), abs=3)
    assert extent(Placement(angle=90))[2:] == pytest.approx((width, height), abs=2)


def test_the_table_shines_through_a_dish_that_is_not_opaque(table: np.ndarray) -> None:
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    half, _ = composite(table, white, disc(30), shadow=Shadow(strength=0), opacity=0.5)
    wanted = (255 + table[MIDDLE, MIDDLE].astype(float)) / 2
    np.testing.assert_allclose(half[MIDDLE, MIDDLE], wanted, atol=1)


def test_a_removed_dish_is_gone_and_the_rest_stays(dish: np.ndarray, table: np.ndarray) -> None:
    picture = remove_foreground(dish, disc(30), table)
    inside, far = disc(28) > 0, disc(42) == 0
    np.testing.assert_array_equal(picture[inside], table[inside])
    np.testing.assert_allclose(picture[disc(30) > 0], table[disc(30) > 0].astype(int), atol=6)
    np.testing.assert_array_equal(picture[far], dish[far])


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_any_mask_of_any_size(height: int, width: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    pixels, table = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    mask = np.where(rng.random((height, width)) < share, 255, 0).astype(np.uint8)
    before = pixels.copy(), table.copy(), mask.copy()
    picture, where = composite(table, pixels, mask)
    bare = remove_foreground(pixels, mask, table)
    for made in (picture, bare):
        assert made.shape == pixels.shape
        assert made.dtype == np.uint8
    assert where.shape == mask.shape
    for given_, kept in zip((pixels, table, mask), before, strict=True):
        np.testing.assert_array_equal(given_, kept)
    if share == 0:
        np.testing.assert_array_equal(picture, table)
        np.testing.assert_array_equal(bare, pixels)
    if share == 1:
        np.testing.assert_array_equal(picture, pixels)
        np.testing.assert_array_equal(bare, table)
