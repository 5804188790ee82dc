"""A feedback entry: the prediction for a photo and its true label."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from PIL import Image

from platecheck.model_info import UNSURE
from platecheck.photo import open_photo


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
    """A feedback entry, without its photo.

    Attributes:
        id: secret; whoever knows it may delete the entry.
        photo: SHA-256 of the photo as it was sent.
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


def encode_photo(photo: bytes, max_side: int = 1024) -> bytes:
    """Re-encode a photo as an upright JPEG of at most `max_side` pixels, without metadata."""
    image, file = Image.fromarray(open_photo(photo)), BytesIO()
    image.thumbnail((max_side, max_side))
    image.save(file, "JPEG", quality=92)
    return file.getvalue()
