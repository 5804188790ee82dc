"""Feedback is kept, found, deleted and swept, the same in SQLite and in PostgreSQL."""

import errno
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from feedback_fixtures.places import ANSWER, NOW, MakePlace, Place, check, check_swept, photo
from feedback_fixtures.postgres import Postgres
from sqlalchemy import select, update

from platecheck.errors import SettingsError
from platecheck.feedback.entry import Answer
from platecheck.feedback.errors import StorageError
from platecheck.feedback.photos import OWNER, PhotoFolder, photo_name
from platecheck.feedback.schema import ABOUT, FEEDBACK, PENDING
from platecheck.feedback.store import STALE, Store, open_store

pytest_plugins = ["feedback_fixtures.fixtures"]


@pytest.fixture
def store(place: Place) -> Iterator[Store]:
    with place.store() as opened:
        yield opened


class TestKeeping:
    def test_what_is_kept_is_found_again_even_by_others(self, place: Place, store: Store) -> None:
        client = Answer("tiny-ffffffffffff", "unsure", {"clean": 0.5, "dirty": 0.5})
        one = store.add(photo(1), "dirty", ANSWER, key="kitchen", client=client)
        two = store.add(photo(2), "not a dish", ANSWER)
        with place.store() as other:
            assert other.get(one.id) == one
            assert other.all() == [one, two]
            assert other.counts() == {"dirty": 1, "not a dish": 1}
        assert (place.photos / one.photo).read_bytes() == photo(1)
        assert place.files() == {photo_name(photo(1)), photo_name(photo(2))}

    def test_a_photo_that_is_given_twice_is_there_once(self, place: Place, store: Store) -> None:
        ids = [store.add(photo(1), right, ANSWER).id for right in ("clean", "dirty", "dirty")]
        assert len(place.files()) == 1
        assert store.delete(ids[1])
        assert store.delete(ids[0])
        assert len(place.files()) == 1
        assert store.delete(ids[2])
        assert place.files() == set()
        assert store.all() == []

    def test_deleting_again_finds_nothing(self, store: Store) -> None:
        given = store.add(photo(1), "dirty", ANSWER)
        assert store.delete(given.id)
        assert not store.delete(given.id)
        assert store.get(given.id) is None
        assert not store.delete("0" * 32)

    def test_a_deleted_photo_can_be_given_again(self, place: Place, store: Store) -> None:
        store.delete(store.add(photo(1), "dirty", ANSWER).id)
        again = store.add(photo(1), "dirty", ANSWER)
        assert store.all() == [again]
        check(place, store)

    def test_photos_are_for_the_eyes_of_their_owner(self, place: Place, store: Store) -> None:
        assert place.photos.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize(
        ("content", "suffix"),
        [
            (b"\xff\xd8\xff\xe0", ".jpg"),
            (b"\x89PNG\r\n", ".png"),
            (b"RIFF\0\0\0\0WEBPVP8 ", ".webp"),
            (b"\0\0\0\x1cftypavif", ".avif"),
            (b"MM\0*", ".tif"),
            (b"P6 1 1 255 abc", ".jpg"),
            (b"", ".jpg"),
        ],
    )
    def test_a_photo_is_called_by_its_content(self, content: bytes, suffix: str) -> None:
        assert photo_name(content).endswith(suffix)
        assert photo_name(content) != photo_name(content + b"!")


