"""Patterns are drawn on the dish and nowhere else, and each kind can be seen."""

import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from platecheck.data import patterns
from platecheck.data.patterns import draw_pattern

# How each kind of pattern is drawn: a function of chance and the dish.
KINDS = [
    name
    for name, member in inspect.getmembers(patterns, inspect.isfunction)
    if list(inspect.signature(member).parameters) == ["rng", "mask"]
]


def disc(height: int, width: int, share: float = 0.8) -> NDArray[np.uint8]:
    """A dish in the middle, as wide and high as a share of the photo: 255 on it."""
    rows, columns = np.mgrid[:height, :width]
    down, right = (rows + 0.5) / height * 2 - 1, (columns + 0.5) / width * 2 - 1
    return np.where(down**2 + right**2 < share**2, 255, 0).astype(np.uint8)


def grey(height: int, width: int, level: int = 150) -> NDArray[np.uint8]:
    return np.full((height, width, 3), level, np.uint8)


@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 80), width=st.integers(1, 80),
    share=st.floats(0, 1.5), level=st.integers(0, 255),
)  # fmt: skip
def test_nothing_changes_but_the_dish(
    seed: int, height: int, width: int, share: float, level: int
) -> None:
    mask, pixels = disc(height, width, share), grey(height, width, level)
    found = draw_pattern(np.random.default_rng(seed), pixels, mask)
    assert found.dtype == np.uint8
    assert found.shape == pixels.shape
    assert (pixels == level).all()  # what was given is not written to
    assert (found[mask == 0] == level).all()


def test_without_a_dish_the_photo_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    for seed in range(30):
        found = draw_pattern(np.random.default_rng(seed), pixels, np.zeros((20, 30), np.uint8))
        np.testing.assert_array_equal(found, pixels)


@pytest.mark.parametrize("shape", [(64, 64), (65, 33), (31, 90)])
def test_chance_alone_decides(shape: tuple[int, int]) -> None:
    found = []
    for seed in range(25):
        ours, theirs = (
            draw_pattern(np.random.default_rng(seed), grey(*shape), disc(*shape)) for _ in range(2)
        )
        np.testing.assert_array_equal(ours, theirs)
        found.append(ours.tobytes())
    assert len(set(found)) > 20


def test_every_kind_is_drawn_and_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def noted(name: str) -> Callable[..., Any]:
        draw = getattr(patterns, name)

        def noting(rng: np.random.Generator, mask: NDArray[np.uint8]) -> Any:
            drawn.append(name)
            return draw(rng, mask)

        return noting

    for name in KINDS:
        monkeypatch.setattr(patterns, name, noted(name))
    mask, pixels = disc(96, 96), grey(96, 96)
    seen: Counter[str] = Counter()
    for seed in range(240):
        drawn.clear()
        found = draw_pattern(np.random.default_rng(seed), pixels, mask)
        (kind,) = drawn
        difference = np.abs(found.astype(int) - pixels).max(axis=2)
        seen[kind] += int((difference >= 8).sum() >= 12)
        seen[f"all {kind}"] += 1
    assert len(KINDS) >= 6
    for kind in KINDS:
        assert seen[f"all {kind}"] >= 15
        assert seen[kind] >= 0.8 * seen[f"all {kind}"], kind


def test_a_pattern_reaches_all_of_the_dish_over_many_draws_and_leaves_it_recognisable() -> None:
    mask, pixels = disc(64, 64), grey(64, 64)
    changed = np.zeros((64, 64), int)
    shares = []
    for seed in range(150):
        found = draw_pattern(np.random.default_rng(seed), pixels, mask)
        differs = np.abs(found.astype(int) - pixels).max(axis=2) >= 8
        changed += differs
        shares.append(differs[mask > 0].mean())
    inner = disc(64, 64, 0.65) > 0
    assert (changed[inner] > 0).all()
    assert np.median(shares) < 0.6
