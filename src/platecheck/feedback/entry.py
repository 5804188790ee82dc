"""A feedback entry: the prediction for a photo and its true label."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from platecheck.model_info import UNSURE


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's prediction for a photo.

    Attributes:
        model: id of the model.
        label: class name, "unsure" or "not a dish".
        probabilities: probability by class.
    """

    model: str
    label: str
    probabilities: Mapping[str, float]

    @property
    def probability(self) -> float:
        return max(self.probabilities.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback entry.

    Attributes:
        id: secret; whoever knows it may delete the entry.
        photo: name of the photo in its folder, derived from its hash.
        true_label: label according to the user: a class, or "not a dish".
        answer: prediction of the service.
        time: time of submission, in UTC.
        key: name of the API key used, if any.
        client: prediction made on the user's device, if any.
    """

    id: str
    photo: str
    true_label: str
    answer: Answer
    time: datetime
    key: str | None = None
    client: Answer | None = None

    @property
    def disagrees(self) -> bool:
        """Whether the user considers the prediction wrong; "unsure" is not wrong."""
        return self.answer.label not in (UNSURE, self.true_label)
