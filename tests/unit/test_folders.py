"""Reading folders: every layout people use, and one clear sentence about every one they don't."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from platecheck import glob
from platecheck.data.folders import Photo, PhotoSet, checked, list_photos, read_photos
from platecheck.data.render import write_dataset
from platecheck.errors import DataError
from platecheck.glob import files_below
from platecheck.inputs import read_list

WritePhotos = Callable[[Path, Mapping[str, int]], Path]

# The smallest set in splits, and the smallest without.
SPLIT = {"train/clean": 2, "train/dirty": 3, "test/clean": 1, "test/dirty": 2}
UNSPLIT = {"clean": 2, "dirty": 3}


def names(photos: PhotoSet) -> set[str]:
    return {photo.name for photo in photos.photos}


# --- what is found


def test_photos_in_splits(tmp_path: Path, write_photos: WritePhotos) -> None:
    photos = list_photos(write_photos(tmp_path, SPLIT))
    assert photos.classes == ("clean", "dirty")
    assert photos.splits == ("test", "train")
    assert photos.counts() == {
        "train": {"clean": 2, "dirty": 3},
        "test": {"clean": 1, "dirty": 2},
    }
    for photo in photos.photos:
        split, label, _ = photo.name.split("/")
        assert (split, label) == (photo.split, photos.classes[photo.label])
        assert photo.path == tmp_path / photo.name
    assert [photo.name for photo in photos.split("test")] == [
        "test/clean/000.png",
        "test/dirty/000.png",
        "test/dirty/001.png",
    ]


def test_photos_without_splits(tmp_path: Path, write_photos: WritePhotos) -> None:
    photos = list_photos(write_photos(tmp_path, UNSPLIT))
    assert photos.splits == ("all",)
    assert photos.counts() == {"all": {"clean": 2, "dirty": 3}}


def test_any_number_of_classes_in_alphabetical_order(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    photos = list_photos(write_photos(tmp_path, {f"class {i:02}": 1 for i in reversed(range(12))}))
    assert photos.classes == tuple(f"class {i:02}" for i in range(12))
    assert [photo.label for photo in photos.photos] == list(range(12))


def test_nested_folders_belong_to_their_class(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, {"clean/monday/plates": 2, "clean": 1, "dirty/monday": 1})
    photos = list_photos(tmp_path)
    assert photos.counts() == {"all": {"clean": 3, "dirty": 1}}
    assert "clean/monday/plates/001.png" in names(photos)


def test_only_visible_photos_count(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, UNSPLIT)
    photo = (tmp_path / "clean/000.png").read_bytes()
    for name in (
        "clean/._000.png",  # what macOS leaves on other disks
        "clean/.thumbnails/000.png",
        ".git/000.png",
        "clean/notes.txt",
        "clean/Thumbs.db",
        "clean/photo",
        "clean/photo.png.part",
        "stray.png",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(photo)
    assert list_photos(tmp_path).counts() == {"all": {"clean": 2, "dirty": 3}}


@pytest.mark.parametrize("suffix", [".JPG", ".Jpeg", ".jpg", ".PNG", ".WebP", ".bmp", ".TIF"])
def test_endings_count_in_any_case(tmp_path: Path, write_photos: WritePhotos, suffix: str) -> None:
    write_photos(tmp_path, UNSPLIT)
    Image.new("RGB", (4, 4)).save(tmp_path / f"clean/a{suffix}")
    assert f"clean/a{suffix}" in names(read_photos(tmp_path))


@pytest.mark.parametrize(
    ("folder", "split"),
    [
        ("Train", "train"),
        ("training", "train"),
        ("valid", "val"),
        ("validation", "val"),
        ("testing", "test"),
        ("Hidden", "hidden"),
        ("holdout", "holdout"),
        ("kitchen 2", "kitchen 2"),
    ],
)
def test_splits_go_by_their_usual_names_and_any_other_is_one_more(
    tmp_path: Path, write_photos: WritePhotos, folder: str, split: str
) -> None:
    counts = {f"{s}/{c}": 1 for s in ("test", folder) for c in ("clean", "dirty")}
    assert set(list_photos(write_photos(tmp_path, counts)).splits) == {"test", split}


def test_a_folder_beside_the_splits_without_classes_is_no_split(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path, {**SPLIT, "notes": 2})
    assert list_photos(tmp_path).splits == ("test", "train")


def test_masks_of_rendered_dishes_are_no_split(tmp_path: Path) -> None:
    write_dataset(tmp_path / "d", photos=8, size=32, masks=True, workers=1)
    photos = list_photos(tmp_path / "d")
    assert photos.splits == ("test", "train", "val")
    assert len(photos.photos) == 8


def test_the_order_is_that_of_names_not_of_the_disk(
    tmp_path: Path, write_photos: WritePhotos, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_photos(tmp_path, {"clean": 9, "dirty": 3, "clean/inner": 2})
    expected = list_photos(tmp_path)
    entries = glob.local_entries
    monkeypatch.setattr(
        files_below,
        "__kwdefaults__",
        {**files_below.__kwdefaults__, "entries": lambda folder: entries(folder)[::-1]},
    )
    assert list_photos(tmp_path) == expected
    assert [p.name for p in expected.photos] == sorted(p.name for p in expected.photos)


# --- links and odd files


def test_a_loop_of_links_ends(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, UNSPLIT)
    (tmp_path / "clean/again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dirty/self.png").symlink_to(tmp_path / "dirty/self.png")
    photos = read_photos(tmp_path)
    assert photos.counts() == {"all": {"clean": 2, "dirty": 3}}
    assert [error.source for error in photos.unreadable] == [str(tmp_path / "dirty/self.png")]


def test_a_class_may_be_a_link_to_a_folder_elsewhere(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path / "store", {"x": 2})
    write_photos(tmp_path / "set", {"clean": 1})
    (tmp_path / "set/dirty").symlink_to(tmp_path / "store/x", target_is_directory=True)
    assert read_photos(tmp_path / "set").counts() == {"all": {"clean": 1, "dirty": 2}}


def test_a_pipe_is_not_waited_for(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, UNSPLIT)
    os.mkfifo(tmp_path / "clean/pipe.jpg")
    code = "import sys; from platecheck.data.folders import read_photos"
    code += "; print(*read_photos(sys.argv[1]).unreadable)"
    output = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    ).stdout
    assert output == f"{tmp_path}/clean/pipe.jpg: it is not a regular file\n"


def test_names_that_are_no_text(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, UNSPLIT)
    photo = (tmp_path / "clean/000.png").read_bytes()
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/clean/caf\xe9.png")).write_bytes(photo)
    (tmp_path / "dirty/two\nlines\t.png").write_bytes(photo)
    photos = read_photos(tmp_path)
    assert photos.counts() == {"all": {"clean": 3, "dirty": 4}}
    assert len(photos.fingerprint()) == 64


# --- photos that cannot be opened


@pytest.fixture
def with_bad_photos(tmp_path: Path, write_photos: WritePhotos) -> Path:
    write_photos(tmp_path, SPLIT)
    (tmp_path / "train/clean/bad.jpg").write_bytes(b"not a photo")
    (tmp_path / "test/dirty/cut.png").write_bytes(
        (tmp_path / "test/dirty/000.png").read_bytes()[:60]
    )
    return tmp_path


def test_unreadable_photos_are_listed_and_left_out(with_bad_photos: Path) -> None:
    listed = list_photos(with_bad_photos)
    assert len(listed.photos) == 10
    photos = checked(listed)
    assert photos.counts() == {
        "train": {"clean": 2, "dirty": 3},
        "test": {"clean": 1, "dirty": 2},
    }
    assert {error.source: error.reason for error in photos.unreadable} == {
        str(with_bad_photos / "train/clean/bad.jpg"): (
            "it is not a photo in a format that can be read"
        ),
        str(with_bad_photos / "test/dirty/cut.png"): "the file is cut short",
    }


def test_strict_refuses_them(with_bad_photos: Path) -> None:
    with pytest.raises(DataError, match=r"cut\.png: the file is cut short and 1 more"):
        read_photos(with_bad_photos, strict=True)


def test_a_photo_that_vanishes_is_unreadable(tmp_path: Path, write_photos: WritePhotos) -> None:
    listed = list_photos(write_photos(tmp_path, UNSPLIT))
    (tmp_path / "dirty/001.png").unlink()
    photos = checked(listed)
    assert [error.reason for error in photos.unreadable] == ["there is no such file"]
    assert len(photos.photos) == 4


def test_a_class_of_nothing_but_bad_photos_is_refused(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path, SPLIT)
    (tmp_path / "test/clean/000.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"'clean' in split 'test'.*000\.png: the file is empty"):
        read_photos(tmp_path)


def test_every_photo_is_counted_for_the_bar(with_bad_photos: Path) -> None:
    counted: list[None] = []
    read_photos(with_bad_photos, on_photo=lambda: counted.append(None))
    assert len(counted) == 10


# --- folders that are no set of photos


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({}, "{folder} holds no photos; expected {folder}/train/CLASS/PHOTO"),
        ({"clean": 0, "dirty": 0}, "{folder} holds no photos"),
        ({"": 3}, "{folder} holds no photos"),
        ({"train": 3}, "{folder} holds no photos"),
        ({"clean": 3, "dirty": 0}, "class folder {folder}/dirty is empty"),
        ({"clean": 3}, "{folder} has only one class ('clean')"),
        ({"train/clean": 3, "test/clean": 1}, "{folder} has only one class ('clean')"),
        ({**SPLIT, "train/dirty": 0}, "class folder {folder}/train/dirty is empty"),
        (
            {"train/clean": 2, "train/dirty": 1, "test/clean": 1},
            "class folder {folder}/test/dirty is missing",
        ),
        (
            {**SPLIT, "hidden/clean": 1, "hidden/broken": 1},
            "class folder {folder}/hidden/dirty is missing",
        ),
    ],
)
def test_what_is_wrong_is_said_with_the_folder(
    tmp_path: Path, write_photos: WritePhotos, counts: dict[str, int], says: str
) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    write_photos(folder, counts)
    with pytest.raises(DataError) as caught:
        list_photos(folder)
    assert str(caught.value).startswith(says.format(folder=folder))
    assert "\n" not in str(caught.value)


def test_a_missing_folder_and_a_file_are_no_folders(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path / "file"):
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(DataError, match=f"{path.name} is not a folder"):
            list_photos(path)


def test_a_split_that_is_not_there_is_named_with_those_that_are(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    photos = list_photos(write_photos(tmp_path, SPLIT))
    with pytest.raises(DataError, match="has no split 'hidden'; it has: test, train"):
        photos.split("hidden")


# --- the classes of a model


def test_labels_follow_the_model(tmp_path: Path, write_photos: WritePhotos) -> None:
    photos = list_photos(write_photos(tmp_path, UNSPLIT), classes=("dirty", "greasy", "clean"))
    assert photos.classes == ("dirty", "greasy", "clean")
    assert {photo.name.split("/")[0]: photo.label for photo in photos.photos} == {
        "dirty": 0,
        "clean": 2,
    }
    assert photos.counts() == {"all": {"dirty": 3, "greasy": 0, "clean": 2}}


def test_a_model_may_be_judged_on_one_class_alone(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    photos = list_photos(write_photos(tmp_path, {"dirty": 2}), classes=("clean", "dirty"))
    assert [photo.label for photo in photos.photos] == [1, 1]


def test_a_class_that_the_model_does_not_know_is_named(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path, {**UNSPLIT, "broken": 1})
    with pytest.raises(DataError, match="a class 'broken' that the model does not know; it knows"):
        list_photos(tmp_path, classes=("clean", "dirty"))


# --- the fingerprint


@pytest.fixture
def set_of_photos(tmp_path: Path, write_photos: WritePhotos) -> Path:
    return write_photos(tmp_path / "set", SPLIT)


def move(folder: Path, source: str, target: str) -> None:
    (folder / source).rename(folder / target)


@pytest.mark.parametrize(
    "change",
    [
        lambda f: (f / "train/clean/000.png").write_bytes((f / "test/dirty/000.png").read_bytes()),
        lambda f: move(f, "train/clean/000.png", "train/dirty/900.png"),
        lambda f: move(f, "train/clean/000.png", "test/clean/900.png"),
        lambda f: (f / "train/clean/000.png").unlink(),
        lambda f: shutil.copy(f / "train/clean/000.png", f / "train/clean/900.png"),
        # Names decide how photos are divided.
        lambda f: move(f, "train/clean/000.png", "train/clean/900.png"),
        lambda f: (move(f, "train", "t"), move(f, "test", "train"), move(f, "t", "test")),
    ],
    ids=["content", "class", "split", "gone", "added", "name", "splits swapped"],
)
def test_the_fingerprint_tells_other_photos(
    set_of_photos: Path, change: Callable[[Path], object]
) -> None:
    before = read_photos(set_of_photos).fingerprint()
    change(set_of_photos)
    assert read_photos(set_of_photos).fingerprint() != before


@pytest.mark.parametrize(
    "change",
    [
        lambda f: os.utime(f / "train/clean/000.png", (0, 0)),
        lambda f: (f / "train/clean/000.png").chmod(0o600),
        lambda f: (f / "train/clean/note.txt").write_text("not a photo"),
        lambda f: (f / "train/clean/bad.jpg").write_text("not a photo that can be opened"),
        lambda f: (f / "train/empty").mkdir() or (f / "train/empty").rmdir(),
    ],
    ids=["time", "permissions", "other file", "unreadable photo", "nothing"],
)
def test_the_fingerprint_of_the_same_photos_stays(
    set_of_photos: Path, change: Callable[[Path], object]
) -> None:
    before = read_photos(set_of_photos).fingerprint()
    change(set_of_photos)
    assert read_photos(set_of_photos).fingerprint() == before


def test_the_fingerprint_does_not_depend_on_the_place_the_order_or_the_classes_asked_for(
    set_of_photos: Path, tmp_path: Path
) -> None:
    before = read_photos(set_of_photos)
    shutil.copytree(set_of_photos, tmp_path / "copy")
    assert read_photos(tmp_path / "copy").fingerprint() == before.fingerprint()
    backwards = replace(before, photos=before.photos[::-1])
    assert backwards.fingerprint() == before.fingerprint()
    asked = read_photos(set_of_photos, classes=("dirty", "clean"))
    assert asked.fingerprint() == before.fingerprint()


@pytest.mark.parametrize(
    "change", [{"sha256": "c" * 64}, {"label": 1}, {"split": "val"}, {"name": "train/clean/b.jpg"}]
)
def test_everything_about_a_photo_is_in_the_fingerprint(change: dict[str, object]) -> None:
    photo = Photo(Path("a.jpg"), "train/clean/a.jpg", 0, "train", "b" * 64)
    one, other = (
        PhotoSet(Path("set"), ("clean", "dirty"), (replace(photo, **fields),))  # type: ignore[arg-type]
        for fields in ({}, change)
    )
    assert one.fingerprint() != other.fingerprint()


def test_without_hashes_there_is_no_fingerprint(set_of_photos: Path) -> None:
    with pytest.raises(ValueError, match="no hashes"):
        list_photos(set_of_photos).fingerprint()


@pytest.mark.real_photos
def test_the_real_photos(real_photos: Path) -> None:
    photos = read_photos(real_photos)
    assert photos.classes == ("clean", "dirty")
    assert photos.counts()["train"] == {"clean": 231, "dirty": 227}
    assert photos.counts()["test"] == {"clean": 171, "dirty": 330}
    assert photos.unreadable == ()


# --- layouts that are nearly right


@pytest.mark.parametrize("split", ["valid", "Validation", "VAL", "dev", "eval", "val_set"])
def test_list_photos_knows_other_names_of_val(
    tmp_path: Path, write_photos: WritePhotos, split: str
) -> None:
    counts = {f"{s}/{c}": 1 for s in ("Train", split) for c in ("clean", "dirty")}
    assert list_photos(write_photos(tmp_path, counts)).splits == ("train", "val")


def test_list_photos_flat_test_is_left_out_and_told(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path, {"train/clean": 2, "train/dirty": 3, "test": 4})
    photos = list_photos(tmp_path)
    assert photos.counts() == {"train": {"clean": 2, "dirty": 3}}
    (note,) = photos.notes
    assert "holds 4 photos without classes" in note
    assert f"platecheck predict '{tmp_path}/test'" in note


@pytest.mark.parametrize("above", ["plates", "plates/plates"])
def test_list_photos_one_folder_too_high_reads_the_one_inside(
    tmp_path: Path, write_photos: WritePhotos, above: str
) -> None:
    write_photos(tmp_path / above, SPLIT)
    write_photos(tmp_path, {"__MACOSX/plates": 1})
    photos = list_photos(tmp_path)
    assert photos.folder == tmp_path / above
    assert "which is read" in photos.notes[0]


def test_list_photos_a_set_beside_other_folders_is_named(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    write_photos(tmp_path, {"other": 1})
    write_photos(tmp_path / "plates", SPLIT)
    with pytest.raises(DataError, match=r"has no train folder, but .*/plates has; use that one"):
        list_photos(tmp_path)


def test_list_photos_one_folder_too_low_is_told(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, SPLIT)
    (note,) = list_photos(tmp_path / "train").notes
    assert note.endswith(f"its other splits are in {tmp_path}")
    with pytest.raises(DataError, match="holds photos but no class folders"):
        list_photos(tmp_path / "train/clean")


def test_list_photos_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    (tmp_path / "plates.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match="is an archive; unpack it"):
        list_photos(tmp_path / "plates.zip")


# --- names of classes


@pytest.mark.parametrize("name", ["unsure", "Unsure", "not a dish", " NOT A DISH"])
def test_list_photos_a_class_named_as_an_answer_is_refused(
    tmp_path: Path, write_photos: WritePhotos, name: str
) -> None:
    with pytest.raises(DataError, match="rename the folder"):
        list_photos(write_photos(tmp_path, {**UNSPLIT, name: 1}))


@pytest.mark.parametrize(
    ("one", "other"), [("Clean", "clean"), ("caf\u00e9", "cafe\u0301"), ("clean", "clean ")]
)
def test_list_photos_spellings_of_one_class_match_across_splits_only(
    tmp_path: Path, write_photos: WritePhotos, one: str, other: str
) -> None:
    counts = {f"train/{one}": 1, "train/dirty": 1, f"test/{other}": 1, "test/dirty": 1}
    photos = list_photos(write_photos(tmp_path / "a", counts))
    assert photos.classes == tuple(sorted([one, "dirty"]))
    with pytest.raises(DataError, match="in two spellings"):
        list_photos(write_photos(tmp_path / "b", {one: 1, other: 1, "dirty": 1}))


def test_list_photos_classes_of_a_model_match_in_any_case(
    tmp_path: Path, write_photos: WritePhotos
) -> None:
    photos = list_photos(
        write_photos(tmp_path, {"Clean": 1, "DIRTY": 2}), classes=("clean", "dirty")
    )
    assert photos.counts() == {"all": {"clean": 1, "dirty": 2}}


# --- lists


def test_list_photos_from_a_list(tmp_path: Path, write_photos: WritePhotos) -> None:
    write_photos(tmp_path, {"pool": 4})
    table = tmp_path / "list.csv"
    rows = "".join(
        f"pool/00{i}.png;{label};{split}\r\n"
        for i, (label, split) in enumerate(
            [("clean", "Train"), ("dirty", "Train"), ("clean", "valid"), ("dirty", "valid")]
        )
    )
    table.write_text(f"\ufeffFile;Label;Split\r\n{rows}\r\n", encoding="utf-8")
    photos = read_photos(table)
    assert photos.counts() == {s: {"clean": 1, "dirty": 1} for s in ("train", "val")}
    assert photos.folder == table
    assert photos.photos[0].name == "pool/000.png"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_a_list_of_any_encoding_that_windows_writes(
    tmp_path: Path, name: str, encoding: str
) -> None:
    text = "path\r\nКрас.jpg\r\n" if name.endswith("csv") else "Крас.jpg\r\n# no photo\r\n"
    bom = "\ufeff" if encoding == "utf-16-be" else ""
    (tmp_path / name).write_bytes((bom + text).encode(encoding))
    assert [row.path for row in read_list(tmp_path / name)] == [str(tmp_path / "Крас.jpg")]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("path\npool/000.png\n", "gives no label for .*000.png; it needs a column label"),
        ("a,b\nx,y\n", "has no column path; its header has: a, b"),
        ("path,label\n", "names no photo"),
    ],
)
def test_list_photos_a_list_that_lacks_something_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=says):
        list_photos(tmp_path / "list.csv")
