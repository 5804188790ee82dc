"""The same picture twice: within a split, across splits (a leak), under two classes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from platecheck.audit.features import PhotoFeatures
from platecheck.audit.findings import Finding, Severity
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import Photo

# Of the 64 bits of the perceptual hash, so many may differ, and the thumbnails must be as alike
# as this (cosine). Looser limits take the same dish, photographed before and after washing, for
# one picture.
MAX_BITS = 4
MIN_ALIKE = 0.99
# Rows compared at a time: bounds memory.
_CHUNK = 1024
# Of a picture in several splits, the copies in the earliest go; other splits come last.
_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class Group:
    """Photos that show the same picture, byte for byte or nearly.

    Attributes:
        looks: two or more, ordered by name.
    """

    features: tuple[PhotoFeatures, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(photo_features.photo.name for photo_features in self.features)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted({photo_features.photo.split for photo_features in self.features}))

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(sorted({photo_features.photo.label for photo_features in self.features}))

    @property
    def copies(self) -> list["Group"]:
        """Those of them that are the same byte for byte."""
        by_content: dict[str, list[PhotoFeatures]] = {}
        for photo_features in self.features:
            by_content.setdefault(photo_features.photo.sha256, []).append(photo_features)
        return [Group(tuple(same)) for same in by_content.values() if len(same) > 1]

    @property
    def exact(self) -> bool:
        """Whether all files are the same, byte for byte."""
        return len({photo_features.photo.sha256 for photo_features in self.features}) == 1

    @property
    def contradicting(self) -> list["Group"]:
        """Copies that are filed under two classes; photos that are merely alike may well be."""
        return [group for group in self.copies if len(group.labels) > 1]

    @property
    def leaking(self) -> list["Group"]:
        """What is in more than one split: all, or where there are two classes, copies alone."""
        alike = [self] if len(self.labels) == 1 else self.copies
        return [group for group in alike if len(group.splits) > 1]


def find_groups(features: Sequence[PhotoFeatures]) -> list[Group]:
    """Groups of identical and near-identical photos, each photo in one group at most."""
    members: dict[int, list[PhotoFeatures]] = {}
    for photo_features, number in zip(features, group_numbers(features), strict=True):
        members.setdefault(number, []).append(photo_features)
    groups = [
        Group(tuple(sorted(alike, key=lambda photo_features: photo_features.photo.name)))
        for alike in members.values()
        if len(alike) > 1
    ]
    return sorted(groups, key=lambda group: (not group.exact, group.names))


def group_numbers(features: Sequence[PhotoFeatures]) -> list[int]:
    """For each photo the number of its group: the same for near-identical photos alone."""
    pairs = np.array(list(_alike(features)), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(features), len(features)))
    numbers: list[int] = connected_components(graph, directed=False)[1].tolist()
    return numbers


def duplicate_findings(groups: Sequence[Group], classes: Sequence[str]) -> list[Finding]:
    """What is wrong with each group, leaks first.

    ``leak``: one picture in two splits. ``contradiction``: one picture under two classes;
    near-identical photos may well be of one dish before and after, so these are a warning only,
    and no leak. ``duplicate``: a picture counts twice.
    """
    leaks, contradictions, duplicates = [], [], []
    for group in groups:
        how = "Byte-identical" if group.exact else "Near-identical"
        if group.copies and not group.exact:
            how = "Identical and near-identical"
        names, details = group.names, {"exact": group.exact}
        if group.leaking:
            named = " and ".join(f"'{split}'" for split in group.splits)
            words = f"{how} photos are in {named}: a model is judged on what it was shown."
            leaks.append(Finding("leak", Severity.ERROR, words, names, details))
        if len(group.labels) > 1:
            severity = Severity.ERROR if group.contradicting else Severity.WARNING
            named = " and as ".join(f"'{classes[label]}'" for label in group.labels)
            wrong = "one label must be" if group.contradicting else "look whether one label is"
            words = f"{how} photos are filed as {named}: {wrong} wrong."
            contradictions.append(Finding("contradiction", severity, words, names, details))
        if len(group.labels) == len(group.splits) == 1:
            severity = Severity.WARNING if group.copies else Severity.NOTE
            times = "twice" if len(names) == 2 else f"{len(names)} times"
            words = f"{how} photos in '{group.splits[0]}': one picture counts {times}."
            duplicates.append(Finding("duplicate", severity, words, names, details))
    return leaks + contradictions + duplicates


def suggest_exclusions(groups: Sequence[Group], unreadable: Iterable[str]) -> list[Exclusion]:
    """Photos to leave out, ordered by path, each once.

    Copies of photos that the model is judged on; byte-identical photos under two classes, all of
    them, since nobody knows which label is right; photos that cannot be opened.

    Args:
        groups: from :func:`find_groups`.
        unreadable: names of photos that cannot be opened.
    """
    found = {name: Exclusion("", name, "unreadable") for name in unreadable}
    for group in groups:
        gone = [
            (photo_features.photo, "contradiction")
            for same in group.contradicting
            for photo_features in same.features
        ]
        for same in group.leaking:
            last = max(_place(photo_features.photo) for photo_features in same.features)
            gone += [
                (photo_features.photo, "leak")
                for photo_features in same.features
                if _place(photo_features.photo) < last
            ]
        for photo, reason in gone:
            found.setdefault(photo.name, Exclusion(photo.sha256, photo.name, reason))
    return [found[name] for name in sorted(found)]


def _place(photo: Photo) -> tuple[int, str]:
    order = _ORDER.index(photo.split) if photo.split in _ORDER else len(_ORDER)
    return order, photo.split


def _alike(features: Sequence[PhotoFeatures]) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose photos show the same picture."""
    first: dict[str, int] = {}
    for at, photo_features in enumerate(features):
        if (earlier := first.setdefault(photo_features.photo.sha256, at)) != at:
            yield earlier, at
    # Bits as ±1: the product of two hashes is 64 − 2 × the bits that differ.
    signs = (
        np.array([photo_features.phash for photo_features in features], np.float32).reshape(
            len(features), -1
        )
        * 2
        - 1
    )
    greys = np.array([photo_features.grey for photo_features in features], np.float32)
    for start in range(0, len(features), _CHUNK):
        products = signs[start : start + _CHUNK] @ signs[start:].T
        rows, columns = np.nonzero(products >= signs.shape[1] - 2 * MAX_BITS)
        later: NDArray[np.bool_] = columns > rows
        for row, column in zip(rows[later] + start, columns[later] + start, strict=True):
            if float(greys[row] @ greys[column]) >= MIN_ALIKE:
                yield int(row), int(column)
