"""Photos to be left out: a CSV table that the audit proposes, people edit and training obeys."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from platecheck.data.folders import Photo, PhotoSet
from platecheck.errors import DataError
from platecheck.files import write_text

COLUMNS = ("sha256", "path", "reason")


@dataclass(frozen=True, slots=True, order=True)
class Exclusion:
    """One photo to be left out; at least one of the first two is not empty.

    Attributes:
        sha256: hash of the file's bytes; "" for whatever is at the path.
        path: the photo's :attr:`~platecheck.data.folders.Photo.name`; "" for every copy.
        reason: for people.
    """

    sha256: str
    path: str
    reason: str = ""

    def fits(self, photo: Photo) -> bool:
        """Whether this is the photo: both its content and its place, as far as they are given.

        Both, since of two equal files in different splits only one is to go; and a file that
        was replaced since the table was written is another photo.
        """
        return self.sha256 in ("", photo.sha256) and self.path in ("", photo.name)


def write_exclusions(path: Path, exclusions: Iterable[Exclusion]) -> None:
    """Write the table, sorted by path."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in sorted(exclusions, key=lambda one: (one.path, one.sha256)):
        writer.writerow((one.sha256, one.path, one.reason))
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
    """The photos that no exclusion fits; what does not fit any photo changes nothing.

    Args:
        photos: with hashes.
        exclusions: from :func:`read_exclusions`.

    Raises:
        DataError: a class of a split would have no photos left.
    """
    anywhere = {one.sha256 for one in exclusions if not one.path}
    places: dict[str, list[Exclusion]] = {}
    for one in exclusions:
        if one.path:
            places.setdefault(one.path, []).append(one)
    kept = tuple(
        photo
        for photo in photos.photos
        if photo.sha256 not in anywhere
        and not any(one.fits(photo) for one in places.get(photo.name, ()))
    )
    left = {(photo.split, photo.label) for photo in kept}
    for photo in photos.photos:
        if (photo.split, photo.label) not in left:
            raise DataError(
                f"leaving photos out leaves none of class '{photos.classes[photo.label]}' in"
                f" '{photo.split}' of {photos.folder}"
            )
    return replace(photos, photos=kept)
