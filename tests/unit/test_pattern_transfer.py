"""Decoration of one dish is transferred to another; a plain dish has none."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck.data.pattern_transfer import transfer_pattern
from platecheck.data.render import render_dish

SIZE = 96
Photo = tuple[NDArray[np.uint8], NDArray[np.uint8]]
RED = (200, 20, 20)


def disc(
    radius: float = 0.4,
    centre: tuple[float, float] = (0.5, 0.5),
    *,
    dish: int = 225,
    background: int = 90,
    shape: tuple[int, int] = (SIZE, SIZE),
) -> Photo:
    """Return a plain dish and its mask; radius and centre as fractions of the photo."""
    mask = np.zeros(shape, np.uint8)
    place = (round(centre[0] * shape[1]), round(centre[1] * shape[0]))
    axes = (round(radius * shape[1]), round(radius * shape[0]))
    cv2.ellipse(mask, place, axes, 0, 0, 360, 255, -1)
    pixels = np.where(mask[..., None] > 0, dish, background) + np.zeros(3)
    return pixels.astype(np.uint8), mask


def painted(radius: float = 0.4, shape: tuple[int, int] = (SIZE, SIZE)) -> Photo:
    """Return a dish with a ring, halfway from the centre to the rim, and a dot in the centre."""
    pixels, mask = disc(radius, shape=shape)
    x, y, width, height = cv2.boundingRect(mask)
    centre = (x + width // 2, y + height // 2)
    cv2.circle(pixels, centre, width // 4, RED, 3)
    cv2.circle(pixels, centre, width // 12, RED, -1)
    return pixels, mask


def reddish(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return pixels[..., 0].astype(int) > pixels[..., 1].astype(int) + 60


def transfer(donor: Photo, dish: Photo, seed: int = 0) -> Photo:
    found = transfer_pattern(np.random.default_rng(seed), *dish, *donor)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", range(6))
def test_transfer_pattern_transfers_decoration(seed: int) -> None:
    donor = painted()
    red, given = reddish(transfer(donor, disc(), seed)[0]), reddish(donor[0])
    # A ring and a dot look the same at any rotation.
    assert (red & given).sum() > 0.8 * given.sum()
    assert red.sum() < 1.2 * given.sum()


@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.3, 0.35), (0.7, 0.7)])
@pytest.mark.parametrize("radius", [0.2, 0.28])
def test_transfer_pattern_fits_position_and_size_of_the_dish(
    radius: float, centre: tuple[float, float]
) -> None:
    donor = painted(0.4)
    red = reddish(transfer(donor, disc(radius, centre))[0])
    rows, columns = np.nonzero(red)
    assert columns.mean() == pytest.approx(centre[0] * SIZE, abs=1.5)
    assert rows.mean() == pytest.approx(centre[1] * SIZE, abs=1.5)
    assert red.sum() == pytest.approx(reddish(donor[0]).sum() * (radius / 0.4) ** 2, rel=0.35)


def test_transfer_pattern_changes_only_what_its_mask_says() -> None:
    changed = 0
    for seed in range(12):
        dish = disc(0.35, (0.45, 0.55))
        before = dish[0].copy()
        photo, mask = transfer(painted(), dish, seed)
        assert (photo.dtype, mask.dtype) == (np.uint8, np.uint8)
        assert (photo.shape, mask.shape) == (dish[0].shape, dish[1].shape)
        assert set(np.unique(mask)) == {0, 255}
        np.testing.assert_array_equal(dish[0], before)
        np.testing.assert_array_equal(photo[dish[1] == 0], before[dish[1] == 0])
        assert not mask[dish[1] == 0].any()
        difference = np.abs(photo.astype(int) - before).max(axis=2)
        assert (difference[mask > 0] > 20).mean() > 0.95
        assert (difference[mask == 0] > 110).sum() == 0
        changed += int((difference > 60).sum())
    assert changed > 12 * 200


@pytest.mark.parametrize("size", [64, 96, 128])
@pytest.mark.parametrize("radius", [0.2, 0.3, 0.45])
@pytest.mark.parametrize(("dish", "background"), [(225, 90), (250, 30), (60, 210), (200, 190)])
def test_transfer_pattern_of_a_plain_dish_is_none(
    size: int, radius: float, dish: int, background: int
) -> None:
    donor = disc(radius, dish=dish, background=background, shape=(size, size))
    for seed in range(4):
        rng = np.random.default_rng(seed)
        assert transfer_pattern(rng, *disc(shape=(size, size)), *donor) is None


def test_transfer_pattern_of_shade_or_without_a_mask_is_none() -> None:
    pixels, mask = disc()
    light = np.linspace(0.75, 1.1, SIZE)[None, :, None]
    shaded, empty = np.clip(pixels * light, 0, 255).astype(np.uint8), np.zeros_like(mask)
    unmasked = (painted()[0], empty)
    cases = [(mask, (shaded, mask)), (empty, painted()), (mask, unmasked), (empty, unmasked)]
    for dish_mask, donor in cases:
        assert transfer_pattern(np.random.default_rng(0), pixels, dish_mask, *donor) is None


def test_transfer_pattern_takes_the_brightness_of_the_dish() -> None:
    bright, dark = (transfer(painted(), disc(dish=level))[0] for level in (225, 100))
    paint = reddish(bright)
    assert dark[paint].mean() < 0.75 * bright[paint].mean()


def test_transfer_pattern_rotates_at_random() -> None:
    donor = disc()
    cv2.rectangle(donor[0], (48, 40), (75, 46), RED, -1)
    np.testing.assert_array_equal(transfer(donor, disc(), 3)[0], transfer(donor, disc(), 3)[0])
    angles = []
    for seed in range(30):
        rows, columns = np.nonzero(reddish(transfer(donor, disc(), seed)[0]))
        angles.append(np.arctan2(rows.mean() - 48, columns.mean() - 48))
    assert set(np.digitize(angles, np.linspace(-np.pi, np.pi, 5))) == {1, 2, 3, 4}


def test_transfer_pattern_accepts_photos_that_are_not_square() -> None:
    for shape in ((64, 97), (97, 64)):
        photo, _ = transfer(painted(shape=shape), disc(shape=shape))
        assert photo.shape == (*shape, 3)
        assert reddish(photo).sum() > 60


def test_transfer_pattern_of_rendered_dishes_stays_on_the_dish() -> None:
    dishes = [render_dish(np.random.default_rng([5, i]), size=64, label="dirty") for i in range(6)]
    photos = [(d.photo, np.where(d.dish_mask, 255, 0).astype(np.uint8)) for d in dishes]
    transferred = 0
    for i, (pixels, mask) in enumerate(photos):
        found = transfer_pattern(np.random.default_rng(i), pixels, mask, *photos[(i + 1) % 6])
        if found:
            transferred += 1
            np.testing.assert_array_equal(found[0][mask == 0], pixels[mask == 0])
            assert found[1].any()
    assert transferred >= 4
