"""Dividing photos: validation photos are taken from test where there are none."""

from dataclasses import replace

import numpy as np

from platecheck.data.folders import WHOLE, Photo, PhotoSet
from platecheck.errors import DataError


def divide(
    photos: tuple[Photo, ...], shares: dict[str, float], *, seed: int
) -> tuple[Photo, ...]:
    """Give every photo one of the splits in `shares`, stratified by class.

    The result depends only on the photos' names, their labels and the seed. Rounding errors are
    carried over from class to class, so that the sizes of the splits are right in total too.

    Args:
        photos: any photos.
        shares: share of each split; they sum to 1.
        seed: of the shuffle.
    """
    rng = np.random.default_rng(seed)
    names, edges = list(shares), np.cumsum(list(shares.values()))
    divided: list[Photo] = []
    carried = np.zeros(len(names))
    for label in sorted({photo.label for photo in photos}):
        group = sorted((p for p in photos if p.label == label), key=lambda photo: photo.name)
        wanted = edges * len(group) + carried
        ends = np.floor(wanted + 1e-9).astype(int)
        ends[-1] = len(group)
        carried = wanted - ends
        owner = np.searchsorted(ends, np.arange(len(group)), side="right")
        for position, index in enumerate(rng.permutation(len(group))):
            divided.append(replace(group[index], split=names[owner[position]]))
    return tuple(sorted(divided, key=lambda photo: photo.name))


def with_validation(photos: PhotoSet, *, seed: int = 0) -> PhotoSet:
    """Make sure that there is a ``train``, a ``val`` and a ``test`` split.

    Where there is no ``val``, ``test`` is divided into halves, stratified and seeded: the
    reference's 501 test photos give 250 for validation and 251 for test. A folder without any
    splits is divided 70 / 15 / 15. With ``val`` but no ``test`` nothing is changed.

    Raises:
        DataError: there is no ``train`` split, or nothing to take validation photos from, or too
            few photos to divide.
    """
    if photos.splits == (WHOLE,):
        shares = {"train": 0.7, "val": 0.15, "test": 0.15}
        result = replace(photos, photos=divide(photos.photos, shares, seed=seed))
        _check_divided(result, ("train", "val", "test"))
        return result
    if "train" not in photos.splits:
        raise DataError(f"{photos.folder} has no train folder; it has: {', '.join(photos.splits)}")
    if "val" in photos.splits:
        return photos
    if "test" not in photos.splits:
        raise DataError(
            f"{photos.folder} has neither a val nor a test folder, so there is nothing to choose"
            " the best epoch on; add one, or give the class folders without train/"
        )
    halves = divide(photos.split("test"), {"val": 0.5, "test": 0.5}, seed=seed)
    others = tuple(photo for photo in photos.photos if photo.split != "test")
    merged = tuple(sorted(others + halves, key=lambda photo: photo.name))
    result = replace(photos, photos=merged)
    _check_divided(result, ("val", "test"))
    return result


def _check_divided(photos: PhotoSet, splits: tuple[str, ...]) -> None:
    counts = photos.counts()
    for split in splits:
        for name in photos.classes:
            if counts.get(split, {}).get(name, 0) == 0:
                raise DataError(
                    f"{photos.folder} has too few photos of class '{name}' to divide:"
                    f" none would be left in '{split}'"
                )
