"""Rendered dishes: what a photo shows, and what its masks say."""

import importlib
import sys

import cv2
import numpy as np
import pytest

from platecheck.data.render import BACKGROUNDS, KINDS, LABELS, RARE_KINDS, RenderedDish, render_dish
from platecheck.errors import DataError, MissingExtraError


def render(seed: int, label: str = "clean", size: int = 128, **options: str) -> RenderedDish:
    return render_dish(np.random.default_rng(seed), size=size, label=label, **options)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """Return a mask with what lies within some pixels of it."""
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(mask.astype(np.uint8), square) > 0


@pytest.mark.parametrize("kind", [*KINDS, *RARE_KINDS])
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_render_dish_shows_every_kind_on_every_background(background: str, kind: str) -> None:
    for label in LABELS:
        dish = render(3, label, 64, background=background, kind=kind)
        assert (dish.label, dish.background, dish.kind) == (label, background, kind)
        assert (dish.photo.shape, dish.photo.dtype) == ((64, 64, 3), np.uint8)
        assert dish.dish_mask.shape == dish.dirt_mask.shape == (64, 64)
        assert dish.dish_mask.dtype == dish.dirt_mask.dtype == np.bool_
        assert dish.photo.std() > 4  # not a plain field
        assert 0.08 < dish.dish_mask.mean() < 0.85
        assert dish.dirt_mask.any() == (label == "dirty")


def test_render_dish_advances_the_generator_by_the_same_draws() -> None:
    after = []
    for options in ({}, {"background": "wood"}, {"kind": "steel"}, {"label": "dirty", "size": 96}):
        rng = np.random.default_rng(5)
        render_dish(rng, **{"size": 64, **options})
        after.append(rng.random())
    assert len(set(after)) == 1
    assert after[0] != np.random.default_rng(5).random()


def test_render_dish_round_dish_is_an_ellipse() -> None:
    for seed in range(12):
        mask = render(seed, kind="steel").dish_mask
        if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue  # cropped by the edge of the photo
        area, spread = mask.sum(), np.cov(np.argwhere(mask).T)
        # The area of an ellipse follows from its spread; perspective and the wall bend it little.
        assert area == pytest.approx(4 * np.pi * np.sqrt(np.linalg.det(spread)), rel=0.01)


def test_render_dish_dirt_changes_only_what_its_mask_says() -> None:
    inside, outside = [], []
    for clean, dirty in ((render(seed), render(seed, "dirty")) for seed in range(12)):
        assert (clean.background, clean.kind) == (dirty.background, dirty.kind)
        assert np.array_equal(clean.dish_mask, dirty.dish_mask)
        assert not (dirty.dirt_mask & ~grown(dirty.dish_mask, 1)).any()
        assert 0 < dirty.dirt_mask.sum() < dirty.dish_mask.sum()
        change = np.abs(clean.photo.astype(int) - dirty.photo).max(axis=-1)
        inside.append(change[dirty.dirt_mask].mean())
        outside.append(change[~grown(dirty.dirt_mask, 3)].mean())
        # Away from the dish, nothing changes except by stray light.
        assert change[~grown(dirty.dish_mask, 4)].mean() < 1.5
    assert np.mean(inside) > 25
    assert np.mean(outside) < 3
    assert all(i > 4 * o for i, o in zip(inside, outside, strict=True))


def test_render_dish_draws_all_backgrounds_kinds_and_amounts_of_dirt() -> None:
    dishes = [render(seed, "dirty", 64) for seed in range(80)]
    assert {dish.background for dish in dishes} == set(BACKGROUNDS)
    assert {dish.kind for dish in dishes} == set(KINDS)
    shares = [dish.dirt_mask.sum() / dish.dish_mask.sum() for dish in dishes]
    assert min(shares) > 0.002
    assert np.quantile(shares, 0.2) < 0.05
    assert np.quantile(shares, 0.9) > 0.15


@pytest.mark.parametrize("size", [32, 33, 100, 1024])
def test_render_dish_accepts_sizes(size: int) -> None:
    dish = render(1, "dirty", size)
    assert dish.photo.shape == (size, size, 3)
    assert dish.dirt_mask.any()


def test_render_dish_size_changes_detail_but_not_the_scene() -> None:
    small, large = render(2, "dirty", 96), render(2, "dirty", 192)
    halved = large.photo.reshape(96, 2, 96, 2, 3).mean((1, 3))
    assert np.abs(halved - small.photo).mean() < 8


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"size": 31}, "size 31"),
        ({"size": 1025}, "size 1025"),
        ({"label": "filthy"}, "no such label: 'filthy'; choose one of clean, dirty"),
        ({"background": "lava"}, "no such background: 'lava'"),
        ({"kind": "cup"}, "no such kind: 'cup'"),
    ],
)
def test_render_dish_invalid_option_is_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        render_dish(np.random.default_rng(0), **options)


def test_render_without_opencv_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("platecheck.data.render")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"\[data\]"):
        importlib.import_module("platecheck.data.render")
