"""Response models of the API."""

import base64
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from platecheck.classifier import Classifier
from platecheck.detector import Detector
from platecheck.model_info import ErrorGuarantee
from platecheck.serving.problems import ProblemDetails, problem_details
from platecheck.serving.service import InspectionResult, Result
from platecheck.serving.settings import Settings

EXAMPLE: dict[str, JsonValue] = {
    "model": "plate-0c7243870faf",
    "milliseconds": 14.2,
    "photos": [
        {
            "name": "plate.jpg",
            "label": "dirty",
            "probability": 0.996,
            "probabilities": {"clean": 0.004, "dirty": 0.996},
            "quality": "ok",
            "needed": 0.936,
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
    quality: str | None = Field(
        default=None,
        description="'ok', or why a clean dish is 'unsure': 'too dark', 'too blurred'…",
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
        return cls(
            name=name,
            label=prediction.label,
            probability=prediction.probability,
            probabilities=prediction.probabilities,
            quality=prediction.quality,
            needed=prediction.threshold,
            evidence=_data_url(result.png),
        )


class PredictResponse(BaseModel):
    """Predictions for the photos of a request, in the order sent."""

    model_config = ConfigDict(json_schema_extra={"example": EXAMPLE})

    model: str = Field(description="model id")
    milliseconds: float = Field(description="time from the end of the upload to the response")
    photos: list[PhotoPrediction]


class InspectedDish(BaseModel):
    """One dish in a photo."""

    box: tuple[float, float, float, float] = Field(
        description="left, top, right, bottom of the visible part, in pixels of the upright photo"
    )
    score: float = Field(ge=0, le=1, description="how sure the detector is")
    label: str = Field(description="class name or 'unsure'")
    probability: float = Field(ge=0, le=1, description="probability of the most probable class")
    probabilities: dict[str, float] = Field(description="probability of each class; they sum to 1")
    quality: str = Field(description="'ok', or why a clean dish is 'unsure'")
    needed: float = Field(description="threshold for the most probable class")
    crop: tuple[float, float, float, float] = Field(
        description="part of the photo that was classified, which the heatmap covers"
    )
    heatmap: str | None = Field(
        default=None, description="heatmap of the dirt as a PNG data URL, to overlay on the crop"
    )


class PhotoInspection(BaseModel):
    """The dishes in one photo, or the `error` that prevented it."""

    name: str = Field(description="file name; 'photo' for a raw body")
    photo: str = Field(description="same as `name`, as in `platecheck inspect --json`")
    width: int | None = Field(default=None, description="of the upright photo in pixels")
    height: int | None = Field(default=None, description="likewise")
    verdict: str | None = Field(
        default=None, description="'dirty', 'unsure', 'clean' (every dish is), or 'no dish'"
    )
    counts: dict[str, int] | None = Field(default=None, description="number of dishes by label")
    dishes: list[InspectedDish] | None = Field(default=None, description="surest detection first")
    quality: str | None = Field(
        default=None, description="'ok', or why a dish, or the photo, cannot be judged"
    )
    error: ProblemDetails | None = Field(default=None, description="why there is no inspection")

    @classmethod
    def of(cls, name: str, result: InspectionResult) -> Self:
        found = result.inspection
        if found.error:
            problem = problem_details(422, found.error.reason)
            return cls(name=name, photo=name, error=problem)
        dishes = [
            InspectedDish(
                **dish.as_dict(),
                quality=dish.quality,
                needed=dish.prediction.threshold,
                crop=dish.crop,
                heatmap=_data_url(png),
            )
            for dish, png in zip(found.dishes, result.pngs, strict=True)
        ]
        return cls(**{**found.as_dict(), "name": name, "photo": name, "dishes": dishes})


def _data_url(png: bytes | None) -> str | None:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}" if png else None


INSPECTION_EXAMPLE: dict[str, JsonValue] = {
    "model": "plate-0c7243870faf",
    "detector": "dishes-0f1e2d3c4b5a",
    "milliseconds": 38.5,
    "photos": [
        {
            "name": "rack.jpg",
            "photo": "rack.jpg",
            "width": 1600,
            "height": 1200,
            "verdict": "dirty",
            "counts": {"clean": 0, "dirty": 1, "unsure": 0},
            "dishes": [
                {
                    "box": [210.5, 340.0, 690.0, 802.5],
                    "score": 0.91,
                    "label": "dirty",
                    "probability": 0.996,
                    "probabilities": {"clean": 0.004, "dirty": 0.996},
                    "quality": "ok",
                    "needed": 0.936,
                    "crop": [172.1, 303.0, 728.4, 839.5],
                }
            ],
            "quality": "ok",
        },
        {
            "name": "sink.jpg",
            "photo": "sink.jpg",
            "error": problem_details(422, "the file is cut short").model_dump(exclude_none=True),
        },
    ],
}


class InspectResponse(BaseModel):
    """Inspections of the photos of a request, in the order sent."""

    model_config = ConfigDict(json_schema_extra={"example": INSPECTION_EXAMPLE})

    model: str = Field(description="model id")
    detector: str = Field(description="detector id")
    milliseconds: float = Field(description="time from the end of the upload to the response")
    photos: list[PhotoInspection]


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


class DetectorMetadata(BaseModel):
    """What a device needs to find dishes by itself."""

    id: str
    size: int = Field(description="side of the square input in pixels")
    threshold: float = Field(description="minimum score of a dish")
    nms_iou: float = Field(description="of boxes that overlap more, only the best is kept")


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
    quality_check: bool = Field(description="whether poor photos are 'unsure' instead of clean")
    detector: DetectorMetadata | None = Field(
        description="finds the dishes; null if /v1/inspect is not available"
    )
    offline: bool = Field(description="whether /v1/model/file is available")
    feedback: FeedbackStatus
    limits: Limits

    @classmethod
    def of(cls, classifier: Classifier, detector: Detector | None, settings: Settings) -> Self:
        info = classifier.info.model_dump()
        return cls(
            **{name: info[name] for name in cls.model_fields.keys() & info.keys()},
            id=classifier.id,
            gives_evidence=classifier.has_heatmap,
            detector=DetectorMetadata(id=detector.id, **detector.info.model_dump())
            if detector
            else None,
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
