"""People go through the photos and decide what is right; each decides without the others."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, insert, select

from platecheck.feedback.entry import Answer, Feedback
from platecheck.feedback.schema import FEEDBACK, REVIEW, STORED
from platecheck.feedback.store import Store
from platecheck.model_info import NO_DISH

Decisions = dict[str, dict[str, str]]
"""What each reviewer decided, by photo and by the reviewer's name."""


@dataclass(frozen=True, slots=True)
class Item:
    """A photo's name, and all the feedback that was given on it, the oldest first."""

    photo: str
    given: tuple[Feedback, ...]

    @property
    def disputed(self) -> bool:
        """Whether someone said that the answer was wrong."""
        return any(each.disagrees for each in self.given)

    @property
    def answer(self) -> Answer:
        return self.given[-1].answer


class Reviews:
    """What reviewers decide of a store's photos."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def items(self) -> list[Item]:
        """Every photo once: first those whose answer was called wrong, then the least sure."""
        by_photo: dict[str, list[Feedback]] = {}
        for given in self.store.all():
            by_photo.setdefault(given.photo, []).append(given)
        items = [Item(photo, tuple(given)) for photo, given in by_photo.items()]
        return sorted(
            items, key=lambda item: (not item.disputed, item.answer.probability, item.photo)
        )

    def decisions(self) -> Decisions:
        found: Decisions = {}
        with self.store.database.reading() as connection:
            for row in connection.execute(select(REVIEW).order_by(REVIEW.c.reviewer)):
                found.setdefault(row.photo, {})[row.reviewer] = row.label
        return found

    def decide(self, photo: str, reviewer: str, label: str) -> bool:
        """Keep a decision, instead of an earlier one of the same reviewer.

        Returns:
            Whether the photo is there.
        """
        with self.store.database.writing(lock=photo) as connection:
            kept = (FEEDBACK.c.photo == photo) & (FEEDBACK.c.state == STORED)
            if not connection.execute(select(FEEDBACK.c.id).where(kept).limit(1)).first():
                return False
            connection.execute(delete(REVIEW).where(_of(photo, reviewer)))
            time = datetime.now(UTC).replace(tzinfo=None)
            connection.execute(
                insert(REVIEW).values(photo=photo, reviewer=reviewer, label=label, time=time)
            )
        return True

    def undo(self, photo: str, reviewer: str) -> None:
        with self.store.database.writing(lock=photo) as connection:
            connection.execute(delete(REVIEW).where(_of(photo, reviewer)))


def labels(items: list[Item]) -> tuple[str, ...]:
    """What may be decided: the classes that answers and feedback know, then "not a dish"."""
    classes = {
        name
        for item in items
        for each in item.given
        for name in (*each.answer.probabilities, each.right)
    }
    return (*sorted(classes - {NO_DISH}), NO_DISH)


def _of(photo: str, reviewer: str) -> ColumnElement[bool]:
    return (REVIEW.c.photo == photo) & (REVIEW.c.reviewer == reviewer)
