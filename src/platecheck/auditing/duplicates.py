"""Find duplicate photos within a split, across splits (leakage) and across classes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from platecheck.auditing.features import PhotoFeatures
from platecheck.auditing.findings import Finding, Severity
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import Photo
from platecheck.data.near_duplicates import Fingerprint, group_near_duplicates

# Copies in the later of these splits are kept; other splits come last.
_ORDER = ("train", "val", "test")


@dataclass(frozen=True)
class DuplicateGroup:
    """Identical or near-identical photos: features of two or more, sorted by name."""

    features: tuple[PhotoFeatures, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(item.photo.name for item in self.features)

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(sorted({item.photo.split for item in self.features}))

    @property
    def labels(self) -> tuple[int, ...]:
        return tuple(sorted({item.photo.label for item in self.features}))

    @property
    def copies(self) -> list["DuplicateGroup"]:
        """Subgroups of byte-identical files."""
        by_content: dict[str, list[PhotoFeatures]] = {}
        for item in self.features:
            by_content.setdefault(item.photo.sha256, []).append(item)
        return [DuplicateGroup(tuple(same)) for same in by_content.values() if len(same) > 1]

    @property
    def exact(self) -> bool:
        """Whether all files are byte-identical."""
        return len({item.photo.sha256 for item in self.features}) == 1

    @property
    def contradicting(self) -> list["DuplicateGroup"]:
        """Byte-identical files in two classes; similar photos may differ in class legitimately."""
        return [group for group in self.copies if len(group.labels) > 1]

    @property
    def leaking(self) -> list["DuplicateGroup"]:
        """Groups in more than one split; only byte-identical files if there are two classes."""
        groups = [self] if len(self.labels) == 1 else self.copies
        return [group for group in groups if len(group.splits) > 1]


def find_groups(features: Sequence[PhotoFeatures]) -> list[DuplicateGroup]:
    """Group identical and near-identical photos; each photo is in at most one group."""
    members: dict[int, list[PhotoFeatures]] = {}
    for item, number in zip(features, group_numbers(features), strict=True):
        members.setdefault(number, []).append(item)
    groups = [
        DuplicateGroup(tuple(sorted(group, key=lambda item: item.photo.name)))
        for group in members.values()
        if len(group) > 1
    ]
    return sorted(groups, key=lambda group: (not group.exact, group.names))


def group_numbers(features: Sequence[PhotoFeatures]) -> list[int]:
    """Return a group number for each photo, shared by near-identical photos only."""
    return group_near_duplicates(
        [(each.photo.sha256, Fingerprint(each.phash, each.grey)) for each in features]
    )


def duplicate_findings(groups: Sequence[DuplicateGroup], classes: Sequence[str]) -> list[Finding]:
    """Report leaks, contradictions and duplicates, in this order.

    ``leak``: one photo in two splits. ``contradiction``: one photo in two classes; only a warning
    for near-identical photos, which may show one dish before and after washing. ``duplicate``: one
    photo several times.
    """
    leaks, contradictions, duplicates = [], [], []
    for group in groups:
        how = "Byte-identical" if group.exact else "Near-identical"
        if group.copies and not group.exact:
            how = "Identical and near-identical"
        names, details = group.names, {"exact": group.exact}
        if group.leaking:
            splits = " and ".join(f"'{split}'" for split in group.splits)
            message = (
                f"{how} photos are in {splits}: a model would be tested on photos it has seen."
            )
            leaks.append(Finding("leak", Severity.ERROR, message, names, details))
        if len(group.labels) > 1:
            severity = Severity.ERROR if group.contradicting else Severity.WARNING
            labels = " and ".join(f"'{classes[label]}'" for label in group.labels)
            wrong = "one label must be" if group.contradicting else "check whether one label is"
            message = f"{how} photos are labelled {labels}: {wrong} wrong."
            contradictions.append(Finding("contradiction", severity, message, names, details))
        if len(group.labels) == len(group.splits) == 1:
            severity = Severity.WARNING if group.copies else Severity.NOTE
            times = "twice" if len(names) == 2 else f"{len(names)} times"
            message = f"{how} photos in '{group.splits[0]}': one photo counts {times}."
            duplicates.append(Finding("duplicate", severity, message, names, details))
    return leaks + contradictions + duplicates


def suggest_exclusions(
    groups: Sequence[DuplicateGroup], unreadable: Iterable[str]
) -> list[Exclusion]:
    """Suggest photos to leave out, sorted by path.

    These are copies of evaluation photos, all byte-identical photos in two classes, since either
    label may be wrong, and the `unreadable` ones, given by name.
    """
    found = {name: Exclusion("", name, "unreadable") for name in unreadable}
    for group in groups:
        excluded = [
            (item.photo, "contradiction") for same in group.contradicting for item in same.features
        ]
        for same in group.leaking:
            last = max(_split_order(item.photo) for item in same.features)
            excluded += [
                (item.photo, "leak") for item in same.features if _split_order(item.photo) < last
            ]
        for photo, reason in excluded:
            found.setdefault(photo.name, Exclusion(photo.sha256, photo.name, reason))
    return [found[name] for name in sorted(found)]


def _split_order(photo: Photo) -> tuple[int, str]:
    order = _ORDER.index(photo.split) if photo.split in _ORDER else len(_ORDER)
    return order, photo.split
