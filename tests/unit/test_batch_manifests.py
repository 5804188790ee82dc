"""Lists give every row once and in order, whatever the names of their photos."""

import codecs
import csv
import gzip
import io
import os
from collections.abc import Iterable, Iterator
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
    """The name that a listed path means, below the root."""
    return os.fsencode(Path(ROOT, local_path(path)))


def below_root(name: bytes) -> bytes:
    return os.fsencode(Path(ROOT, os.fsdecode(name)))


# --- text


@given(st.lists(NAMES))
def test_names_that_end_in_zero_bytes(names: list[bytes]) -> None:
    assume(not names or names[0][:2] not in UTF_16)
    file = io.BytesIO(b"".join(name + b"\0" for name in names))
    assert [bytes_of(str(path)) for path in paths(read_text(file, "list", ROOT))] == [
        below_root(name) for name in names
    ]


@given(st.lists(NAMES.map(lambda name: name.replace(b"\n", b"-").replace(b"\r", b"-"))))
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_name_a_line(end: bytes, names: list[bytes]) -> None:
    assume(not any(name.startswith(b"#") for name in names))
    assume(not names or (names[0][:2] not in UTF_16 and names[0][:3] != codecs.BOM_UTF8))
    for last in (b"", end):
        file = io.BytesIO(end.join(names) + last)
        assert [bytes_of(str(path)) for path in paths(read_text(file, "list", ROOT))] == [
            below_root(name) for name in names
        ]


def test_empty_lines_are_no_photos() -> None:
    assert paths(read_text(io.BytesIO(b"\na.jpg\n\n\nb.jpg\n\n"), "list", ROOT)) == [
        "a.jpg",
        "b.jpg",
    ]


def test_lines_that_begin_with_a_hash_are_comments_but_names_from_find_are_not() -> None:
    text = b"# plates\r\na.jpg\r\n#b.jpg"
    assert paths(read_text(io.BytesIO(codecs.BOM_UTF8 + text), "list", ROOT)) == ["a.jpg"]
    found = io.BytesIO(b"a.jpg\0#b.jpg\0")
    assert paths(read_text(found, "list", ROOT)) == ["a.jpg", "#b.jpg"]


@pytest.mark.parametrize("bom", UTF_16)
def test_a_list_in_utf_16_is_named(bom: bytes) -> None:
    text = bom + "a.jpg\r\n".encode("utf-16-le" if bom == UTF_16[0] else "utf-16-be")
    with pytest.raises(DataError, match=r"list is in UTF-16; save it in UTF-8"):
        paths(read_text(io.BytesIO(text), "list", ROOT))


def test_a_long_list_is_read_a_piece_at_a_time() -> None:
    names = [f"{number:020}.jpg" for number in range(200_000)]
    tables = list(read_text(io.BytesIO("\n".join(names).encode()), "list", ROOT))
    assert paths(tables) == names
    assert max(table.num_rows for table in tables) < 10_000


def test_a_photo_is_no_list_of_photos() -> None:
    with pytest.raises(DataError, match=r"photo\.txt is not a manifest"):
        paths(read_text(io.BytesIO(bytes(range(1, 10)) * 300_000), "photo.txt", ROOT))


# --- CSV


