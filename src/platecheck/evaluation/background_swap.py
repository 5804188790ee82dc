"""Dishes of a split on one another's tables: who goes where, and the pictures of it."""

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

# Fewer dishes say nothing.
FEWEST_DISHES = 8
# How many tables a dish must be answered right on, every one.
TABLES = 16
BATCH = 8

Pixels = NDArray[np.uint8]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Found:
    """A photo of the split.

    Attributes:
        photo: with its `sha256`.
        cutout: its dish.
        shows_table: whether enough table is seen beside a well cut-out dish.
    """

    photo: Photo
    cutout: DishMask
    shows_table: bool


class BackgroundSwap:
    """The dishes of some photos, put on the tables of others, all at a model's size.

    Which tables a dish is put on depends on the seed and on the photos' contents, not on their
    names or order. A picture depends on the seed and on the contents of its two photos alone.

    Attributes:
        found: every photo, in the order given.
        dishes: indices into `found` of the dishes that are put on other tables: those well cut
            out, with a table of their own class and one of the next class to go to.
        tables: indices into `found` of the photos whose tables are used, by content; of photos
            with the same content, one.
    """

    def __init__(
        self,
        photos: Sequence[Photo],
        size: int,
        *,
        seed: int,
        on_photo: Callable[[], None] | None = None,
    ) -> None:
        """Cut the dishes out.

        Args:
            photos: of one split.
            size: pixels of the square pictures.
            seed: 0 or more.
            on_photo: called after each photo.

        Raises:
            DataError: too few dishes can be cut out, or tables are seen in one class only.
            PhotoError: a photo has gone since it was listed.
        """
        self.size, self.seed = size, seed
        self._cutouts, self._photos = MaskCache(), PixelCache(size)
        self.found = list(in_threads(self._find, photos, on_done=on_photo))
        by_content = {f.photo.sha256: i for i, f in enumerate(self.found) if f.shows_table}
        self.tables = np.array([by_content[key] for key in sorted(by_content)], np.int64)
        self._keys = np.array([_key(found.photo) for found in self.found], np.uint64)
        self._labels = np.array([found.photo.label for found in self.found])
        self._classes = np.unique(self._labels[self.tables])
        good = [i for i, found in enumerate(self.found) if found.cutout.good]
        if len(good) < FEWEST_DISHES:
            raise DataError(
                f"of {len(photos)} photos, the dishes of {len(good)} can be cut out well;"
                f" exchanging tables needs at least {FEWEST_DISHES}"
            )
        if len(self._classes) < 2:
            raise DataError(
                "exchanging tables needs photos of two classes that show some table beside the"
                f" dish; {len(self._classes)} class has such photos"
            )
        self.dishes = [i for i in good if len(self.same(i)) and len(self.next(i))]
        if len(self.dishes) < FEWEST_DISHES:
            raise DataError(
                f"{len(self.dishes)} dishes have another table of their class to go to;"
                f" exchanging tables needs at least {FEWEST_DISHES}"
            )

    def same(self, dish: int) -> Indices:
        """Tables of the dish's class, but never its own."""
        others = self.others(dish)
        same: Indices = others[self._labels[others] == self._labels[dish]]
        return same

    def next(self, dish: int) -> Indices:
        """Tables of the next class that has any; with two classes, of the other one."""
        later = self._classes[self._classes > self._labels[dish]]
        others = self.others(dish)
        label = (later if len(later) else self._classes)[0]
        of_next: Indices = others[self._labels[others] == label]
        return of_next

    def others(self, dish: int) -> Indices:
        """All tables but the dish's own."""
        found: Indices = self.tables[self._keys[self.tables] != self._keys[dish]]
        return found

    def draw(self, dish: int, tables: Indices, variant: int) -> int:
        """One of the tables; another `variant` draws anew."""
        rng = np.random.default_rng([self.seed, int(self._keys[dish]), variant])
        return int(rng.choice(tables))

    def lot(self, dish: int) -> list[int]:
        """Up to :data:`TABLES` tables, as many for every dish, evenly from the classes.

        They are nearly the same for all dishes: a dish passes over its own and takes one more.
        """
        shuffled = np.random.default_rng(self.seed).permutation(self.tables)
        others = shuffled[self._keys[shuffled] != self._keys[dish]]
        by_class = [others[self._labels[others] == label] for label in self._classes]
        # Round by round one of each class, as cards are dealt, until the classes run out.
        wanted = min(TABLES, len(self.tables) - 1)
        dealt = [int(tables[k]) for k in range(wanted) for tables in by_class if k < len(tables)]
        return dealt[:wanted]

    def original(self, index: int) -> Pixels:
        """The photo as it is, uint8 [size, size, 3]."""
        return self._photos.get(self.found[index].photo)

    def mixed(self, dish: int, table: int) -> Pixels:
        """The dish, where it was, on another photo's table, uint8 [size, size, 3]."""
        return composite(self._top(table, dish), self.original(dish), self._mask(dish))[0]

    def only_background(self, index: int) -> Pixels:
        """The photo with its own table over the dish, uint8 [size, size, 3]."""
        return remove_foreground(self.original(index), self._mask(index), self._top(index, index))

    def _find(self, photo: Photo) -> Found:
        if not photo.sha256:
            try:
                photo = replace(photo, sha256=sha256_of(photo.path))
            except OSError as error:
                raise PhotoError(str(photo.path), error.strerror or str(error)) from error
        cutout = self._cutouts.get(photo)
        mask = cutout.mask(self.size, self.size)
        strip = background_strip(self._photos.get(photo), mask) if cutout.good else None
        return Found(photo, cutout, strip is not None)

    def _mask(self, index: int) -> Mask:
        return self.found[index].cutout.mask(self.size, self.size)

    def _top(self, table: int, dish: int) -> Pixels:
        rng = np.random.default_rng([self.seed, int(self._keys[dish]), int(self._keys[table])])
        top = extract_background(self.original(table), self._mask(table), rng)
        if top is None:
            raise ValueError("only photos that show their table have one to give")
        return top


def _key(photo: Photo) -> int:
    return int(photo.sha256[:16], 16)


def probabilities_of(
    model: Model,
    pictures: Iterable[Callable[[], Pixels]],
    *,
    on_photo: Callable[[], None] | None = None,
) -> NDArray[np.float32]:
    """A model's probabilities [N, classes] of N pictures that are made when needed.

    As with :func:`platecheck.classifier.stream_probabilities`, a worker makes a batch and then
    runs it: an exported file on every core, any other model on one (PyTorch has its own threads).

    Args:
        model: gives probabilities.
        pictures: each makes one of uint8 [size, size, 3].
        on_photo: called after each picture.
    """
    makers = list(pictures)
    batches = [makers[start : start + BATCH] for start in range(0, len(makers), BATCH)]

    def answer(batch: list[Callable[[], Pixels]]) -> NDArray[np.float32]:
        return model.probabilities(np.stack([make() for make in batch]))

    rows = [np.empty((0, len(model.classes)), np.float32)]
    for found in in_threads(answer, batches, threads=None if isinstance(model, Classifier) else 1):
        rows.append(found)
        for _ in found:
            if on_photo:
                on_photo()
    return np.concatenate(rows)
