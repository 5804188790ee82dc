"""Processes are killed at any moment, and databases and disks fail: nothing is left half-way."""

import random
import subprocess
from collections.abc import Callable
from datetime import timedelta
from itertools import count, islice
from pathlib import Path
from typing import Any

import pytest
from feedback_fixtures.killed import Said, add_and_delete, add_and_delete_randomly, received, start
from feedback_fixtures.places import ANSWER, Place, check, photo
from feedback_fixtures.postgres import Postgres

from platecheck.errors import StorageError
from platecheck.feedback.database import Database
from platecheck.feedback.entry import Feedback
from platecheck.feedback.store import Store

pytest_plugins = ["feedback_fixtures.fixtures"]

YEAR = timedelta(days=365)


def check_and_empty(store: Store, done: list[Said]) -> None:
    """Check that what was acknowledged as stored is stored, and as deleted, gone."""
    left = check(store)
    said = {what: {each for which, each in done if which == what} for what, _ in done}
    assert said.get("added", set()) - said.get("deleting", set()) <= left
    assert not said.get("deleted", set()) & left
    for each in left:
        store.delete(each)


@pytest.mark.slow
def test_store_killed_at_each_step_keeps_what_was_acknowledged(place: Place, store: Store) -> None:
    for die_at in count(1):
        first = store.add(photo(0), "clean", ANSWER)
        store.decide(first.photo, "Ann", "clean")
        process, connection = start(add_and_delete, place, first.id, die_at)
        done = list(received(connection))
        process.join()
        check_and_empty(store, done)
        if process.exitcode == 0:
            break
    assert die_at > 15


@pytest.mark.slow
def test_store_killed_among_other_writers_keeps_what_was_acknowledged(
    place: Place, store: Store
) -> None:
    chance = random.Random(4)
    for attempt in range(8):
        workers = [
            start(add_and_delete_randomly, place, 10 * attempt + number, photos, 10**6)
            for number, photos in enumerate(([0, 1], [0, 1], [2]))
        ]
        done = []
        for process, connection in workers:
            done += list(islice(received(connection), chance.randrange(1, 12)))
            process.kill()
        for process, connection in workers:
            done += list(received(connection))  # sent before the kill
            process.join()
        check_and_empty(store, done)
    assert check(store) == set()


def test_store_with_many_writers_loses_nothing(place: Place) -> None:
    # The processes also create the tables at the same time.
    workers = [start(add_and_delete_randomly, place, number, [0, 1], 20) for number in range(4)]
    done: list[Said] = [said for _, connection in workers for said in received(connection)]
    for process, _ in workers:
        process.join()
        assert process.exitcode == 0
    with place.store() as store:
        added, deleted = ({each for what, each in done if what == w} for w in ("added", "deleted"))
        assert check(store) == added - deleted


def fill(store: Store) -> list[Feedback]:
    kept = []
    with pytest.raises(StorageError, match="full"):
        kept.extend(store.add(photo(number % 50), "dirty", ANSWER) for number in range(1000))
    assert len(kept) > 8
    assert store.all() == kept
    assert check(store) == {entry.id for entry in kept}
    return kept


def test_store_on_full_disk_still_deletes(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platecheck.feedback.database.RESERVE", 2**20)
    with Place(f"sqlite:///{small_disk}/feedback.db").store() as store:
        kept = fill(store)
        assert store.delete(kept[0].id)
        assert store.purge(-YEAR) == len(kept) - 1
        added = store.add(photo(0), "dirty", ANSWER)
        assert check(store) == {added.id}


def test_store_on_disk_without_reserve_continues_once_there_is_space(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platecheck.feedback.database.RESERVE", 0)
    with Place(f"sqlite:///{small_disk}/feedback.db").store() as store:
        kept = fill(store)
        subprocess.run(["mount", "-o", "remount,size=6m", str(small_disk)], check=True)
        added = store.add(photo(0), "dirty", ANSWER)
        assert check(store) == {*(entry.id for entry in kept), added.id}


def test_store_with_unknown_outcome_of_commit_discards_the_entry(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing = store.database.writing

    class Disconnected:
        """Commits the first transaction but loses the answer; then there is no connection."""

        def __init__(self, **_: Any) -> None:
            self.block = writing()

        def __enter__(self) -> Any:
            return self.block.__enter__()

        def __exit__(self, *error: Any) -> None:
            self.block.__exit__(None, None, None)
            monkeypatch.setattr(store.database, "writing", unavailable)
            raise StorageError("the connection is lost")

    def unavailable(**_: Any) -> Any:
        raise StorageError("the database is gone")

    monkeypatch.setattr(store.database, "writing", Disconnected)
    with pytest.raises(StorageError, match="lost"):
        store.add(photo(1), "dirty", ANSWER)
    assert len(store.all()) == 1
    with pytest.raises(StorageError, match="gone"):
        store.purge(YEAR)
    monkeypatch.undo()
    assert store.purge(YEAR) == 0
    assert store.all() == []


def test_store_without_postgresql_recovers_when_it_returns(postgres: Postgres) -> None:
    with Place(postgres.new_database()).store() as store:
        before = store.add(photo(1), "dirty", ANSWER)
        postgres.stop()
        calls: tuple[Callable[[], Any], ...] = (
            lambda: store.add(photo(2), "dirty", ANSWER),
            lambda: store.delete(before.id),
            store.all,
            lambda: store.purge(YEAR),
        )
        for call in calls:
            with pytest.raises(StorageError, match=r"refused|terminat|closed|lost"):
                call()
        postgres.start()
        assert store.all() == [before]
        postgres.stop()
        postgres.start()  # unnoticed by the store
        after = store.add(photo(2), "dirty", ANSWER)
        assert check(store) == {before.id, after.id}


def test_database_locked_by_another_process_raises_storage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platecheck.feedback.database.TIMEOUT", 0.1)
    place = Place(f"sqlite:///{tmp_path}/f.db")
    with place.store() as store, Database(place.url).writing():
        with pytest.raises(StorageError, match="locked"):
            store.delete("0" * 32)
        with pytest.raises(StorageError, match="locked"):
            store.database.run_sqlite_script("VACUUM")
