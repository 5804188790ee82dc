"""Independent review of feedback photos by several people."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, delete, insert, select

from platecheck.feedback.entry import Answer, Feedback
from platecheck.feedback.schema import FEEDBACK, REVIEW, STORED
from platecheck.feedback.store import Store
from platecheck.model_info import NO_DISH

Decisions = dict[str, dict[str, str]]
"""Labels by photo and reviewer."""


@dataclass(frozen=True, slots=True)
class Item:
    """A photo and all feedback on it, oldest first."""

    photo: str
    feedback: tuple[Feedback, ...]

    @property
    def disputed(self) -> bool:
        """Whether a user considers the prediction wrong."""
        return any(each.disagrees for each in self.feedback)

    @property
    def answer(self) -> Answer:
        return self.feedback[-1].answer


class Reviews:
    """Review decisions on the photos of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def queue(self) -> list[Item]:
        """Return each photo once: disputed predictions first, then by ascending probability."""
        by_photo: dict[str, list[Feedback]] = {}
        for entry in self.store.all():
            by_photo.setdefault(entry.photo, []).append(entry)
        items = [Item(photo, tuple(entries)) for photo, entries in by_photo.items()]
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
        """Store a decision, replacing an earlier one of the same reviewer.

        Returns:
            Whether the photo exists.
        """
        with self.store.database.writing(lock=photo) as connection:
            stored = (FEEDBACK.c.photo == photo) & (FEEDBACK.c.state == STORED)
            if not connection.execute(select(FEEDBACK.c.id).where(stored).limit(1)).first():
                return False
            connection.execute(delete(REVIEW).where(_matches(photo, reviewer)))
            time = datetime.now(UTC).replace(tzinfo=None)
            connection.execute(
                insert(REVIEW).values(photo=photo, reviewer=reviewer, label=label, time=time)
            )
        return True

    def undo(self, photo: str, reviewer: str) -> None:
        with self.store.database.writing(lock=photo) as connection:
            connection.execute(delete(REVIEW).where(_matches(photo, reviewer)))


def labels(items: list[Item]) -> tuple[str, ...]:
    """Return the labels to choose from: all known classes, then "not a dish"."""
    classes = {
        name
        for item in items
        for each in item.feedback
        for name in (*each.answer.probabilities, each.true_label)
    }
    return (*sorted(classes - {NO_DISH}), NO_DISH)


def _matches(photo: str, reviewer: str) -> ColumnElement[bool]:
    return (REVIEW.c.photo == photo) & (REVIEW.c.reviewer == reviewer)
