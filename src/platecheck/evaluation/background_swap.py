"""Composite the dishes of a split onto one another's backgrounds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Classifier, Model
from platecheck.cpus import in_threads
from platecheck.data.backgrounds import background_strip, extract_background
from platecheck.data.cache import PixelCache
from platecheck.data.composite import composite, remove_foreground
from platecheck.data.folders import Photo, sha256_of
from platecheck.data.segmentation import DishMask, Mask, MaskCache
from platecheck.errors import DataError, PhotoError

MIN_DISHES = 8
BACKGROUNDS_PER_DISH = 16  # for worst-background accuracy
BATCH = 8

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class SwapPhoto:
    """A photo of the split, with its `sha256`; its mask may be bad.

    `has_background` tells whether the mask is good and enough background is visible.
    """

    photo: Photo
    dish_mask: DishMask
    has_background: bool


class BackgroundSwap:
    """Renders dishes of a set of photos on backgrounds of others.

    The choice of backgrounds depends on the seed and the photos' contents, not on their names or
    order. An image depends only on the seed and the contents of its two photos.

    Attributes:
        dishes: indices into `photos` of the dishes to move: those with a good mask, and with
            another background of their class and one of the next class.
        backgrounds: indices into `photos` of the backgrounds used, one per distinct content.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        size: int,
        *,
        seed: int,
        on_photo: Callable[[], None] | None = None,
    ) -> None:
        """Segment the dishes; images are `size` × `size` pixels."""
        self.size, self.seed = size, seed
        self._masks, self._pixels = MaskCache(), PixelCache(size, photos)
        self.photos = list(in_threads(self._segment, photos, on_done=on_photo))
        by_content = {p.photo.sha256: i for i, p in enumerate(self.photos) if p.has_background}
        self.backgrounds = np.array([by_content[key] for key in sorted(by_content)], np.int64)
        keys = [int(each.photo.sha256[:16], 16) for each in self.photos]
        self._keys = np.array(keys, np.uint64)
        self._labels = np.array([each.photo.label for each in self.photos])
        self._classes = np.unique(self._labels[self.backgrounds])
        good = [i for i, each in enumerate(self.photos) if each.dish_mask.good]
        if len(good) < MIN_DISHES:
            raise DataError(
                f"{len(good)} of {len(photos)} photos have a good dish mask;"
                f" exchanging backgrounds needs at least {MIN_DISHES}"
            )
        if len(self._classes) < 2:
            raise DataError(
                "swapping backgrounds needs photos of two classes that show some background;"
                f" {len(self._classes)} class has such photos"
            )
        self.dishes = [i for i in good if len(self.same_class(i)) and len(self.next_class(i))]
        if len(self.dishes) < MIN_DISHES:
            raise DataError(
                f"{len(self.dishes)} dishes have another background of their class;"
                f" exchanging backgrounds needs at least {MIN_DISHES}"
            )

    def same_class(self, dish: int) -> Indices:
        others = self.others(dish)
        same: Indices = others[self._labels[others] == self._labels[dish]]
        return same

    def next_class(self, dish: int) -> Indices:
        """Return backgrounds of the next class that has any; with two classes, the other one."""
        later = self._classes[self._classes > self._labels[dish]]
        others = self.others(dish)
        label = (later if len(later) else self._classes)[0]
        of_next: Indices = others[self._labels[others] == label]
        return of_next

    def others(self, dish: int) -> Indices:
        others: Indices = self.backgrounds[self._keys[self.backgrounds] != self._keys[dish]]
        return others

    def draw(self, dish: int, backgrounds: Indices, variant: int) -> int:
        """Draw one of the backgrounds; each `variant` is an independent draw."""
        rng = np.random.default_rng([self.seed, int(self._keys[dish]), variant])
        return int(rng.choice(backgrounds))

    def sample_backgrounds(self, dish: int) -> list[int]:
        """Sample up to `BACKGROUNDS_PER_DISH` backgrounds, evenly from the classes.

        All dishes share one order and skip their own background.
        """
        shuffled = np.random.default_rng(self.seed).permutation(self.backgrounds)
        others = shuffled[self._keys[shuffled] != self._keys[dish]]
        by_class = [others[self._labels[others] == label] for label in self._classes]
        # Round-robin over the classes until they are exhausted.
        wanted = min(BACKGROUNDS_PER_DISH, len(self.backgrounds) - 1)
        sampled = [int(own[k]) for k in range(wanted) for own in by_class if k < len(own)]
        return sampled[:wanted]

    def original(self, index: int) -> Pixels:
        """Return the unchanged photo, uint8 [size, size, 3]."""
        return self._pixels.get(self.photos[index].photo)

    def mixed(self, dish: int, background: int) -> Pixels:
        """Return the dish in its place on another background, uint8 [size, size, 3]."""
        pixels, mask = self.original(dish), self._mask(dish)
        return composite(self._background(background, dish), pixels, mask)[0]

    def only_background(self, index: int) -> Pixels:
        """Return the photo with its dish replaced by its background, uint8 [size, size, 3]."""
        background = self._background(index, index)
        return remove_foreground(self.original(index), self._mask(index), background)

    def _segment(self, photo: Photo) -> SwapPhoto:
        if not photo.sha256:
            try:
                photo = replace(photo, sha256=sha256_of(photo.path))
            except OSError as error:
                raise PhotoError(str(photo.path), error.strerror or str(error)) from error
        dish_mask = self._masks.get(photo)
        mask = dish_mask.mask(self.size, self.size)
        strip = background_strip(self._pixels.get(photo), mask) if dish_mask.good else None
        return SwapPhoto(photo, dish_mask, strip is not None)

    def _mask(self, index: int) -> Mask:
        return self.photos[index].dish_mask.mask(self.size, self.size)

    def _background(self, index: int, dish: int) -> Pixels:
        rng = np.random.default_rng([self.seed, int(self._keys[dish]), int(self._keys[index])])
        background = extract_background(self.original(index), self._mask(index), rng)
        if background is None:
            raise ValueError(f"photo {index} shows no background")
        return background


def probabilities_of(
    model: Model,
    images: Iterable[Callable[[], Pixels]],
    *,
    on_photo: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """Predict probabilities [N, classes] of N images that are rendered on demand.

    Each worker renders and classifies a batch: exported models on every core, other models in one
    worker, since PyTorch has its own threads.
    """
    makers = list(images)
    batches = [makers[start : start + BATCH] for start in range(0, len(makers), BATCH)]

    def predict(batch: list[Callable[[], Pixels]]) -> NDArray[np.float32]:
        return model.probabilities(np.stack([make() for make in batch]))

    rows = [np.empty((0, len(model.classes)), np.float32)]
    for batch in in_threads(predict, batches, threads=None if isinstance(model, Classifier) else 1):
        rows.append(batch)
        for _ in batch:
            if on_photo:
                on_photo()
    return np.concatenate(rows)
