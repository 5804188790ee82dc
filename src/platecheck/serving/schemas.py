"""What the service answers, as OpenAPI describes it."""

import base64
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from platecheck.classifier import Classifier
from platecheck.model_info import Promise
from platecheck.serving.pool import Answered
from platecheck.serving.problems import ProblemDetails, problem_details
from platecheck.serving.settings import Settings

EXAMPLE: dict[str, JsonValue] = {
    "model": "plate-d6f84728625f",
    "milliseconds": 14.2,
    "photos": [
        {
            "name": "plate.jpg",
            "label": "dirty",
            "probability": 0.996,
            "probabilities": {"clean": 0.004, "dirty": 0.996},
            "needed": 0.616,
        },
        {
            "name": "bowl.jpg",
            "error": problem_details(422, "the file is cut short").model_dump(exclude_none=True),
        },
    ],
}


class PhotoAnswer(BaseModel):
    """The answer for one photo: `label` and what belongs to it, or `error`."""

    name: str = Field(description="of the file; 'photo' for a raw body")
    label: str | None = Field(default=None, description="a class, 'unsure' or 'not a dish'")
    probability: float | None = Field(
        default=None, ge=0, le=1, description="of the likeliest class"
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="of every class; sum to 1"
    )
    needed: float | None = Field(
        default=None,
        description="least probability that the likeliest class is said with; below: unsure",
    )
    evidence: str | None = Field(
        default=None,
        description="PNG as a data URL: dirt in colour, to stretch over the upright photo",
    )
    error: ProblemDetails | None = Field(default=None, description="why this photo has no answer")

    @classmethod
    def of(cls, name: str, answered: Answered) -> Self:
        found = answered.prediction
        if found.error:
            return cls(name=name, error=problem_details(422, found.error.reason))
        drawn = answered.png and base64.b64encode(answered.png).decode()
        return cls(
            name=name,
            label=found.label,
            probability=found.probability,
            probabilities=found.probabilities,
            needed=found.needed,
            evidence=f"data:image/png;base64,{drawn}" if drawn else None,
        )


class PredictAnswer(BaseModel):
    """The answers for the photos of one request, in their order."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    model: str = Field(description="id of the model that answered")
    milliseconds: float = Field(description="from the end of the upload to the answer")
    photos: list[PhotoAnswer]


class Limits(BaseModel):
    """What a request may hold."""

    photos: int
    photo_bytes: int
    request_bytes: int
    pixels: int
    seconds: float


class FeedbackOffer(BaseModel):
    """Whether feedback is taken."""

    on: bool
    days: int | None = Field(description="after which it is deleted; none where it is off")


class ModelAnswer(BaseModel):
    """What the model's file holds, and what this service does with it."""

    id: str
    recipe: str
    network: str
    classes: tuple[str, ...]
    size: int = Field(description="pixels of the square input")
    precision: str
    temperature: float
    thresholds: dict[str, float] = Field(description="least probability by class")
    oddness_limit: float | None = Field(description="above it: not a dish")
    promise: Promise | None = Field(description="what the thresholds keep")
    metrics: dict[str, dict[str, object]] = Field(description="by split, with 95 % intervals")
    gives_evidence: bool
    offline: bool = Field(description="whether /v1/model/file gives the file")
    feedback: FeedbackOffer
    limits: Limits

    @classmethod
    def of(cls, classifier: Classifier, settings: Settings) -> Self:
        shared = cls.model_fields.keys() & type(classifier.info).model_fields.keys()
        return cls(
            **{name: getattr(classifier.info, name) for name in shared},
            id=classifier.id,
            gives_evidence=classifier.gives_evidence,
            offline=settings.offline,
            feedback=FeedbackOffer(
                on=settings.feedback is not None,
                days=None if settings.feedback is None else settings.feedback_days,
            ),
            limits=Limits(
                photos=settings.max_photos,
                photo_bytes=settings.max_photo_bytes,
                request_bytes=settings.max_request_bytes,
                pixels=settings.max_pixels,
                seconds=settings.request_timeout,
            ),
        )


class Status(BaseModel):
    """The service is well."""

    status: str = "ok"
