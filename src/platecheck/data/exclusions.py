"""Exclusion lists: CSV files of photos to leave out, suggested by the audit or edited by hand."""

import csv
import io
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from platecheck.data.folders import Photo, PhotoSet
from platecheck.errors import DataError
from platecheck.files import write_text

COLUMNS = ("sha256", "path", "reason")


@dataclass(frozen=True, slots=True, order=True)
class Exclusion:
    """One photo to leave out; `sha256` or `path` is not empty.

    If both are given, both must match: a file that was replaced since is a different photo.
    """

    sha256: str  # hash of the file; "" matches any content
    path: str  # `Photo.name`; "" matches every copy
    reason: str = ""  # free text


def write_exclusions(path: Path, exclusions: Iterable[Exclusion]) -> None:
    """Write an exclusion list, sorted by path."""
    file = io.StringIO()
    rows = sorted(exclusions, key=lambda row: (row.path, row.sha256))
    writer = csv.writer(file, lineterminator="\n")
    writer.writerows([COLUMNS, *map(astuple, rows)])
    write_text(path, file.getvalue())


def read_exclusions(path: Path) -> frozenset[Exclusion]:
    """Read an exclusion list: a CSV file with a sha256 or path column, or both.

    Raises:
        DataError: the file cannot be read or is not an exclusion list.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if not {"sha256", "path"} & set(rows.fieldnames or ()):
        raise DataError(f"{path} is not an exclusion list: its header needs path or sha256")
    exclusions = set()
    for row in rows:
        sha256, name = (str(row.get(column) or "").strip() for column in COLUMNS[:2])
        if not sha256 and not name:
            raise DataError(f"{path}, line {rows.line_num}: needs a path or a sha256")
        if sha256 and (len(sha256) != 64 or set(sha256.lower()) - set("0123456789abcdef")):
            raise DataError(f"{path}, line {rows.line_num}: '{sha256}' is not a SHA-256")
        exclusions.add(Exclusion(sha256.lower(), name, str(row.get("reason") or "")))
    return frozenset(exclusions)


def without(photos: PhotoSet, exclusions: Iterable[Exclusion]) -> PhotoSet:
    """Remove excluded photos; add a note with the number of rows that matched.

    Paths may be relative to another folder or come from another system: ``C:\\set\\a\\1.jpg`` and
    ``./set/a/1.jpg`` match by their longest suffix that identifies one photo, at least its folder
    and file name; ``a/1.jpg`` matches the only photo whose name ends so.

    Raises:
        DataError: no row matches, or a class of a split would have no photos left.
    """
    rows = sorted(exclusions)
    if not rows:
        return photos
    by_hash, by_suffix = defaultdict[str, list[Photo]](list), defaultdict[str, list[Photo]](list)
    for photo in photos.photos:
        by_hash[photo.sha256].append(photo)
        for suffix in _suffixes(photo.name):
            by_suffix[suffix].append(photo)
    excluded: set[str] = set()
    unmatched = []
    for row in rows:
        candidates = _find(row.path, by_suffix) if row.path else by_hash[row.sha256]
        matching = [photo.name for photo in candidates if row.sha256 in ("", photo.sha256)]
        excluded.update(matching)
        if not matching:
            why = "the photo has changed" if candidates else "no such photo"
            unmatched.append(f"{row.path or row.sha256} ({why})")
    if not excluded:
        raise DataError(
            f"no exclusion matches a photo of {photos.folder}; first row: {unmatched[0]};"
            f" expected names such as {photos.photos[0].name}"
        )
    kept = tuple(photo for photo in photos.photos if photo.name not in excluded)
    left = {(photo.split, photo.label) for photo in kept}
    for photo in photos.photos:
        if (photo.split, photo.label) not in left:
            raise DataError(
                f"the exclusions leave no photos of class '{photos.classes[photo.label]}' in"
                f" '{photo.split}' of {photos.folder}"
            )
    note = f"{len(excluded)} photos excluded by {len(rows) - len(unmatched)} of {len(rows)} rows"
    if unmatched:
        note += f"; {len(unmatched)} rows match no photo, the first: {unmatched[0]}"
    return replace(photos, photos=kept, notes=(*photos.notes, note))


def _suffixes(path: str) -> list[str]:
    """Return a path and its suffixes: ``a/b/1.jpg``, ``b/1.jpg``, ``1.jpg``."""
    parts = [p for p in unicodedata.normalize("NFC", path).split("/") if p not in ("", ".")]
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _find(path: str, by_suffix: Mapping[str, list[Photo]]) -> list[Photo]:
    """Return the one photo that the longest matching suffix of a path identifies, if any.

    A suffix shorter than the path must be a photo's whole name or include its folder.
    """
    for text in (path, path.replace("\\", "/")):
        suffixes = _suffixes(text)
        for suffix in suffixes:
            found = by_suffix.get(suffix, [])
            exact = [photo for photo in found if _suffixes(photo.name)[0] == suffix]
            if exact or (len(found) == 1 and (suffix == suffixes[0] or "/" in suffix)):
                return exact or found
            if found:
                break  # ambiguous
    return []
