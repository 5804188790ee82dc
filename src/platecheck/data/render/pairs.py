"""Rendered training data: pairs of the same dish clean and dirty, with masks."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from platecheck.data.cache import default_folder
from platecheck.data.render import render_dish
from platecheck.data.render.dataset import in_processes
from platecheck.data.segmentation import Mask
from platecheck.files import replacing

Pair = NDArray[np.uint8]
CHANNELS = 8  # clean RGB, dirty RGB, dish, dirt
FEWEST_FOR_WORKERS = 64  # fewer pairs are rendered faster than worker processes start


@dataclass(frozen=True)
class RenderedPair:
    """A photo with a clean and a dirty dish; masks are 255 on the dish and on visible dirt."""

    clean: NDArray[np.uint8]
    dirty: NDArray[np.uint8]
    dish: Mask
    dirt: Mask


class RenderedPairs:
    """A sequence of rendered pairs, cached on disk and determined by the seed."""

    def __init__(
        self, count: int, size: int, *, seed: int, workers: int = 1, folder: Path | None = None
    ) -> None:
        self.count = count
        self.size = size
        key = hashlib.sha256(f"{_version()}-{seed}-{size}-{count}".encode()).hexdigest()[:16]
        path = (folder or default_folder() / "rendered") / f"{key}.npy"
        shape = (count, size, size, CHANNELS)
        self._pairs = _open(path, shape)
        if self._pairs is None:
            with contextlib.suppress(OSError), replacing(path) as temporary:
                pairs = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
                for index, pair in enumerate(_render_all(count, size, seed, workers)):
                    pairs[index] = pair
                pairs.flush()
            self._pairs = _open(path, shape)
        if self._pairs is None:  # the cache is not writable: keep the pairs in memory
            self._pairs = np.stack(list(_render_all(count, size, seed, workers)))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> RenderedPair:
        assert self._pairs is not None
        pair = np.asarray(self._pairs[index])
        parts = (pair[..., :3], pair[..., 3:6], pair[..., 6], pair[..., 7])
        return RenderedPair(*map(np.ascontiguousarray, parts))


def _open(path: Path, shape: tuple[int, ...]) -> NDArray[np.uint8] | None:
    try:
        pairs = np.lib.format.open_memmap(path, "r")
    except Exception:  # a damaged header makes NumPy raise almost anything
        return None
    return pairs if pairs.shape == shape and pairs.dtype == np.uint8 else None


def _render_all(count: int, size: int, seed: int, workers: int) -> Iterator[Pair]:
    render = partial(_render, seed=seed, size=size)
    return in_processes(render, range(count), workers if count >= FEWEST_FOR_WORKERS else 1)


def _render(index: int, *, seed: int, size: int) -> Pair:
    clean, dirty = (
        # The same seed gives the same dish, background, light and camera.
        render_dish(np.random.default_rng([seed, index]), size=size, label=label)
        for label in ("clean", "dirty")
    )
    masks = [np.where(mask, 255, 0) for mask in (dirty.dish_mask, dirty.dirt_mask)]
    return np.dstack([clean.photo, dirty.photo, *masks]).astype(np.uint8)


def _version() -> str:
    try:
        return version("platecheck")
    except PackageNotFoundError:
        return "not installed"
