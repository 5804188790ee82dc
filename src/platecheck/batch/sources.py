"""Resolve SOURCE: a folder, a glob, manifests, or standard input."""

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
    manifest_kind,
    open_text,
    parquet_types,
    read_csv,
    read_parquet,
    read_text,
    tables_of,
)
from platecheck.batch.storage import as_text, file_info, list_entries, local_path
from platecheck.errors import DataError
from platecheck.glob import files_below, is_glob, is_photo_file, is_remote

STDIN = "-"


@dataclass(frozen=True)
class BatchSource:
    """The photos of a job: `tables` reads tables with the column `PATH` and the kept columns.

    `identity` can be stored as JSON, and `root` is the base folder or URL of relative paths.
    """

    identity: Mapping[str, Any]
    kept: pa.Schema
    tables: Callable[[], Iterator[pa.Table]]
    root: str


def find_batch_source(
    text: str, *, column: str | None = None, keep: Sequence[str] = (), root: str | None = None
) -> BatchSource:
    """Resolve a source and check that it exists.

    `text` is a folder, a glob, a manifest (Parquet, CSV, text) or a glob of manifests, local or at
    a URL; ``-`` is a text manifest on standard input. See `Job` for the other arguments.
    """
    place = local_path(text)
    # pyarrow takes no local names that are not UTF-8.
    info = None if not is_remote(place) and Path(place).is_dir() else file_info(place)
    is_folder = info is None or info.type == fs.FileType.Directory
    kind = TEXT if place == STDIN else None if is_folder else manifest_kind(place)
    if kind in (TEXT, None) and (column or keep):
        raise DataError("--column and --keep need a manifest with columns: Parquet or CSV")
    if kind is None:
        if root:
            raise DataError("--root requires a manifest")
        if is_folder or is_glob(place):
            return _photos(place)
        if info is None or not info.is_file:
            raise DataError(f"{place} does not exist")
        raise DataError(
            f"{place} is not a folder, glob or manifest; use platecheck predict for single photos"
        )
    base = _absolute(local_path(root or ""))
    if place == STDIN:
        return BatchSource(
            {"source": STDIN, "root": base},
            pa.schema([]),
            lambda: read_text(sys.stdin.buffer, "the manifest on standard input", base),
            base,
        )
    return _manifests(place, kind, column or PATH, keep, base)


def _photos(place: str) -> BatchSource:
    here = str(Path.cwd())

    def tables() -> Iterator[pa.Table]:
        found = files_below(place, is_photo_file, entries=list_entries)
        paths = (as_text(path, here) for path in found)
        if (first := next(paths, None)) is None:
            raise DataError(f"{place} contains no photos")
        yield from tables_of(chain([first], paths))

    return BatchSource({"source": _absolute(place)}, pa.schema([]), tables, here)


def _manifests(place: str, kind: str, column: str, keep: Sequence[str], root: str) -> BatchSource:
    places = [place]
    if is_glob(place):
        places = list(
            files_below(place, lambda name: manifest_kind(name) == kind, entries=list_entries)
        )
    states = []
    for each in places:
        info = file_info(each)
        if not info.is_file:
            raise DataError(f"{each} does not exist")
        states.append([_absolute(each), info.size, info.mtime_ns])
    if not places:
        raise DataError(f"{place} does not exist")
    kept = pa.schema([(name, pa.string()) for name in keep])
    if kind == PARQUET:
        kept = parquet_types(places[0], keep)

    def read(each: str) -> Iterator[pa.Table]:
        if kind == PARQUET:
            return read_parquet(each, column, kept, root)
        if kind == CSV:
            return read_csv(each, column, keep, root)
        return read_text(open_text(each), each, root)

    identity = {"source": _absolute(place), "manifests": states, "root": root, "column": column}
    identity["keep"] = list(keep)
    return BatchSource(identity, kept, lambda: chain.from_iterable(map(read, places)), root)


def _absolute(place: str) -> str:
    return place if is_remote(place) else str(Path(place).absolute())
