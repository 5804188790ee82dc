"""A folder to train with, made from feedback."""

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from platecheck.cli import app
from platecheck.data.folders import read_photos
from platecheck.data.render.scene import render_dish
from platecheck.data.splits import with_validation
from platecheck.errors import DataError
from platecheck.feedback.collect import Collected, collect
from platecheck.feedback.entry import Answer, Feedback
from platecheck.feedback.photos import photo_name, sha256_in
from platecheck.feedback.reviews import Reviews
from platecheck.feedback.store import Store, open_store
from platecheck.files import PART

ANSWER = Answer("m", "unsure", {"clean": 0.5, "dirty": 0.5})
CLASSES = ("clean", "dirty")


@cache
def dish(number: int, quality: int = 92) -> bytes:
    """A rendered dish; even numbers are clean, odd ones dirty."""
    rng = np.random.default_rng([3, number])
    pixels = render_dish(rng, size=96, label=CLASSES[number % 2]).photo
    file = BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return file.getvalue()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database f.db and photos/ of 20 dishes, of which four are there in three qualities."""
    folder = tmp_path_factory.mktemp("feedback")
    store = open_store(f"sqlite:///{folder}/f.db", folder / "photos", create=True)
    for number in range(20):
        for quality in (92, 80, 70) if number < 4 else (92,):
            store.add(dish(number, quality), CLASSES[number % 2], ANSWER)
    store.add(dish(7), "dirty", ANSWER)  # the same photo again
    store.close()
    return folder


@pytest.fixture
def store(tmp_path: Path, filled: Path) -> Iterator[Store]:
    """A copy of it that may be changed."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    opened = open_store(f"sqlite:///{tmp_path}/f.db", tmp_path / "photos")
    yield opened
    opened.close()


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def total(found: Collected) -> int:
    return sum(sum(row.values()) for row in found.counts.values())


def given_for(store: Store, number: int) -> list[Feedback]:
    """Feedback of one dish, in its first quality."""
    digest = [
        each for each in store.all() if store.photos.path(each.photo).read_bytes() == dish(number)
    ]
    assert digest
    return digest


def test_the_users_word_makes_a_folder_to_train_with(store: Store, tmp_path: Path) -> None:
    found = collect(store, tmp_path / "set", unreviewed=True)
    assert found.left_out == {}
    assert (total(found), found.groups) == (28, 20)
    photos = read_photos(tmp_path / "set", strict=True)
    assert photos.classes == CLASSES
    assert photos.splits == ("test", "train", "val")
    assert photos.counts() == {split: found.counts[split] for split in photos.splits}
    assert with_validation(photos) == photos
    names = Counter(photo.sha256 for photo in photos.photos)
    assert set(names.values()) == {1}
    assert found.counts["train"]["clean"] > found.counts["val"]["clean"] >= 1


@pytest.mark.parametrize("seed", range(3))
def test_near_identical_photos_never_cross_splits(store: Store, tmp_path: Path, seed: int) -> None:
    collect(store, tmp_path / "set", unreviewed=True, seed=seed)
    split = {row["sha256"]: row["split"] for row in rows(tmp_path / "set")}
    for number in range(4):
        copies = [photo_name(dish(number, quality)) for quality in (92, 80, 70)]
        assert len({split[sha256_in(name)] for name in copies}) == 1


def test_each_class_is_divided_alike(store: Store, tmp_path: Path) -> None:
    collect(store, tmp_path / "set", unreviewed=True)
    groups = {row["group"]: (row["split"], row["label"]) for row in rows(tmp_path / "set")}
    counted = Counter(groups.values())
    for split, least, most in (("train", 7, 7), ("val", 1, 2), ("test", 1, 2)):
        for label in CLASSES:
            assert least <= counted[split, label] <= most


def test_the_manifest_names_the_feedback(store: Store, tmp_path: Path) -> None:
    Reviews(store).decide(given_for(store, 8)[0].photo, "Ann", "clean")
    collect(store, tmp_path / "set", unreviewed=True)
    listed = rows(tmp_path / "set")
    assert [row["path"] for row in listed] == sorted(row["path"] for row in listed)
    ids = {row["sha256"]: row["feedback"].split(" ") for row in listed}
    assert sorted(each for some in ids.values() for each in some) == sorted(
        each.id for each in store.all()
    )
    twice = given_for(store, 7)
    assert ids[sha256_in(twice[0].photo)] == [each.id for each in twice]
    reviewed = {row["sha256"] for row in listed if row["reviewers"] == "1"}
    assert reviewed == {sha256_in(given_for(store, 8)[0].photo)}
    for row in listed:
        path = tmp_path / "set" / row["path"]
        name = f"{row['sha256'][:2]}/{row['sha256'][2:]}.jpg"
        assert path.read_bytes() == store.photos.path(name).read_bytes()
        assert row["path"].startswith(f"{row['split']}/{row['label']}/")


