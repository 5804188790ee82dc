"""What is written can be read again, and rechunking neither loses nor doubles a row."""

import csv
import io
import json
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.batch.formats import check_format, read_table, rechunk, write_file
from platecheck.errors import DataError

SCHEMA = pa.schema([("path", pa.string()), ("probability", pa.float32()), ("note", pa.string())])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(
    st.tuples(TEXTS, st.none() | st.floats(0, 1, width=32), st.none() | TEXTS), max_size=12
)
Rows = list[tuple[str, float | None, str | None]]


def table(rows: Rows) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([list(column) for column in columns], schema=SCHEMA)


def written(suffix: str, *tables: pa.Table) -> bytes:
    file = BytesIO()
    write_file(file, suffix, tables[0].schema if tables else SCHEMA, tables)
    return file.getvalue()


@given(ROWS)
def test_write_file_as_csv_can_be_read(rows: Rows) -> None:
    names, *lines = csv.reader(io.StringIO(written(".csv", table(rows)).decode(), newline=""))
    assert names == SCHEMA.names
    assert [(path, p and float(p), note) for path, p, note in lines] == [
        (path, "" if p is None else pytest.approx(p, rel=1e-6), note or "")
        for path, p, note in rows
    ]


@given(ROWS)
def test_write_file_as_json_lines_can_be_read(rows: Rows) -> None:
    lines = written(".jsonl", table(rows)).decode().split("\n")
    assert lines.pop() == ""
    found = [json.loads(line) for line in lines]
    assert table([tuple(row[name] for name in SCHEMA.names) for row in found]).equals(table(rows))


def test_write_file_as_json_lines_has_short_and_finite_numbers() -> None:
    numbers = [0.998, 1e-9, float("nan"), float("inf"), None]
    rows = pa.table({"p": pa.array(numbers, pa.float32()), "q": pa.array(numbers)})
    assert written(".jsonl", rows).decode().splitlines() == [
        '{"p": 0.998, "q": 0.998}',
        '{"p": 1e-09, "q": 1e-09}',
        *['{"p": null, "q": null}'] * 3,
    ]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_write_file_does_not_depend_on_the_division_into_tables(suffix: str) -> None:
    rows = table([(f'{n}\n"ä', n / 7, None if n % 2 else "") for n in range(11)])
    assert written(suffix, *rechunk([rows], [2] * 11)) == written(suffix, rows)
    assert written(suffix) == written(suffix, table([]))


def test_read_table_adds_no_column_for_a_folder_named_like_a_partition(tmp_path: Path) -> None:
    path = tmp_path / "year=2024" / "part.parquet"
    path.parent.mkdir()
    path.write_bytes(written(".parquet", table([("a", 0.5, "b")])))
    assert read_table(path).column_names == SCHEMA.names


def test_check_format_names_what_is_wrong(tmp_path: Path) -> None:
    check_format(tmp_path / "out.CSV", SCHEMA)
    with pytest.raises(DataError, match=r"out\.xlsx does not end in any of: \.parquet, \.csv"):
        check_format(tmp_path / "out.xlsx", SCHEMA)
    lists = pa.schema([("tags", pa.list_(pa.string()))])
    check_format(tmp_path / "out.jsonl", lists)
    with pytest.raises(DataError, match=r"out\.csv cannot hold the kept columns: Unsupported"):
        check_format(tmp_path / "out.csv", lists)


@given(st.lists(st.integers(0, 7)), st.lists(st.integers(1, 9)))
def test_rechunk_neither_loses_nor_doubles_a_row(given_sizes: list[int], sizes: list[int]) -> None:
    numbers = list(range(sum(given_sizes)))
    whole = pa.table({"n": pa.array(numbers, pa.int64())})
    starts = [sum(given_sizes[:index]) for index in range(len(given_sizes))]
    pieces = [whole.slice(start, size) for start, size in zip(starts, given_sizes, strict=True)]
    found = list(rechunk(pieces, sizes))
    assert [n for piece in found for n in piece.column("n").to_pylist()] == numbers[: sum(sizes)]
    assert [piece.num_rows for piece in found[:-1]] == sizes[: max(0, len(found) - 1)]
