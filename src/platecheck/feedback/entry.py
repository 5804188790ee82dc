"""One piece of feedback: what was answered for a photo, and what is right."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from platecheck.model_info import UNSURE


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said of a photo.

    Attributes:
        model: its id.
        label: a class, "unsure" or "not a dish".
        probabilities: of every class.
    """

    model: str
    label: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        return max(self.probabilities.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Feedback:
    """One piece of feedback.

    Attributes:
        id: nobody guesses it, so whoever knows it may delete this.
        photo: name of the photo in its folder, made of its content's hash.
        right: what is right, in its giver's word: a class, or "not a dish".
        answer: what the service said.
        time: when it was given, in UTC.
        key: name of the API key it was given with, if any.
        client: what the giver's device had said by itself, if it did.
    """

    id: str
    photo: str
    right: str
    answer: Answer
    time: datetime
    key: str | None = None
    client: Answer | None = None

    @property
    def disagrees(self) -> bool:
        """Whether the answer was wrong, in the giver's word; to be unsure is not to be wrong."""
        return self.answer.label not in (UNSURE, self.right)
