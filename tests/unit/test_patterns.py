"""What is drawn on a dish stays on it, is visible, and leaves dirt visible."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from platecheck.data import patterns
from platecheck.data.clutter import wet
from platecheck.data.decoration import decorate
from platecheck.data.glass import Glass
from platecheck.data.glazes import glaze_dish
from platecheck.data.patterns import draw_pattern
from platecheck.data.pictures import color_font, color_pictures, letters, symbols

KINDS = [
    name
    for name, member in inspect.getmembers(patterns, inspect.isfunction)
    if list(inspect.signature(member).parameters) == ["rng", "mask"]
]


def disc(height: int, width: int, share: float = 0.8) -> NDArray[np.uint8]:
    """Return the mask of a dish in the centre; `share` is its width and height."""
    rows, columns = np.mgrid[:height, :width]
    down, right = (rows + 0.5) / height * 2 - 1, (columns + 0.5) / width * 2 - 1
    return np.where(down**2 + right**2 < share**2, 255, 0).astype(np.uint8)


Draw = Callable[[np.random.Generator, NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.uint8]]


def draw(
    seed: int, mask: NDArray[np.uint8], level: int = 150, function: Draw = draw_pattern
) -> NDArray[np.uint8]:
    pixels = np.full((*mask.shape, 3), level, np.uint8)
    found = function(np.random.default_rng(seed), pixels, mask)
    assert (pixels == level).all()
    return found


@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 80), width=st.integers(1, 80),
    share=st.floats(0, 1.5), level=st.integers(0, 255),
    function=st.sampled_from([draw_pattern, decorate, glaze_dish, wet]),
)  # fmt: skip
def test_drawing_changes_only_the_dish_and_depends_on_the_seed_alone(
    seed: int, height: int, width: int, share: float, level: int, function: Draw
) -> None:
    mask = disc(height, width, share)
    found = draw(seed, mask, level, function)
    assert found.dtype == np.uint8
    assert found.shape == (height, width, 3)
    assert (found[mask == 0] == level).all()
    np.testing.assert_array_equal(found, draw(seed, mask, level, function))


def test_draw_pattern_draws_every_kind_visibly(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: set[str] = set()

    def recorded(kind: str, function: Callable[..., Any], *args: Any) -> Any:
        drawn.add(kind)
        return function(*args)

    for kind in KINDS:
        monkeypatch.setattr(patterns, kind, partial(recorded, kind, getattr(patterns, kind)))
    visible: dict[str, list[bool]] = {kind: [] for kind in KINDS}
    for seed in range(120):
        drawn.clear()
        difference = np.abs(draw(seed, disc(96, 96)).astype(int) - 150).max(axis=2)
        for kind in drawn:
            visible[kind].append((difference >= 8).sum() >= 12)
    assert min(map(len, visible.values())) >= 7
    assert min(map(np.mean, visible.values())) >= 0.8


def test_draw_pattern_reaches_all_of_the_dish_and_leaves_it_recognizable() -> None:
    mask = disc(64, 64)
    changed = np.array(
        [np.abs(draw(seed, mask).astype(int) - 150).max(axis=2) >= 8 for seed in range(150)]
    )
    assert len(np.unique(changed, axis=0)) > 140
    assert changed.any(axis=0)[disc(64, 64, 0.65) > 0].all()
    assert np.median(changed[:, mask > 0].mean(axis=1)) < 0.6


@pytest.mark.parametrize("function", [decorate, glaze_dish, wet])
def test_drawings_are_visible_and_differ(function: Draw) -> None:
    mask = disc(96, 96)
    drawn = [draw(seed, mask, 200, function) for seed in range(60)]
    changed = [(np.abs(each.astype(int) - 200).max(axis=2) >= 8).sum() >= 12 for each in drawn]
    assert np.mean(changed) >= 0.9
    assert len({each.tobytes() for each in drawn}) == 60


@pytest.mark.parametrize("function", [decorate, glaze_dish, wet])
def test_dirt_stays_visible_under_what_is_drawn(function: Draw) -> None:
    """A dark stain on light glaze keeps at least half of its contrast, nearly always."""
    mask, pixels = disc(96, 96), np.full((96, 96, 3), 225, np.uint8)
    stain = np.zeros((96, 96), bool)
    stain[40:52, 42:58] = True
    pixels[stain] = (96, 60, 30)
    around = disc(96, 96, 0.3).astype(bool) & ~stain
    kept = []
    for seed in range(80):
        found = function(np.random.default_rng(seed), pixels, mask).astype(int)
        contrast = np.abs(np.median(found[around], axis=0) - np.median(found[stain], axis=0)).max()
        kept.append(contrast >= 40)
    assert np.mean(kept) >= 0.9


def test_decorations_have_pictures_without_a_colour_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platecheck.data.pictures.findSystemFonts", lambda: [])
    caches = color_font, color_pictures
    for cached in caches:
        cached.cache_clear()
    try:
        assert color_pictures() == ()
        drawn = draw(0, disc(96, 96), 200, decorate)
    finally:
        for cached in caches:
            cached.cache_clear()
    assert (drawn != 200).any()
    for pictures in (symbols(), letters()):
        assert len({each.tobytes() for each in pictures}) > 200
        assert all(each.mode == "RGBA" and each.getbbox() for each in pictures)


def test_glass_is_clear_where_the_glaze_is_and_keeps_dirt_and_reflections() -> None:
    mask, pixels = disc(96, 96), np.full((96, 96, 3), 180, np.uint8)
    pixels[30:40, 40:50] = (90, 50, 20)
    pixels[60:64, 40:60] = 255
    for seed in range(20):
        glass = Glass.draw(np.random.default_rng(seed), pixels, mask)
        middle = int(np.median(glass.opacity[disc(96, 96, 0.4) > 0]))
        assert middle < 225
        assert (glass.opacity[32:38, 42:48] == 255).all()
        assert (glass.opacity[61:63, 42:58] == 255).all()


def test_glass_shows_the_background_turned_or_scaled_about_its_middle() -> None:
    background = np.zeros((96, 96, 3), np.float32)
    background[:48] = 200
    opacity = np.zeros((96, 96), np.uint8)
    flipped = Glass(opacity, -1.0, np.ones(3, np.float32)).refract(background, disc(96, 96))
    assert flipped[30, 48, 0] == 0
    assert flipped[66, 48, 0] == 200
    assert (flipped[disc(96, 96) == 0] == background[disc(96, 96) == 0]).all()
