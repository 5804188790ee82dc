"""Databases of version 0.1, with photos in a folder, are imported once."""

from contextlib import closing
from hashlib import sha256
from itertools import count
from pathlib import Path

import pytest
from feedback_fixtures.killed import open_and_import, start
from feedback_fixtures.places import ANSWER, Place, photo

from platecheck.errors import SettingsError, StorageError
from platecheck.feedback.database import Database
from platecheck.feedback.entry import Answer, Feedback, encode_photo
from platecheck.feedback.store import Store, open_store

pytest_plugins = ["feedback_fixtures.fixtures"]

DATABASE_ID = "d" * 32
# The tables of version 0.1.
TABLES = """
CREATE TABLE platecheck_about (name VARCHAR(32) PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE platecheck_feedback (
    id VARCHAR(32) PRIMARY KEY, state VARCHAR(8) NOT NULL, photo VARCHAR(80) NOT NULL,
    right_label TEXT NOT NULL, model TEXT NOT NULL, label TEXT NOT NULL,
    probabilities JSON NOT NULL, time TIMESTAMP NOT NULL, key_name TEXT, client_answer JSON
);
CREATE INDEX ix_platecheck_feedback_photo ON platecheck_feedback (photo);
CREATE INDEX platecheck_feedback_state_time ON platecheck_feedback (state, time);
CREATE TABLE platecheck_review (
    photo VARCHAR(80), reviewer VARCHAR(64), label TEXT NOT NULL, time TIMESTAMP NOT NULL,
    PRIMARY KEY (photo, reviewer)
)"""
ROW = "'dirty', 'm', 'clean', '{\"clean\": 1.0}', '2026-11-01 12:00:00.000000'"


def name(number: int) -> str:
    digest = sha256(photo(number)).hexdigest()
    return f"{digest[:2]}/{digest[2:]}.png"


def write_old(url: str, folder: Path) -> None:
    """Write what version 0.1 would leave: photo 1 twice, photo 2, and interrupted operations."""
    database = Database(url)
    rows = [("stored", 1), ("stored", 1), ("stored", 2), ("pending", 3), ("deleting", 4)]
    review = "'Ann', 'dirty', '2026-11-01 12:00:00'"
    statements = [
        *TABLES.split(";"),
        "INSERT INTO platecheck_about VALUES ('format', '1')",
        f"INSERT INTO platecheck_about VALUES ('id', '{DATABASE_ID}')",
        f"INSERT INTO platecheck_review VALUES ('{name(1)}', {review})",
    ]
    for at, (state, number) in enumerate(rows):
        values = f"'{at:032}', '{state}', '{name(number)}', {ROW}"
        statements.append(f"INSERT INTO platecheck_feedback VALUES ({values}, NULL, NULL)")
    with database.writing() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
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
    with closing(open_store(place.url, folder, create=True)) as store:
        check_imported(store)
        assert not folder.exists()
        added = store.add(photo(5), "clean", ANSWER)
    with place.store() as again:
        assert again.get(added.id) == added


def test_open_store_of_old_version_keeps_files_it_cannot_import(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "photos"
    write_old(place.url, folder)
    (folder / name(1)).write_bytes(b"broken")
    for _ in range(2):  # also with nothing left to import
        with closing(open_store(place.url, folder)) as store:
            assert [store.photo(entry.photo) is None for entry in store.all()] == [
                True,
                True,
                False,
            ]
        assert [path.read_bytes() for path in folder.glob("*/*")] == [b"broken"]
    assert f"{name(1)} was not imported" in caplog.text


@pytest.mark.slow
def test_import_killed_at_each_step_is_complete_when_repeated(tmp_path: Path) -> None:
    for die_at in count(1):
        url, folder = f"sqlite:///{tmp_path}/{die_at}.db", tmp_path / f"photos{die_at}"
        write_old(url, folder)
        process, _ = start(open_and_import, url, folder, die_at)
        process.join()
        with closing(open_store(url, folder)) as store:
            check_imported(store)
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
    with closing(open_store(url, folder)) as store:
        check_imported(store)
