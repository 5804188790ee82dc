"""Killed at any moment, with others at work: a row and its photo, or neither."""

import random
from itertools import count, islice

import pytest
from feedback_fixtures.killed import Said, heard, many, one_of_each, some, start
from feedback_fixtures.places import ANSWER, Place, check, check_swept, is_whole, photo

from platecheck.feedback.store import Store

pytest_plugins = ["feedback_fixtures.fixtures"]


def test_killed_at_each_step_it_leaves_both_or_neither(place: Place) -> None:
    with place.store() as store:
        for die_at in count(1):
            first = store.add(photo(0), "clean", ANSWER).id
            process, connection = start(one_of_each, place, first, die_at)
            done = list(heard(connection))
            process.join()
            check(place, store)
            left = check_swept(place, store)
            check_kept(done, left)
            for each in left:
                store.delete(each)
            assert place.files() == set()
            if process.exitcode == 0:
                break
        assert die_at > 40


def test_killed_anywhere_while_others_work_it_leaves_both_or_neither(place: Place) -> None:
    chance = random.Random(4)
    with place.store() as store:
        for attempt in range(15):
            # Two fight for the same photos, the third has one of its own.
            workers = [
                start(many, place, 10 * attempt + number, photos)
                for number, photos in enumerate(([0, 1], [0, 1], [2]))
            ]
            done = []
            for process, connection in workers:
                done += list(islice(heard(connection), chance.randrange(1, 12)))
                process.kill()
            for process, connection in workers:
                done += list(heard(connection))  # what it had said before it was killed
                process.join()
            check(place, store)
            left = check_swept(place, store)
            check_kept(done, left)
            for each in left:
                store.delete(each)
            assert place.files() == set()


@pytest.mark.parametrize("photos", [[0], list(range(40))], ids=["same", "different"])
def test_many_write_and_delete_at_a_time(place: Place, photos: list[int]) -> None:
    with place.store() as store:
        workers = [start(some, place, number, photos, 40) for number in range(4)]
        looked = 0
        while any(process.is_alive() for process, _ in workers):
            look(place, store)
            looked += 1
        kept = {each for _, connection in workers for said in heard(connection) for each in said}
        assert [process.exitcode for process, _ in workers] == [0] * 4
        assert looked > 2
        check(place, store)
        assert {given.id for given in store.all()} == kept
        assert place.files() == {given.photo for given in store.all()}


def test_several_open_a_new_database_at_a_time(place: Place) -> None:
    workers = [start(some, place, number, [0], 1) for number in range(4)]
    kept = {each for _, connection in workers for said in heard(connection) for each in said}
    with place.store() as store:
        assert {given.id for given in store.all()} == kept
        assert len(kept) == 4


def look(place: Place, store: Store) -> None:
    """What is seen now has its photo, unless it is not seen any more."""
    for given in store.all():
        try:
            assert is_whole(place, given.photo)
        except FileNotFoundError:
            assert store.get(given.id) is None


def check_kept(done: list[Said], left: set[str]) -> None:
    """What was said to be kept is kept, and what was said to be deleted is gone."""
    said = {what: {each for which, each in done if which == what} for what, _ in done}
    assert said.get("added", set()) - said.get("deleting", set()) <= left
    assert not said.get("deleted", set()) & left
