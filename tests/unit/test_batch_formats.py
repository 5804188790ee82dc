"""What is written can be read again, and joined parts are what one write would have been."""

import csv
import io
import json
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.batch.formats import FORMATS, find_format
from platecheck.batch.rows import rechunk
from platecheck.errors import DataError

SCHEMA = pa.schema([("path", pa.string()), ("probability", pa.float32()), ("note", pa.string())])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.lists(
    st.tuples(TEXTS, st.none() | st.floats(0, 1, width=32), st.none() | TEXTS), max_size=12
)


def table(rows: list[tuple[str, float | None, str | None]]) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([list(column) for column in columns], schema=SCHEMA)


def written(suffix: str, rows: pa.Table) -> bytes:
    file = BytesIO()
    FORMATS[suffix].write(rows, file)
    return file.getvalue()


@given(ROWS)
def test_csv_can_be_read(rows: list[tuple[str, float | None, str | None]]) -> None:
    names, *lines = csv.reader(io.StringIO(written(".csv", table(rows)).decode(), newline=""))
    assert names == SCHEMA.names
    assert [(path, p and float(p), note) for path, p, note in lines] == [
        (path, "" if p is None else pytest.approx(p, rel=1e-6), note or "")
        for path, p, note in rows
    ]


@given(ROWS)
def test_json_lines_can_be_read(rows: list[tuple[str, float | None, str | None]]) -> None:
    lines = written(".jsonl", table(rows)).decode().split("\n")
    assert lines.pop() == ""
    found = [json.loads(line) for line in lines]
    assert table([tuple(row[name] for name in SCHEMA.names) for row in found]).equals(table(rows))


def test_json_has_no_more_digits_than_the_model_gave_and_no_numbers_of_its_own() -> None:
    numbers = [0.998, 1e-9, float("nan"), float("inf"), None]
    rows = pa.table({"p": pa.array(numbers, pa.float32()), "q": pa.array(numbers)})
    assert written(".jsonl", rows).decode().splitlines() == [
        '{"p": 0.998, "q": 0.998}',
        '{"p": 1e-09, "q": 1e-09}',
        *['{"p": null, "q": null}'] * 3,
    ]


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_parts_joined_are_the_whole(tmp_path: Path, suffix: str, size: int) -> None:
    rows = table([(f'{n}\n"ä', n / 7, None if n % 2 else "") for n in range(11)])
    parts = []
    for number, part in enumerate(rechunk([rows], [size] * 11)):
        parts.append(tmp_path / f"{number}{suffix}")
        parts[-1].write_bytes(written(suffix, part))
    joined = BytesIO()
    FORMATS[suffix].join(parts, SCHEMA, joined)
    if suffix == ".parquet":
        assert pq.read_table(BytesIO(joined.getvalue())).equals(rows)
    else:
        assert joined.getvalue() == written(suffix, rows)


@pytest.mark.parametrize("suffix", FORMATS)
def test_nothing_joined_still_has_columns(suffix: str) -> None:
    joined = BytesIO()
    FORMATS[suffix].join([], SCHEMA, joined)
    if suffix == ".parquet":
        assert pq.read_table(BytesIO(joined.getvalue())).equals(table([]))
    else:
        assert joined.getvalue() == written(suffix, table([]))


def test_small_parts_become_large_row_groups(tmp_path: Path) -> None:
    part = tmp_path / "part.parquet"
    part.write_bytes(written(".parquet", table([("a", 0.5, "b")] * 1000)))
    joined = BytesIO()
    FORMATS[".parquet"].join([part] * 250, SCHEMA, joined)
    file = pq.ParquetFile(BytesIO(joined.getvalue()))
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [
        100_000,
        100_000,
        50_000,
    ]


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    part = tmp_path / "year=2024" / "part.parquet"
    part.parent.mkdir()
    part.write_bytes(written(".parquet", table([("a", 0.5, "b")])))
    joined = BytesIO()
    FORMATS[".parquet"].join([part], SCHEMA, joined)
    assert pq.ParquetFile(BytesIO(joined.getvalue())).schema_arrow.names == SCHEMA.names


def test_what_out_may_be(tmp_path: Path) -> None:
    assert find_format(tmp_path / "out.CSV", SCHEMA) is FORMATS[".csv"]
    with pytest.raises(DataError, match=r"out\.xlsx does not end in any of: \.parquet, \.csv"):
        find_format(tmp_path / "out.xlsx", SCHEMA)
    lists = pa.schema([("tags", pa.list_(pa.string()))])
    find_format(tmp_path / "out.jsonl", lists)
    with pytest.raises(DataError, match=r"out\.csv cannot hold what is to be kept: Unsupported"):
        find_format(tmp_path / "out.csv", lists)


@given(st.lists(st.integers(0, 7)), st.lists(st.integers(1, 9)))
def test_cut_neither_loses_nor_doubles_a_row(given_sizes: list[int], sizes: list[int]) -> None:
    numbers = list(range(sum(given_sizes)))
    whole = pa.table({"n": pa.array(numbers, pa.int64())})
    starts = [sum(given_sizes[:index]) for index in range(len(given_sizes))]
    pieces = [whole.slice(start, size) for start, size in zip(starts, given_sizes, strict=True)]
    found = list(rechunk(pieces, sizes))
    assert [n for piece in found for n in piece.column("n").to_pylist()] == numbers[: sum(sizes)]
    assert [piece.num_rows for piece in found[:-1]] == sizes[: max(0, len(found) - 1)]
