"""Robust augmentation, after which only the dish is informative about the class.

Dishes are put on backgrounds of other photos at random (Mixed-Rand: Xiao et al., Noise or Signal,
2020), with geometric and photometric changes. Patterns are added to clean and dirty dishes,
rendered dirt on clean ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, InitVar, dataclass
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
from platecheck.data.clutter import lay_cutlery, watermark, wet
from platecheck.data.composite import CONTACT, Placement, Shadow, composite
from platecheck.data.decoration import decorate
from platecheck.data.dirt import paste_dirt
from platecheck.data.folders import Photo
from platecheck.data.glass import Glass
from platecheck.data.glazes import glaze_dish
from platecheck.data.pattern_transfer import transfer_pattern
from platecheck.data.patterns import draw_pattern
from platecheck.data.photometric import photometric_augment
from platecheck.data.render.pairs import RenderedPair, RenderedPairs
from platecheck.data.segmentation import Mask, MaskCache
from platecheck.training.recipe import Normalization, Recipe
from platecheck.training.teacher import TeacherModel

# Values of the heatmap's target.
CLEAN, DIRT, UNKNOWN = 0, 1, 2
CELL = 8  # pixels of the photo, in each direction, per cell of the heatmap
NOISE_SHARE, RENDERED_SHARE = 0.15, 0.2  # of backgrounds; the rest come from photos

Pixels = NDArray[np.uint8]
# A normalized photo [3, H, W], its label, the heatmap's target [H / CELL, W / CELL], and with a
# teacher its probabilities [classes].
Item = tuple[Tensor, int, Tensor] | tuple[Tensor, int, Tensor, Tensor]


@dataclass
class Sample:
    """A photo while it is augmented.

    Attributes:
        pixels: uint8 [H, W, 3].
        label: index of the class.
        dish: mask of the dish; None if it is not good enough.
        dirt: mask of the dirt; None if it is unknown where the dirt is.
    """

    pixels: Pixels
    label: int
    dish: Mask | None
    dirt: Mask | None

    def transform(self, function: Callable[[Pixels], Pixels]) -> None:
        """Apply a function to the photo and its masks."""
        self.pixels = function(self.pixels)
        self.dish = None if self.dish is None else function(self.dish)
        self.dirt = None if self.dirt is None else function(self.dirt)


@dataclass(eq=False)
class RobustDataset(Dataset[Item]):
    """Photos, then the recipe's number of rendered dishes; an item is a pure function of its draw.

    Attributes:
        dirty: index of the class with dirt, the other of two classes being clean; None: no dirt is
            pasted and no rendered dish is served.
        rendered: source of dirt, rendered backgrounds and rendered dishes.
        teacher: predicts every photo, at the cache's size, before it is degraded by lighting and
            camera noise.
    """

    photos: Sequence[Photo]
    cache: PixelCache
    mask_cache: InitVar[MaskCache]
    recipe: Recipe
    normalization: Normalization
    _: KW_ONLY
    dirty: int | None
    rendered: RenderedPairs | None
    teacher: TeacherModel | None = None

    def __post_init__(self, mask_cache: MaskCache) -> None:
        assert self.recipe.augmentation.robust is not None
        self.augmentation = self.recipe.augmentation
        self.robust = self.recipe.augmentation.robust
        self.size = self.recipe.input.size
        self.ramp = self.robust.backgrounds_ramp * self.recipe.epochs
        self.masks = [mask_cache.get(photo) for photo in self.photos]
        good = [index for index, mask in enumerate(self.masks) if mask.good]
        # Patterns come from clean dishes: what is on dirty ones may be dirt.
        self.donors = [i for i in good if self.dirty not in (None, self.photos[i].label)]
        self.with_background = [
            i
            for i in good
            if background_strip(self.cache.get(self.photos[i]), self._mask(i)) is not None
        ]

    def __len__(self) -> int:
        serves_rendered = self.rendered is not None and self.dirty is not None
        return len(self.photos) + (self.robust.rendered if serves_rendered else 0)

    def __getitem__(self, draw: tuple[int, int, int]) -> Item:
        index, seed, epoch = draw
        rng = np.random.default_rng(seed)
        sample = self._photo(index) if index < len(self.photos) else self._rendered_dish(rng)
        if sample.dish is not None and self.dirty is not None:
            self._change_dish(rng, sample, sample.dish)
        share = self.robust.backgrounds * (min(1.0, epoch / self.ramp) if self.ramp else 1.0)
        swapped = sample.dish is not None and rng.random() < share
        if sample.dish is not None and rng.random() < self.robust.clutter:
            sample.pixels = wet(rng, sample.pixels, sample.dish)
        self._place(rng, sample, self._background(rng) if swapped else None)
        if rng.random() < self.robust.clutter:
            sample.pixels = lay_cutlery(rng, sample.pixels)
        if self.augmentation.horizontal_flip and rng.random() < 0.5:
            sample.transform(itemgetter(np.s_[:, ::-1]))
        if self.augmentation.vertical_flip and rng.random() < 0.5:
            sample.transform(itemgetter(np.s_[::-1]))
        if rng.random() < self.robust.clutter:
            sample.pixels = watermark(rng, sample.pixels)
        taught = self.teacher and self.teacher.probabilities(sample.pixels)
        if rng.random() < self.robust.photometric:
            sample.pixels = photometric_augment(rng, sample.pixels)
        if sample.pixels.shape[0] != self.size:  # the teacher's
            sample.transform(partial(resized, size=self.size))
        item = _tensor(sample.pixels, self.normalization), sample.label, _target(sample)
        return item if taught is None else (*item, torch.from_numpy(taught))

    def _photo(self, index: int) -> Sample:
        photo = self.photos[index]
        pixels = self.cache.get(photo)
        dish = self._mask(index) if self.masks[index].good else None
        clean = self.dirty is not None and photo.label != self.dirty
        return Sample(pixels, photo.label, dish, np.zeros_like(pixels[..., 0]) if clean else None)

    def _rendered_dish(self, rng: np.random.Generator) -> Sample:
        assert self.dirty is not None
        pair = self._pair(rng)
        if rng.random() < 0.5:
            return Sample(pair.clean, 1 - self.dirty, pair.dish, np.zeros_like(pair.dirt))
        return Sample(pair.dirty, self.dirty, pair.dish, pair.dirt)

    def _pair(self, rng: np.random.Generator) -> RenderedPair:
        assert self.rendered is not None
        return self.rendered[int(rng.integers(len(self.rendered)))]

    def _change_dish(self, rng: np.random.Generator, sample: Sample, dish: Mask) -> None:
        """Add a pattern; paste dirt, which makes a clean dish dirty."""
        assert self.dirty is not None
        if rng.random() < self.robust.patterns:
            sample.pixels = self._decorate(rng, sample.pixels, dish)
        if self.rendered is None or sample.label == self.dirty or rng.random() >= self.robust.dirt:
            return
        soiled = paste_dirt(rng, sample.pixels, dish, self._pair(rng))
        if soiled is not None:
            sample.pixels, sample.dirt = soiled
            sample.label = self.dirty

    def _decorate(self, rng: np.random.Generator, pixels: Pixels, dish: Mask) -> Pixels:
        kind = rng.choice(["glaze", "decoration", "transfer", "pattern"], p=(0.2, 0.55, 0.1, 0.15))
        if kind == "transfer" and self.donors:
            donor = self.donors[int(rng.integers(len(self.donors)))]
            source = self.cache.get(self.photos[donor])
            if transferred := transfer_pattern(rng, pixels, dish, source, self._mask(donor)):
                return transferred[0]
        if kind == "pattern":
            return draw_pattern(rng, pixels, dish)
        if kind == "glaze":
            pixels = glaze_dish(rng, pixels, dish)
            if rng.random() < 0.6:
                return pixels
        return decorate(rng, pixels, dish)

    def _place(self, rng: np.random.Generator, sample: Sample, background: Pixels | None) -> None:
        """Translate, rotate and scale the dish on a new background, or the whole photo."""
        robust = self.robust
        angle = rng.uniform(-1, 1) * self.augmentation.rotation
        shift = rng.uniform(-robust.shift, robust.shift, 2)
        tilt = rng.uniform(0, robust.tilt) if rng.random() < 0.5 else 0.0
        where = Placement(rng.uniform(*robust.scale), angle, (shift[0], shift[1]), tilt)
        if background is None or sample.dish is None:
            # Reflect the masks too, to match the reflected border of the photo.
            sample.transform(partial(where.warp, border=cv2.BORDER_REFLECT))
            return
        if sample.dirt is not None:
            sample.dirt = where.warp(sample.dirt, cv2.BORDER_CONSTANT)
        offset = rng.uniform(-0.03, 0.03, 2)
        strength, blur = rng.uniform(0, 1.5 * CONTACT.strength), rng.uniform(0.01, 0.05)
        is_glass = rng.random() < robust.glass
        sample.pixels, sample.dish = composite(
            background,
            sample.pixels,
            sample.dish,
            placement=where,
            shadow=Shadow(strength, blur, (offset[0], offset[1])),
            glass=Glass.draw(rng, sample.pixels, sample.dish) if is_glass else None,
        )

    def _background(self, rng: np.random.Generator) -> Pixels:
        size = self.cache.size
        kind = rng.random()
        background: Pixels | None = None
        if kind < RENDERED_SHARE and self.rendered is not None:
            pair = self._pair(rng)
            background = extract_background(pair.clean, pair.dish, rng)
        elif kind >= RENDERED_SHARE + NOISE_SHARE and self.with_background:
            index = self.with_background[int(rng.integers(len(self.with_background)))]
            pixels = self.cache.get(self.photos[index])
            background = extract_background(pixels, self._mask(index), rng)
        if background is None:
            background = noise_background(rng, size, size)
        background = np.rot90(background, int(rng.integers(4)))
        if rng.random() < 0.5:
            background = background[:, ::-1]
        if rng.random() < 0.5:
            tinted = background * (rng.uniform(0.6, 1.4) * rng.uniform(0.9, 1.1, 3))
            background = np.clip(tinted, 0, 255).astype(np.uint8)
        return np.ascontiguousarray(background)

    def _mask(self, index: int) -> Mask:
        return self.masks[index].mask(self.cache.size, self.cache.size)


@dataclass(eq=False)
class SwappedDataset(Dataset[Item]):
    """Validation photos, then their dishes on random other backgrounds (Mixed-Rand, drawn once)."""

    photos: Sequence[Photo]
    cache: PixelCache
    masks: MaskCache
    normalization: Normalization

    def __post_init__(self) -> None:
        self.mixed = list(mixed_rand(self.photos, self.cache, self.masks, seed=0))

    def __len__(self) -> int:
        return len(self.photos) + len(self.mixed)

    def __getitem__(self, index: int) -> Item:
        if index < len(self.photos):
            pixels, label = self.cache.get(self.photos[index]), self.photos[index].label
        else:
            pixels, label, _ = self.mixed[index - len(self.photos)]
        return _tensor(pixels, self.normalization), label, _unknown(pixels)


def mixed_rand(
    photos: Sequence[Photo], cache: PixelCache, masks: MaskCache, *, seed: int
) -> Iterator[tuple[Pixels, int, int]]:
    """Yield every dish with a good mask on the background of another photo, drawn at random.

    Yields:
        Photo uint8 [size, size, 3], label, and the index of the dish's own photo in `photos`.
    """
    size = cache.size
    found = [masks.get(photo) for photo in photos]
    dishes = [index for index, mask in enumerate(found) if mask.good]
    backgrounds = {}
    for index in dishes:
        mask, rng = found[index].mask(size, size), np.random.default_rng([seed, index])
        background = extract_background(cache.get(photos[index]), mask, rng)
        if background is not None:
            backgrounds[index] = background
    for index in dishes:
        others = [background for owner, background in backgrounds.items() if owner != index]
        if others:
            chosen = others[int(np.random.default_rng([seed, index, 1]).integers(len(others)))]
            mask = found[index].mask(size, size)
            pixels = composite(chosen, cache.get(photos[index]), mask)[0]
            yield pixels, photos[index].label, index


def _tensor(pixels: Pixels, normalization: Normalization) -> Tensor:
    channels = np.ascontiguousarray(pixels.transpose(2, 0, 1))
    mean, std = (torch.tensor(v)[:, None, None] for v in (normalization.mean, normalization.std))
    return (torch.from_numpy(channels).float() / 255 - mean) / std


def _target(sample: Sample) -> Tensor:
    """Return CLEAN, DIRT or UNKNOWN for every cell of the heatmap; a background is clean."""
    cells = sample.pixels.shape[0] // CELL
    if sample.dirt is not None:
        return torch.from_numpy(np.where(resized(sample.dirt, cells) > 32, DIRT, CLEAN))
    if sample.dish is None:
        return _unknown(sample.pixels)
    return torch.from_numpy(np.where(resized(sample.dish, cells) > 0, UNKNOWN, CLEAN))


def _unknown(pixels: Pixels) -> Tensor:
    return torch.full((pixels.shape[0] // CELL, pixels.shape[1] // CELL), UNKNOWN)


def resized(pixels: Pixels, size: int) -> Pixels:
    """Return a square photo or mask at another size."""
    interpolation = cv2.INTER_AREA if size < pixels.shape[0] else cv2.INTER_LINEAR
    source = np.ascontiguousarray(pixels)
    return np.asarray(cv2.resize(source, (size, size), interpolation=interpolation), np.uint8)
