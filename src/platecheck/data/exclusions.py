"""Photos to be left out: a CSV table that the audit proposes, people edit and training obeys."""

import csv
import io
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from platecheck.data.folders import Photo, PhotoSet
from platecheck.errors import DataError
from platecheck.files import write_text

COLUMNS = ("sha256", "path", "reason")


@dataclass(frozen=True, slots=True, order=True)
class Exclusion:
    """One photo to be left out; at least one of the first two is not empty.

    Where both are given both must fit: of two equal files in different splits only one is to go,
    and a file that was replaced since the table was written is another photo.

    Attributes:
        sha256: hash of the file's bytes; "" for whatever is at the path.
        path: the photo's :attr:`~platecheck.data.folders.Photo.name`; "" for every copy.
        reason: for people.
    """

    sha256: str
    path: str
    reason: str = ""


def write_exclusions(path: Path, exclusions: Iterable[Exclusion]) -> None:
    """Write the table, sorted by path."""
    file = io.StringIO()
    rows = sorted(exclusions, key=lambda one: (one.path, one.sha256))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([COLUMNS, *((one.sha256, one.path, one.reason) for one in rows)])
    write_text(path, file.getvalue())


def read_exclusions(path: Path) -> frozenset[Exclusion]:
    """Read a table with the columns sha256 and path, or one of them; others are free.

    Raises:
        DataError: no such file, or not such a table.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if not {"sha256", "path"} & set(rows.fieldnames or ()):
        raise DataError(f"{path} is not a table of photos: its first line names no path or sha256")
    found = set()
    for row in rows:
        sha256, name = (str(row.get(column) or "").strip() for column in COLUMNS[:2])
        if not sha256 and not name:
            raise DataError(f"{path}, line {rows.line_num}: neither a path nor a sha256")
        if sha256 and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
            raise DataError(f"{path}, line {rows.line_num}: '{sha256}' is not a SHA-256")
        found.add(Exclusion(sha256.lower(), name, str(row.get("reason") or "")))
    return frozenset(found)


def without(photos: PhotoSet, exclusions: Iterable[Exclusion]) -> PhotoSet:
    """The photos that no exclusion fits; the notes say how many rows fitted.

    Paths may have been written from another folder, or on another system: of ``C:\\set\\a\\1.jpg``
    and ``./set/a/1.jpg`` as much of the end counts as names one photo alone, and at least its
    folder and file name; and ``a/1.jpg`` is the one photo whose name ends so.

    Args:
        photos: with hashes.
        exclusions: from :func:`read_exclusions`.

    Raises:
        DataError: nothing fits, or a class of a split would have no photos left.
    """
    rows = sorted(exclusions)
    if not rows:
        return photos
    by_hash: dict[str, list[Photo]] = {}
    by_end: dict[str, list[Photo]] = {}
    for photo in photos.photos:
        by_hash.setdefault(photo.sha256, []).append(photo)
        for end in _ends(photo.name):
            by_end.setdefault(end, []).append(photo)
    gone: set[str] = set()
    unmatched = []
    for row in rows:
        named = _named(row.path, by_end) if row.path else by_hash.get(row.sha256, [])
        fitting = [photo.name for photo in named if row.sha256 in ("", photo.sha256)]
        gone.update(fitting)
        if not fitting:
            why = "another photo is there now" if named else "there is no such photo"
            unmatched.append(f"{row.path or row.sha256} ({why})")
    if not gone:
        raise DataError(
            f"no row of the exclusions fits a photo of {photos.folder}, the first: {unmatched[0]};"
            f" its photos are named as {photos.photos[0].name}"
        )
    kept = tuple(photo for photo in photos.photos if photo.name not in gone)
    left = {(photo.split, photo.label) for photo in kept}
    for photo in photos.photos:
        if (photo.split, photo.label) not in left:
            raise DataError(
                f"leaving photos out leaves none of class '{photos.classes[photo.label]}' in"
                f" '{photo.split}' of {photos.folder}"
            )
    note = f"{len(gone)} photos excluded by {len(rows) - len(unmatched)} of {len(rows)} rows"
    if unmatched:
        note += f"; {len(unmatched)} rows fit no photo, the first: {unmatched[0]}"
    return replace(photos, photos=kept, notes=(*photos.notes, note))


def _ends(path: str) -> Iterator[str]:
    """A path and its shorter ends: ``a/b/1.jpg``, ``b/1.jpg``, ``1.jpg``."""
    parts = [p for p in unicodedata.normalize("NFC", path).split("/") if p not in ("", ".")]
    return ("/".join(parts[start:]) for start in range(len(parts)))


def _named(path: str, by_end: dict[str, list[Photo]]) -> list[Photo]:
    """The one photo that a path names, if any: the longest end that is a photo's counts.

    The end of a longer path must be a photo's whole name, or name its folder too.
    """
    for text in (path, path.replace("\\", "/")):
        ends = list(_ends(text))
        for end in ends:
            found = by_end.get(end, [])
            exact = [photo for photo in found if next(_ends(photo.name)) == end]
            if exact or (len(found) == 1 and (end == ends[0] or "/" in end)):
                return exact or found
            if found:
                break  # several photos: it cannot be told which
    return []
