"""Lists of photos in files, read a piece at a time: Parquet, CSV, or a path a line."""

import codecs
import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from platecheck.batch.storage import PACKED, as_text, filesystem, open_list
from platecheck.errors import DataError
from platecheck.glob import is_remote
from platecheck.model_info import first_line

PATH = "path"
"""The column of paths, wherever they came from."""

TEXT, CSV, PARQUET = ".txt", ".csv", ".parquet"

_ROWS = 4096  # of a piece
_LONGEST_PATH = 2**20
_BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
_STRINGS = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


def kind_of_list(name: str) -> str | None:
    """`TEXT`, `CSV` or `PARQUET`, by a file's name; None for others."""
    name = name.lower()
    if name.endswith(PARQUET):
        return PARQUET
    name = next((name.removesuffix(end) for end in PACKED if name.endswith(end)), name)
    return next((kind for kind in (TEXT, CSV) if name.endswith(kind)), None)


def read_text(file: BinaryIO, name: str, root: str) -> Iterator[pa.Table]:
    """Read a path a line, or paths that end in zero bytes (``find -print0``).

    Empty lines, and lines that begin with ``#``, are left out; relative paths begin at `root`, and
    errors call the list `name`.
    """
    return tables_of(as_text(os.fsdecode(line), root) for line in _lines(file, name) if line)


def tables_of(paths: Iterator[str]) -> Iterator[pa.Table]:
    """Paths in pieces."""
    while piece := list(islice(paths, _ROWS)):
        yield pa.table({PATH: pa.array(piece, pa.string())})


def _lines(file: BinaryIO, name: str) -> Iterator[bytes]:
    rest = file.read(_LONGEST_PATH)
    if rest.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{name} is in UTF-16; save it in UTF-8")
    end = b"\0" if b"\0" in rest else b"\n"
    rest = rest if end == b"\0" else rest.removeprefix(codecs.BOM_UTF8)
    while True:
        *lines, rest = rest.split(end)
        yield from lines if end == b"\0" else _paths_of(lines)
        if len(rest) > _LONGEST_PATH:
            raise DataError(f"{name} is not a list of paths: a line is longer than a path can be")
        more = file.read(_LONGEST_PATH)
        if not more:
            yield from [rest] if end == b"\0" else _paths_of([rest])
            return
        rest += more


def _paths_of(lines: list[bytes]) -> Iterator[bytes]:
    return (line.removesuffix(b"\r") for line in lines if not line.startswith(b"#"))


def read_csv(place: str, column: str, keep: Sequence[str], root: str) -> Iterator[pa.Table]:
    """Read a CSV file with a line of column names; what is kept stays text.

    Raises:
        DataError: a column is missing, or it is no CSV file.
    """
    with io.TextIOWrapper(
        open_list(place), encoding="utf-8-sig", errors="surrogateescape", newline=""
    ) as file:
        reader = csv.reader(file)
        try:
            names = next(reader, [])
            places = [_index(place, names, name) for name in (column, *keep)]
            rows = ([row[i] if i < len(row) else None for i in places] for row in reader if row)
            while piece := list(islice(rows, _ROWS)):
                paths, *kept = zip(*piece, strict=True)
                columns = [[as_text(path or "", root) for path in paths]]
                columns += [[value and _readable(value) for value in values] for values in kept]
                yield pa.table([pa.array(values, pa.string()) for values in columns], [PATH, *keep])
        except csv.Error as error:
            raise DataError(f"{place}, line {reader.line_num}: {error}") from error


def _index(place: str, names: Sequence[str], wanted: str) -> int:
    if wanted not in names:
        raise DataError(f"{place} has no column '{wanted}'; it has: {', '.join(names) or 'none'}")
    return names.index(wanted)


def _readable(value: str) -> str:
    return os.fsencode(value).decode(errors="backslashreplace")


def parquet_types(place: str, keep: Sequence[str]) -> pa.Schema:
    """Types of the columns that are kept: encodings of text are all one.

    Raises:
        DataError: a column is missing, or it is no Parquet file.
    """
    with _parquet(place) as file:
        schema = file.schema_arrow
        return pa.schema(
            [(name, _plain(schema.field(_index(place, schema.names, name)).type)) for name in keep]
        )


def read_parquet(place: str, column: str, kept: pa.Schema, root: str) -> Iterator[pa.Table]:
    """Read the column of paths, as text or as bytes, and what is `kept`, of a Parquet file.

    Raises:
        DataError: a column is missing or of another type, or it is no Parquet file.
    """
    if parquet_types(place, kept.names) != kept:
        raise DataError(f"{place} has columns of other types than the lists before it")
    if not _is_text(found := parquet_types(place, [column]).field(0).type):
        raise DataError(f"{place}: column '{column}' holds {found}, not paths")
    with _parquet(place) as file:
        for batch in file.iter_batches(_ROWS, columns=list({column, *kept.names})):
            paths = _texts(batch.column(column), lambda path: as_text(path, root))
            others = [_kept(batch.column(field.name), field.type) for field in kept]
            yield pa.table([paths, *others], [PATH, *kept.names])


@contextmanager
def _parquet(place: str) -> Iterator[pq.ParquetFile]:
    try:
        if is_remote(place):
            opener, path = filesystem(place)
            opened = opener.open_input_file(path)
        else:
            opened = Path(place).open("rb")  # noqa: SIM115 (closed below)
        # Without a buffer, all of a row group would be read at once, however large.
        with opened as source, pq.ParquetFile(source, buffer_size=2**20) as file:
            yield file
    except pa.ArrowException as error:
        raise DataError(f"{place} is not a Parquet file: {first_line(error)}") from error


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    return pa.string() if any(is_it(kind) for is_it in _STRINGS) else kind


def _is_text(kind: pa.DataType) -> bool:
    return any(is_it(kind) for is_it in (*_STRINGS, *_BINARY, pa.types.is_null))


def _kept(values: pa.Array, kind: pa.DataType) -> pa.Array:
    return _texts(values, _readable) if pa.types.is_string(kind) else values.cast(kind)


def _texts(values: pa.Array, escape: Callable[[str], str]) -> pa.Array:
    """As Unicode text; what is not UTF-8 is escaped."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    as_bytes = values.cast(pa.binary())
    try:
        return as_bytes.cast(pa.string())  # looks at every byte
    except pa.ArrowInvalid:
        escaped = [v if v is None else escape(os.fsdecode(v)) for v in as_bytes.to_pylist()]
        return pa.array(escaped, pa.string())
