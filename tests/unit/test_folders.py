"""Datasets in folders and lists: every usual layout is read, every other one explained."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from platecheck import glob
from platecheck.data.folders import checked, list_photos, read_photos
from platecheck.errors import DataError
from platecheck.glob import files_below
from platecheck.inputs import read_list
from tests.support.writing import write_photos

Write = Callable[[Mapping[str, int]], Path]

# The smallest dataset with splits, and the smallest without.
SPLIT = {"train/clean": 2, "train/dirty": 3, "test/clean": 1, "test/dirty": 2}
UNSPLIT = {"clean": 2, "dirty": 3}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return lambda counts: write_photos(tmp_path, counts)


# --- layouts


def test_list_photos_with_splits(write: Write) -> None:
    folder = write(SPLIT)
    photos = list_photos(folder)
    assert photos.classes == ("clean", "dirty")
    assert photos.splits == ("test", "train")
    assert photos.counts() == {"train": {"clean": 2, "dirty": 3}, "test": {"clean": 1, "dirty": 2}}
    for photo in photos.photos:
        assert photo.name.startswith(f"{photo.split}/{photos.classes[photo.label]}/")
        assert photo.path == folder / photo.name
    tests = ["test/clean/000.png", "test/dirty/000.png", "test/dirty/001.png"]
    assert [photo.name for photo in photos.split("test")] == tests
    with pytest.raises(DataError, match="has no split 'hidden'; it has: test, train"):
        photos.split("hidden")


def test_list_photos_without_splits_has_any_number_of_sorted_classes(write: Write) -> None:
    photos = list_photos(write({f"class {i:02}/nested/deeply": 1 for i in reversed(range(12))}))
    assert photos.splits == ("all",)
    assert photos.classes == tuple(f"class {i:02}" for i in range(12))
    assert [photo.label for photo in photos.photos] == list(range(12))


def test_list_photos_skips_hidden_folders_and_photos_beside_the_classes(write: Write) -> None:
    folder = write({**UNSPLIT, ".git": 1, "clean/.thumbnails": 1, ".": 1})
    assert list_photos(folder).counts() == {"all": UNSPLIT}


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Train", "train"), ("training", "train"), ("valid", "val"), ("Validation", "val"),
        ("VAL", "val"), ("dev", "val"), ("eval", "val"), ("val_set", "val"), ("Hidden", "hidden"),
        ("holdout", "holdout"), ("kitchen 2", "kitchen 2"),
    ],
)  # fmt: skip
def test_list_photos_recognizes_split_names(write: Write, folder: str, split: str) -> None:
    counts = {f"{s}/{c}": 1 for s in ("testing", folder) for c in ("clean", "dirty")}
    assert set(list_photos(write(counts)).splits) == {"test", split}


def test_list_photos_order_does_not_depend_on_the_disk(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write({"clean": 9, "dirty": 3, "clean/inner": 2})
    expected = list_photos(folder)
    names = [photo.name for photo in expected.photos]
    assert names == sorted(names)
    entries = glob.local_entries
    options = {**files_below.__kwdefaults__, "entries": lambda folder: entries(folder)[::-1]}
    monkeypatch.setattr(files_below, "__kwdefaults__", options)
    assert list_photos(folder) == expected


def test_list_photos_follows_links_once(tmp_path: Path, write: Write) -> None:
    store = write_photos(tmp_path.with_name(f"{tmp_path.name}-store"), {"x": 2})
    folder = write({"clean": 1})
    (folder / "dirty").symlink_to(store / "x", target_is_directory=True)
    (folder / "clean/again").symlink_to(folder, target_is_directory=True)
    (folder / "clean/self.png").symlink_to(folder / "clean/self.png")
    photos = read_photos(folder)
    assert photos.counts() == {"all": {"clean": 1, "dirty": 2}}
    assert [error.source for error in photos.unreadable] == [str(folder / "clean/self.png")]


def test_list_photos_test_without_classes_is_skipped_with_a_note(write: Write) -> None:
    folder = write({"train/clean": 2, "train/dirty": 3, "test": 4})
    photos = list_photos(folder)
    assert photos.counts() == {"train": {"clean": 2, "dirty": 3}}
    (note,) = photos.notes
    assert "holds 4 photos without classes" in note
    assert f"platecheck predict '{folder}/test'" in note


@pytest.mark.parametrize("above", ["plates", "plates/plates"])
def test_list_photos_one_folder_too_high_reads_the_inner_one(
    tmp_path: Path, write: Write, above: str
) -> None:
    write_photos(tmp_path / above, SPLIT)
    photos = list_photos(write({"__MACOSX/plates": 1}))
    assert photos.folder == tmp_path / above
    assert "which is read" in photos.notes[0]
    write({"other": 1})
    with pytest.raises(DataError, match=r"no train folder, but .*/plates does; use that folder"):
        list_photos(tmp_path)


def test_list_photos_one_folder_too_low_is_explained(write: Write) -> None:
    folder = write(SPLIT)
    (note,) = list_photos(folder / "train").notes
    assert note.endswith(f"its other splits are in {folder}")
    with pytest.raises(DataError, match="has photos but no class folders"):
        list_photos(folder / "train/clean")


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({".": 0}, "{folder} contains no photos; expected {folder}/train/CLASS/PHOTO"),
        ({"clean": 0, "dirty": 0}, "{folder} contains no photos"),
        ({".": 3}, "{folder} has photos but no class folders"),
        ({"train": 3}, "{folder} contains no photos"),
        ({"clean": 3, "dirty": 0}, "class folder {folder}/dirty is empty"),
        ({"clean": 3}, "{folder} has only one class ('clean')"),
        ({"train/clean": 3, "test/clean": 1}, "{folder} has only one class ('clean')"),
        ({**SPLIT, "train/dirty": 0}, "class folder {folder}/train/dirty is empty"),
        (
            {**SPLIT, "hidden/clean": 1, "hidden/broken": 1},
            "class folder {folder}/hidden/dirty is missing",
        ),
    ],
)
def test_list_photos_invalid_folder_is_refused(
    write: Write, counts: dict[str, int], says: str
) -> None:
    folder = write(counts)
    with pytest.raises(DataError) as caught:
        list_photos(folder)
    assert str(caught.value).startswith(says.format(folder=folder))
    assert "\n" not in str(caught.value)


def test_list_photos_of_no_folder_is_refused(tmp_path: Path) -> None:
    for name, says in (
        ("nowhere", "nowhere is not a folder"),
        ("file", "file is not a folder"),
        ("plates.zip", "is an archive; unpack it"),
    ):
        if name != "nowhere":
            (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(DataError, match=says):
            list_photos(tmp_path / name)


# --- classes


def test_list_photos_with_classes_of_a_model_uses_its_labels(write: Write) -> None:
    folder = write({"Clean": 1, "DIRTY": 2})
    photos = list_photos(folder, classes=("dirty", "greasy", "clean"))
    assert photos.counts() == {"all": {"dirty": 2, "greasy": 0, "clean": 1}}
    assert [photo.label for photo in photos.photos] == [2, 0, 0]
    with pytest.raises(DataError, match="a class 'DIRTY' that the model does not know; it knows"):
        list_photos(folder, classes=("clean", "broken"))


@pytest.mark.parametrize("name", ["unsure", "Unsure", "not a dish", " NOT A DISH"])
def test_list_photos_reserved_class_name_is_refused(write: Write, name: str) -> None:
    with pytest.raises(DataError, match="rename the folder"):
        list_photos(write({**UNSPLIT, name: 1}))


@pytest.mark.parametrize(
    ("one", "other"), [("Clean", "clean"), ("caf\u00e9", "cafe\u0301"), ("clean", "clean ")]
)
def test_list_photos_spellings_of_one_class_match_across_splits_only(
    tmp_path: Path, one: str, other: str
) -> None:
    counts = {f"train/{one}": 1, "train/dirty": 1, f"test/{other}": 1, "test/dirty": 1}
    across = list_photos(write_photos(tmp_path / "a", counts))
    assert across.classes == tuple(sorted([one, "dirty"]))
    with pytest.raises(DataError, match="in two spellings"):
        list_photos(write_photos(tmp_path / "b", {one: 1, other: 1, "dirty": 1}))


# --- photos that cannot be opened


@pytest.fixture
def with_bad_photos(write: Write) -> Path:
    folder = write(SPLIT)
    (folder / "train/clean/bad.jpg").write_bytes(b"not a photo")
    cut = (folder / "test/dirty/000.png").read_bytes()[:60]
    (folder / "test/dirty/cut.png").write_bytes(cut)
    return folder


def test_checked_leaves_out_unreadable_photos(with_bad_photos: Path) -> None:
    listed = list_photos(with_bad_photos)
    (with_bad_photos / "train/dirty/001.png").unlink()
    counted: list[None] = []
    photos = checked(listed, on_photo=lambda: counted.append(None))
    assert len(listed.photos) == len(counted) == 10
    assert photos.counts() == {"train": {"clean": 2, "dirty": 2}, "test": {"clean": 1, "dirty": 2}}
    assert {Path(error.source).name: error.reason for error in photos.unreadable} == {
        "bad.jpg": "it is not a photo in a format that can be read",
        "cut.png": "the file is cut short",
        "001.png": "there is no such file",
    }


def test_checked_strict_or_of_a_class_without_readable_photos_is_refused(
    with_bad_photos: Path,
) -> None:
    with pytest.raises(DataError, match=r"cut\.png: the file is cut short and 1 more"):
        read_photos(with_bad_photos, strict=True)
    (with_bad_photos / "test/clean/000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"'clean' in split 'test'.*000\.png: the file is empty"):
        read_photos(with_bad_photos)


def test_checked_does_not_wait_for_a_pipe(write: Write) -> None:
    folder = write(UNSPLIT)
    os.mkfifo(folder / "clean/pipe.jpg")
    code = "import sys; from platecheck.data.folders import read_photos"
    code += "; print(*read_photos(sys.argv[1]).unreadable)"
    command = [sys.executable, "-c", code, str(folder)]
    printed = subprocess.check_output(command, text=True, timeout=100)
    assert printed == f"{folder}/clean/pipe.jpg: it is not a regular file\n"


# --- the fingerprint


def move(folder: Path, source: str, target: str) -> None:
    (folder / source).rename(folder / target)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "train/clean/000.png").write_bytes((f / "test/dirty/000.png").read_bytes()),
        lambda f: move(f, "train/clean/000.png", "train/dirty/900.png"),
        lambda f: move(f, "train/clean/000.png", "test/clean/000.png"),
        lambda f: (f / "train/clean/000.png").unlink(),
        lambda f: shutil.copy(f / "train/clean/000.png", f / "train/clean/900.png"),
        # Names decide how photos are split.
        lambda f: move(f, "train/clean/000.png", "train/clean/900.png"),
        lambda f: (move(f, "train", "t"), move(f, "test", "train"), move(f, "t", "test")),
    ],
    ids=["content", "class", "split", "gone", "added", "name", "splits swapped"],
)
def test_fingerprint_of_other_photos_differs(
    write: Write, change: Callable[[Path], object]
) -> None:
    folder = write(SPLIT)
    before = read_photos(folder).fingerprint()
    change(folder)
    assert read_photos(folder).fingerprint() != before


def test_fingerprint_of_the_same_photos_is_the_same(tmp_path: Path, write: Write) -> None:
    folder = write(SPLIT)
    before = read_photos(folder)
    with pytest.raises(ValueError, match="no hashes"):
        list_photos(folder).fingerprint()
    copy = Path(shutil.copytree(folder, tmp_path.with_name(f"{tmp_path.name}-copy")))
    os.utime(copy / "train/clean/000.png", (0, 0))
    (copy / "train/clean/000.png").chmod(0o600)
    (copy / "train/clean/note.txt").write_text("not a photo")
    (copy / "train/clean/bad.jpg").write_text("not a photo that can be opened")
    for photos in (
        read_photos(copy),
        read_photos(copy, classes=("dirty", "clean")),
        replace(before, photos=before.photos[::-1]),
    ):
        assert photos.fingerprint() == before.fingerprint()


@pytest.mark.real_photos
def test_read_photos_of_the_public_set(real_photos: Path) -> None:
    photos = read_photos(real_photos)
    counts = photos.counts()
    assert counts["train"] == {"clean": 231, "dirty": 227}
    assert counts["test"] == {"clean": 171, "dirty": 330}
    assert photos.unreadable == ()


# --- lists


def test_list_photos_of_a_list(tmp_path: Path, write: Write) -> None:
    write({"pool": 4})
    table = tmp_path / "list.csv"
    rows = [
        *("\ufeffFile;Label;Split", "pool/000.png;clean;Train", "pool/001.png;dirty;Train"),
        *("pool/002.png;clean;valid", "pool/003.png;dirty;valid", "", ""),
    ]
    table.write_text("\r\n".join(rows), encoding="utf-8")
    photos = read_photos(table)
    assert photos.counts() == {s: {"clean": 1, "dirty": 1} for s in ("train", "val")}
    assert photos.folder == table
    assert photos.photos[0].name == "pool/000.png"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_read_list_accepts_encodings_of_windows(tmp_path: Path, name: str, encoding: str) -> None:
    text = "path\r\nКрас.jpg\r\n" if name.endswith("csv") else "Крас.jpg\r\n# no photo\r\n"
    bom = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / name).write_bytes((bom + text).encode(encoding))
    assert [row.path for row in read_list(tmp_path / name)] == [str(tmp_path / "Крас.jpg")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path\npool/000.png\n", "has no label for .*000.png; add a column 'label'"),
        ("a,b\nx,y\n", "has no column 'path'; its columns: a, b"),
        ("path,label\n", "lists no photos"),
    ],
)
def test_list_photos_of_an_invalid_list_is_refused(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        list_photos(tmp_path / "list.csv")
