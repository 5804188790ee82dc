"""A folder to train with, made from feedback."""

import csv
import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import update

from platecheck.data.folders import read_photos
from platecheck.data.render.scene import render_dish
from platecheck.data.splits import with_validation
from platecheck.errors import DataError
from platecheck.feedback.collect import Collected, collect
from platecheck.feedback.entry import Answer
from platecheck.feedback.schema import FEEDBACK
from platecheck.feedback.store import Store, open_store
from platecheck.files import TEMPORARY
from tests.conftest import Cli
from tests.support.photos import encode

ANSWER = Answer("m", "unsure", {"clean": 0.5, "dirty": 0.5})
CLASSES = ("clean", "dirty")


@cache
def dish(number: int, quality: int = 92) -> bytes:
    """Render a dish; even numbers are clean, odd ones dirty."""
    rng = np.random.default_rng([3, number])
    pixels = render_dish(rng, size=96, label=CLASSES[number % 2]).photo
    return encode(pixels, "JPEG", quality=quality)


def name(number: int, quality: int = 92) -> str:
    return sha256(dish(number, quality)).hexdigest()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A database of 20 dishes, of which four are there in three qualities."""
    file = tmp_path_factory.mktemp("feedback") / "f.db"
    with closing(open_store(f"sqlite:///{file}", create=True)) as store:
        for number in range(20):
            for quality in (92, 80, 70) if number < 4 else (92,):
                store.add(dish(number, quality), CLASSES[number % 2], ANSWER)
        store.add(dish(7), "dirty", ANSWER)  # the same photo again
    return file.read_bytes()


@pytest.fixture
def store(tmp_path: Path, filled: bytes) -> Iterator[Store]:
    """A copy of it that may be changed."""
    (tmp_path / "f.db").write_bytes(filled)
    with closing(open_store(f"sqlite:///{tmp_path}/f.db")) as opened:
        yield opened


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


def test_collect_unreviewed_writes_a_dataset(store: Store, tmp_path: Path) -> None:
    found = collect(store, tmp_path / "set", unreviewed=True)
    assert found.left_out == {}
    assert (total(found), found.groups) == (28, 20)
    photos = read_photos(tmp_path / "set", strict=True)
    assert photos.classes == CLASSES
    assert photos.splits == ("test", "train", "val")
    assert photos.counts() == {split: found.counts[split] for split in photos.splits}
    assert with_validation(photos) == photos
    assert set(Counter(photo.sha256 for photo in photos.photos).values()) == {1}
    groups = {row["group"]: (row["split"], row["label"]) for row in rows(tmp_path / "set")}
    counted = Counter(groups.values())
    for split, least, most in (("train", 7, 7), ("val", 1, 2), ("test", 1, 2)):
        for label in CLASSES:
            assert least <= counted[split, label] <= most


@pytest.mark.parametrize("seed", range(3))
def test_collect_keeps_near_duplicates_in_one_split(
    store: Store, tmp_path: Path, seed: int
) -> None:
    collect(store, tmp_path / "set", unreviewed=True, seed=seed)
    split = {row["sha256"]: row["split"] for row in rows(tmp_path / "set")}
    for number in range(4):
        assert len({split[name(number, quality)] for quality in (92, 80, 70)}) == 1


def test_collect_writes_a_manifest(store: Store, tmp_path: Path) -> None:
    store.decide(name(8), "Ann", "clean")
    collect(store, tmp_path / "set", unreviewed=True)
    listed = rows(tmp_path / "set")
    assert [row["path"] for row in listed] == sorted(row["path"] for row in listed)
    ids = {row["sha256"]: row["feedback"].split(" ") for row in listed}
    assert sorted(each for some in ids.values() for each in some) == sorted(
        entry.id for entry in store.all()
    )
    assert ids[name(7)] == [entry.id for entry in store.all() if entry.photo == name(7)]
    assert {row["sha256"] for row in listed if row["reviewers"] == "1"} == {name(8)}
    for row in listed:
        assert row["path"] == f"{row['split']}/{row['label']}/{row['sha256']}.jpg"
        assert (tmp_path / "set" / row["path"]).read_bytes() == store.photo(row["sha256"])


def test_collect_is_deterministic(store: Store, tmp_path: Path) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        collect(store, tmp_path / folder, unreviewed=True, seed=seed)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a").keys() != contents(tmp_path / "c").keys()


def test_collect_prefers_reviewers_who_must_agree(store: Store, tmp_path: Path) -> None:
    for entry in store.all():
        store.decide(entry.photo, "Ann", entry.true_label)
    for reviewer in ("Ann", "Bo"):
        store.decide(name(10), reviewer, "dirty")
        store.decide(name(12), reviewer, "not a dish")
    store.decide(name(14), "Bo", "dirty")
    for number in (16, 18):
        store.decide(name(number), "Ann", None)
    found = collect(store, tmp_path / "set")
    assert found.left_out == {"not reviewed": 2, "not a dish": 1, "reviewers disagree": 1}
    assert total(found) == 28 - 4
    labels = {row["sha256"]: row["label"] for row in rows(tmp_path / "set")}
    assert labels[name(10)] == "dirty"
    assert not {name(12), name(14)} & labels.keys()


def test_collect_leaves_out_disputed_and_missing_photos(store: Store, tmp_path: Path) -> None:
    store.add(dish(10), "dirty", ANSWER)
    store.add(dish(11), "not a dish", ANSWER)
    with store.database.writing() as connection:
        missing = FEEDBACK.c.photo == name(13)
        connection.execute(update(FEEDBACK).where(missing).values(content=None))
    found = collect(store, tmp_path / "set", unreviewed=True)
    assert found.left_out == {"users disagree": 2, "unreadable": 1}


def test_collect_into_used_folder_raises(store: Store, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert total(collect(store, tmp_path / "empty", unreviewed=True)) == 28
    before = contents(tmp_path / "empty")
    for used in ("empty", "f.db"):
        with pytest.raises(DataError, match="not empty"):
            collect(store, tmp_path / used, unreviewed=True)
    assert contents(tmp_path / "empty") == before


def test_collect_with_full_disk_leaves_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = []

    def full(target: Path, content: bytes) -> None:
        written.append(content)
        if len(written) == 5:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        collect(store, tmp_path / "set", unreviewed=True)
    assert not (tmp_path / "set").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(TEMPORARY)]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "no labelled feedback"),
        (["clean"] * 12, "all photos have class 'clean'"),
        (["clean"] * 12 + ["dirty"], r"too few photos of class 'dirty' \(1\)"),
    ],
)
def test_collect_of_too_few_photos_raises(tmp_path: Path, labels: list[str], message: str) -> None:
    store = open_store(f"sqlite:///{tmp_path}/f.db", create=True)
    for number, label in enumerate(labels):
        store.add(dish(number), label, ANSWER)
    with pytest.raises(DataError, match=message):
        collect(store, tmp_path / "set", unreviewed=True)
    assert not (tmp_path / "set").exists()
    store.close()


def test_collect_command_reports_counts_and_needs_no_audit(
    store: Store, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("cleanlab", "cleanvision", "platecheck.auditing"):
        monkeypatch.setitem(sys.modules, module, None)
    command = ["data", "collect", f"sqlite:///{tmp_path}/f.db"]
    result = cli(*command, tmp_path / "a", "--unreviewed", "--json")
    assert result.code == 0, result.err
    found = json.loads(result.out)
    assert found["folder"] == str(tmp_path / "a")
    assert sum(sum(row.values()) for row in found["counts"].values()) == 28
    assert (found["left_out"], found["groups"]) == ({}, 20)
    store.add(dish(10), "dirty", ANSWER)
    result = cli(*command, tmp_path / "b", "--unreviewed", "--photos", tmp_path)
    assert "27 photos in" in result.out
    assert "excluded, users disagree: 1" in result.out
    assert "version 0.1 can be imported until" in result.err
