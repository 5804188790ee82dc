"""Feedback is stored, reviewed, deleted and purged alike in SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from itertools import product
from pathlib import Path

import pytest
from feedback_fixtures.places import ANSWER, Place, check, photo
from PIL import ExifTags, Image, PngImagePlugin
from sqlalchemy import update

from platecheck.errors import PhotoError, SettingsError
from platecheck.feedback.entry import Answer, encode_photo
from platecheck.feedback.reviews import known_labels, review_queue
from platecheck.feedback.schema import ABOUT, FEEDBACK
from platecheck.feedback.store import Store, open_store

pytest_plugins = ["feedback_fixtures.fixtures"]


def answer(label: str, probability: float) -> Answer:
    other = "dirty" if label == "clean" else "clean"
    return Answer("m", label, {label: probability, other: 1 - probability})


def test_store_entries_are_found_by_other_processes(place: Place, store: Store) -> None:
    client = Answer("tiny-ffffffffffff", "unsure", {"clean": 0.5, "dirty": 0.5})
    one = store.add(photo(1), "dirty", ANSWER, key="kitchen", client=client)
    two = store.add(photo(2), "not a dish", ANSWER)
    with place.store() as other:
        assert other.get(one.id) == one
        assert other.all() == [one, two]
        assert other.counts() == {"dirty": 1, "not a dish": 1}
        assert other.photo(one.photo) == encode_photo(photo(1))
    assert one.photo == sha256(photo(1)).hexdigest()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_encode_photo_removes_metadata_and_limits_size(format_: str) -> None:
    exif, text, file = Image.Exif(), PngImagePlugin.PngInfo(), BytesIO()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "SECRET"
    text.add_text("Comment", "SECRET")
    image = Image.new("RGB", (3000, 1500), (200, 0, 0))
    options = {"exif": exif, "xmp": b"SECRET", "icc_profile": b"SECRET", "pnginfo": text}
    image.save(file, format_, **options)
    assert b"SECRET" in file.getvalue()
    content = encode_photo(file.getvalue())
    assert b"SECRET" not in content
    with Image.open(BytesIO(content)) as kept:
        assert (kept.format, kept.size, dict(kept.getexif())) == ("JPEG", (512, 1024), {})
        assert not kept.info.keys() & {"exif", "xmp", "icc_profile", "comment"}


def test_store_with_unreadable_photo_raises(store: Store) -> None:
    with pytest.raises(PhotoError):
        store.add(b"\xff\xd8\xff broken", "clean", ANSWER)
    assert store.all() == []


def test_store_delete_removes_the_entry_once(store: Store) -> None:
    entries = [store.add(photo(1), label, ANSWER) for label in ("clean", "dirty")]
    store.decide(entries[0].photo, "Ann", "clean")
    assert store.delete(entries[0].id)
    assert not store.delete(entries[0].id)
    assert store.all() == entries[1:]
    assert store.photo(entries[0].photo) is not None  # of the other entry
    assert store.decisions() == {entries[0].photo: {"Ann": "clean"}}
    assert store.delete(entries[1].id)
    assert store.photo(entries[0].photo) is None
    assert store.decisions() == {}
    assert store.all() == []


def test_store_purge_deletes_expired_entries_and_their_decisions(store: Store) -> None:
    old, new = (store.add(photo(number), "dirty", ANSWER) for number in (1, 2))
    store.decide(old.photo, "Ann", "clean")
    with store.database.writing() as connection:
        time = (old.time - timedelta(days=30)).replace(tzinfo=None)
        connection.execute(update(FEEDBACK).where(FEEDBACK.c.id == old.id).values(time=time))
    assert store.purge(timedelta(days=31)) == 0
    assert store.purge(timedelta(days=29)) == 1
    assert store.all() == [new]
    assert store.decisions() == {}


def test_sqlite_file_is_private_and_loses_deleted_photos(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path}/f.db", create=True)
    kept, *deleted = (store.add(photo(number), "dirty", ANSWER) for number in range(20))
    files = [tmp_path / f"f.db{suffix}" for suffix in ("", "-wal", "-shm")]
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * 3
    parts = [(store.photo(each.photo) or b"")[-1500:-500] for each in (kept, *deleted)]
    for each in deleted:
        store.delete(each.id)
    store.purge(timedelta(days=1))
    content = b"".join(file.read_bytes() for file in files)
    assert [part in content for part in parts] == [True] + [False] * 19
    store.close()
    assert files[0].stat().st_size < 100_000


def test_open_store_without_create_changes_nothing(place: Place, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"no such file|no feedback tables"):
        open_store(place.url)
    assert list(tmp_path.iterdir()) == []


def test_open_store_of_newer_version_raises(place: Place, store: Store) -> None:
    with store.database.writing() as connection:
        connection.execute(update(ABOUT).where(ABOUT.c.name == "format").values(value="3"))
    with pytest.raises(SettingsError, match="upgrade"):
        open_store(place.url, create=True)


def test_review_queue_orders_disputed_then_uncertain(store: Store) -> None:
    unsure = Answer("m", "unsure", {"clean": 0.55, "dirty": 0.45})
    entries = [
        store.add(photo(2), "not a dish", answer("dirty", 0.7)),
        store.add(photo(1), "dirty", answer("clean", 0.9)),
        store.add(photo(4), "dirty", unsure),  # unsure is not wrong
        store.add(photo(3), "clean", answer("clean", 0.8)),
        store.add(photo(5), "clean", answer("clean", 0.99)),
        store.add(photo(1), "clean", answer("clean", 0.9)),
    ]
    items = review_queue(store.all())
    assert [item.photo for item in items] == [entry.photo for entry in entries[:5]]
    assert items[1].feedback == (entries[1], entries[5])
    assert known_labels(entries) == ("clean", "dirty", "not a dish")


def test_store_decisions_belong_to_reviewers(store: Store) -> None:
    name = store.add(photo(1), "dirty", ANSWER).photo
    assert store.decide(name, "Ann", "clean")
    assert store.decide(name, "Олена", "dirty")
    assert store.decide(name, "Ann", "not a dish")  # replaces
    assert store.decisions() == {name: {"Ann": "not a dish", "Олена": "dirty"}}
    store.decide(name, "Ann", None)
    store.decide(name, "Bo", None)
    assert store.decisions() == {name: {"Олена": "dirty"}}
    assert not store.decide("0" * 64, "Ann", "clean")


def test_store_concurrent_decisions_are_all_kept(place: Place, store: Store) -> None:
    names = [store.add(photo(number), "dirty", ANSWER).photo for number in range(5)]
    reviewers = ["Ann", "Bo", "Cy"]
    with place.store() as other, ThreadPoolExecutor(6) as pool:
        work = [
            pool.submit(each.decide, name, reviewer, "clean")
            for each, name, reviewer in product((store, other), names, reviewers)
        ]
        assert all(done.result() for done in work)
    assert store.decisions() == {name: dict.fromkeys(reviewers, "clean") for name in names}
    check(store)
