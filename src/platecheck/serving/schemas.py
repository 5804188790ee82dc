"""Response models of the API."""

import base64
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from platecheck.classifier import Classifier
from platecheck.model_info import ErrorGuarantee
from platecheck.serving.problems import ProblemDetails, problem_details
from platecheck.serving.service import Result
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


class PhotoPrediction(BaseModel):
    """Prediction for one photo, or the `error` that prevented it."""

    name: str = Field(description="file name; 'photo' for a raw body")
    label: str | None = Field(default=None, description="class name, 'unsure' or 'not a dish'")
    probability: float | None = Field(
        default=None, ge=0, le=1, description="probability of the most probable class"
    )
    probabilities: dict[str, float] | None = Field(
        default=None, description="probability of each class; they sum to 1"
    )
    needed: float | None = Field(
        default=None,
        description="threshold for the most probable class; below it, the label is 'unsure'",
    )
    evidence: str | None = Field(
        default=None,
        description="heatmap of the dirt as a PNG data URL, to overlay on the upright photo",
    )
    error: ProblemDetails | None = Field(default=None, description="why there is no prediction")

    @classmethod
    def of(cls, name: str, result: Result) -> Self:
        prediction = result.prediction
        if prediction.error:
            return cls(name=name, error=problem_details(422, prediction.error.reason))
        png = result.png and base64.b64encode(result.png).decode()
        return cls(
            name=name,
            label=prediction.label,
            probability=prediction.probability,
            probabilities=prediction.probabilities,
            needed=prediction.threshold,
            evidence=f"data:image/png;base64,{png}" if png else None,
        )


class PredictResponse(BaseModel):
    """Predictions for the photos of a request, in the order sent."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    model: str = Field(description="model id")
    milliseconds: float = Field(description="time from the end of the upload to the response")
    photos: list[PhotoPrediction]


class Limits(BaseModel):
    """Request limits."""

    photos: int
    photo_bytes: int
    request_bytes: int
    pixels: int
    seconds: float


class FeedbackStatus(BaseModel):
    """Whether feedback is accepted."""

    on: bool
    days: int | None = Field(description="retention in days; null if feedback is off")


class ModelMetadata(BaseModel):
    """Model metadata and limits of the service."""

    id: str
    recipe: str
    network: str
    classes: tuple[str, ...]
    size: int = Field(description="side of the square input in pixels")
    precision: str
    temperature: float
    thresholds: dict[str, float] = Field(description="minimum probability by class")
    oddness_limit: float | None = Field(
        description="out-of-distribution threshold; above it, the label is 'not a dish'"
    )
    promise: ErrorGuarantee | None = Field(description="error guarantee of the thresholds")
    metrics: dict[str, dict[str, object]] = Field(
        description="metrics by split, with 95 % confidence intervals"
    )
    gives_evidence: bool
    offline: bool = Field(description="whether /v1/model/file is available")
    feedback: FeedbackStatus
    limits: Limits

    @classmethod
    def of(cls, classifier: Classifier, settings: Settings) -> Self:
        info = classifier.info.model_dump()
        return cls(
            **{name: info[name] for name in cls.model_fields.keys() & info.keys()},
            id=classifier.id,
            gives_evidence=classifier.has_heatmap,
            offline=settings.offline,
            feedback=FeedbackStatus(
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
    """Health status."""

    status: str = "ok"
