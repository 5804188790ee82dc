"""Split datasets; validation photos are taken from test if there is no validation split."""

from dataclasses import replace
from itertools import product

import numpy as np

from platecheck.data.folders import UNSPLIT, Photo, PhotoSet
from platecheck.errors import DataError
from platecheck.model_info import SplitInfo

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}  # of a dataset without splits


def divide(photos: tuple[Photo, ...], shares: dict[str, float], *, seed: int) -> tuple[Photo, ...]:
    """Assign every photo to one of the splits in `shares`, stratified by class.

    The result depends only on the photos' names, labels and the seed. Rounding errors carry over
    from class to class, so that the total sizes of the splits are right too.
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


def with_validation(photos: PhotoSet, *, seed: int = 0, val_to_train: float = 0.0) -> PhotoSet:
    """Add missing ``val`` and ``test`` splits to photos with hashes.

    Without ``val``, split ``test`` into stratified halves: the reference's 501 test photos give 250
    for validation and 251 for test. Split a dataset without splits 70 / 15 / 15, and so ``train``
    if there is neither ``val`` nor ``test``. With ``val``, change nothing. `val_to_train` is the
    share of the validation half of ``test`` that moves to ``train``; the test photos stay the same.

    Raises:
        DataError: there is no ``train`` split, or there are too few photos to split.
    """
    if photos.splits != (UNSPLIT,) and "train" not in photos.splits:
        splits = ", ".join(photos.splits)
        raise DataError(f"{photos.folder} has no train folder; it has: {splits}")
    return apply_split(photos, describe_split(photos, seed=seed, val_to_train=val_to_train))


def describe_split(photos: PhotoSet, *, seed: int, val_to_train: float = 0.0) -> SplitInfo | None:
    """Describe the split that `with_validation` makes, to save with a model; None if none."""
    if photos.splits == (UNSPLIT,):
        split = UNSPLIT
    elif "train" in photos.splits and "val" not in photos.splits:
        split = "test" if "test" in photos.splits else "train"
    else:
        return None
    return SplitInfo(
        split=split,
        seed=seed,
        fingerprint=_fingerprint(photos, split),
        val_to_train=val_to_train if split == "test" else 0.0,
    )


def apply_split(photos: PhotoSet, info: SplitInfo | None) -> PhotoSet:
    """Apply a model's split if its fingerprint matches; otherwise return the photos unchanged.

    A model selected on one half of ``test`` must be evaluated on the other half. Photos that played
    no part in the selection can all be used.
    """
    if info is None or info.split not in photos.splits:
        return photos
    if _fingerprint(photos, info.split) != info.fingerprint:
        return photos
    divided = _divide_split(photos, info)
    others = (photo for photo in photos.photos if photo.split != info.split)
    ordered = sorted((*others, *divided), key=lambda photo: photo.name)
    return replace(photos, photos=tuple(ordered))


def _fingerprint(photos: PhotoSet, split: str) -> str:
    return replace(photos, photos=photos.split(split)).fingerprint()


def _divide_split(photos: PhotoSet, info: SplitInfo) -> tuple[Photo, ...]:
    if info.split in (UNSPLIT, "train"):
        shares = SHARES
    elif info.val_to_train:
        # In this order, the test half does not depend on `val_to_train`.
        moved = info.val_to_train / 2
        shares = {"train": moved, "val": 0.5 - moved, "test": 0.5}
    else:
        shares = {"val": 0.5, "test": 0.5}
    divided = divide(photos.split(info.split), shares, seed=info.seed)
    filled = {(photo.split, photo.label) for photo in divided}
    # Only the part that is moved to train may be empty.
    required = [split for split in shares if split != "train" or not info.val_to_train]
    for split, (label, name) in product(required, enumerate(photos.classes)):
        if (split, label) not in filled:
            raise DataError(
                f"{photos.folder} has too few photos of class '{name}' to split:"
                f" none would be left in '{split}'"
            )
    return divided
