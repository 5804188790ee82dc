"""Exclusion lists: which photos a row stands for."""

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
    """Two photos per class and split; one of train is a copy of one of test."""
    counts = {f"{split}/{label}": 2 for split in ("train", "test") for label in "ab"}
    folder = write_photos(tmp_path / "set", counts)
    (folder / "train/a/000.png").write_bytes((folder / "test/a/000.png").read_bytes())
    return read_photos(folder)


def removed(photos: PhotoSet, *rows: Exclusion) -> set[str]:
    left = without(photos, rows)
    assert left.classes == photos.classes
    return {photo.name for photo in photos.photos} - {photo.name for photo in left.photos}


def test_write_exclusions_can_be_read_and_are_sorted_by_path(tmp_path: Path) -> None:
    exclusions = [Exclusion(HASH, "train/z, odd.jpg", 'a "leak"'), Exclusion("", "a.jpg")]
    write_exclusions(tmp_path / "out.csv", exclusions)
    assert read_exclusions(tmp_path / "out.csv") == frozenset(exclusions)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[:2] == ["sha256,path,reason", ",a.jpg,"]


def test_without_matches_by_hash_path_or_both(photos: PhotoSet) -> None:
    copy = next(photo for photo in photos.photos if photo.name == "train/a/000.png")
    assert removed(photos, Exclusion(copy.sha256, copy.name)) == {"train/a/000.png"}
    assert removed(photos, Exclusion(copy.sha256, "")) == {"train/a/000.png", "test/a/000.png"}
    assert removed(photos, Exclusion("", "test/b/001.png")) == {"test/b/001.png"}
    assert without(photos, frozenset()) == photos


def test_without_keeps_a_file_that_was_replaced_and_notes_it(photos: PhotoSet) -> None:
    rows = {Exclusion(HASH, "test/b/001.png"), Exclusion("", "test/a/001.png")}
    assert removed(photos, *rows) == {"test/a/001.png"}
    assert without(photos, rows).notes == (
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
def test_without_matches_paths_of_other_systems(photos: PhotoSet, row: str) -> None:
    assert removed(photos, Exclusion("", row)) == {"test/b/001.png"}
    assert without(photos, {Exclusion("", row)}).notes == ("1 photos excluded by 1 of 1 rows",)


def test_without_matches_an_unambiguous_end_of_a_name(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    photos = read_photos(write_photos(tmp_path, {"a/x": 2, "b/y": 2}))
    assert removed(photos, Exclusion("", "y/001.png")) == {"b/y/001.png"}


@pytest.mark.parametrize(
    "row", ["b/001.png", "001.png", "x/001.png", "test/b", "test/B/001.png", ".", "./", "/"]
)
def test_without_refuses_a_path_of_no_photo_or_several(photos: PhotoSet, row: str) -> None:
    with pytest.raises(DataError, match=r"no exclusion matches .* such as test/a/000\.png"):
        without(photos, {Exclusion("", row)})
    assert removed(photos, Exclusion("", row), Exclusion("", "test/a/001.png")) == {
        "test/a/001.png"
    }


def test_without_refuses_to_empty_a_class(photos: PhotoSet) -> None:
    with pytest.raises(DataError, match="no photos of class 'b' in 'test'"):
        without(photos, {Exclusion("", f"test/b/00{i}.png") for i in range(2)})


@pytest.mark.parametrize("header", ["path", "sha256", "path,why", "reason,sha256,path"])
def test_read_exclusions_accepts_fewer_more_and_reordered_columns(
    tmp_path: Path, header: str
) -> None:
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
        (None, "cannot be read"),
        ("", "not an exclusion list"),
        ("a,b\n1,2\n", "not an exclusion list"),
        ("path,sha256\nx.jpg,123\n", "line 2.*'123' is not a SHA-256"),
        ("path,sha256\nx.jpg,\n,\n", "line 3.*needs a path or a sha256"),
    ],
)
def test_read_exclusions_invalid_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "in.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_exclusions(tmp_path / "in.csv")
