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
        photos = [look.photo for look in group.looks]
        if group.contradicts:
            gone, reason = photos, "contradiction"
        elif group.leaks:
            last = max(_place(photo) for photo in photos)
            gone, reason = [photo for photo in photos if _place(photo) < last], "leak"
        else:
            continue
        for photo in gone:
            # A contradiction is told first: the groups of equal files come first.
            found.setdefault(photo.name, Exclusion(photo.sha256, photo.name, reason))
    return [found[name] for name in sorted(found)]


def _place(photo: Photo) -> tuple[int, str]:
    order = _ORDER.index(photo.split) if photo.split in _ORDER else len(_ORDER)
    return order, photo.split
