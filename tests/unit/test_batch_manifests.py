"""Manifests yield every row once and in order, whatever the names of the photos."""

import codecs
import csv
import gzip
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from PIL import Image

from platecheck.batch.manifests import (
    manifest_kind,
    parquet_types,
    read_csv,
    read_parquet,
    read_text,
)
from platecheck.batch.storage import local_path, photo_at
from platecheck.errors import DataError
from platecheck.photo import open_photo

in_one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50
)

# Names as a file system may have them: anything but zero bytes.
NAMES = st.binary(min_size=1, max_size=30).map(lambda name: name.replace(b"\0", b"-"))
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30
)
ROOT = "/archive"
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def paths(tables: Iterable[pa.Table]) -> list[str | None]:
    return [path for table in tables for path in table.column("path").to_pylist()]


def bytes_of(path: str) -> bytes:
    """Return the file name that a path of a manifest stands for."""
    return os.fsencode(Path(ROOT, local_path(path)))


def below_root(name: bytes) -> bytes:
    return os.fsencode(Path(ROOT, os.fsdecode(name)))


# --- text


@given(st.lists(NAMES), st.sampled_from([b"\0", b"\n", b"\r\n"]), st.booleans())
def test_read_text_keeps_every_name(names: list[bytes], end: bytes, is_ended: bool) -> None:
    if end != b"\0":
        names = [name.replace(b"\n", b"-").replace(b"\r", b"-") for name in names]
        assume(not any(name.startswith(b"#") for name in names))
        assume(not names or names[0][:3] != codecs.BOM_UTF8)
    assume(not names or names[0][:2] not in UTF_16)
    file = io.BytesIO(end.join(names) + end * (is_ended or end == b"\0") * bool(names))
    found = paths(read_text(file, "list", ROOT))
    assert [bytes_of(str(path)) for path in found] == [below_root(name) for name in names]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\na.jpg\n\n\nb.jpg\n\n", ["a.jpg", "b.jpg"]),
        (codecs.BOM_UTF8 + b"# plates\r\na.jpg\r\n#b.jpg", ["a.jpg"]),
        (b"a.jpg\0#b.jpg\0", ["a.jpg", "#b.jpg"]),  # from find, this is no comment
    ],
)
def test_read_text_skips_empty_lines_and_comments(content: bytes, expected: list[str]) -> None:
    assert paths(read_text(io.BytesIO(content), "list", ROOT)) == expected


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a.jpg\r\n".encode("utf-16"), r"list is in UTF-16; save it in UTF-8"),
        (codecs.BOM_UTF16_BE + "a.jpg".encode("utf-16-be"), r"list is in UTF-16"),
        (bytes(range(1, 10)) * 300_000, r"list is not a manifest: a line is longer than 1 MB"),
    ],
)
def test_read_text_of_another_file_raises(content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        paths(read_text(io.BytesIO(content), "list", ROOT))


# --- CSV


def write_csv(path: Path, *rows: Sequence[str]) -> str:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        csv.writer(file).writerows(rows)
    return str(path)


@in_one_folder
@given(st.lists(NAMES))
def test_read_csv_keeps_every_name(tmp_path: Path, names: list[bytes]) -> None:
    place = write_csv(tmp_path / "list.csv", ["path"], *([os.fsdecode(name)] for name in names))
    found = paths(read_csv(place, "path", [], ROOT))
    assert [bytes_of(str(path)) for path in found] == [below_root(name) for name in names]


@in_one_folder
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS)))
def test_read_csv_keeps_columns_in_the_given_order(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    place = write_csv(tmp_path / "list.csv", ["shop", "file", "day"], *rows)
    tables = list(read_csv(place, "file", ["day", "shop"], ROOT))
    assert [tuple(row.values()) for table in tables for row in table.to_pylist()] == [
        (file, day, shop) for shop, file, day in rows
    ]
    assert all(table.column_names == ["path", "day", "shop"] for table in tables)


def test_read_csv_of_a_compressed_spreadsheet_keeps_every_row(tmp_path: Path) -> None:
    place = tmp_path / "list.csv.gz"
    content = b'\xef\xbb\xbfpath,shop\r\na.jpg,1\r\n"b ""x"".jpg"\r\n"",3\r\n\r\nc.jpg,4,5'
    place.write_bytes(gzip.compress(content))
    (table,) = read_csv(str(place), "path", ["shop"], ROOT)
    assert table.to_pylist() == [
        {"path": "a.jpg", "shop": "1"},
        {"path": 'b "x".jpg', "shop": None},
        {"path": "", "shop": "3"},  # every row of the manifest is a row of the output
        {"path": "c.jpg", "shop": "4"},
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,shop\na.jpg,1\n", r"list\.csv has no column 'path'; it has: file, shop"),
        (b"", r"list\.csv has no column 'path'; it has: none"),
        (b'path\n"' + b"x" * 200_000, r"list\.csv, line 2: field larger than field limit"),
    ],
)
def test_read_csv_of_another_file_raises(tmp_path: Path, content: bytes, message: str) -> None:
    place = tmp_path / "list.csv"
    place.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_csv(str(place), "path", [], ROOT))


