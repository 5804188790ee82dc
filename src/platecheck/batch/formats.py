"""Output formats: Parquet, CSV and JSON lines, written table by table."""

import json
import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from platecheck.errors import DataError
from platecheck.model_info import first_line

_ROWS = 100_000  # of a row group; many small ones make a slow file


class JsonLinesWriter:
    """Write one JSON object per row."""

    def __init__(self, file: BinaryIO, _schema: pa.Schema) -> None:
        self._file = file

    def __enter__(self) -> "JsonLinesWriter":
        return self

    def __exit__(self, *_: object) -> None: ...

    def write_table(self, table: pa.Table) -> None:
        columns = [_json_values(column) for column in table.columns]
        for values in zip(*columns, strict=True):
            row = dict(zip(table.column_names, values, strict=True))
            self._file.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_float32(column.type):  # as a float64, 0.998 would be 0.9980000257492065
        values = [text and float(text) for text in column.cast(pa.string()).to_pylist()]
    if pa.types.is_floating(column.type):  # JSON has no NaN or infinity
        values = [v if v is None or math.isfinite(v) else None for v in values]
    return values


_WRITERS: dict[str, Callable[[BinaryIO, pa.Schema], Any]] = {
    ".parquet": partial(pq.ParquetWriter, compression="zstd"),
    ".csv": pa_csv.CSVWriter,
    ".jsonl": JsonLinesWriter,
}


def check_format(out: Path, schema: pa.Schema) -> None:
    """Raise DataError unless the name of a file selects a format that can hold all columns."""
    if out.suffix.lower() not in _WRITERS:
        raise DataError(f"{out} does not end in any of: {', '.join(_WRITERS)}")
    try:
        write_file(BytesIO(), out.suffix, schema, [])
    except pa.ArrowException as error:
        raise DataError(f"{out} cannot hold the kept columns: {first_line(error)}") from error


def write_file(file: BinaryIO, suffix: str, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    """Write tables to one file, in the format of its name's ending."""
    with _WRITERS[suffix.lower()](file, schema) as writer:
        for table in rechunk(tables, repeat(_ROWS)):
            writer.write_table(table)


def rechunk(tables: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of these sizes; the last may be smaller."""
    remaining = iter(tables)
    pending: list[pa.Table] = []
    rows = 0
    for size in sizes:
        while rows < size and (table := next(remaining, None)) is not None:
            pending.append(table)
            rows += table.num_rows
        if not rows:
            return
        whole = pa.concat_tables(pending)
        yield whole.slice(0, size)
        pending = [whole.slice(size)]
        rows = pending[0].num_rows


def read_table(path: Path) -> pa.Table:
    """Read one Parquet file; given a path, pyarrow would add columns for folders like ``a=1``.

    On this thread: pyarrow's threads release a Python file late, and can so abort the process as it
    exits (Arrow issue 50482).
    """
    with path.open("rb") as file:
        return pq.ParquetFile(file).read(use_threads=False)
