"""Dividing photos: validation photos are taken from test where there are none."""

from dataclasses import replace
from itertools import product

import numpy as np

from platecheck.data.folders import UNSPLIT, Photo, PhotoSet
from platecheck.errors import DataError
from platecheck.model_info import SplitInfo

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
"""Of photos that are not divided yet."""


def divide(photos: tuple[Photo, ...], shares: dict[str, float], *, seed: int) -> tuple[Photo, ...]:
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


def with_validation(photos: PhotoSet, *, seed: int = 0, learnt: float = 0.0) -> PhotoSet:
    """Make sure that there is a ``train``, a ``val`` and a ``test`` split.

    Where there is no ``val``, ``test`` is divided into halves, stratified and seeded: the
    reference's 501 test photos give 250 for validation and 251 for test. A folder without any
    splits is divided 70 / 15 / 15; so is ``train`` where there are neither ``val`` nor ``test``.
    With ``val`` but no ``test`` nothing is changed.

    Args:
        photos: of a folder.
        seed: of the division.
        learnt: share of the photos so taken from ``test`` that are put into ``train``; the test
            photos stay the same ones.

    Raises:
        DataError: there is no ``train`` split, or too few photos to divide.
    """
    if photos.splits != (UNSPLIT,) and "train" not in photos.splits:
        has = ", ".join(photos.splits)
        raise DataError(f"{photos.folder} has no train folder; it has: {has}")
    return apply_split(photos, describe_split(photos, seed=seed, learnt=learnt))


def describe_split(photos: PhotoSet, *, seed: int, learnt: float = 0.0) -> SplitInfo | None:
    """What :func:`with_validation` divides, to be kept with a model; None when it does not."""
    if photos.splits == (UNSPLIT,):
        split = UNSPLIT
    elif "train" in photos.splits and "val" not in photos.splits:
        split = "test" if "test" in photos.splits else "train"
    else:
        return None
    learnt = learnt if split == "test" else 0.0
    fingerprint = _fingerprint(photos, split)
    return SplitInfo(split=split, seed=seed, fingerprint=fingerprint, val_to_train=learnt)


def apply_split(photos: PhotoSet, division: SplitInfo | None) -> PhotoSet:
    """Divide photos as a model's were, if they are the same photos; else leave them alone.

    A model that was chosen on one half of ``test`` must be judged on the other half. Photos that
    it was not chosen on are all fit to judge it.
    """
    if division is None or division.split not in photos.splits:
        return photos
    if _fingerprint(photos, division.split) != division.fingerprint:
        return photos
    divided = _divide_split(photos, division)
    others = (photo for photo in photos.photos if photo.split != division.split)
    ordered = sorted((*others, *divided), key=lambda photo: photo.name)
    return replace(photos, photos=tuple(ordered))


def _fingerprint(photos: PhotoSet, split: str) -> str:
    return replace(photos, photos=photos.split(split)).fingerprint()


def _divide_split(photos: PhotoSet, division: SplitInfo) -> tuple[Photo, ...]:
    if division.split in (UNSPLIT, "train"):
        shares = SHARES
    elif division.val_to_train:
        # In this order the test half is the same whatever is learnt.
        learnt = division.val_to_train / 2
        shares = {"train": learnt, "val": 0.5 - learnt, "test": 0.5}
    else:
        shares = {"val": 0.5, "test": 0.5}
    divided = divide(photos.split(division.split), shares, seed=division.seed)
    filled = {(photo.split, photo.label) for photo in divided}
    # What is learnt beside the training photos may be nothing at all.
    needed = [split for split in shares if split != "train" or not division.val_to_train]
    for split, (label, name) in product(needed, enumerate(photos.classes)):
        if (split, label) not in filled:
            raise DataError(
                f"{photos.folder} has too few photos of class '{name}' to divide:"
                f" none would be left in '{split}'"
            )
    return divided
