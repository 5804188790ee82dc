"""The photos that a run's answers are calibrated on."""

import os
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from platecheck.data.cache import PixelCache
from platecheck.data.cutouts import CutoutCache
from platecheck.data.photometric import change_photo
from platecheck.data.rendered import RenderedDishes
from platecheck.training.robust import mixed_rand
from platecheck.training.run import Run

BATCH = 16


def views(run: Run, split: str) -> tuple[list[NDArray[np.uint8]], NDArray[np.int64]]:
    """Photos of a split, and with a robust recipe also their dishes on other tables (Mixed-Rand).

    Returns:
        Photos uint8 [size, size, 3], the originals first, and their labels [N].
    """
    photos, cache = run.photos.split(split), PixelCache(run.recipe.input.size)
    found = [(cache.get(photo), photo.label) for photo in photos]
    if run.recipe.augmentation.robust:
        found += mixed_rand(photos, cache, CutoutCache(), seed=0)
    return [pixels for pixels, _ in found], np.array([label for _, label in found])


def rendered_views(run: Run) -> Iterator[NDArray[np.uint8]]:
    """As many rendered dishes as an epoch has, clean and dirty by turns."""
    robust = run.recipe.augmentation.robust
    if robust is None or not robust.rendered:
        return
    size = run.recipe.input.size
    pairs = RenderedDishes(robust.pairs, size, seed=run.facts.seed, workers=os.cpu_count() or 1)
    for index in range(min(robust.rendered, len(pairs))):
        yield pairs[index].dirty if index % 2 else pairs[index].clean


def changed_views(pixels: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """The same photos in other light, through other cameras, as other files."""
    for index, photo in enumerate(pixels):
        yield change_photo(np.random.default_rng([0, index]), photo)


def batches(pixels: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Arrays uint8 [n, size, size, 3] of at most :data:`BATCH` photos."""
    for start in range(0, len(pixels), BATCH):
        yield np.stack(pixels[start : start + BATCH])
