"""Folders and globs give each photo once, in a fixed order, and leave nothing out unsaid."""

import os
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.batch.storage import files_below
from platecheck.errors import DataError
from platecheck.glob import is_glob
from platecheck.photo_formats import is_photo_name

TREE = [
    "b.jpg",
    "a.PNG",
    "notes.txt",
    ".hidden.jpg",
    "2024/03/x.jpg",
    "2024/03/deep/y.jpg",
    "2024/04/x.jpeg",
    "2025/z.jpg",
    ".cache/thumb.jpg",
    "folder.jpg/inside.png",
    "odd [1]/photo.jpg",
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in TREE:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def found(place: Path | str, below: Path) -> list[str]:
    return [os.path.relpath(path, below) for path in files_below(str(place), is_photo_name)]


def test_a_folder_gives_photos_at_any_depth_in_a_fixed_order(tree: Path) -> None:
    assert found(tree, tree) == [
        "a.PNG",
        "b.jpg",
        "2024/03/x.jpg",
        "2024/03/deep/y.jpg",
        "2024/04/x.jpeg",
        "2025/z.jpg",
        "folder.jpg/inside.png",
        "odd [1]/photo.jpg",
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
def test_a_glob(tree: Path, pattern: str, expected: list[str]) -> None:
    assert is_glob(f"{tree}/{pattern}")
    assert found(f"{tree}/{pattern}", tree) == expected


def test_a_relative_glob_gives_relative_paths(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree)
    assert list(files_below("*5/*.jpg", is_photo_name)) == ["2025/z.jpg"]
    assert list(files_below("2025", is_photo_name)) == ["2025/z.jpg"]


def test_a_folder_whose_name_looks_like_a_pattern_is_a_folder(tree: Path) -> None:
    assert not is_glob(f"{tree}/odd [1]")
    assert found(f"{tree}/odd [1]", tree) == ["odd [1]/photo.jpg"]


def test_a_link_to_a_folder_is_not_followed_and_one_to_a_photo_is(tree: Path) -> None:
    (tree / "2025" / "loop").symlink_to(tree)
    (tree / "2025" / "link.jpg").symlink_to(tree / "b.jpg")
    assert found(tree / "2025", tree) == ["2025/link.jpg", "2025/z.jpg"]


def test_a_folder_that_cannot_be_listed_is_an_error(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(folder: str) -> Iterable[os.DirEntry[str]]:
        if folder.endswith("04"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(DataError, match=r"2024/04 cannot be listed \(Permission denied\)"):
        found(tree, tree)


NAMES = st.lists(st.sampled_from(["a", "b", "c.jpg", "d.png"]), min_size=1, max_size=4)


@given(NAMES, st.lists(st.sampled_from(["a", "*", "**", "?", "*.jpg", "[cd]*"]), max_size=4))
def test_folders_that_may_hold_a_match_are_always_entered(
    names: list[str], patterns: list[str]
) -> None:
    from platecheck.glob import _matches

    if _matches(tuple(names), tuple(patterns)):
        assert all(
            _matches(tuple(names[:depth]), tuple(patterns), partial=True)
            for depth in range(len(names))
        )
