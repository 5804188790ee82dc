"""The renderer of artificial dishes: what is in a photo, and what its masks say."""

import importlib
import sys

import numpy as np
import pytest

from platecheck.data.render import BACKGROUNDS, KINDS, LABELS, RARE_KINDS, RenderedDish, render_dish
from platecheck.errors import DataError, MissingExtraError

SEEDS = range(12)


def render(seed: int, label: str = "clean", size: int = 128, **chosen: str) -> RenderedDish:
    return render_dish(np.random.default_rng(seed), size=size, label=label, **chosen)


def difference(a: RenderedDish, b: RenderedDish) -> np.ndarray:
    """Largest difference of the channels at each pixel."""
    return np.abs(a.photo.astype(int) - b.photo).max(-1)


def grown(mask: np.ndarray, pixels: int) -> np.ndarray:
    """The mask and what lies within some pixels of it."""
    out = mask.copy()
    for axis in (0, 1):
        spread = out.copy()
        for shift in range(-pixels, pixels + 1):
            spread |= np.roll(out, shift, axis)
        out = spread
    return out


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", [*KINDS, *RARE_KINDS])
@pytest.mark.parametrize("table", BACKGROUNDS)
def test_every_kind_renders_on_every_table(table: str, kind: str, label: str) -> None:
    dish = render(3, label, 64, background=table, kind=kind)
    assert (dish.label, dish.background, dish.kind) == (label, table, kind)
    assert dish.photo.shape == (64, 64, 3)
    assert dish.photo.dtype == np.uint8
    assert dish.dish_mask.shape == dish.dirt_mask.shape == (64, 64)
    assert dish.dish_mask.dtype == dish.dirt_mask.dtype == np.bool_
    assert dish.photo.std() > 4  # a picture, not a plain field
    assert 0.08 < dish.dish_mask.mean() < 0.85
    assert dish.dirt_mask.any() == (label == "dirty")


def test_the_same_generator_gives_the_same_photo_and_another_one_another() -> None:
    first, again, other = render(7, "dirty"), render(7, "dirty"), render(8, "dirty")
    assert np.array_equal(first.photo, again.photo)
    assert np.array_equal(first.dirt_mask, again.dirt_mask)
    assert not np.array_equal(first.photo, other.photo)


def test_one_generator_gives_one_photo_after_another() -> None:
    rng = np.random.default_rng(0)
    first, second = (render_dish(rng, size=64) for _ in range(2))
    assert not np.array_equal(first.photo, second.photo)


def test_the_generator_moves_on_by_the_same_draws_whatever_is_asked() -> None:
    after = []
    for chosen in ({}, {"background": "wood"}, {"kind": "steel"}, {"label": "dirty", "size": 96}):
        rng = np.random.default_rng(5)
        render_dish(rng, **{"size": 64, **chosen})
        after.append(rng.random())
    assert len(set(after)) == 1


def test_a_clean_dish_has_no_dirt_whatever_its_decoration() -> None:
    for seed in SEEDS:
        for kind in ("patterned", "speckled"):
            assert not render(seed, kind=kind).dirt_mask.any()


def test_a_round_dish_is_seen_as_an_ellipse() -> None:
    for seed in SEEDS:
        mask = render(seed, kind="steel").dish_mask
        if mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any():
            continue  # cut off by the picture's edge
        area, spread = mask.sum(), np.cov(np.argwhere(mask).T)
        # An ellipse's area follows from its spread; perspective and the wall bend it little.
        assert area == pytest.approx(4 * np.pi * np.sqrt(np.linalg.det(spread)), rel=0.01)


def test_dirt_lies_on_the_dish() -> None:
    for seed in SEEDS:
        dish = render(seed, "dirty")
        assert dish.dirt_mask.any()
        assert not (dish.dirt_mask & ~grown(dish.dish_mask, 1)).any()
        assert dish.dirt_mask.sum() < dish.dish_mask.sum()


def test_dirt_changes_the_photo_where_its_mask_says_and_hardly_elsewhere() -> None:
    inside, outside = [], []
    for seed in SEEDS:
        clean, dirty = render(seed, "clean"), render(seed, "dirty")
        assert (clean.background, clean.kind) == (dirty.background, dirty.kind)
        assert np.array_equal(clean.dish_mask, dirty.dish_mask)
        change = difference(clean, dirty)
        inside.append(change[dirty.dirt_mask].mean())
        outside.append(change[~grown(dirty.dirt_mask, 3)].mean())
        # On the table, away from the dish, nothing changes but by stray light.
        assert change[~grown(dirty.dish_mask, 4)].mean() < 1.5
    assert np.mean(inside) > 25
    assert np.mean(outside) < 3
    assert all(i > 4 * o for i, o in zip(inside, outside, strict=True))


def test_dirt_ranges_from_a_few_crumbs_to_a_heavy_mess() -> None:
    shares = [
        d.dirt_mask.sum() / d.dish_mask.sum() for d in (render(s, "dirty") for s in range(60))
    ]
    assert min(shares) > 0.002
    assert np.quantile(shares, 0.2) < 0.05
    assert np.quantile(shares, 0.9) > 0.15


def test_no_table_and_no_kind_is_left_out() -> None:
    dishes = [render(seed, size=32) for seed in range(150)]
    assert {dish.background for dish in dishes} == set(BACKGROUNDS)
    assert {dish.kind for dish in dishes} == set(KINDS)


@pytest.mark.parametrize("size", [32, 33, 100, 1024])
def test_sizes_at_the_edge(size: int) -> None:
    dish = render(1, "dirty", size)
    assert dish.photo.shape == (size, size, 3)
    assert dish.dirt_mask.any()


def test_a_size_changes_the_detail_not_the_scene() -> None:
    small, large = render(2, "dirty", 96), render(2, "dirty", 192)
    halved = large.photo.reshape(96, 2, 96, 2, 3).mean((1, 3))
    assert np.abs(halved - small.photo).mean() < 8


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"size": 31}, "size 31"),
        ({"size": 1025}, "size 1025"),
        ({"label": "filthy"}, "no such label: 'filthy'; choose one of clean, dirty"),
        ({"background": "lava"}, "no such background: 'lava'"),
        ({"kind": "cup"}, "no such kind: 'cup'"),
    ],
)
def test_what_cannot_be_rendered_is_refused(chosen: dict[str, object], says: str) -> None:
    with pytest.raises(DataError, match=says):
        render_dish(np.random.default_rng(0), **chosen)


def test_without_opencv_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("platecheck.data.render")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"\[data\]"):
        importlib.import_module("platecheck.data.render")
