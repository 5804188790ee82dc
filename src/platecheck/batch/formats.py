"""The files that answers are written to: Parquet, CSV, JSON lines."""

import json
import math
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import repeat
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from platecheck.batch.rows import rechunk
from platecheck.errors import DataError
from platecheck.model_info import first_line

_ROWS = 100_000  # of a row group: many small ones make a slow file


class Parquet:
    """Columns with their types."""

    def write(self, table: pa.Table, file: BinaryIO) -> None:
        pq.write_table(table, file, compression="zstd")

    def join(self, parts: Iterable[Path], schema: pa.Schema, file: BinaryIO) -> None:
        """Make one file of those that `write` has written, a piece at a time."""
        tables = map(read_table, parts)
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for table in rechunk(tables, repeat(_ROWS)):
                writer.write_table(table)


def read_table(path: Path) -> pa.Table:
    """Read one Parquet file; by its name alone, pyarrow may take it for something else."""
    with path.open("rb") as file:
        return pq.ParquetFile(file).read()


@dataclass(frozen=True)
class Lines:
    """Text with a row a line, maybe below a line of names."""

    write: Callable[[pa.Table, BinaryIO], None]

    def join(self, parts: Iterable[Path], schema: pa.Schema, file: BinaryIO) -> None:
        """As `Parquet.join`."""
        names = BytesIO()
        self.write(schema.empty_table(), names)
        file.write(names.getvalue())
        for part in parts:
            with part.open("rb") as opened:
                opened.seek(len(names.getvalue()))
                shutil.copyfileobj(opened, file)


def _write_json(table: pa.Table, file: BinaryIO) -> None:
    columns = [_json_values(column) for column in table.columns]
    for values in zip(*columns, strict=True):
        row = dict(zip(table.column_names, values, strict=True))
        file.write(json.dumps(row, ensure_ascii=False, default=str).encode() + b"\n")


def _json_values(column: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = column.to_pylist()
    if pa.types.is_float32(column.type):  # in no more digits than it has
        values = [text and float(text) for text in column.cast(pa.string()).to_pylist()]
    if pa.types.is_floating(column.type):  # JSON knows no others
        values = [v if v is None or math.isfinite(v) else None for v in values]
    return values


Format = Parquet | Lines
FORMATS: dict[str, Format] = {
    ".parquet": Parquet(),
    ".csv": Lines(pa_csv.write_csv),
    ".jsonl": Lines(_write_json),
}
"""By the ending of the file's name."""


def find_format(out: Path, schema: pa.Schema) -> Format:
    """What OUT is to be, by its name.

    Raises:
        DataError: nothing that is known, or it cannot hold one of the columns.
    """
    found = FORMATS.get(out.suffix.lower())
    if found is None:
        raise DataError(f"{out} does not end in any of: {', '.join(FORMATS)}")
    try:
        found.write(schema.empty_table(), BytesIO())
    except pa.ArrowException as error:
        raise DataError(f"{out} cannot hold what is to be kept: {first_line(error)}") from error
    return found
