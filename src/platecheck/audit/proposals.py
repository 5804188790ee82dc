"""Which photos had better be left out."""

from collections.abc import Iterable, Sequence

from platecheck.audit.duplicates import Group
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import Photo

# Of a picture in several splits, the copies in the earliest go; other splits come last.
_ORDER = ("train", "val", "test")


def propose(groups: Sequence[Group], unreadable: Iterable[str]) -> list[Exclusion]:
    """Photos to leave out, ordered by path, each once.

    Copies of photos that the model is judged on; byte-identical photos under two classes, all of
    them, since nobody knows which label is right; photos that cannot be opened.

    Args:
        groups: from :func:`platecheck.audit.duplicates.find_groups`.
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
