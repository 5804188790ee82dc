"""The same picture twice: within a split, across splits (a leak), under two classes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platecheck.audit.findings import Finding, Severity
from platecheck.audit.looks import Look

# Of the 64 bits of the perceptual hash, so many may differ, and the thumbnails must be as alike
# as this (cosine). Looser limits take the same dish, photographed before and after washing, for
# one picture.
MAX_BITS = 4
MIN_ALIKE = 0.99
# Rows compared at a time: bounds memory.
_CHUNK = 1024


@dataclass(frozen=True)
class Group:
    """Photos that show the same picture.

    Attributes:
        looks: two or more, ordered by name.
        exact: whether all files are the same, byte for byte.
    """

    looks: tuple[Look, ...]
    exact: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the photos."""
        return tuple(look.photo.name for look in self.looks)

    @property
    def splits(self) -> tuple[str, ...]:
        """Splits that hold the picture."""
        return tuple(sorted({look.photo.split for look in self.looks}))

    @property
    def labels(self) -> tuple[int, ...]:
        """Classes that hold the picture."""
        return tuple(sorted({look.photo.label for look in self.looks}))

    @property
    def contradicts(self) -> bool:
        """Whether the picture itself, not one like it, is filed under two classes."""
        return self.exact and len(self.labels) > 1

    @property
    def leaks(self) -> bool:
        """Whether the picture is in more than one split."""
        return len(self.splits) > 1 and (self.exact or len(self.labels) == 1)


def find_groups(looks: Sequence[Look]) -> list[Group]:
    """Groups of byte-identical photos, and groups of near-identical ones.

    A picture that is there as two equal files and a third, re-encoded one, gives one group of
    each sort.
    """
    by_content: dict[str, list[Look]] = {}
    for look in looks:
        by_content.setdefault(look.photo.sha256, []).append(look)
    groups = [Group(_by_name(same), exact=True) for same in by_content.values() if len(same) > 1]
    members: dict[int, list[Look]] = {}
    for look, number in zip(looks, group_numbers(looks), strict=True):
        members.setdefault(number, []).append(look)
    for alike in members.values():
        if len({look.photo.sha256 for look in alike}) > 1:
            groups.append(Group(_by_name(alike), exact=False))
    return sorted(groups, key=lambda group: (not group.exact, group.names))


def group_numbers(looks: Sequence[Look]) -> list[int]:
    """For each photo the number of its group: the same for near-identical photos alone."""
    parents = list(range(len(looks)))

    def root(at: int) -> int:
        while parents[at] != at:
            parents[at] = parents[parents[at]]
            at = parents[at]
        return at

    for one, other in _alike(looks):
        parents[root(other)] = root(one)
    return [root(at) for at in range(len(looks))]


def duplicate_findings(groups: Sequence[Group], classes: Sequence[str]) -> list[Finding]:
    """What is wrong with each group.

    ``contradiction``: one picture under two classes; near-identical photos may well be of one dish
    before and after, so these are a warning only, and no leak. ``leak``: one picture in two
    splits. ``duplicate``: a picture counts twice.
    """
    findings = []
    for group in groups:
        how = "Byte-identical" if group.exact else "Near-identical"
        details = {"exact": group.exact}
        if len(group.labels) > 1:
            named = " and as ".join(f"'{classes[label]}'" for label in group.labels)
            advice = "one label must be wrong" if group.exact else "look whether one label is wrong"
            findings.append(
                Finding(
                    "contradiction",
                    Severity.ERROR if group.exact else Severity.WARNING,
                    f"{how} photos are filed as {named}: {advice}.",
                    group.names,
                    details,
                )
            )
        if group.leaks:
            named = " and ".join(f"'{split}'" for split in group.splits)
            findings.append(
                Finding(
                    "leak",
                    Severity.ERROR,
                    f"{how} photos are in {named}: a model is judged on what it was shown.",
                    group.names,
                    details,
                )
            )
        if len(group.labels) == len(group.splits) == 1:
            findings.append(
                Finding(
                    "duplicate",
                    Severity.WARNING if group.exact else Severity.NOTE,
                    f"{how} photos in '{group.splits[0]}': one picture counts"
                    f" {'twice' if len(group.looks) == 2 else f'{len(group.looks)} times'}.",
                    group.names,
                    details,
                )
            )
    return findings


def _by_name(looks: Sequence[Look]) -> tuple[Look, ...]:
    return tuple(sorted(looks, key=lambda look: look.photo.name))


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
