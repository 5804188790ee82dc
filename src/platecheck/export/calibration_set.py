"""The photos that a run's answers are calibrated on."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from platecheck.cpus import cpu_count
from platecheck.data.cache import PixelCache
from platecheck.data.photometric import photometric_augment
from platecheck.data.render.pairs import RenderedPairs
from platecheck.data.segmentation import MaskCache
from platecheck.training.robust import mixed_rand
from platecheck.training.run import Run

BATCH = 16


class Views(NamedTuple):
    """What is shown of some photos.

    Attributes:
        pixels: N photos uint8 [size, size, 3], the originals first.
        labels: [N].
        owners: [N], which photo of the split each is a view of.
    """

    pixels: list[NDArray[np.uint8]]
    labels: NDArray[np.int64]
    owners: NDArray[np.int64]


def views(run: Run, split: str) -> Views:
    """Photos of a split; with a robust recipe also their dishes on other tables (Mixed-Rand)."""
    photos = run.photos.split(split)
    cache = PixelCache(run.recipe.input.size, photos)
    found = [(cache.get(photo), photo.label, index) for index, photo in enumerate(photos)]
    if run.recipe.augmentation.robust:
        found += mixed_rand(photos, cache, MaskCache(), seed=0)
    pixels, labels, owners = zip(*found, strict=True)
    return Views(list(pixels), np.array(labels), np.array(owners))


def rendered_calibration_views(run: Run) -> Iterator[NDArray[np.uint8]]:
    """The rendered dishes that an epoch draws from, clean and dirty by turns."""
    robust = run.recipe.augmentation.robust
    if robust is None or not robust.rendered:
        return
    size = run.recipe.input.size
    pairs = RenderedPairs(robust.pairs, size, seed=run.facts.seed, workers=cpu_count())
    for index in range(len(pairs)):
        yield pairs[index].dirty if index % 2 else pairs[index].clean


def augmented_calibration_views(pixels: Sequence[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """The same photos in other light, through other cameras, as other files."""
    for index, photo in enumerate(pixels):
        yield photometric_augment(np.random.default_rng([0, index]), photo)


def batches(pixels: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """Arrays uint8 [n, size, size, 3] of at most `BATCH` photos."""
    rest = iter(pixels)
    while batch := list(islice(rest, BATCH)):
        yield np.stack(batch)
