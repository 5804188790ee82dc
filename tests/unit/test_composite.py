"""Composites: dish and background unchanged, with a soft edge and a shadow."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.data.composite import (
    Placement,
    Shadow,
    compose_scene,
    composite,
    remove_foreground,
)
from platecheck.data.glass import Glass

SIZE = 120
MIDDLE = SIZE // 2


def disc(radius: int, size: int = SIZE) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(mask, (size // 2, size // 2), radius, 255, -1)
    return mask


DISH = np.random.default_rng(0).integers(150, 256, (SIZE, SIZE, 3), np.uint8)
BACKGROUND = np.random.default_rng(1).integers(60, 100, (SIZE, SIZE, 3), np.uint8)


def test_composite_keeps_dish_and_background_and_softens_the_edge() -> None:
    picture, alpha = composite(BACKGROUND, DISH, disc(30))
    inside, far = disc(26) > 0, disc(48) == 0
    np.testing.assert_array_equal(picture[inside], DISH[inside])
    np.testing.assert_array_equal(picture[far], BACKGROUND[far])
    assert (alpha[inside] == 255).all()
    assert (alpha[far] == 0).all()
    assert len(np.unique(alpha)) > 5


def test_composite_leaves_no_rim_of_the_old_background() -> None:
    white_on_red = np.zeros((SIZE, SIZE, 3), np.uint8)
    white_on_red[..., 0] = 255
    white_on_red[disc(30) > 0] = 255
    picture, _ = composite(np.full_like(white_on_red, 128), white_on_red, disc(30))
    redder = picture[..., 0].astype(int) - picture[..., 1]
    assert redder.max() < 40


def test_composite_shadow_is_darker_below_the_dish_than_above() -> None:
    grey = np.full((SIZE, SIZE, 3), 200, np.uint8)
    picture, alpha = composite(grey, grey, disc(30))
    shade = 200 - picture[..., 0].astype(int)
    assert (shade[alpha == 255] == 0).all()
    below, above = shade[MIDDLE + 32, MIDDLE], shade[MIDDLE - 33, MIDDLE]
    assert below > above > 0
    assert below > 15
    bare, _ = composite(grey, grey, disc(30), shadow=Shadow(strength=0))
    assert (bare == 200).all()


def test_composite_placement_moves_scales_and_rotates_the_dish() -> None:
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[MIDDLE - 20 : MIDDLE + 20, MIDDLE - 10 : MIDDLE + 10] = 255

    def extent(placement: Placement) -> tuple[float, float, int, int]:
        _, alpha = composite(BACKGROUND, DISH, mask, placement=placement)
        rows, columns = np.nonzero(alpha > 127)
        return rows.mean(), columns.mean(), int(np.ptp(rows)), int(np.ptp(columns))

    row, column, height, width = extent(Placement())
    shifted = extent(Placement(shift=(0.1, -0.2)))
    assert shifted[:2] == pytest.approx((row - 0.2 * SIZE, column + 0.1 * SIZE), abs=0.6)
    assert extent(Placement(scale=1.5))[2:] == pytest.approx((1.5 * height, 1.5 * width), abs=3)
    flat = extent(Placement(tilt=60))
    assert flat[2:] == pytest.approx((height / 2, width), abs=2)
    assert flat[:2] == pytest.approx((row, column), abs=1)
    assert extent(Placement(angle=90))[2:] == pytest.approx((width, height), abs=2)


def test_composite_glass_lets_the_background_show_through() -> None:
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    glass = Glass(np.full((SIZE, SIZE), 128, np.uint8), 1.0, np.ones(3, np.float32))
    half, _ = composite(BACKGROUND, white, disc(30), shadow=Shadow(strength=0), glass=glass)
    inside = disc(26) > 0
    expected = (BACKGROUND[inside].astype(float) + 255) / 2
    np.testing.assert_allclose(half[inside], expected, atol=2)
    np.testing.assert_array_equal(half[disc(48) == 0], BACKGROUND[disc(48) == 0])


def test_remove_foreground_covers_the_dish_only() -> None:
    picture = remove_foreground(DISH, disc(30), BACKGROUND)
    inside, far = disc(28) > 0, disc(42) == 0
    np.testing.assert_array_equal(picture[inside], BACKGROUND[inside])
    np.testing.assert_allclose(picture[disc(30) > 0], BACKGROUND[disc(30) > 0].astype(int), atol=6)
    np.testing.assert_array_equal(picture[far], DISH[far])


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_composite_accepts_any_mask_and_size(
    height: int, width: int, share: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    pixels, background = rng.integers(0, 256, (2, height, width, 3), np.uint8)
    mask = np.where(rng.random((height, width)) < share, 255, 0).astype(np.uint8)
    before = pixels.copy(), background.copy(), mask.copy()
    picture, alpha = composite(background, pixels, mask)
    bare = remove_foreground(pixels, mask, background)
    for made in (picture, bare):
        assert made.shape == pixels.shape
        assert made.dtype == np.uint8
    assert alpha.shape == mask.shape
    for given_, kept in zip((pixels, background, mask), before, strict=True):
        np.testing.assert_array_equal(given_, kept)
    if share == 0:
        np.testing.assert_array_equal(picture, background)
        np.testing.assert_array_equal(bare, pixels)
    if share == 1:
        np.testing.assert_array_equal(picture, pixels)
        np.testing.assert_array_equal(bare, background)


def cut_out(colour: tuple[int, int, int], side: int = 90) -> np.ndarray:
    return np.dstack([np.full((side, side, 3), colour, np.uint8), disc(side // 2 - 4, side)])


COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255))


@pytest.mark.parametrize("seed", range(12))
def test_compose_scene_boxes_are_the_extents_of_what_is_seen(seed: int) -> None:
    grey = np.full((200, 150, 3), 128, np.uint8)
    dishes = [cut_out(colour) for colour in COLOURS[:3]]
    photo, boxes, visible = compose_scene(np.random.default_rng(seed), dishes, grey, 240)
    assert photo.shape == (240, 240, 3)
    extents = []
    for channel in range(3):
        others = np.delete(photo, channel, 2).max(-1).astype(int)
        rows, columns = np.nonzero(photo[..., channel] > 1.5 * others)
        if len(rows):
            extents.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    plain = visible > 0.3  # the extents of slivers depend on where their soft edges are cut
    assert plain.any()
    for box in boxes[plain]:
        assert np.abs(np.array(extents) - box).max(1).min() <= 3
    assert len(boxes) == len(visible)
    assert (visible > 0).all()
    assert (visible <= 1).all()


def test_compose_scene_visible_share_falls_where_dishes_overlap() -> None:
    grey = np.full((200, 200, 3), 128, np.uint8)
    alone, among = [], []
    for seed in range(20):
        dishes = [cut_out(colour) for colour in COLOURS]
        alone += compose_scene(np.random.default_rng(seed), dishes[:1], grey, 200)[2].tolist()
        among += compose_scene(np.random.default_rng(seed), dishes * 2, grey, 200)[2].tolist()
    assert np.mean(alone) > 0.9
    assert np.mean(among) < np.mean(alone) - 0.1
    assert min(among) < 0.4


def test_compose_scene_without_dishes_is_the_background() -> None:
    photo, boxes, visible = compose_scene(np.random.default_rng(0), [], BACKGROUND, 64)
    assert boxes.shape == (0, 4)
    assert visible.shape == (0,)
    assert BACKGROUND.min() <= photo.min() < photo.max() <= BACKGROUND.max()


def test_compose_scene_repeats_with_its_seed_and_changes_no_input() -> None:
    dishes = [cut_out(colour, side) for colour, side in zip(COLOURS, (12, 300, 40), strict=False)]
    before = [dish.copy() for dish in dishes]
    one, other = (
        compose_scene(np.random.default_rng(5), dishes, BACKGROUND, 128) for _ in range(2)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    for dish, kept in zip(dishes, before, strict=True):
        np.testing.assert_array_equal(dish, kept)
