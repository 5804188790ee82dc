from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from platecheck.data.exclusions import Exclusion, read_exclusions, without, write_exclusions
from platecheck.data.folders import PhotoSet, read_photos
from platecheck.errors import DataError

WritePhotos = Callable[[Path, Mapping[str, int]], Path]
HASH = "ab" * 32


@pytest.fixture
def photos(tmp_path: Path, write_photos: WritePhotos) -> PhotoSet:
    """Two photos a class and split; one of train is a copy of one of test."""
    folder = write_photos(
        tmp_path / "set", {f"{s}/{c}": 2 for s in ("train", "test") for c in "ab"}
    )
    (folder / "train/a/000.png").write_bytes((folder / "test/a/000.png").read_bytes())
    return read_photos(folder)


def names(photos: PhotoSet) -> set[str]:
    return {photo.name for photo in photos.photos}


def test_read_what_was_written_sorted_by_path(tmp_path: Path) -> None:
    exclusions = [Exclusion(HASH, "train/z, odd.jpg", 'a "leak"'), Exclusion("", "a.jpg")]
    write_exclusions(tmp_path / "out.csv", exclusions)
    assert read_exclusions(tmp_path / "out.csv") == frozenset(exclusions)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "sha256,path,reason"
    assert lines[1].startswith(",a.jpg")


def test_of_two_equal_files_only_the_named_one_goes(photos: PhotoSet) -> None:
    copy = next(photo for photo in photos.photos if photo.name == "train/a/000.png")
    left = without(photos, {Exclusion(copy.sha256, copy.name)})
    assert names(photos) - names(left) == {"train/a/000.png"}
    assert left.classes == photos.classes


def test_a_hash_alone_stands_for_every_copy(photos: PhotoSet) -> None:
    sha256 = next(photo.sha256 for photo in photos.photos if photo.name == "train/a/000.png")
    left = without(photos, {Exclusion(sha256, "")})
    assert names(photos) - names(left) == {"train/a/000.png", "test/a/000.png"}


def test_a_path_alone_stands_for_whatever_is_there(photos: PhotoSet) -> None:
    left = without(photos, {Exclusion("", "test/b/001.png")})
    assert names(photos) - names(left) == {"test/b/001.png"}


def test_without_a_file_that_was_replaced_keeps_it_and_says_so(photos: PhotoSet) -> None:
    rows = {Exclusion(HASH, "test/b/001.png"), Exclusion("", "test/a/001.png")}
    left = without(photos, rows)
    assert names(photos) - names(left) == {"test/a/001.png"}
    assert left.notes == (
        "1 photos excluded by 1 of 2 rows; 1 rows match no photo, the first: test/b/001.png (the"
        " photo has changed)",
    )


@pytest.mark.parametrize(
    "row",
    [
        "set/test/b/001.png",
        "./test/b/001.png",
        "./some/where/set/test/b/001.png",
        "/elsewhere/set/test/b/001.png",
        "C:\\photos\\set\\test\\b\\001.png",
        "test\\b\\001.png",
    ],
)
def test_without_a_path_written_elsewhere_fits(photos: PhotoSet, row: str) -> None:
    left = without(photos, {Exclusion("", row)})
    assert names(photos) - names(left) == {"test/b/001.png"}
    assert left.notes == ("1 photos excluded by 1 of 1 rows",)


@pytest.mark.parametrize("row", ["b/001.png", "001.png", "x/001.png", "test/b", "test/B/001.png"])
def test_without_a_path_that_names_no_photo_or_several_is_refused(
    photos: PhotoSet, row: str
) -> None:
    with pytest.raises(DataError, match=r"no exclusion matches .* such as test/a/000\.png"):
        without(photos, {Exclusion("", row)})


def test_without_the_end_of_a_single_name_fits(tmp_path: Path, write_photos: WritePhotos) -> None:
    photos = read_photos(write_photos(tmp_path, {"a/x": 2, "b/y": 2}))
    left = without(photos, {Exclusion("", "y/001.png")})
    assert names(photos) - names(left) == {"b/y/001.png"}


def test_nothing_to_leave_out(photos: PhotoSet) -> None:
    assert without(photos, frozenset()) == photos


def test_a_class_must_keep_photos(photos: PhotoSet) -> None:
    gone = {Exclusion("", "test/b/000.png"), Exclusion("", "test/b/001.png")}
    with pytest.raises(DataError, match="no photos of class 'b' in 'test'"):
        without(photos, gone)


@pytest.mark.parametrize("header", ["path", "sha256", "path,why", "reason,sha256,path"])
def test_columns_may_be_fewer_more_and_in_any_order(tmp_path: Path, header: str) -> None:
    row = {"path": "x.jpg", "sha256": HASH.upper(), "why": "old", "reason": "r"}
    columns = header.split(",")
    text = f"{header}\n{','.join(row[column] for column in columns)}\n"
    (tmp_path / "in.csv").write_text(text, encoding="utf-8-sig")  # as spreadsheets save it
    (found,) = read_exclusions(tmp_path / "in.csv")
    assert found.path == ("x.jpg" if "path" in columns else "")
    assert found.sha256 == (HASH if "sha256" in columns else "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not an exclusion list"),
        ("a,b\n1,2\n", "not an exclusion list"),
        ("path,sha256\nx.jpg,123\n", "line 2.*'123' is not a SHA-256"),
        ("path,sha256\nx.jpg,\n,\n", "line 3.*needs a path or a sha256"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_exclusions(tmp_path / "in.csv")


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_exclusions(tmp_path / "none.csv")


@pytest.mark.parametrize("path", [".", "./", "/"])
def test_a_path_that_names_nothing_fits_nothing(photos: PhotoSet, path: str) -> None:
    left = without(photos, {Exclusion("", path), Exclusion("", "test/a/001.png")})
    assert names(photos) - names(left) == {"test/a/001.png"}
