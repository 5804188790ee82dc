"""Folders and globs give each photo once, in a fixed order; what they skip and report."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.data.folders import list_photos, read_photos
from platecheck.errors import DataError
from platecheck.files import is_output, mark_output
from platecheck.glob import _matches, files_below, is_glob, is_photo_file
from tests.support.writing import write_photos

WHOLE = {"clean": 2, "dirty": 3}
SPLIT = {f"{s}/{c}": 2 for s in ("train", "val", "test") for c in ("clean", "dirty")}


def below(folder: Path, place: Path | str = "") -> list[str]:
    return [os.path.relpath(path, folder) for path in files_below(str(place or folder))]


def write_run(folder: Path) -> None:
    """A run folder as the first version left it: no marker, and a picture of its curves."""
    (folder / "weights").mkdir(parents=True)
    for name in ("run.json", "recipe.yaml", "photos.csv", "curves.png"):
        (folder / name).write_bytes(b"x")


@pytest.mark.parametrize(
    "name",
    [
        "@eaDir", "@EADIR", "#recycle", "#snapshot", "@Recycle", "@Recently-Snapshot", "@tmp",
        "@__thumb", ".AppleDouble", "__MACOSX", "$RECYCLE.BIN", "System Volume Information",
        "lost+found", ".Trash-1000", ".thumbnails", ".ipynb_checkpoints", ".dtrash",
        ".picasaoriginals", ".sync", ".stversions", ".dropbox.cache", "Network Trash Folder",
        "Temporary Items", ".Spotlight-V100", ".fseventsd", "~snapshot", "@GMT-2024.01.01-00.00.00",
    ],
)  # fmt: skip
def test_files_below_skips_system_folders_at_any_depth(tmp_path: Path, name: str) -> None:
    write_photos(tmp_path, {**WHOLE, name: 1, f"clean/{name}/deep": 1, f"dirty/a/{name}": 1})
    assert len(below(tmp_path)) == 5
    assert list_photos(tmp_path).counts() == {"all": WHOLE}


def test_files_below_a_system_folder_given_by_name_are_read(tmp_path: Path) -> None:
    assert below(write_photos(tmp_path / "@tmp", {"a": 1})) == ["a/000.png"]


def test_is_photo_file_goes_by_the_name() -> None:
    for name in ("a.JPG", "a.nef", ".a.jpg.icloud", "a.png.owncloud"):  # nef: is told
        assert is_photo_file(name) is True
    hidden = ("._a.jpg", ".notes.txt.icloud", ".DS_Store", "Thumbs.db")
    for name in (*hidden, "README.txt", "labels.csv", "a.json", "a.xml"):
        assert is_photo_file(name) is False


def test_read_photos_reports_unsupported_formats_and_placeholders(tmp_path: Path) -> None:
    write_photos(tmp_path, WHOLE)
    for name in ("clean/a.NEF", "dirty/.b.jpg.icloud", "dirty/c.jpg", "dirty/notes.txt"):
        (tmp_path / name).write_bytes(b"" if name.endswith("c.jpg") else b"something")
    photos = read_photos(tmp_path)
    assert photos.counts() == {"all": WHOLE}
    names = [Path(error.source).name for error in photos.unreadable]
    assert names == ["a.NEF", ".b.jpg.icloud", "c.jpg"]
    assert "not been downloaded from the cloud" in photos.unreadable[1].reason
    with pytest.raises(DataError, match=r"a\.NEF.* and 2 more"):
        read_photos(tmp_path, strict=True)


# --- results


ANYWHERE = ["runs/tiny_vgg", "run", "out/of/many/run", "o/a"]


@pytest.mark.parametrize(
    ("layout", "place"),
    [
        *((WHOLE, place) for place in (*ANYWHERE, "clean/run", "clean/train/clean/run")),
        *((SPLIT, place) for place in (*ANYWHERE, "train/run", "train/clean/run", "val/dirty/a/b")),
    ],
)
def test_read_photos_skips_run_folders(tmp_path: Path, layout: dict[str, int], place: str) -> None:
    before = read_photos(write_photos(tmp_path, layout))
    write_run(tmp_path / place)
    write_photos(tmp_path / place, {"teacher": 1})
    assert read_photos(tmp_path) == before
    assert read_photos(tmp_path).fingerprint() == before.fingerprint()
    assert len(below(tmp_path)) == len(before.photos)


def test_files_below_skips_output_masks_and_feedback(tmp_path: Path) -> None:
    write_photos(tmp_path, {**SPLIT, "heat": 2, "masks/train/clean": 1, "store/ab": 3})
    mark_output(tmp_path / "heat")
    (tmp_path / "synth.csv").touch()
    (tmp_path / "store/platecheck-feedback.txt").touch()
    assert len(below(tmp_path)) == 12
    write_photos(tmp_path, {"notes": 2})  # without classes
    assert list_photos(tmp_path).splits == ("test", "train", "val")
    assert is_output(tmp_path / "masks")
    assert not is_output(tmp_path / "train")


def test_list_photos_ignores_folders_of_models_and_tables(tmp_path: Path) -> None:
    write_photos(tmp_path, WHOLE)
    for name in ("models/plate.onnx", "answers/a.parquet", "answers.parquet.shards/job.json"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    assert list_photos(tmp_path).classes == ("clean", "dirty")
    (tmp_path / "greasy").mkdir()
    with pytest.raises(DataError, match="greasy is empty"):
        list_photos(tmp_path)


def test_files_below_output_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    for read in (below, list_photos):
        with pytest.raises(DataError, match="platecheck's output"):
            read(tmp_path / "run")
    with pytest.raises(DataError, match="platecheck's output"):
        list(files_below(f"{tmp_path}/run/*.png"))


# --- links


def test_files_below_links_visits_each_folder_once(tmp_path: Path) -> None:
    write_photos(tmp_path, {"pool/monday": 2, "set/b": 1})
    for name in ("a", "b/again", "z"):
        (tmp_path / "set" / name).symlink_to(tmp_path / "pool")
    (tmp_path / "pool/back").symlink_to(tmp_path / "set")
    (tmp_path / "set/up").symlink_to(tmp_path)
    assert below(tmp_path / "set") == ["b/000.png", "a/monday/000.png", "a/monday/001.png"]


def test_list_photos_ignores_links_to_another_class_and_reads_those_to_a_split(
    tmp_path: Path,
) -> None:
    whole = write_photos(tmp_path / "whole", WHOLE)
    (whole / "clean/more").symlink_to(whole / "dirty")
    assert list_photos(whole).counts() == {"all": WHOLE}
    split = write_photos(tmp_path / "split", {place: 1 for place in SPLIT if "val" not in place})
    (split / "val").symlink_to(split / "test")
    assert list_photos(split).splits == ("test", "train", "val")


# --- folders and globs

TREE = [
    *("b.jpg", "a.PNG", "notes.txt", ".hidden.jpg", "2024/03/x.jpg", "2024/03/deep/y.jpg"),
    *("2024/04/x.jpeg", "2025/z.jpg", ".cache/thumb.jpg", "folder.jpg/inside.png"),
    "odd [1]/photo.jpg",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def test_files_below_a_folder_are_at_any_depth_and_sorted(tree: Path) -> None:
    assert below(tree) == [
        *("a.PNG", "b.jpg", "2024/03/x.jpg", "2024/03/deep/y.jpg", "2024/04/x.jpeg"),
        *("2025/z.jpg", "folder.jpg/inside.png", "odd [1]/photo.jpg"),
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg", "folder.jpg/inside.png"]),
        ("*/*/x.*", ["2024/03/x.jpg", "2024/04/x.jpeg"]),
        ("**/x.jpg", ["2024/03/x.jpg"]),
        ("202*/**/*.jp*g", ["2024/03/x.jpg", "2024/03/deep/y.jpg", "2024/04/x.jpeg", "2025/z.jpg"]),
        ("202[45]", ["2024/03/x.jpg", "2024/03/deep/y.jpg", "2024/04/x.jpeg", "2025/z.jpg"]),
        ("2024/0?/**", ["2024/03/x.jpg", "2024/03/deep/y.jpg", "2024/04/x.jpeg"]),
        ("2024/**/deep/**", ["2024/03/deep/y.jpg"]),
        ("*.txt", []),
    ],
)  # fmt: skip
def test_files_below_a_glob_match(tree: Path, pattern: str, expected: list[str]) -> None:
    assert is_glob(f"{tree}/{pattern}")
    assert below(tree, f"{tree}/{pattern}") == expected


def test_files_below_a_relative_place_are_relative(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tree)
    for place in ("*5/*.jpg", "2025"):
        assert list(files_below(place)) == ["2025/z.jpg"]


def test_is_glob_of_an_existing_folder_is_false(tree: Path) -> None:
    assert not is_glob(f"{tree}/odd [1]")
    assert below(tree, f"{tree}/odd [1]") == ["odd [1]/photo.jpg"]


def test_files_below_an_unreadable_folder_raises(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(folder: str) -> Iterable[os.DirEntry[str]]:
        if str(folder).endswith("04"):  # pytest removes folders by their number
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    stat = os.stat

    def refuse_inside(path: Path | str | int, **options: Any) -> os.stat_result:
        if Path(str(path)).parent.name == "04":
            raise PermissionError(13, "Permission denied")
        return stat(path, **options)

    monkeypatch.setattr(os, "scandir", refuse)
    monkeypatch.setattr(os, "stat", refuse_inside)
    with pytest.raises(DataError, match=r"2024/04 cannot be listed \(Permission denied\)"):
        below(tree)


NAMES = st.lists(st.sampled_from(["a", "b", "c.jpg", "d.png"]), min_size=1, max_size=4)


@given(NAMES, st.lists(st.sampled_from(["a", "*", "**", "?", "*.jpg", "[cd]*"]), max_size=4))
def test_matches_partial_enters_every_folder_that_may_hold_a_match(
    names: list[str], patterns: list[str]
) -> None:
    if _matches(tuple(names), tuple(patterns)):
        for depth in range(len(names)):
            assert _matches(tuple(names[:depth]), tuple(patterns), partial=True)
