"""The photos that a command was given: files, folders, globs, lists and web addresses."""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from platecheck.errors import DataError
from platecheck.glob import files_below, is_glob, is_remote

STDIN = "-"
LISTS = (".txt", ".csv", ".tsv")
"""Endings of lists: a path a line, or a table."""

# Columns of a table that hold paths where none is called so, and the others that are read.
_PATHS = ("photo", "file", "filename", "image")
_OTHERS = ("label", "split")


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of a list: where the photo is, and its class and split, "" where it does not say."""

    path: str
    label: str = ""
    split: str = ""


class LazyFile(io.RawIOBase):
    """A file whose content is brought when it is read, by the thread that decodes the photo."""

    def __init__(self, name: str, content: Callable[[], bytes]) -> None:
        self.name = name
        self._content = content
        self._file: io.BytesIO | None = None

    def read(self, size: int = -1) -> bytes:
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
            raise DataError(f"{argument}: only https:// is opened here; batch opens s3:// too")
        elif is_glob(argument) or Path(argument).is_dir():
            results: list[Path] = []
            found = list(files_below(argument, results=results))
            if not found:
                verb = "matches" if is_glob(argument) else "holds"
                passed = f" but what platecheck wrote in {results[0]}" if results else ""
                raise DataError(f"{argument} {verb} no photos{passed}; name others")
            yield from found
        elif is_list(Path(argument)) and Path(argument).is_file():
            rows = read_list(Path(argument))
            yield from photo_sources(row.path for row in rows if not is_list(Path(row.path)))
        else:
            yield argument


def is_url(text: str) -> bool:
    """Whether a web address is meant."""
    return text.lower().startswith(("https://", "http://"))


def read_list(path: Path) -> list[Listed]:
    """Read a list of photos; relative paths begin at its folder, or else at the current one.

    Args:
        path: a path a line, without blank lines and those that begin with ``#``; or a table (CSV,
            also with semicolons or tabs) with a column path, and perhaps label and split.

    Raises:
        DataError: it cannot be read, has no column of paths, or names no photo.
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
        names = ["path" if "path" not in names and n in _PATHS else n.strip() for n in names]
        if "path" not in names:
            raise DataError(f"{path} has no column path; its first line names: {', '.join(names)}")
        table = list(csv.DictReader(io.StringIO(rest, newline=""), names, delimiter=delimiter))
    rows = [
        Listed(_located(path, row["path"].strip()), *((row.get(c) or "").strip() for c in _OTHERS))
        for row in table
        if (row["path"] or "").strip()
    ]
    if not rows:
        raise DataError(f"{path} is a list that names no photo")
    return list(dict.fromkeys(rows))


def _located(listed_in: Path, text: str) -> str:
    if is_remote(text):
        return text
    text = text if "/" in text else text.replace("\\", "/")
    beside = listed_in.parent / text
    return text if Path(text).exists() and not beside.exists() else str(beside)
