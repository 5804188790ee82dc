"""Rendered dirt lands on the dish, is seen there, and is where its mask says."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck.data.dirt import MIN_PIXELS, paste_dirt
from platecheck.data.render import render_dish
from platecheck.data.render.pairs import RenderedPair

Mask = NDArray[np.uint8]


def disc(size: int, radius: float, middle: tuple[float, float] = (0.5, 0.5)) -> Mask:
    """255 on a disc; radius and middle in shares of the photo's side."""
    mask = np.zeros((size, size), np.uint8)
    place = (round(middle[0] * size), round(middle[1] * size))
    cv2.circle(mask, place, round(radius * size), 255, -1)
    return mask


def pair(spots: Mask, colour: tuple[int, int, int] = (90, 40, 10)) -> RenderedPair:
    """A bright dish as large as the photo allows, with spots of dirt."""
    size = spots.shape[0]
    dish = disc(size, 0.45)
    clean = np.where(dish[..., None] > 0, 220, 120).astype(np.uint8) + np.zeros(3, np.uint8)
    dirty = np.where(spots[..., None] > 0, colour, clean).astype(np.uint8)
    return RenderedPair(clean, dirty, dish, spots)


def grey(mask: Mask, dish: int = 200, table: int = 80) -> NDArray[np.uint8]:
    return (np.where(mask[..., None] > 0, dish, table) + np.zeros(3)).astype(np.uint8)


@pytest.fixture(scope="module")
def rendered() -> list[RenderedPair]:
    found = []
    for seed in range(6):
        clean, dirty = (
            render_dish(np.random.default_rng(seed), size=64, label=label)
            for label in ("clean", "dirty")
        )
        masks = [np.where(m, 255, 0).astype(np.uint8) for m in (dirty.dish_mask, dirty.dirt_mask)]
        found.append(RenderedPair(clean.photo, dirty.photo, *masks))
    return found


@pytest.mark.parametrize(
    ("radius", "middle"), [(0.42, (0.5, 0.5)), (0.25, (0.35, 0.6)), (0.3, (0.8, 0.2))]
)
def test_it_lands_on_the_dish_and_its_mask_is_where_the_photo_changed(
    rendered: list[RenderedPair], radius: float, middle: tuple[float, float]
) -> None:
    mask = disc(64, radius, middle)
    pixels = grey(mask)
    before = pixels.copy()
    landed = 0
    for seed in range(36):
        found = paste_dirt(
            np.random.default_rng(seed), pixels, mask, rendered[seed % len(rendered)]
        )
        np.testing.assert_array_equal(pixels, before)  # what was given is not written to
        if found is None:
            continue
        landed += 1
        photo, dirt = found
        assert (photo.dtype, dirt.dtype) == (np.uint8, np.uint8)
        assert (photo.shape, dirt.shape) == (pixels.shape, mask.shape)
        assert set(np.unique(dirt)) == {0, 255}
        np.testing.assert_array_equal(photo[mask == 0], pixels[mask == 0])
        assert not dirt[mask == 0].any()
        assert (dirt > 0).sum() >= MIN_PIXELS
        # Nothing else changes but for soft edges and specks too fine to be counted.
        beyond = cv2.dilate(dirt, np.ones((5, 5), np.uint8)) == 0
        difference = np.abs(photo.astype(int) - pixels).max(axis=2)
        assert (difference[beyond] > 70).sum() == 0
        assert (difference[beyond] > 2).mean() < 0.03
        assert difference[dirt > 0].mean() > 10
    assert landed > 20


def test_spots_of_another_colour_change_just_what_the_mask_says() -> None:
    mask = disc(96, 0.4)
    spots = disc(96, 0.1, (0.4, 0.45)) | disc(96, 0.06, (0.6, 0.6))
    for seed in range(20):
        found = paste_dirt(np.random.default_rng(seed), grey(mask), mask, pair(spots))
        assert found is not None
        difference = np.abs(found[0].astype(int) - grey(mask)).max(axis=2)
        inner = cv2.erode(found[1], np.ones((3, 3), np.uint8)) > 0  # the edge is soft
        assert (difference[inner] > 50).all()
        assert (difference[found[1] == 0] < 60).all()
        # Two spots, as large as they were or a little smaller or larger.
        outlines, _ = cv2.findContours(found[1], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        assert len(outlines) == 2
        assert 0.25 < (found[1] > 0).sum() / (spots > 0).sum() < 1.7


def test_it_is_the_dirts_own_colour() -> None:
    mask, spot = disc(96, 0.4), disc(96, 0.15)
    for colour in ((120, 20, 10), (20, 120, 10)):
        found = paste_dirt(np.random.default_rng(0), grey(mask), mask, pair(spot, colour))
        assert found is not None
        seen = found[0][found[1] > 0].mean(axis=0)
        assert seen.argmax() == np.argmax(colour)


def test_in_the_dark_the_dirt_is_dark() -> None:
    mask, spot = disc(96, 0.4), disc(96, 0.15)
    brightness = []
    for level in (60, 130, 230):
        pixels = grey(mask, dish=level, table=level)
        found = paste_dirt(np.random.default_rng(0), pixels, mask, pair(spot, (200, 160, 60)))
        assert found is not None
        brightness.append(found[0][found[1] > 0].mean())
    assert brightness[0] < 0.7 * brightness[1] < 0.7 * brightness[2]


def test_nothing_where_nothing_would_be_seen() -> None:
    size = 96
    none, crumb = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    crumb[48, 48:50] = 255
    at_the_corner = np.zeros((size, size), np.uint8)
    at_the_corner[:6, :6] = 255
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for spots in (none, crumb, at_the_corner):
            mask = disc(size, 0.2)
            assert paste_dirt(rng, grey(mask), mask, pair(spots)) is None
        # No dish, and one that is too small to have anything on it.
        for mask in (none, disc(size, 0.03)):
            assert paste_dirt(rng, grey(mask), mask, pair(disc(size, 0.3))) is None


def test_chance_alone_decides_and_puts_it_elsewhere(rendered: list[RenderedPair]) -> None:
    mask = disc(64, 0.42)
    seen = set()
    for seed in range(10):
        ours, theirs = (
            paste_dirt(np.random.default_rng(seed), grey(mask), mask, rendered[0]) for _ in range(2)
        )
        assert ours is not None
        assert theirs is not None
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])
        seen.add(ours[1].tobytes())
    assert len(seen) == 10


@pytest.mark.parametrize("shape", [(64, 97), (97, 64)])
def test_photos_need_not_be_square(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, np.uint8)
    middle = (shape[1] // 2, shape[0] // 2)
    cv2.ellipse(mask, middle, (shape[1] // 3, shape[0] // 3), 0, 0, 360, 255, -1)
    spots = np.zeros(shape, np.uint8)
    cv2.circle(spots, middle, 8, 255, -1)
    pixels = grey(mask)
    dirty = np.where(spots[..., None] > 0, (90, 40, 10), pixels).astype(np.uint8)
    source = RenderedPair(pixels, dirty, mask, spots)
    found = paste_dirt(np.random.default_rng(1), pixels, mask, source)
    assert found is not None
    assert found[0].shape == pixels.shape
    assert found[1].any()
