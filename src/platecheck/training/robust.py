"""Photos for training in which only the dish can tell the class.

Dishes are put on tables taken from other photos at random (Mixed-Rand: Xiao et al., Noise or
Signal, 2020), moved, turned, lit and coloured differently. Patterns are put on clean and dirty
dishes, rendered dirt on clean ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from platecheck.data.backgrounds import background_strip, extract_background, noise_background
from platecheck.data.cache import PixelCache
from platecheck.data.composite import CONTACT, Placement, Shadow, composite
from platecheck.data.dirt import paste_dirt
from platecheck.data.folders import Photo
from platecheck.data.pattern_transfer import transfer_pattern
from platecheck.data.patterns import draw_pattern
from platecheck.data.photometric import photometric_augment
from platecheck.data.render.pairs import RenderedPair, RenderedPairs
from platecheck.data.segmentation import Mask, MaskCache
from platecheck.training.recipe import Augmentation, Normalization, Robust
from platecheck.training.teacher import Teacher

# What a pixel of the dirt map's target says.
CLEAN, DIRT, UNKNOWN = 0, 1, 2
CELL = 8  # pixels of the photo, in each direction, to one of the map
NOISE_TABLES, RENDERED_TABLES = 0.15, 0.2  # shares; the rest come from photos
TRANSLUCENT = 0.1  # share of the dishes on other tables

# A normalised photo [3, H, W], its label, where its dirt is [H / CELL, W / CELL], and with a
# teacher the probabilities [classes] that it gives.
Item = tuple[Tensor, int, Tensor] | tuple[Tensor, int, Tensor, Tensor]


@dataclass
class Sample:
    """A photo on its way: everything that the changes need to know of it."""

    pixels: NDArray[np.uint8]
    label: int
    dish: Mask | None  # None: the cut-out is not good enough
    dirt: Mask | None  # None: it is there, but nobody knows where

    def change(self, way: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
        """Do the same to the photo and to its masks."""
        self.pixels = way(self.pixels)
        self.dish = None if self.dish is None else way(self.dish)
        self.dirt = None if self.dirt is None else way(self.dirt)


class RobustDataset(Dataset[Item]):
    """Training photos and rendered dishes, changed anew in every epoch.

    An item depends on nothing but its draw (index, seed, epoch), whichever worker makes it.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        cache: PixelCache,
        cutouts: MaskCache,
        augmentation: Augmentation,
        normalization: Normalization,
        *,
        dirty: int | None,
        size: int,
        epochs: int,
        rendered: RenderedPairs | None,
        teacher: Teacher | None = None,
    ) -> None:
        """Serve `photos` and, after them, as many rendered dishes as the recipe wants.

        Args:
            photos: for training.
            cache: of their pixels.
            cutouts: of their dishes.
            augmentation: with its `robust` part.
            normalization: channel mean and standard deviation.
            dirty: the index of the class whose dishes have dirt on them, the other of two classes
                being clean; None where there is no such class: no dirt is put on, no rendered
                dish is served.
            size: pixels of the square photos that are served.
            epochs: of the whole training, for what is ramped up.
            rendered: where dirt, rendered tables and rendered dishes come from.
            teacher: answers for every photo, before light and camera make it harder; sees it at
                the cache's size.
        """
        assert augmentation.robust is not None
        self.photos = photos
        self.cache = cache
        self.augmentation = augmentation
        self.robust: Robust = augmentation.robust
        self.normalization = normalization
        self.dirty = dirty
        self.size = size
        self.epochs = epochs
        self.teacher = teacher
        self.rendered = rendered
        self.cutouts = [cutouts.get(photo) for photo in photos]
        # Decoration is borrowed from clean dishes: what is on dirty ones may be dirt or not.
        self.lenders = [
            index
            for index, cutout in enumerate(self.cutouts)
            if cutout.good and dirty is not None and photos[index].label != dirty
        ]
        self.with_table = [
            index
            for index, cutout in enumerate(self.cutouts)
            if cutout.good
            and background_strip(cache.get(photos[index]), self._mask(index)) is not None
        ]

    def __len__(self) -> int:
        return len(self.photos) + (self.robust.rendered if self._synthetic else 0)

    @property
    def _synthetic(self) -> bool:
        return self.rendered is not None and self.dirty is not None

    def __getitem__(self, draw: tuple[int, int, int]) -> Item:
        index, seed, epoch = draw
        rng = np.random.default_rng(seed)
        scene = self._photo(index) if index < len(self.photos) else self._rendered(rng)
        self._change_dish(rng, scene)
        ramp = self.robust.backgrounds_ramp * self.epochs
        share = self.robust.backgrounds * (min(1.0, epoch / ramp) if ramp else 1.0)
        other_table = scene.dish is not None and rng.random() < share
        self._place(rng, scene, table=self._table(rng) if other_table else None)
        self._flip(rng, scene)
        taught = self.teacher and self.teacher.probabilities(scene.pixels)
        if rng.random() < self.robust.photometric:
            scene.pixels = photometric_augment(rng, scene.pixels)
        if scene.pixels.shape[0] != self.size:  # the teacher's
            scene.change(partial(resized, size=self.size))
        item = _tensor(scene.pixels, self.normalization), scene.label, _target(scene)
        return item if taught is None else (*item, torch.from_numpy(taught))

    def _photo(self, index: int) -> Sample:
        photo = self.photos[index]
        pixels = self.cache.get(photo)
        dish = self._mask(index) if self.cutouts[index].good else None
        clean = self.dirty is not None and photo.label != self.dirty
        return Sample(pixels, photo.label, dish, np.zeros_like(pixels[..., 0]) if clean else None)

    def _rendered(self, rng: np.random.Generator) -> Sample:
        assert self.dirty is not None
        pair = self._pair(rng)
        if rng.random() < 0.5:
            return Sample(pair.clean, 1 - self.dirty, pair.dish, np.zeros_like(pair.dirt))
        return Sample(pair.dirty, self.dirty, pair.dish, pair.dirt)

    def _pair(self, rng: np.random.Generator) -> RenderedPair:
        assert self.rendered is not None
        return self.rendered[int(rng.integers(len(self.rendered)))]

    def _change_dish(self, rng: np.random.Generator, scene: Sample) -> None:
        """A pattern more, half of them borrowed; dirt on a clean dish, which makes it dirty."""
        if scene.dish is None or self.dirty is None:
            return
        if rng.random() < self.robust.patterns:
            borrowed = self._borrowed(rng, scene) if rng.random() < 0.5 else None
            scene.pixels = borrowed[0] if borrowed else draw_pattern(rng, scene.pixels, scene.dish)
        if self.rendered is None or scene.label == self.dirty or rng.random() >= self.robust.dirt:
            return
        soiled = paste_dirt(rng, scene.pixels, scene.dish, self._pair(rng))
        if soiled is not None:
            scene.pixels, scene.dirt = soiled
            scene.label = self.dirty

    def _borrowed(
        self, rng: np.random.Generator, scene: Sample
    ) -> tuple[NDArray[np.uint8], Mask] | None:
        """The dish with what is on a random clean dish."""
        assert scene.dish is not None
        if not self.lenders:
            return None
        index = self.lenders[int(rng.integers(len(self.lenders)))]
        pixels = self.cache.get(self.photos[index])
        return transfer_pattern(rng, scene.pixels, scene.dish, pixels, self._mask(index))

    def _place(
        self, rng: np.random.Generator, scene: Sample, table: NDArray[np.uint8] | None
    ) -> None:
        """Move, turn and scale the dish on another table, or the whole photo."""
        robust = self.robust
        angle = rng.uniform(-1, 1) * self.augmentation.rotation
        shift = rng.uniform(-robust.shift, robust.shift, 2)
        where = Placement(rng.uniform(*robust.scale), angle, (float(shift[0]), float(shift[1])))
        if table is None or scene.dish is None:
            # What a mirrored photo shows twice is twice in its masks too.
            scene.change(partial(where.warp, border=cv2.BORDER_REFLECT))
            return
        if scene.dirt is not None:
            scene.dirt = where.warp(scene.dirt, cv2.BORDER_CONSTANT)
        way = rng.uniform(-0.03, 0.03, 2)
        shadow = Shadow(
            rng.uniform(0, 1.5 * CONTACT.strength), rng.uniform(0.01, 0.05), (way[0], way[1])
        )
        scene.pixels, scene.dish = composite(
            table,
            scene.pixels,
            scene.dish,
            placement=where,
            shadow=shadow,
            opacity=rng.uniform(0.55, 0.9) if rng.random() < TRANSLUCENT else 1.0,
        )

    def _table(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        size = self.cache.size
        kind = rng.random()
        table: NDArray[np.uint8] | None = None
        if kind < RENDERED_TABLES and self.rendered is not None:
            pair = self._pair(rng)
            table = extract_background(pair.clean, pair.dish, rng)
        elif kind >= RENDERED_TABLES + NOISE_TABLES and self.with_table:
            index = self.with_table[int(rng.integers(len(self.with_table)))]
            pixels = self.cache.get(self.photos[index])
            table = extract_background(pixels, self._mask(index), rng)
        if table is None:
            table = noise_background(rng, size, size)
        table = np.rot90(table, int(rng.integers(4)))
        if rng.random() < 0.5:
            table = table[:, ::-1]
        if rng.random() < 0.5:
            tinted = table * (rng.uniform(0.6, 1.4) * rng.uniform(0.9, 1.1, 3))
            table = np.clip(tinted, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(table)

    def _mask(self, index: int) -> Mask:
        size = self.cache.size
        return self.cutouts[index].mask(size, size)

    def _flip(self, rng: np.random.Generator, scene: Sample) -> None:
        ways = (
            (self.augmentation.horizontal_flip, np.s_[:, ::-1]),
            (self.augmentation.vertical_flip, np.s_[::-1]),
        )
        for wanted, way in ways:
            if wanted and rng.random() < 0.5:
                scene.change(itemgetter(way))


class SwappedDataset(Dataset[Item]):
    """Validation photos as they are, then their dishes on random other tables.

    The second part is the same in every epoch: Mixed-Rand, drawn once.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        cache: PixelCache,
        cutouts: MaskCache,
        normalization: Normalization,
    ) -> None:
        self.photos = photos
        self.cache = cache
        self.normalization = normalization
        self.mixed = list(mixed_rand(photos, cache, cutouts, seed=0))

    def __len__(self) -> int:
        return len(self.photos) + len(self.mixed)

    def __getitem__(self, index: int) -> Item:
        if index < len(self.photos):
            pixels, label = self.cache.get(self.photos[index]), self.photos[index].label
        else:
            pixels, label, _ = self.mixed[index - len(self.photos)]
        return _tensor(pixels, self.normalization), label, _unknown(pixels)


def mixed_rand(
    photos: Sequence[Photo], cache: PixelCache, cutouts: MaskCache, *, seed: int
) -> Iterator[tuple[NDArray[np.uint8], int, int]]:
    """Every dish that can be cut out on the table of another photo, drawn at random.

    Returns:
        Photo uint8 [size, size, 3], label, and the index of the dish's own photo in `photos`.
    """
    size = cache.size
    found = [cutouts.get(photo) for photo in photos]
    dishes = [index for index, cutout in enumerate(found) if cutout.good]
    tables = {}
    for index in dishes:
        mask, rng = found[index].mask(size, size), np.random.default_rng([seed, index])
        if (table := extract_background(cache.get(photos[index]), mask, rng)) is not None:
            tables[index] = table
    for index in dishes:
        others = [table for owner, table in tables.items() if owner != index]
        if others:
            table = others[int(np.random.default_rng([seed, index, 1]).integers(len(others)))]
            mask = found[index].mask(size, size)
            yield composite(table, cache.get(photos[index]), mask)[0], photos[index].label, index


def _tensor(pixels: NDArray[np.uint8], normalization: Normalization) -> Tensor:
    channels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    mean, std = (torch.tensor(v)[:, None, None] for v in (normalization.mean, normalization.std))
    return (torch.from_numpy(channels).float() / 255 - mean) / std


def _target(scene: Sample) -> Tensor:
    """CLEAN, DIRT or UNKNOWN for every pixel of the dirt map; a table is clean."""
    if scene.dirt is not None:
        return torch.from_numpy(np.where(_small(scene.dirt) > 32, DIRT, CLEAN))
    if scene.dish is None:
        return _unknown(scene.pixels)
    return torch.from_numpy(np.where(_small(scene.dish) > 0, UNKNOWN, CLEAN))


def _unknown(pixels: NDArray[np.uint8]) -> Tensor:
    return torch.full((pixels.shape[0] // CELL, pixels.shape[1] // CELL), UNKNOWN)


def resized(pixels: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """A square photo or mask at another size."""
    way = cv2.INTER_AREA if size < pixels.shape[0] else cv2.INTER_LINEAR
    source = np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(source, (size, size), interpolation=way), np.uint8)


def _small(mask: Mask) -> Mask:
    return resized(mask, mask.shape[0] // CELL)