class TestSweeping:
    def test_what_is_too_old_goes(self, place: Place, store: Store) -> None:
        old, new = (store.add(photo(number), "dirty", ANSWER) for number in (1, 2))
        with store.database.writing() as connection:
            before = (old.time - timedelta(days=30)).replace(tzinfo=None)
            mine = FEEDBACK.c.id == old.id
            connection.execute(update(FEEDBACK).where(mine).values(time=before))
        assert store.purge(timedelta(days=31)) == {}
        assert store.purge(timedelta(days=29)) == {"expired": 1}
        assert store.all() == [new]
        assert place.files() == {new.photo}

    def test_what_may_still_be_worked_on_stays(
        self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            # As a kill does, this leaves a row that is pending, with its photo.
            patch.setattr(PhotoFolder, "write", _keep_and_break)
            patch.setattr(Store, "rollback", lambda *_: None)
            with pytest.raises(StorageError):
                store.add(photo(9), "dirty", ANSWER)
        assert store.all() == []
        assert len(place.files()) == 1
        assert store.purge(stale=STALE) == {}
        assert len(place.files()) == 1
        assert store.purge(stale=NOW) == {"left": 1}
        assert place.files() == set()

    def test_a_writer_that_was_swept_away_says_so(
        self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writing = store.database.writing

        def slow(lock: str | None = None) -> Any:
            if lock:
                monkeypatch.undo()
                with place.store() as other:
                    assert other.purge(stale=NOW) == {"left": 1}
            return writing(lock)

        monkeypatch.setattr(store.database, "writing", slow)
        with pytest.raises(StorageError, match="purged"):
            store.add(photo(1), "dirty", ANSWER)
        assert check_swept(place, store) == set()


class TestRacing:
    """One is held where it matters most, and another one comes."""

    def test_a_photo_is_not_taken_from_one_who_gives_it_anew(
        self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = store.add(photo(1), "dirty", ANSWER)
        drop = PhotoFolder.delete
        given: list[Any] = []

        def held(folder: PhotoFolder, name: str) -> None:
            monkeypatch.undo()
            other.start()
            other.join(0.3)  # long enough, were it not for the lock
            drop(folder, name)

        other = threading.Thread(target=lambda: given.append(store.add(photo(1), "dirty", ANSWER)))
        monkeypatch.setattr(PhotoFolder, "delete", held)
        store.delete(first.id)
        other.join()
        assert store.all() == given
        check(place, store)

    def test_a_photo_is_not_dropped_while_it_is_given_anew(
        self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = store.add(photo(1), "dirty", ANSWER)
        keep = PhotoFolder.write

        def held(folder: PhotoFolder, *words: Any) -> None:
            monkeypatch.undo()
            keep(folder, *words)
            other.start()
            other.join(0.3)

        other = threading.Thread(target=lambda: store.delete(first.id))
        monkeypatch.setattr(PhotoFolder, "write", held)
        second = store.add(photo(1), "dirty", ANSWER)
        other.join()
        assert store.all() == [second]
        check(place, store)


class TestOpening:
    def test_a_folder_belongs_to_one_database(self, make_place: MakePlace) -> None:
        mine, other = make_place(), make_place()
        for each in (mine, other):
            with each.store() as store:
                store.add(photo(1), "dirty", ANSWER)
        with pytest.raises(SettingsError, match="not the photo folder"):
            open_store(mine.url, other.photos, create=True)
        (mine.photos / OWNER).unlink()  # as where another disk was mounted
        with pytest.raises(SettingsError, match="not the photo folder"):
            open_store(mine.url, mine.photos, create=True)

    def test_of_several_that_find_a_new_folder_one_takes_it(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        owner, give_to = PhotoFolder.owner, PhotoFolder.set_owner
        both, seen, given = threading.Barrier(2), threading.local(), []

        def owner_at_once(folder: PhotoFolder) -> str | None:
            found = owner(folder)
            if not hasattr(seen, "it"):
                seen.it = found
                both.wait(timeout=30)
            return found

        def give_slowly(folder: PhotoFolder, database: str) -> None:
            given.append(database)
            time.sleep(0.1)
            give_to(folder, database)

        monkeypatch.setattr(PhotoFolder, "owner", owner_at_once)
        monkeypatch.setattr(PhotoFolder, "set_owner", give_slowly)
        with ThreadPoolExecutor(2) as threads:
            opened = [
                threads.submit(open_store, place.url, place.photos, create=True) for _ in "ab"
            ]
            stores = [each.result() for each in opened]
        assert len(given) == 1
        for number, store in enumerate(stores):
            store.add(photo(number), "dirty", ANSWER)
        assert len(stores[0].all()) == 2
        for store in stores:
            store.close()

    def test_a_reader_makes_nothing(self, place: Place) -> None:
        with pytest.raises(SettingsError, match="no such folder"):
            open_store(place.url, place.photos)
        place.photos.mkdir()
        with pytest.raises(SettingsError, match=r"no such file|no feedback tables"):
            open_store(place.url, place.photos)
        assert place.files() == set()

    def test_a_later_layout_is_not_touched(self, place: Place, store: Store) -> None:
        with store.database.writing() as connection:
            format_ = ABOUT.c.name == "format"
            connection.execute(update(ABOUT).where(format_).values(value="2"))
        with pytest.raises(SettingsError, match="upgrade"):
            open_store(place.url, place.photos, create=True)


class TestFaults:
    @pytest.mark.parametrize("at", ["write", "sync", "rename"])
    def test_a_photo_that_cannot_be_written_leaves_nothing(
        self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch, at: str
    ) -> None:
        before = store.add(photo(1), "dirty", ANSWER)

        def full(*_: Any, **__: Any) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "photo")

        where = {"write": (Path, "open"), "sync": (os, "fsync"), "rename": (Path, "replace")}[at]
        with monkeypatch.context() as patch:
            patch.setattr(*where, full)
            with pytest.raises(StorageError, match="No space left"):
                store.add(photo(2), "dirty", ANSWER)
        assert store.all() == [before]
        assert check_swept(place, store) == {before.id}
        store.add(photo(2), "dirty", ANSWER)
        check(place, store)

    def test_a_disk_that_is_full(self, make_place: MakePlace, small_disk: Path) -> None:
        place = make_place()
        if place.url.startswith("sqlite"):  # then the database is on the full disk too
            place = Place(f"sqlite:///{small_disk}/feedback.db", small_disk / "photos")
        else:
            place = Place(place.url, small_disk / "photos")
        with place.store() as store:
            kept = []
            with pytest.raises(StorageError, match=r"full|No space left"):
                kept.extend(store.add(photo(number), "dirty", ANSWER) for number in range(1000))
            assert len(kept) > 8
            assert store.all() == kept
            check(place, store)
            for given in kept[:8]:
                assert store.delete(given.id)
            assert check_swept(place, store) == {given.id for given in kept[8:]}
            store.add(photo(0), "dirty", ANSWER)
            check(place, store)

    def test_a_commit_of_which_nobody_knows_is_taken_back(
        self, place: Place, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        discard = store._discard

        def gone(*_: Any) -> None:
            raise StorageError("the database is gone")

        def keep(folder: PhotoFolder, *words: Any) -> None:
            monkeypatch.setattr(store, "_discard", gone)
            raise OSError(errno.EIO, "the disk is gone", "photo")

        monkeypatch.setattr(PhotoFolder, "write", keep)
        with pytest.raises(StorageError, match="disk"):
            store.add(photo(1), "dirty", ANSWER)
        with store.database.writing() as connection:  # as if it had been committed all the same
            connection.execute(update(FEEDBACK).values(state="stored"))
        with pytest.raises(StorageError):
            store.purge()
        monkeypatch.setattr(store, "_discard", discard)
        assert store.purge() == {"left": 1}
        assert store.all() == []
        assert store.purge() == {}

    def test_postgresql_that_is_gone_and_comes_back(
        self, postgres: Postgres, tmp_path: Path
    ) -> None:
        place = Place(postgres.new_database(), tmp_path / "photos")
        with place.store() as store:
            before = store.add(photo(1), "dirty", ANSWER)
            postgres.stop()
            works: tuple[Callable[[], Any], ...] = (
                lambda: store.add(photo(2), "dirty", ANSWER),
                lambda: store.delete(before.id),
                store.all,
                store.purge,
            )
            for work in works:
                with pytest.raises(StorageError, match=r"refused|terminat|closed|lost"):
                    work()
            assert place.files() == {before.photo}
            postgres.start()
            assert store.all() == [before]
            store.add(photo(2), "dirty", ANSWER)
            check(place, store)

    def test_a_restart_of_postgresql_that_nobody_saw(
        self, postgres: Postgres, tmp_path: Path
    ) -> None:
        place = Place(postgres.new_database(), tmp_path / "photos")
        with place.store() as store:
            store.add(photo(1), "dirty", ANSWER)
            postgres.stop()
            postgres.start()
            store.add(photo(2), "dirty", ANSWER)
            assert len(store.all()) == 2

    def test_postgresql_that_goes_in_the_middle_of_writing(
        self, postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = Place(postgres.new_database(), tmp_path / "photos")
        keep = PhotoFolder.write

        def stop_after(folder: PhotoFolder, *words: Any) -> None:
            keep(folder, *words)
            postgres.stop()

        with place.store() as store:
            monkeypatch.setattr(PhotoFolder, "write", stop_after)
            with pytest.raises(StorageError):
                store.add(photo(1), "dirty", ANSWER)
            assert len(place.files()) == 1
            postgres.start()
            with store.database.reading() as connection:
                assert [row.state for row in connection.execute(select(FEEDBACK))] == [PENDING]
            check(place, store)
            assert store.purge() == {"left": 1}  # though it is not stale: it was promised
            assert place.files() == set()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "platecheck-tests", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, check=False).returncode:
        pytest.skip("no small file system can be mounted here; the faults above are injected")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def _keep_and_break(folder: PhotoFolder, name: str, content: bytes, feedback: str) -> None:
    path = folder.path(name)
    path.parent.mkdir()
    path.write_bytes(content)
    raise OSError(errno.EIO, "broken", name)
