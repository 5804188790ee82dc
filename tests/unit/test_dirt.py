"""Pasted dirt is on the dish, visible, and where its mask says."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck.data.dirt import MIN_PIXELS, paste_dirt
from platecheck.data.render import render_dish
from platecheck.data.render.pairs import RenderedPair

Mask = NDArray[np.uint8]
SIZE = 96


def disc(radius: float, centre: tuple[float, float] = (0.5, 0.5), size: int = SIZE) -> Mask:
    """Return the mask of a disc; radius and centre as fractions of the photo's side."""
    mask = np.zeros((size, size), np.uint8)
    place = (round(centre[0] * size), round(centre[1] * size))
    cv2.circle(mask, place, round(radius * size), 255, -1)
    return mask


def grey(mask: Mask, dish: int = 200, background: int = 80) -> NDArray[np.uint8]:
    return (np.where(mask[..., None] > 0, dish, background) + np.zeros(3)).astype(np.uint8)


def pair(spots: Mask, colour: tuple[int, int, int] = (90, 40, 10)) -> RenderedPair:
    """Return a bright dish as large as the photo allows, with spots of dirt."""
    dish = np.zeros_like(spots)
    height, width = spots.shape
    axes = (9 * width // 20, 9 * height // 20)
    cv2.ellipse(dish, (width // 2, height // 2), axes, 0, 0, 360, 255, -1)
    clean = grey(dish, 220, 120)
    dirty = np.where(spots[..., None] > 0, colour, clean).astype(np.uint8)
    return RenderedPair(clean, dirty, dish, spots)


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
    ("radius", "centre"), [(0.42, (0.5, 0.5)), (0.25, (0.35, 0.6)), (0.3, (0.8, 0.2))]
)
def test_paste_dirt_changes_only_what_its_mask_says(
    rendered: list[RenderedPair], radius: float, centre: tuple[float, float]
) -> None:
    mask = disc(radius, centre, 64)
    pixels = grey(mask)
    before, photos = pixels.copy(), []
    for seed in range(36):
        source = rendered[seed % 6]
        found = paste_dirt(np.random.default_rng(seed), pixels, mask, source)
        again = paste_dirt(np.random.default_rng(seed), pixels, mask, source)
        np.testing.assert_array_equal(pixels, before)
        if found is None or again is None:
            continue
        photo, dirt = found
        photos.append(photo.tobytes())
        np.testing.assert_array_equal(photo, again[0])
        np.testing.assert_array_equal(dirt, again[1])
        assert (photo.dtype, dirt.dtype) == (np.uint8, np.uint8)
        assert (photo.shape, dirt.shape) == (pixels.shape, mask.shape)
        assert set(np.unique(dirt)) == {0, 255}
        np.testing.assert_array_equal(photo[mask == 0], pixels[mask == 0])
        assert not dirt[mask == 0].any()
        assert (dirt > 0).sum() >= MIN_PIXELS
        # Nothing else changes except soft edges and specks too fine to be counted.
        beyond = cv2.dilate(dirt, np.ones((5, 5), np.uint8)) == 0
        difference = np.abs(photo.astype(int) - pixels).max(axis=2)
        assert (difference[beyond] > 70).sum() == 0
        assert (difference[beyond] > 2).mean() < 0.03
        assert difference[dirt > 0].mean() > 10
    assert len(set(photos)) == len(photos) > 20


def test_paste_dirt_keeps_number_and_size_of_spots() -> None:
    mask = disc(0.4)
    spots = disc(0.1, (0.4, 0.45)) | disc(0.06, (0.6, 0.6))
    for seed in range(20):
        found = paste_dirt(np.random.default_rng(seed), grey(mask), mask, pair(spots))
        assert found is not None
        difference = np.abs(found[0].astype(int) - grey(mask)).max(axis=2)
        inner = cv2.erode(found[1], np.ones((3, 3), np.uint8)) > 0  # the edge is soft
        assert (difference[inner] > 50).all()
        assert (difference[found[1] == 0] < 60).all()
        outlines, _ = cv2.findContours(found[1], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        assert len(outlines) == 2
        assert 0.25 < (found[1] > 0).sum() / (spots > 0).sum() < 1.7


@pytest.mark.parametrize("colour", [(120, 20, 10), (20, 120, 10), (200, 160, 60)])
def test_paste_dirt_keeps_its_colour_and_takes_the_brightness_of_the_dish(
    colour: tuple[int, int, int],
) -> None:
    mask, brightness = disc(0.4), []
    for level in (60, 130, 230):
        pixels = grey(mask, dish=level, background=level)
        found = paste_dirt(np.random.default_rng(0), pixels, mask, pair(disc(0.15), colour))
        assert found is not None
        seen = found[0][found[1] > 0].mean(axis=0)
        brightness.append(seen.mean())
        if level == 230:
            assert seen.argmax() == np.argmax(colour)
    if sum(colour) > 400:
        assert brightness[0] < 0.7 * brightness[1] < 0.7 * brightness[2]


def test_paste_dirt_that_would_not_be_visible_is_none() -> None:
    none, crumb, corner = (np.zeros((SIZE, SIZE), np.uint8) for _ in range(3))
    crumb[48, 48:50] = 255
    corner[:6, :6] = 255
    cases = [(disc(0.2), spots) for spots in (none, crumb, corner)]
    cases += [(none, disc(0.3)), (disc(0.03), disc(0.3))]  # no dish, and a tiny one
    for seed in range(20):
        for mask, spots in cases:
            rng = np.random.default_rng(seed)
            assert paste_dirt(rng, grey(mask), mask, pair(spots)) is None


@pytest.mark.parametrize("shape", [(64, 97), (97, 64)])
def test_paste_dirt_accepts_photos_that_are_not_square(shape: tuple[int, int]) -> None:
    spots = np.zeros(shape, np.uint8)
    cv2.circle(spots, (shape[1] // 2, shape[0] // 2), 8, 255, -1)
    source = pair(spots)
    found = paste_dirt(np.random.default_rng(1), source.clean, source.dish, source)
    assert found is not None
    assert found[0].shape == source.clean.shape
    assert found[1].any()
