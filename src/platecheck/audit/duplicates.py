"""The same picture twice: within a split, across splits (a leak), under two classes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from platecheck.audit.findings import Finding, Severity
from platecheck.audit.looks import Look
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

    looks: tuple[Look, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(look.photo.name for look in self.looks)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted({look.photo.split for look in self.looks}))

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(sorted({look.photo.label for look in self.looks}))

    @property
    def copies(self) -> list["Group"]:
        """Those of them that are the same byte for byte."""
        by_content: dict[str, list[Look]] = {}
        for look in self.looks:
            by_content.setdefault(look.photo.sha256, []).append(look)
        return [Group(tuple(same)) for same in by_content.values() if len(same) > 1]

    @property
    def exact(self) -> bool:
        """Whether all files are the same, byte for byte."""
        return len({look.photo.sha256 for look in self.looks}) == 1

    @property
    def contradicting(self) -> list["Group"]:
        """Copies that are filed under two classes; photos that are merely alike may well be."""
        return [group for group in self.copies if len(group.labels) > 1]

    @property
    def leaking(self) -> list["Group"]:
        """What is in more than one split: all, or where there are two classes, copies alone."""
        alike = [self] if len(self.labels) == 1 else self.copies
        return [group for group in alike if len(group.splits) > 1]


def find_groups(looks: Sequence[Look]) -> list[Group]:
    """Groups of identical and near-identical photos, each photo in one group at most."""
    members: dict[int, list[Look]] = {}
    for look, number in zip(looks, group_numbers(looks), strict=True):
        members.setdefault(number, []).append(look)
    groups = [
        Group(tuple(sorted(alike, key=lambda look: look.photo.name)))
        for alike in members.values()
        if len(alike) > 1
    ]
    return sorted(groups, key=lambda group: (not group.exact, group.names))


def group_numbers(looks: Sequence[Look]) -> list[int]:
    """For each photo the number of its group: the same for near-identical photos alone."""
    pairs = np.array(list(_alike(looks)), np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(pairs)), tuple(pairs.T)), shape=(len(looks), len(looks)))
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


def propose(groups: Sequence[Group], unreadable: Iterable[str]) -> list[Exclusion]:
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
            (look.photo, "contradiction") for same in group.contradicting for look in same.looks
        ]
        for same in group.leaking:
            last = max(_place(look.photo) for look in same.looks)
            gone += [(look.photo, "leak") for look in same.looks if _place(look.photo) < last]
        for photo, reason in gone:
            found.setdefault(photo.name, Exclusion(photo.sha256, photo.name, reason))
    return [found[name] for name in sorted(found)]


def _place(photo: Photo) -> tuple[int, str]:
    order = _ORDER.index(photo.split) if photo.split in _ORDER else len(_ORDER)
    return order, photo.split


def _alike(looks: Sequence[Look]) -> Iterator[tuple[int, int]]:
    """Pairs of positions whose photos show the same picture."""
    first: dict[str, int] = {}
    for at, look in enumerate(looks):
        if (earlier := first.setdefault(look.photo.sha256, at)) != at:
            yield earlier, at
    # Bits as ±1: the product of two hashes is 64 − 2 × the bits that differ.
    signs = np.array([look.phash for look in looks], np.float32).reshape(len(looks), -1) * 2 - 1
    greys = np.array([look.grey for look in looks], np.float32)
    for start in range(0, len(looks), _CHUNK):
        products = signs[start : start + _CHUNK] @ signs[start:].T
        rows, columns = np.nonzero(products >= signs.shape[1] - 2 * MAX_BITS)
        later: NDArray[np.bool_] = columns > rows
        for row, column in zip(rows[later] + start, columns[later] + start, strict=True):
            if float(greys[row] @ greys[column]) >= MIN_ALIKE:
                yield int(row), int(column)
