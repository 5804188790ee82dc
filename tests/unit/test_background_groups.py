"""Kinds of table: alike borders are one kind, different ones are several."""

import numpy as np
import pytest

from platecheck.data.segmentation import NO_MASK, DishMask
from platecheck.evaluation.background_groups import MAX_GROUPS, background_groups, border_features

DISH = DishMask(((0.0, 0.2), (1.0, 0.2), (1.0, 0.8), (0.0, 0.8)), 1.0)  # from side to side


def photo(colour: tuple[int, int, int], seed: int, *, stripes: int = 0) -> np.ndarray:
    pixels = np.array(colour) + np.random.default_rng(seed).integers(-8, 8, (96, 96, 3))
    if stripes:
        pixels[:, ::8] += stripes
        pixels[:, 1::8] += stripes
    return pixels.clip(0, 255).astype(np.uint8)


def test_colours_are_told_apart_and_ordered_by_how_many_they_are() -> None:
    colours = [(150, 110, 70)] * 25 + [(90, 95, 100)] * 60 + [(20, 20, 20)] * 40
    borders = [border_features(photo(colour, i), NO_MASK) for i, colour in enumerate(colours)]
    kinds = background_groups(borders, seed=0)
    assert kinds.group.tolist() == [2] * 25 + [0] * 60 + [1] * 40
    assert kinds.group.dtype == np.int64
    means = [[int(colour[k : k + 2], 16) for k in (1, 3, 5)] for colour in kinds.colors]
    np.testing.assert_allclose(means, [(90, 95, 100), (20, 20, 20), (150, 110, 70)], atol=3)


def test_textures_of_one_colour_are_told_apart() -> None:
    borders = [
        border_features(photo((100 - 15 * (i % 2), 100, 100), i, stripes=60 * (i % 2)), NO_MASK)
        for i in range(16)
    ]
    kinds = background_groups(borders, seed=0).group
    assert len(set(kinds[::2])) == len(set(kinds[1::2])) == 1
    assert kinds[0] != kinds[1]


@pytest.mark.parametrize("photos", [1, 2, 9])
def test_borders_that_are_all_alike_are_one_kind(photos: int) -> None:
    border = border_features(photo((100, 100, 100), 0), NO_MASK)
    kinds = background_groups([border] * photos, seed=0)
    assert kinds.group.tolist() == [0] * photos
    assert len(kinds.colors) == 1


@pytest.mark.parametrize(
    ("photos", "kinds"), [(2, 2), (40, 2), (119, 2), (120, 3), (250, 6), (999, MAX_GROUPS)]
)
def test_there_are_as_many_kinds_as_photos_allow(photos: int, kinds: int) -> None:
    borders = list(np.random.default_rng(3).normal(size=(photos, 11)) * 20 + 100)
    found = background_groups(borders, seed=4)
    assert len(found.colors) == kinds
    assert set(found.group.tolist()) == set(range(kinds))
    counts = np.bincount(found.group)
    assert (np.diff(counts) <= 0).all()
    np.testing.assert_array_equal(found.group, background_groups(borders, seed=4).group)


def test_neither_the_dish_nor_the_middle_counts() -> None:
    pixels = photo((90, 95, 100), 0)
    with_dish = pixels.copy()
    with_dish[24:72] = 255
    changed = with_dish.copy()
    changed[24:72] = 0
    np.testing.assert_array_equal(
        border_features(with_dish, DISH)[:6], border_features(changed, DISH)[:6]
    )
    np.testing.assert_allclose(border_features(with_dish, DISH)[:3], (90, 95, 100), atol=3)
    assert (border_features(with_dish, NO_MASK)[:3] > 110).all()
    middle = pixels.copy()
    middle[16:80, 16:80] = 255
    np.testing.assert_array_equal(
        border_features(pixels, NO_MASK), border_features(middle, NO_MASK)
    )


def test_where_all_of_the_border_is_dish_it_is_looked_at_all_the_same() -> None:
    whole = DishMask(((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)), 1.0)
    assert np.isfinite(border_features(photo((90, 95, 100), 0), whole)).all()
