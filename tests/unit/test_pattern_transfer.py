"""What is painted on one dish comes to lie on another; a bare dish lends nothing."""

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
    middle: tuple[float, float] = (0.5, 0.5),
    *,
    dish: int = 225,
    table: int = 90,
    size: int = SIZE,
) -> Photo:
    """A bare round dish on a table, and its mask; radius and middle in shares of the photo."""
    mask = np.zeros((size, size), np.uint8)
    cv2.circle(
        mask, (round(middle[0] * size), round(middle[1] * size)), round(radius * size), 255, -1
    )
    pixels = np.where(mask[..., None] > 0, dish, table) + np.zeros(3)
    return pixels.astype(np.uint8), mask


def painted(donor: Photo, colour: tuple[int, int, int] = RED) -> Photo:
    """The same with a ring, halfway from the middle to the rim, and a dot in the middle."""
    pixels, mask = donor[0].copy(), donor[1]
    x, y, width, height = cv2.boundingRect(mask)
    middle = (x + width // 2, y + height // 2)
    cv2.circle(pixels, middle, width // 4, colour, 3)
    cv2.circle(pixels, middle, width // 12, colour, -1)
    return pixels, mask


def reddish(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    return pixels[..., 0].astype(int) > pixels[..., 1].astype(int) + 60


def lend(donor: Photo, dish: Photo, seed: int = 0) -> Photo | None:
    return transfer_pattern(np.random.default_rng(seed), *dish, *donor)


@pytest.mark.parametrize("seed", range(6))
def test_a_decorated_dish_lends_its_decoration(seed: int) -> None:
    dish, donor = disc(), painted(disc())
    found = lend(donor, dish, seed)
    assert found is not None
    red, given = reddish(found[0]), reddish(donor[0])
    # A ring and a dot look the same however they are turned.
    assert (red & given).sum() > 0.8 * given.sum()
    assert red.sum() < 1.2 * given.sum()


@pytest.mark.parametrize("middle", [(0.5, 0.5), (0.3, 0.35), (0.7, 0.7)])
@pytest.mark.parametrize("radius", [0.2, 0.28])
def test_it_comes_to_lie_on_the_dish_as_large_as_this_is(
    radius: float, middle: tuple[float, float]
) -> None:
    donor = painted(disc(0.4))
    found = lend(donor, disc(radius, middle))
    assert found is not None
    red = reddish(found[0])
    rows, columns = np.nonzero(red)
    assert columns.mean() == pytest.approx(middle[0] * SIZE, abs=1.5)
    assert rows.mean() == pytest.approx(middle[1] * SIZE, abs=1.5)
    assert red.sum() == pytest.approx(reddish(donor[0]).sum() * (radius / 0.4) ** 2, rel=0.35)


def test_the_mask_is_where_it_changed_and_nothing_else_did() -> None:
    changed_much = 0
    for seed in range(12):
        dish = disc(0.35, (0.45, 0.55))
        before = dish[0].copy()
        found = lend(painted(disc(0.4)), dish, seed)
        assert found is not None
        photo, mask = found
        assert (photo.dtype, mask.dtype) == (np.uint8, np.uint8)
        assert (photo.shape, mask.shape) == (dish[0].shape, dish[1].shape)
        assert set(np.unique(mask)) == {0, 255}
        np.testing.assert_array_equal(dish[0], before)  # what was given is not written to
        np.testing.assert_array_equal(photo[dish[1] == 0], before[dish[1] == 0])
        assert not (mask[dish[1] == 0]).any()
        difference = np.abs(photo.astype(int) - before).max(axis=2)
        assert (difference[mask > 0] > 20).mean() > 0.95
        assert (difference[mask == 0] > 110).sum() == 0
        changed_much += int((difference > 60).sum())
    assert changed_much > 12 * 200


@pytest.mark.parametrize("size", [64, 96, 128])
@pytest.mark.parametrize("radius", [0.2, 0.3, 0.45])
@pytest.mark.parametrize(("dish", "table"), [(225, 90), (250, 30), (60, 210), (200, 190)])
def test_a_bare_dish_lends_nothing(size: int, radius: float, dish: int, table: int) -> None:
    for seed in range(4):
        donor = disc(radius, dish=dish, table=table, size=size)
        assert lend(donor, disc(size=size), seed) is None


def test_shade_is_no_decoration() -> None:
    pixels, mask = disc()
    light = np.linspace(0.75, 1.1, SIZE)[None, :, None]
    donor = np.clip(pixels * light, 0, 255).astype(np.uint8), mask
    assert lend(donor, disc()) is None


@pytest.mark.parametrize("which", ["dish", "lender", "both"])
def test_without_an_outline_nothing_is_lent(which: str) -> None:
    dish, donor = disc(), painted(disc())
    empty = np.zeros((SIZE, SIZE), np.uint8)
    if which in ("dish", "both"):
        dish = dish[0], empty
    if which in ("lender", "both"):
        donor = donor[0], empty
    assert lend(donor, dish) is None


def test_it_is_lit_as_the_dish_is() -> None:
    """On a dish in the dark the same decoration is darker."""
    donor = painted(disc())
    bright, dark = lend(donor, disc(dish=225)), lend(donor, disc(dish=100))
    assert bright is not None
    assert dark is not None
    paint = reddish(bright[0])
    assert dark[0][paint].mean() < 0.75 * bright[0][paint].mean()


def test_chance_alone_decides_and_turns_it() -> None:
    donor = disc()
    cv2.rectangle(donor[0], (48, 40), (75, 46), RED, -1)
    ours, theirs = lend(donor, disc(), 3), lend(donor, disc(), 3)
    assert ours is not None
    assert theirs is not None
    np.testing.assert_array_equal(ours[0], theirs[0])
    angles = []
    for seed in range(30):
        found = lend(donor, disc(), seed)
        assert found is not None
        rows, columns = np.nonzero(reddish(found[0]))
        angles.append(np.arctan2(rows.mean() - 48, columns.mean() - 48))
    assert set(np.digitize(angles, np.linspace(-np.pi, np.pi, 5))) == {1, 2, 3, 4}


@pytest.mark.parametrize("shape", [(64, 97), (97, 64)])
def test_photos_need_not_be_square(shape: tuple[int, int]) -> None:
    mask = np.zeros(shape, np.uint8)
    cv2.ellipse(
        mask, (shape[1] // 2, shape[0] // 2), (shape[1] // 3, shape[0] // 3), 0, 0, 360, 255, -1
    )
    pixels = np.where(mask[..., None] > 0, (220, 220, 220), (80, 90, 100)).astype(np.uint8)
    donor = pixels.copy()
    cv2.circle(donor, (shape[1] // 2, shape[0] // 2), 8, RED, -1)
    found = transfer_pattern(np.random.default_rng(0), pixels, mask, donor, mask)
    assert found is not None
    assert found[0].shape == pixels.shape
    assert reddish(found[0]).sum() > 60


def test_rendered_dishes_lend_within_the_outline() -> None:
    dishes = [render_dish(np.random.default_rng([5, i]), size=64, label="dirty") for i in range(6)]
    masks = [np.where(dish.dish_mask, 255, 0).astype(np.uint8) for dish in dishes]
    lent = 0
    for i in range(6):
        other = (i + 1) % 6
        found = transfer_pattern(
            np.random.default_rng(i), dishes[i].photo, masks[i], dishes[other].photo, masks[other]
        )
        if found is None:
            continue
        lent += 1
        outside = masks[i] == 0
        np.testing.assert_array_equal(found[0][outside], dishes[i].photo[outside])
        assert found[1].any()
    assert lent >= 4