def write_csv(path: Path, names: Iterable[str], columns: Iterable[list[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(columns)
    return path


@in_one_folder
@given(st.lists(NAMES))
def test_csv_keeps_all_names(tmp_path: Path, names: list[bytes]) -> None:
    place = write_csv(tmp_path / "list.csv", ["path"], [[os.fsdecode(name)] for name in names])
    found = paths(read_csv(str(place), "path", [], ROOT))
    assert [bytes_of(str(path)) for path in found] == [below_root(name) for name in names]


@in_one_folder
@given(st.lists(st.tuples(TEXTS, TEXTS, TEXTS)))
def test_csv_keeps_columns_in_the_order_asked_for(
    tmp_path: Path, rows: list[tuple[str, str, str]]
) -> None:
    place = write_csv(tmp_path / "list.csv", ["shop", "file", "day"], map(list, rows))
    tables = list(read_csv(str(place), "file", ["day", "shop"], ROOT))
    assert [tuple(row.values()) for table in tables for row in table.to_pylist()] == [
        (file, day, shop) for shop, file, day in rows
    ]
    assert all(table.column_names == ["path", "day", "shop"] for table in tables)


def test_csv_of_a_spreadsheet(tmp_path: Path) -> None:
    place = tmp_path / "list.csv"
    place.write_bytes(b'\xef\xbb\xbfpath,shop\r\na.jpg,1\r\n"b ""x"".jpg"\r\n"",3\r\n\r\nc.jpg,4,5')
    (table,) = read_csv(str(place), "path", ["shop"], ROOT)
    assert table.to_pylist() == [
        {"path": "a.jpg", "shop": "1"},
        {"path": 'b "x".jpg', "shop": None},
        {"path": "", "shop": "3"},  # a row of the list is a row of the answers
        {"path": "c.jpg", "shop": "4"},
    ]


def test_packed_csv(tmp_path: Path) -> None:
    place = tmp_path / "list.csv.gz"
    place.write_bytes(gzip.compress(b"path\na.jpg\n"))
    assert paths(read_csv(str(place), "path", [], ROOT)) == ["a.jpg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"file,shop\na.jpg,1\n", r"list\.csv has no column 'path'; it has: file, shop"),
        (b"", r"list\.csv has no column 'path'; it has: none"),
        (b'path\n"' + b"x" * 200_000, r"list\.csv, line 2: field larger than field limit"),
    ],
)
def test_what_is_no_list_in_csv(tmp_path: Path, content: bytes, message: str) -> None:
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
def test_parquet_keeps_all_names(tmp_path: Path, names: list[bytes | None]) -> None:
    place = parquet(tmp_path / "list.parquet", path=pa.array(names, pa.binary()))
    assert [path and bytes_of(path) for path in paths(read(place))] == [
        name and below_root(name) for name in names
    ]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.binary_view(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_every_type_of_text_is_a_path(tmp_path: Path, kind: pa.DataType) -> None:
    names = ["ä\n.jpg", None, "b.jpg", "b.jpg"]
    values = pa.array(names)
    values = values.dictionary_encode() if pa.types.is_dictionary(kind) else values.cast(kind)
    place = parquet(tmp_path / "list.parquet", path=values, again=values)
    (table,) = read(place, keep=["again"])
    assert table.column("path").to_pylist() == names
    assert table.schema.field("path").type == pa.string()


def test_parquet_keeps_types_of_columns(tmp_path: Path) -> None:
    numbers = pa.array([1, None], pa.int16())
    tags = pa.array([["a"], []], pa.list_(pa.string()))
    names = pa.array(["a.jpg", "b.jpg"])
    place = parquet(tmp_path / "list.parquet", n=numbers, file=names, tags=tags)
    (table,) = read(place, "file", ["tags", "n"])
    assert table.to_pydict() == {
        "path": ["a.jpg", "b.jpg"],
        "tags": [["a"], []],
        "n": [1, None],
    }
    assert table.schema.field("n").type == pa.int16()


def test_what_is_no_text_in_a_column_of_text_is_escaped(tmp_path: Path) -> None:
    damaged = pa.StringArray.from_buffers(
        1, pa.py_buffer(b"\0\0\0\0\3\0\0\0"), pa.py_buffer(b"a\xffb")
    )
    place = parquet(tmp_path / "list.parquet", path=damaged, shop=damaged)
    (table,) = read(place, keep=["shop"])
    assert table.to_pylist() == [{"path": "file:///archive/a%FFb", "shop": "a\\xffb"}]


def test_a_large_parquet_list_is_read_a_piece_at_a_time(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(50_000)]
    tables = list(read(parquet(tmp_path / "list.parquet", path=pa.array(names))))
    assert paths(tables) == names
    assert max(table.num_rows for table in tables) < 10_000


def test_what_is_no_list_in_parquet(tmp_path: Path) -> None:
    place = parquet(tmp_path / "list.parquet", path=pa.array([1, 2]), shop=pa.array(["a", "b"]))
    with pytest.raises(DataError, match=r"column 'path' holds int64, not paths"):
        list(read(place))
    with pytest.raises(DataError, match=r"has no column 'file'; it has: path, shop"):
        list(read(place, "file"))
    with pytest.raises(DataError, match=r"has no column 'day'; it has: path, shop"):
        list(read(place, "shop", ["day"]))
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
def test_what_manifest_kind_a_file_is(name: str, kind: str | None) -> None:
    assert manifest_kind(name) == kind


@in_one_folder
@given(NAMES.map(lambda name: name.replace(b"/", b"-")).filter(lambda name: name.strip(b".")))
def test_a_listed_photo_can_be_opened_whatever_its_name(tmp_path: Path, name: bytes) -> None:
    place = tmp_path / os.fsdecode(name)
    Image.new("RGB", (3, 2), (9, 9, 9)).save(place, "png")
    try:
        (path,) = paths(read_text(io.BytesIO(name + b"\0"), "list", str(tmp_path)))
        assert path is not None
        path.encode()  # is text
        assert open_photo(photo_at(path, str(tmp_path))).shape == (2, 3, 3)
    finally:
        place.unlink()
