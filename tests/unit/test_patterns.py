"""Patterns are drawn on the dish only, and every kind is visible."""

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
from platecheck.data.patterns import draw_pattern

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


def draw(seed: int, mask: NDArray[np.uint8], level: int = 150) -> NDArray[np.uint8]:
    pixels = np.full((*mask.shape, 3), level, np.uint8)
    found = draw_pattern(np.random.default_rng(seed), pixels, mask)
    assert (pixels == level).all()
    return found


@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 80), width=st.integers(1, 80),
    share=st.floats(0, 1.5), level=st.integers(0, 255),
)  # fmt: skip
def test_draw_pattern_changes_only_the_dish_and_depends_on_the_seed_alone(
    seed: int, height: int, width: int, share: float, level: int
) -> None:
    mask = disc(height, width, share)
    found = draw(seed, mask, level)
    assert found.dtype == np.uint8
    assert found.shape == (height, width, 3)
    assert (found[mask == 0] == level).all()
    np.testing.assert_array_equal(found, draw(seed, mask, level))


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
