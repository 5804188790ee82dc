"""What SOURCE means: a folder, a glob, lists of photos, or standard input."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import fs

from platecheck.batch.manifests import (
    CSV,
    PARQUET,
    PATH,
    TEXT,
    kind_of_list,
    parquet_types,
    read_csv,
    read_parquet,
    read_text,
    tables_of,
)
from platecheck.batch.storage import as_text, files_below, filesystem, local_path, open_list
from platecheck.errors import DataError
from platecheck.glob import is_glob, is_photo_file, is_remote
from platecheck.model_info import first_line

STDIN = "-"


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        identity: what tells this source from others, for JSON.
        kept: types of the columns that are carried beside the path.
        tables: reads it: pieces with the column `platecheck.batch.manifests.PATH` and those.
        root: where relative paths begin.
        given_once: whether only reading it again tells if it is still the same.
    """

    identity: Mapping[str, Any]
    kept: pa.Schema
    tables: Callable[[], Iterator[pa.Table]]
    root: str
    given_once: bool = False


def find_batch_source(
    text: str, *, column: str | None = None, keep: Sequence[str] = (), root: str | None = None
) -> Source:
    """Find out what is meant, and that it is there.

    Args:
        text: a folder, a glob, a list (Parquet, CSV, text) or a glob of lists, here or at a URL;
            ``-`` is a list on standard input.
        column: of paths, in a list with columns; "path" when absent.
        keep: columns of a list that go into the answers.
        root: where relative paths of a list begin; the current folder when absent.

    Raises:
        DataError: there is no such thing, or it cannot be read.
    """
    place = local_path(text)
    kind = TEXT if place == STDIN else None if _is_folder(place) else kind_of_list(place)
    if kind in (TEXT, None) and (column or keep):
        raise DataError("--column and --keep need a list with columns: Parquet or CSV")
    if kind is None:
        if root:
            raise DataError("--root is for lists of photos")
        return _photos(place)
    begin = _absolute(local_path(root or ""))
    if place == STDIN:
        return Source(
            {"source": STDIN, "root": begin},
            pa.schema([]),
            lambda: read_text(sys.stdin.buffer, "the list on standard input", begin),
            begin,
            given_once=True,
        )
    return _lists(place, kind, column or PATH, keep, begin)


def _photos(place: str) -> Source:
    if not is_glob(place) and not _is_folder(place):
        if _state(place) is None:
            raise DataError(f"there is no {place}")
        raise DataError(
            f"{place} is no folder, glob or list; platecheck predict answers for single photos"
        )
    here = str(Path.cwd())

    def tables() -> Iterator[pa.Table]:
        paths = (as_text(path, here) for path in files_below(place, is_photo_file))
        if (first := next(paths, None)) is None:
            raise DataError(f"{place} holds no photos")
        yield from tables_of(chain([first], paths))

    return Source({"source": _absolute(place)}, pa.schema([]), tables, here)


def _lists(place: str, kind: str, column: str, keep: Sequence[str], root: str) -> Source:
    places = [place]
    if is_glob(place):
        places = list(files_below(place, lambda name: kind_of_list(name) == kind))
    states = [_state(each) for each in places]
    if not places or None in states:
        raise DataError(f"there is no {place}")
    kept = pa.schema([(name, pa.string()) for name in keep])
    if kind == PARQUET:
        kept = parquet_types(places[0], keep)

    def read(each: str) -> Iterator[pa.Table]:
        if kind == PARQUET:
            return read_parquet(each, column, kept, root)
        if kind == CSV:
            return read_csv(each, column, keep, root)
        return read_text(open_list(each), each, root)

    identity = {"source": _absolute(place), "lists": states, "root": root, "column": column}
    identity["keep"] = list(keep)
    return Source(identity, kept, lambda: chain.from_iterable(map(read, places)), root)


def _absolute(place: str) -> str:
    return place if is_remote(place) else str(Path(place).absolute())


def _is_folder(place: str) -> bool:
    if not is_remote(place):
        return Path(place).is_dir()
    return bool(_remote_info(place).type == fs.FileType.Directory)


def _state(place: str) -> list[Any] | None:
    """What shows whether a list has changed; None where there is no such file."""
    if is_remote(place):
        info = _remote_info(place)
        return [place, info.size, info.mtime_ns] if info.is_file else None
    try:
        found = Path(place).stat()
    except (OSError, ValueError):
        return None
    return [_absolute(place), found.st_size, found.st_mtime_ns]


def _remote_info(place: str) -> fs.FileInfo:
    opener, path = filesystem(place)
    try:
        return opener.get_file_info(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{place} cannot be read: {first_line(error)}") from error
