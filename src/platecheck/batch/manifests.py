"""Read manifests of photos in small tables: Parquet, CSV, or text with one path per line."""

import codecs
import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from platecheck.batch.storage import as_text, filesystem
from platecheck.errors import DataError
from platecheck.model_info import first_line

PATH = "path"
"""The column of paths in every table, whatever it was called in the manifest."""

TEXT, CSV, PARQUET = ".txt", ".csv", ".parquet"
_COMPRESSED = (".gz", ".bz2", ".zst")

_ROWS = 4096  # per table
_LONGEST_PATH = 2**20


def manifest_kind(name: str) -> str | None:
    """Return `TEXT`, `CSV` or `PARQUET` by the ending of a file name; None for other files."""
    name = name.lower()
    if name.endswith(PARQUET):
        return PARQUET
    name = next((name.removesuffix(end) for end in _COMPRESSED if name.endswith(end)), name)
    return next((kind for kind in (TEXT, CSV) if name.endswith(kind)), None)


def tables_of(paths: Iterator[str]) -> Iterator[pa.Table]:
    """Yield tables of paths."""
    while piece := list(islice(paths, _ROWS)):
        yield pa.table({PATH: pa.array(piece, pa.string())})


def read_text(file: BinaryIO, name: str, root: str) -> Iterator[pa.Table]:
    """Read one path per line, or paths that end in NUL bytes (``find -print0``).

    Empty lines, and lines that start with ``#``, are skipped.
    """
    return tables_of(as_text(os.fsdecode(line), root) for line in _lines(file, name) if line)


def open_text(place: str) -> BinaryIO:
    """Open a text or CSV file, and decompress it if its name ends in .gz, .bz2 or .zst."""
    opener, path = filesystem(place)
    return cast(BinaryIO, opener.open_input_stream(path, compression="detect"))


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    rest = file.read(_LONGEST_PATH)
    if rest.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{name} is in UTF-16; save it in UTF-8")
    nul = b"\0" in rest  # such names may contain anything else
    rest = rest if nul else rest.removeprefix(codecs.BOM_UTF8)
    ended = False
    while not ended:
        more = file.read(_LONGEST_PATH)
        *lines, rest = (rest + more).split(b"\0" if nul else b"\n")
        if len(rest) > _LONGEST_PATH:
            raise DataError(f"{name} is not a manifest: a line is longer than 1 MB")
        if ended := not more:
            lines.append(rest)
        if not nul:
            lines = [line.removesuffix(b"\r") for line in lines if not line.startswith(b"#")]
        yield from lines


def read_csv(place: str, column: str, keep: Sequence[str], root: str) -> Iterator[pa.Table]:
    """Read a CSV file with a header; kept columns are text."""
    with io.TextIOWrapper(
        open_text(place), encoding="utf-8-sig", errors="surrogateescape", newline=""
    ) as file:
        reader = csv.reader(file)
        try:
            names = next(reader, [])
            indices = [_index(place, names, name) for name in (column, *keep)]
            rows = ([row[i] if i < len(row) else None for i in indices] for row in reader if row)
            while piece := list(islice(rows, _ROWS)):
                paths, *kept = zip(*piece, strict=True)
                columns = [[as_text(path or "", root) for path in paths]]
                columns += [[value and _escape(value) for value in values] for values in kept]
                yield pa.table([pa.array(values, pa.string()) for values in columns], [PATH, *keep])
        except csv.Error as error:
            raise DataError(f"{place}, line {reader.line_num}: {error}") from error


def _index(place: str, names: Sequence[str], wanted: str) -> int:
    if wanted not in names:
        raise DataError(f"{place} has no column '{wanted}'; it has: {', '.join(names) or 'none'}")
    return names.index(wanted)


def _escape(value: str) -> str:
    return os.fsencode(value).decode(errors="backslashreplace")


def parquet_types(place: str, columns: Sequence[str]) -> pa.Schema:
    """Return the types of columns of a Parquet file; every encoding of text is `pa.string()`."""
    with _open_parquet(place) as file:
        schema = file.schema_arrow
    found = ((name, schema.types[_index(place, schema.names, name)]) for name in columns)
    return pa.schema([(name, _plain(kind)) for name, kind in found])


def read_parquet(place: str, column: str, kept: pa.Schema, root: str) -> Iterator[pa.Table]:
    """Read the column of paths, as text or bytes, and the `kept` columns of a Parquet file."""
    if parquet_types(place, kept.names) != kept:
        raise DataError(f"{place} has columns of other types than the manifests before it")
    found = parquet_types(place, [column]).types[0]
    if str(found) not in ("string", "binary", "large_binary", "binary_view", "null"):
        raise DataError(f"{place}: column '{column}' has type {found}, not text")
    with _open_parquet(place) as file:
        for batch in file.iter_batches(
            _ROWS, columns=list({column, *kept.names}), use_threads=False
        ):
            columns = [_texts(batch.column(column), lambda path: as_text(path, root))]
            for field in kept:
                values = batch.column(field.name)
                is_text = pa.types.is_string(field.type)
                columns.append(_texts(values, _escape) if is_text else values.cast(field.type))
            yield pa.table(columns, [PATH, *kept.names])


@contextmanager
def _open_parquet(place: str) -> Iterator[pq.ParquetFile]:
    opener, path = filesystem(place)
    try:
        # Without a buffer, a whole row group would be read at once, however large.
        with opener.open_input_file(path) as source:
            yield pq.ParquetFile(source, buffer_size=2**20)
    except pa.ArrowException as error:
        raise DataError(f"{place} is not a Parquet file: {first_line(error)}") from error


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    is_text = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return pa.string() if is_text else kind


def _texts(values: pa.Array, escape: Callable[[str], str]) -> pa.Array:
    """Return text or bytes as text, and escape what is not UTF-8."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    as_bytes = values.cast(pa.binary())
    try:
        return as_bytes.cast(pa.string())  # validates every byte
    except pa.ArrowInvalid:
        escaped = [v if v is None else escape(os.fsdecode(v)) for v in as_bytes.to_pylist()]
        return pa.array(escaped, pa.string())