# --- Parquet


def parquet(place: Path, /, **columns: pa.Array) -> str:
    pq.write_table(pa.table(columns), place)
    return str(place)


def read(place: str, column: str = "path", keep: Iterable[str] = ()) -> Iterator[pa.Table]:
    return read_parquet(place, column, parquet_types(place, list(keep)), ROOT)


@in_one_folder
@given(st.lists(st.none() | NAMES))
def test_read_parquet_keeps_every_name(tmp_path: Path, names: list[bytes | None]) -> None:
    place = parquet(tmp_path / "list.parquet", path=pa.array(names, pa.binary()))
    assert [path and bytes_of(path) for path in paths(read(place))] == [
        name and below_root(name) for name in names
    ]


TEXT = [pa.string(), pa.large_string(), pa.string_view()]
BINARY = [pa.binary(), pa.large_binary(), pa.binary_view()]


@pytest.mark.parametrize("kind", [*TEXT, *BINARY, pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_read_parquet_accepts_every_type_of_text(tmp_path: Path, kind: pa.DataType) -> None:
    names = ["ä\n.jpg", None, "b.jpg", "b.jpg"]
    values = pa.array(names)
    values = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
    place = parquet(tmp_path / "list.parquet", path=values, again=values)
    (table,) = read(place, keep=["again"])
    assert table.column("path").to_pylist() == names
    assert table.schema.field("path").type == pa.string()


def test_read_parquet_keeps_column_types(tmp_path: Path) -> None:
    numbers = pa.array([1, None], pa.int16())
    tags = pa.array([["a"], []], pa.list_(pa.string()))
    names = pa.array(["a.jpg", "b.jpg"])
    place = parquet(tmp_path / "list.parquet", n=numbers, file=names, tags=tags)
    (table,) = read(place, "file", ["tags", "n"])
    assert table.to_pydict() == {"path": ["a.jpg", "b.jpg"], "tags": [["a"], []], "n": [1, None]}
    assert table.schema.field("n").type == pa.int16()


def test_read_parquet_escapes_text_that_is_not_utf_8(tmp_path: Path) -> None:
    damaged = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")
    )
    place = parquet(tmp_path / "list.parquet", path=damaged, shop=damaged)
    (table,) = read(place, keep=["shop"])
    assert table.to_pylist() == [{"path": "file:///archive/a%FFb", "shop": "a\\xffb"}]


def test_large_manifest_is_read_as_small_tables(tmp_path: Path) -> None:
    names = [f"{number:020}.jpg" for number in range(50_000)]
    text = read_text(io.BytesIO("\n".join(names).encode()), "list", ROOT)
    for tables in (text, read(parquet(tmp_path / "list.parquet", path=pa.array(names)))):
        pieces = list(tables)
        assert paths(pieces) == names
        assert max(table.num_rows for table in pieces) < 10_000


def test_read_parquet_of_another_file_raises(tmp_path: Path) -> None:
    place = parquet(tmp_path / "list.parquet", path=pa.array([1, 2]), shop=pa.array(["a", "b"]))
    with pytest.raises(DataError, match=r"column 'path' has type int64, not text"):
        list(read(place))
    for column, keep, missing in (("file", [], "file"), ("shop", ["day"], "day")):
        with pytest.raises(DataError, match=f"has no column '{missing}'; it has: path, shop"):
            list(read(place, column, keep))
    (tmp_path / "other.parquet").write_bytes(b"not one")
    with pytest.raises(DataError, match=r"other\.parquet is not a Parquet file"):
        list(read(str(tmp_path / "other.parquet")))


# --- names


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.parquet", ".parquet"),
        ("a.CSV", ".csv"),
        ("a.csv.gz", ".csv"),
        ("a.txt.zst", ".txt"),
        ("s3://b/a.txt", ".txt"),
        ("inventory/*.parquet", ".parquet"),
        ("a.parquet.gz", None),
        ("a.jpg", None),
        ("csv", None),
    ],
)
def test_manifest_kind(name: str, kind: str | None) -> None:
    assert manifest_kind(name) == kind


@in_one_folder
@given(NAMES.map(lambda name: name.replace(b"/", b"-")).filter(lambda name: name.strip(b".")))
def test_photo_at_opens_every_name(tmp_path: Path, name: bytes) -> None:
    assume(not name.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)))  # a list of UTF-16
    place = tmp_path / os.fsdecode(name)
    Image.new("RGB", (3, 2), (9, 9, 9)).save(place, "png")
    try:
        (path,) = paths(read_text(io.BytesIO(name + b"\0"), "list", str(tmp_path)))
        assert path is not None
        path.encode()  # is text
        assert open_photo(photo_at(path, str(tmp_path))).shape == (2, 3, 3)
    finally:
        place.unlink()