def test_the_same_feedback_and_seed_give_the_same_folder(store: Store, tmp_path: Path) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        collect(store, tmp_path / name, unreviewed=True, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a").keys() != contents(tmp_path / "c").keys()


def test_reviewers_go_before_users_and_must_agree(store: Store, tmp_path: Path) -> None:
    reviews = Reviews(store)
    for item in reviews.queue():
        reviews.decide(item.photo, "Ann", item.feedback[0].true_label)
    names = [given_for(store, number)[0].photo for number in (10, 12, 14)]
    for reviewer in ("Ann", "Bo"):
        reviews.decide(names[0], reviewer, "dirty")
        reviews.decide(names[1], reviewer, "not a dish")
    reviews.decide(names[2], "Bo", "dirty")
    for number in (16, 18):
        reviews.undo(given_for(store, number)[0].photo, "Ann")
    found = collect(store, tmp_path / "set")
    assert found.left_out == {"not reviewed": 2, "not a dish": 1, "reviewers disagree": 1}
    assert total(found) == 28 - 4
    labels = {row["sha256"]: row["label"] for row in rows(tmp_path / "set")}
    assert labels[sha256_in(names[0])] == "dirty"
    assert sha256_in(names[1]) not in labels
    assert sha256_in(names[2]) not in labels


def test_users_who_contradict_each_other_are_not_believed(store: Store, tmp_path: Path) -> None:
    store.add(dish(10), "dirty", ANSWER)
    store.add(dish(11), "not a dish", ANSWER)
    store.add(b"\xff\xd8\xff broken", "clean", ANSWER)
    name = given_for(store, 13)[0].photo
    store.photos.path(name).write_bytes(dish(13, 50))  # not what its name says
    found = collect(store, tmp_path / "set", unreviewed=True)
    assert found.left_out == {"users disagree": 2, "unreadable": 2}


def test_only_a_new_folder_is_written(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert total(collect(store, tmp_path / "empty", unreviewed=True)) == 28
    before = contents(tmp_path / "empty")
    with pytest.raises(DataError, match="not empty"):
        collect(store, tmp_path / "empty", unreviewed=True)
    assert contents(tmp_path / "empty") == before
    with pytest.raises(DataError, match="not empty"):
        collect(store, tmp_path / "f.db", unreviewed=True)


def test_what_breaks_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []

    def full(source: Path, target: Path) -> None:
        copied.append(target)
        if len(copied) == 5:
            raise OSError(28, "No space left on device")
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        collect(store, tmp_path / "set", unreviewed=True)
    assert not (tmp_path / "set").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(PART)]


@pytest.mark.parametrize(
    ("right", "says"),
    [
        ([], "no labelled feedback"),
        (["clean"] * 12, "all photos are of class 'clean'"),
        (["clean"] * 12 + ["dirty"], r"too few photos of class 'dirty' \(1\)"),
    ],
)
def test_too_few_photos_are_refused(tmp_path: Path, right: list[str], says: str) -> None:
    store = open_store(f"sqlite:///{tmp_path}/f.db", tmp_path / "photos", create=True)
    for number, label in enumerate(right):
        store.add(dish(number), label, ANSWER)
    with pytest.raises(DataError, match=says):
        collect(store, tmp_path / "set", unreviewed=True)
    assert not (tmp_path / "set").exists()
    store.close()


def test_the_command_says_what_it_did(store: Store, tmp_path: Path) -> None:
    words = ["data", "collect", f"sqlite:///{tmp_path}/f.db"]
    photos = ["--photos", str(tmp_path / "photos"), "--unreviewed"]
    result = CliRunner().invoke(app, [*words, str(tmp_path / "a"), *photos, "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["folder"] == str(tmp_path / "a")
    assert sum(sum(row.values()) for row in found["counts"].values()) == 28
    assert (found["left_out"], found["groups"]) == ({}, 20)
    store.add(dish(10), "dirty", ANSWER)
    result = CliRunner().invoke(app, [*words, str(tmp_path / "b"), *photos])
    assert "27 photos in" in result.stdout
    assert "left out, users disagree: 1" in result.stdout
