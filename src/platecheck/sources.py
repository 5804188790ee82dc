"""What people hand to a command as photos: files, folders, globs, lists and web addresses."""

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platecheck.errors import DataError
from platecheck.walk import files_below, is_glob, is_remote

STDIN = "-"
LISTS = (".txt", ".csv", ".tsv")
"""Endings of lists: a path a line, or a table."""

# Names of the columns that are read, in any case.
_COLUMNS = {
    "path": ("path", "photo", "file", "filename", "file_name", "image", "name"),
    "label": ("label", "class", "category"),
    "split": ("split", "set", "subset"),
}


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of a list: where the photo is, and its class and split, "" where it does not say."""

    path: str
    label: str = ""
    split: str = ""


class LateFile(io.RawIOBase):
    """A file whose content is brought when it is read, by the thread that decodes the photo."""

    def __init__(self, name: str, content: Callable[[], bytes]) -> None:
        """Take its name, and what brings the content."""
        self.name = name
        self._content = content
        self._file: io.BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
        """Read what is left, or as much as wanted."""
        if self._file is None:
            self._file = io.BytesIO(self._content())
        return self._file.read(size)


def is_list(path: Path) -> bool:
    """Whether a path names a list of photos by its ending."""
    return path.suffix.lower() in LISTS


def photo_sources(arguments: Iterable[str]) -> Iterator[str]:
    """Paths and URLs of photos, and ``-`` for standard input; "" is not the current folder.

    Raises:
        DataError: a folder, a glob or a list holds no photos or cannot be read.
    """
    for argument in arguments:
        if argument in (STDIN, "") or is_url(argument):
            yield argument
        elif is_remote(argument):
            raise DataError(f"{argument}: only https:// is opened here; use platecheck batch")
        elif is_glob(argument) or Path(argument).is_dir():
            yield from _below(argument)
        elif is_list(Path(argument)) and Path(argument).is_file():
            rows = read_list(Path(argument))
            yield from photo_sources(row.path for row in rows if not is_list(Path(row.path)))
        else:
            yield argument


def _below(place: str) -> Iterator[str]:
    results: list[Path] = []
    found = False
    for path in files_below(place, results=results):
        found = True
        yield path
    if not found:
        passed = f", apart from what platecheck wrote: {results[0]}" if results else ""
        raise DataError(
            f"no photo matches {place}{passed}"
            if is_glob(place)
            else f"{place} holds no photos{passed}"
        )


def is_url(text: str) -> bool:
    """Whether a web address is meant."""
    return text.lower().startswith(("https://", "http://"))


def read_list(path: Path) -> list[Listed]:
    """Read a list of photos; relative paths begin at its folder, or else at the current one.

    Args:
        path: a path a line, where blank lines and those that begin with ``#`` are passed over; or
            a table (CSV, also with semicolons or tabs) with a column of paths, and optionally one
            of classes and one of splits.

    Raises:
        DataError: it cannot be read, has no column of paths, or names no photo.
    """
    try:
        data = path.read_bytes()
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = data.decode("utf-16") if utf16 else data.decode("utf-8-sig", "surrogateescape")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a list of photos: {error}") from error
    if path.suffix.lower() == ".txt":
        lines = (line.strip() for line in text.splitlines())
        rows = [Listed(_located(path, line)) for line in lines if line and line[0] != "#"]
    else:
        rows = list(_table(path, text))
    if not rows:
        raise DataError(f"{path} is a list that names no photo")
    return rows


def _table(path: Path, text: str) -> Iterator[Listed]:
    first = text.partition("\n")[0]
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    header = [name.strip().lower() for name in next(rows, [])]
    places = {
        meant: next((header.index(name) for name in names if name in header), None)
        for meant, names in _COLUMNS.items()
    }
    if places["path"] is None:
        raise DataError(
            f"{path} has no column 'path'; its first line must name the columns, and names:"
            f" {', '.join(header) or 'nothing'}"
        )
    for row in rows:
        cells = {
            meant: row[at].strip() if at is not None and at < len(row) else ""
            for meant, at in places.items()
        }
        if cells["path"]:
            yield Listed(_located(path, cells["path"]), cells["label"], cells["split"])


def _located(listed_in: Path, text: str) -> str:
    if is_remote(text):
        return text
    for name in (text, text.replace("\\", "/")):
        for found in (listed_in.parent / name, Path(name)):
            if found.exists():
                return str(found)
    return str(listed_in.parent / text)
