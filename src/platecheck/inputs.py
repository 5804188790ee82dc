"""Resolve the photos given to a command: files, folders, globs, lists and URLs."""

import codecs
import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platecheck.errors import DataError
from platecheck.glob import files_below, is_glob, is_remote

STDIN = "-"
LISTS = (".txt", ".csv", ".tsv")

# Accepted names of the path column, and the other columns that are read.
_PATH_COLUMNS = ("photo", "file", "filename", "image")
_OTHER_COLUMNS = ("label", "split")


@dataclass(frozen=True, slots=True)
class ListedPhoto:
    """One row of a list; `label` and `split` are "" if not given."""

    path: str
    label: str = ""
    split: str = ""


class LazyFile(io.RawIOBase):
    """A file whose content is loaded on the first read, in the thread that decodes the photo."""

    def __init__(self, name: str, content: Callable[[], bytes]) -> None:
        self.name = name
        self._content = content
        self._file: io.BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
        if self._file is None:
            self._file = io.BytesIO(self._content())
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence) if self._file else 0


def is_list(path: Path) -> bool:
    """Return whether a path has the ending of a list of photos."""
    return path.suffix.lower() in LISTS


def photo_sources(arguments: Iterable[str]) -> Iterator[str]:
    """Expand arguments to paths and URLs of photos; ``-`` (stdin) and "" are yielded unchanged.

    Raises:
        DataError: a folder, glob or list contains no photos or cannot be read.
    """
    for argument in arguments:
        if argument in (STDIN, "") or is_url(argument):
            yield argument
        elif is_remote(argument):
            raise DataError(f"{argument}: only https:// URLs are supported; use batch for s3://")
        elif is_glob(argument) or os.path.isdir(argument):
            results: list[Path] = []
            found = list(files_below(argument, results=results))
            if not found:
                verb = "matches" if is_glob(argument) else "contains"
                output = f" except platecheck's output in {results[0]}" if results else ""
                raise DataError(f"{argument} {verb} no photos{output}; give another path")
            yield from found
        elif is_list(Path(argument)) and os.path.isfile(argument):
            rows = read_list(Path(argument))
            yield from photo_sources(row.path for row in rows if not is_list(Path(row.path)))
        else:
            yield argument


def is_url(text: str) -> bool:
    """Return whether an argument is an HTTP or HTTPS URL."""
    return text.lower().startswith(("https://", "http://"))


def read_list(path: Path) -> list[ListedPhoto]:
    """Read a list of photos; relative paths are resolved against its folder, then the current one.

    Args:
        path: one path per line (blank lines and lines starting with ``#`` are skipped), or a table
            (CSV, also with semicolons or tabs) with a path and optional label and split columns.

    Raises:
        DataError: it cannot be read, has no path column, or names no photo.
    """
    try:
        with path.open("rb") as file:  # Windows PowerShell writes UTF-16
            utf16 = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        text = path.read_text(
            *(("utf-16", "replace") if utf16 else ("utf-8-sig", "surrogateescape"))
        )
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    if path.suffix.lower() == ".txt":
        lines = [line.strip() for line in text.splitlines()]
        table = [{"path": line} for line in lines if not line.startswith("#")]
    else:
        first, _, rest = text.partition("\n")
        delimiter = max(",;\t", key=first.count)
        names = next(csv.reader([first.strip().lower()], delimiter=delimiter), [])
        renamed = "path" not in names
        names = ["path" if renamed and n in _PATH_COLUMNS else n.strip() for n in names]
        if "path" not in names:
            raise DataError(f"{path} has no column 'path'; its columns: {', '.join(names)}")
        table = list(csv.DictReader(io.StringIO(rest, newline=""), names, delimiter=delimiter))
    rows = [
        ListedPhoto(
            _resolve(path, row["path"].strip()),
            *((row.get(column) or "").strip() for column in _OTHER_COLUMNS),
        )
        for row in table
        if (row["path"] or "").strip()
    ]
    if not rows:
        raise DataError(f"{path} lists no photos; add one path per line")
    return list(dict.fromkeys(rows))


def _resolve(list_path: Path, text: str) -> str:
    if is_remote(text):
        return text
    text = text if "/" in text else text.replace("\\", "/")
    beside = list_path.parent / text
    return text if os.path.exists(text) and not os.path.exists(beside) else str(beside)
