"""Databases of version 0.1, with photos in a folder, are imported once."""

from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from feedback_fixtures.killed import open_and_import, start
from feedback_fixtures.places import Place, photo
from sqlalchemy import JSON, Column, DateTime, Index, MetaData, String, Table, Text, insert

from platecheck.errors import SettingsError, StorageError
from platecheck.feedback.database import Database
from platecheck.feedback.entry import Answer, Feedback, encode_photo
from platecheck.feedback.store import Store, open_store

pytest_plugins = ["feedback_fixtures.fixtures"]

DATABASE_ID = "d" * 32
TIME = datetime(2026, 11, 1, 12)
# The tables of version 0.1.
METADATA = MetaData()
ABOUT = Table(
    "platecheck_about",
    METADATA,
    Column("name", String(32), primary_key=True),
    Column("value", Text, nullable=False),
)
FEEDBACK = Table(
    "platecheck_feedback",
    METADATA,
    Column("id", String(32), primary_key=True),
    Column("state", String(8), nullable=False),
    Column("photo", String(80), nullable=False, index=True),
    Column("right_label", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("label", Text, nullable=False),
    Column("probabilities", JSON, nullable=False),
    Column("time", DateTime, nullable=False),
    Column("key_name", Text),
    Column("client_answer", JSON(none_as_null=True)),
    Index("platecheck_feedback_state_time", "state", "time"),
)
REVIEW = Table(
    "platecheck_review",
    METADATA,
    Column("photo", String(80), primary_key=True),
    Column("reviewer", String(64), primary_key=True),
    Column("label", Text, nullable=False),
    Column("time", DateTime, nullable=False),
)


def name(number: int) -> str:
    digest = sha256(photo(number)).hexdigest()
    return f"{digest[:2]}/{digest[2:]}.png"


def write_old(url: str, folder: Path) -> None:
    """Write what version 0.1 would leave: photo 1 twice, photo 2, and interrupted operations."""
    database = Database(url)
    rows = [("stored", 1), ("stored", 1), ("stored", 2), ("pending", 3), ("deleting", 4)]
    with database.writing() as connection:
        METADATA.create_all(connection)
        about = [{"name": "format", "value": "1"}, {"name": "id", "value": DATABASE_ID}]
        connection.execute(insert(ABOUT), about)
        for at, (state, number) in enumerate(rows):
            values = {"id": f"{at:032}", "state": state, "photo": name(number)}
            values |= {"right_label": "dirty", "model": "m", "label": "clean"}
            values |= {"probabilities": {"clean": 1.0}, "time": TIME + timedelta(at)}
            connection.execute(insert(FEEDBACK).values(**values))
        review = {"photo": name(1), "reviewer": "Ann", "label": "dirty", "time": TIME}
        connection.execute(insert(REVIEW).values(**review))
    database.close()
    folder.mkdir()
    (folder / "platecheck-feedback.txt").write_text(f"{DATABASE_ID}\n")
    for number in (1, 2, 4):
        (folder / name(number)).parent.mkdir(exist_ok=True)
        (folder / name(number)).write_bytes(photo(number))


def check_imported(store: Store) -> None:
    photos = [sha256(photo(number)).hexdigest() for number in (1, 2)]
    entries = store.all()
    assert [entry.photo for entry in entries] == [photos[0], photos[0], photos[1]]
    assert entries[0] == Feedback(
        "0" * 32, photos[0], "dirty", Answer("m", "clean", {"clean": 1.0}), entries[0].time
    )
    assert [store.photo(each) for each in photos] == [encode_photo(photo(n)) for n in (1, 2)]
    assert store.decisions() == {photos[0]: {"Ann": "dirty"}}


def test_open_store_of_old_version_imports_and_deletes_files(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    write_old(place.url, folder)
    with pytest.raises(SettingsError, match=r"created by platecheck 0\.1"):
        open_store(place.url, create=True)
    with pytest.raises(SettingsError, match="not the photo folder"):
        open_store(place.url, tmp_path)
    store = open_store(place.url, folder, create=True)
    check_imported(store)
    assert not folder.exists()
    added = store.add(photo(5), "clean", Answer("m", "clean", {"clean": 1.0}))
    store.close()
    with place.store() as again:
        assert again.get(added.id) == added


def test_open_store_of_old_version_keeps_files_it_cannot_import(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    write_old(place.url, folder)
    (folder / name(1)).write_bytes(b"broken")
    for _ in range(2):  # also with nothing left to import
        store = open_store(place.url, folder)
        assert len(store.all()) == 3
        assert store.photo(store.all()[0].photo) is None
        assert store.photo(store.all()[2].photo) is not None
        assert [path.read_bytes() for path in folder.glob("*/*")] == [b"broken"]
        store.close()
    assert f"{name(1)} was not imported" in caplog.text


def test_import_killed_at_each_step_is_complete_when_repeated(tmp_path: Path) -> None:
    for die_at in count(1):
        url, folder = f"sqlite:///{tmp_path}/{die_at}.db", tmp_path / f"photos{die_at}"
        write_old(url, folder)
        process, _ = start(open_and_import, url, folder, die_at)
        process.join()
        store = open_store(url, folder)
        check_imported(store)
        store.close()
        assert not list(folder.glob("*"))
        if process.exitcode == 0:
            break
    assert die_at > 20


def test_import_without_space_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, folder = f"sqlite:///{tmp_path}/f.db", tmp_path / "photos"
    write_old(url, folder)
    before = {path: path.read_bytes() for path in folder.rglob("*.png")}

    def full(content: bytes) -> bytes:
        raise StorageError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("platecheck.feedback.migration.encode_photo", full)
        with pytest.raises(StorageError):
            open_store(url, folder)
    assert {path: path.read_bytes() for path in folder.rglob("*.png")} == before
    store = open_store(url, folder)
    check_imported(store)
    store.close()
