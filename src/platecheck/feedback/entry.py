"""A feedback entry: the prediction for a photo and its true label."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO

from PIL import Image

from platecheck.photo import open_photo


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's prediction for a photo."""

    model: str  # id
    label: str  # class name, "unsure" or "not a dish"
    probabilities: Mapping[str, float]  # by class

    @property
    def probability(self) -> float:
        return max(self.probabilities.values(), default=0.0)


@dataclass(frozen=True, slots=True)
class Feedback:
    """A feedback entry, without its photo."""

    id: str  # secret; whoever knows it may delete the entry
    photo: str  # SHA-256 of the photo as it was sent
    true_label: str  # according to the user: a class, or "not a dish"
    answer: Answer  # of the service
    time: datetime  # of submission, in UTC
    key: str | None = None  # name of the API key used
    client: Answer | None = None  # of the user's device


def encode_photo(photo: bytes, max_side: int = 1024) -> bytes:
    """Re-encode a photo as an upright JPEG of at most `max_side` pixels, without metadata."""
    image, file = Image.fromarray(open_photo(photo)), BytesIO()
    image.thumbnail((max_side, max_side))
    image.save(file, "JPEG", quality=92)
    return file.getvalue()
