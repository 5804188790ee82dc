"""Reviewers' decisions, in SQLite and in PostgreSQL."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
from feedback_fixtures.places import ANSWER, Place, photo

from platecheck.feedback.entry import Answer
from platecheck.feedback.reviews import Reviews, labels

pytest_plugins = ["feedback_fixtures.fixtures"]


@pytest.fixture
def reviews(place: Place) -> Iterator[Reviews]:
    with place.store() as store:
        yield Reviews(store)


def answer(label: str, probability: float) -> Answer:
    other = "dirty" if label == "clean" else "clean"
    return Answer("m", label, {label: probability, other: 1 - probability})


def test_what_was_called_wrong_comes_first_then_what_is_unsure(reviews: Reviews) -> None:
    add = reviews.store.add
    wrong = [
        add(photo(1), "dirty", answer("clean", 0.9)),
        add(photo(2), "not a dish", answer("dirty", 0.7)),
    ]
    unsure = Answer("m", "unsure", {"clean": 0.55, "dirty": 0.45})
    others = [
        add(photo(3), "clean", answer("clean", 0.8)),
        add(photo(4), "dirty", unsure),  # to be unsure is not to be wrong
        add(photo(5), "clean", answer("clean", 0.99)),
    ]
    photos = [item.photo for item in reviews.queue()]
    assert photos == [wrong[1].photo, wrong[0].photo, *(others[at].photo for at in (1, 0, 2))]


def test_a_photo_is_reviewed_once_however_often_it_was_given(reviews: Reviews) -> None:
    one = reviews.store.add(photo(1), "clean", answer("clean", 0.9))
    two = reviews.store.add(photo(1), "dirty", answer("clean", 0.9))
    (item,) = reviews.queue()
    assert item.feedback == (one, two)
    assert item.disputed
    assert labels([item]) == ("clean", "dirty", "not a dish")


def test_decisions_are_each_reviewers_own(reviews: Reviews) -> None:
    name = reviews.store.add(photo(1), "dirty", ANSWER).photo
    assert reviews.decide(name, "Ann", "clean")
    assert reviews.decide(name, "Олена", "dirty")
    assert reviews.decide(name, "Ann", "not a dish")  # on second thoughts
    assert reviews.decisions() == {name: {"Ann": "not a dish", "Олена": "dirty"}}
    reviews.undo(name, "Ann")
    reviews.undo(name, "Bo")
    assert reviews.decisions() == {name: {"Олена": "dirty"}}


def test_decisions_go_with_the_last_of_a_photos_feedback(reviews: Reviews) -> None:
    one, two = (reviews.store.add(photo(1), right, ANSWER) for right in ("clean", "dirty"))
    reviews.decide(one.photo, "Ann", "clean")
    reviews.store.delete(one.id)
    assert reviews.decisions() == {one.photo: {"Ann": "clean"}}
    reviews.store.delete(two.id)
    assert reviews.decisions() == {}
    assert not reviews.decide(one.photo, "Ann", "clean")
    assert reviews.decisions() == {}


def test_many_decide_at_a_time(place: Place, reviews: Reviews) -> None:
    names = [reviews.store.add(photo(number), "dirty", ANSWER).photo for number in range(5)]
    reviewers = ["Ann", "Bo", "Cy"]
    with place.store() as other, ThreadPoolExecutor(6) as pool:
        both = [reviews, Reviews(other)]
        work = [
            pool.submit(each.decide, name, reviewer, "clean")
            for each, name, reviewer in product(both, names, reviewers)
        ]
        assert all(done.result() for done in work)
    assert reviews.decisions() == {name: dict.fromkeys(reviewers, "clean") for name in names}
