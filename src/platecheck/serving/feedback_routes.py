"""Routes for feedback on predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from platecheck.errors import PhotoError
from platecheck.feedback.entry import Answer, Feedback
from platecheck.model_info import NO_DISH
from platecheck.serving import observability as metrics
from platecheck.serving.feedback_service import FeedbackService
from platecheck.serving.problems import ProblemError
from platecheck.serving.routes import FILE, classify, errors, form
from platecheck.serving.service import Service
from platecheck.serving.uploads import read_form

Id = Annotated[str, Path(alias="id", pattern="^[0-9a-f]{32}$")]
FIELD, TEXTS = "photo", ("right", "consent", "answer")
OFF = "Feedback is disabled (--feedback)"
UNAVAILABLE = "Storage unavailable: retry after Retry-After seconds"
_ID_ERRORS = {
    404: "No such feedback, or feedback is disabled",
    422: "Invalid id",
    503: UNAVAILABLE,
}
_POST_ERRORS = {
    400: "The body is not a form",
    404: OFF,
    408: "The upload timed out",
    413: "Too many bytes",
    415: "The body is compressed",
    422: "A field is missing or invalid, or the photo is unreadable",
    503: "Not stored: overloaded, or storage unavailable",
}


def form_body(classes: Sequence[str]) -> dict[str, Any]:
    """Describe the request body for OpenAPI only, like `routes.predict_body`."""
    fields = {
        FIELD: FILE,
        "right": {"type": "string", "enum": [*classes, NO_DISH], "description": "the true label"},
        "consent": {
            "type": "string",
            "enum": ["true"],
            "description": "consent to store the photo and have people review it",
        },
        # OpenAPI sends objects in forms as JSON.
        "answer": {"$ref": "#/components/schemas/FeedbackAnswer"},
    }
    schema = form(fields, required=[FIELD, "right", "consent"])
    content = {"schema": schema, "encoding": {FIELD: {"contentType": "image/*"}}}
    return {"required": True, "content": {"multipart/form-data": content}}


class FeedbackAnswer(BaseModel):
    """A model's prediction for a photo."""

    model_config = ConfigDict(from_attributes=True)

    model: str = Field(max_length=200, description="model id")
    label: str = Field(max_length=200, description="class name, 'unsure' or 'not a dish'")
    probabilities: dict[
        Annotated[str, Field(max_length=200)], Annotated[float, Field(ge=0, le=1)]
    ] = Field(max_length=1000, description="probability of each class")


class FeedbackEntry(BaseModel):
    """A stored feedback entry."""

    id: str = Field(description="secret id, needed to delete the entry")
    time: datetime
    expires: datetime = Field(description="time of automatic deletion")
    right: str = Field(description="true label, according to the user")
    answer: FeedbackAnswer = Field(description="prediction of this service")
    client: FeedbackAnswer | None = Field(default=None, description="prediction made on the device")

    @classmethod
    def of(cls, given: Feedback, days: int) -> Self:
        fields = asdict(given)
        return cls(
            expires=given.time + timedelta(days=days), right=fields.pop("true_label"), **fields
        )


class FeedbackInfo(BaseModel):
    """Retention policy and number of stored entries."""

    days: int = Field(description="retention in days")
    kept: tuple[str, ...] = Field(
        default=("photo", "right", "answer", "time", "name of the API key"),
        description="what is stored of each entry; the photo reduced and without metadata",
    )
    labels: tuple[str, ...] = Field(description="allowed labels")
    stored: int = Field(description="number of stored entries")
    by_label: dict[str, int] = Field(description="number of stored entries by true label")


router = APIRouter(tags=["feedback"])


@router.post(
    "/v1/feedback",
    operation_id="createFeedback",
    summary="Submit feedback",
    status_code=201,
    response_model_exclude_none=True,
    responses=errors(_POST_ERRORS),
)
async def create(request: Request, response: Response) -> FeedbackEntry:
    """Store a photo with its true label and the prediction of this service.

    Nothing is stored unless the status is 201.
    """
    feedback = _enabled(request)
    service: Service = request.app.state.service
    with _count_errors(), service.uploads.reserve() as memory:
        service.check_capacity()
        (_, photo), texts = await read_form(
            request.stream(), request.headers, service.settings, memory, texts=TEXTS
        )
        true_label, client = _parse(texts, _labels(request))
        (result,) = await classify(request, [("photo", photo)], record=False)
        prediction = result.prediction
        if prediction.error:
            raise ProblemError(422, prediction.error.reason)
        answer = Answer(service.classifier.id, prediction.label, prediction.probabilities or {})
        key = request.state.log.get("key")
        try:
            entry = await feedback.run_blocking(
                lambda: feedback.store.add(photo, true_label, answer, key=key, client=client),
                "the feedback was not stored",
                undo=lambda entry: feedback.store.discard(entry.id),
            )
        except PhotoError as error:  # corruption that reduced-scale decoding did not reach
            raise ProblemError(422, error.reason) from error
    metrics.FEEDBACK.labels("stored").inc()
    response.headers["Location"] = f"/v1/feedback/{entry.id}"
    return FeedbackEntry.of(entry, feedback.days)


@router.get(
    "/v1/feedback",
    operation_id="describeFeedback",
    summary="Get feedback policy",
    responses=errors({404: OFF, 503: UNAVAILABLE}),
)
async def info(request: Request) -> FeedbackInfo:
    """Return how long feedback is stored, and how many entries there are."""
    feedback = _enabled(request)
    counts = await feedback.run_blocking(feedback.store.counts, "the feedback cannot be counted")
    return FeedbackInfo(
        days=feedback.days, labels=_labels(request), stored=sum(counts.values()), by_label=counts
    )


@router.get(
    "/v1/feedback/{id}",
    operation_id="getFeedback",
    summary="Get feedback",
    response_model_exclude_none=True,
    responses=errors(_ID_ERRORS),
)
async def get(request: Request, feedback_id: Id) -> FeedbackEntry:
    """Return a feedback entry, without its photo."""
    feedback = _enabled(request)
    entry = await feedback.run_blocking(
        lambda: feedback.store.get(feedback_id), "the feedback cannot be read"
    )
    if entry is None:
        raise ProblemError(404, "no such feedback")
    return FeedbackEntry.of(entry, feedback.days)


@router.delete(
    "/v1/feedback/{id}",
    operation_id="deleteFeedback",
    summary="Delete feedback",
    status_code=204,
    responses=errors(_ID_ERRORS),
)
async def delete(request: Request, feedback_id: Id) -> None:
    """Delete a feedback entry and its photo."""
    feedback = _enabled(request)
    if not await feedback.run_blocking(
        lambda: feedback.store.delete(feedback_id), "the feedback is not deleted yet"
    ):
        raise ProblemError(404, "no such feedback")
    metrics.FEEDBACK.labels("deleted").inc()


def _enabled(request: Request) -> FeedbackService:
    feedback: FeedbackService | None = request.app.state.feedback
    if feedback is None:
        raise ProblemError(404, "feedback is disabled")
    return feedback


def _labels(request: Request) -> tuple[str, ...]:
    return (*request.app.state.service.classifier.classes, NO_DISH)


def _parse(texts: Mapping[str, str], labels: tuple[str, ...]) -> tuple[str, Answer | None]:
    if texts.get("consent") != "true":
        raise ProblemError(422, "consent is required: send consent=true")
    true_label = texts.get("right")
    if true_label not in labels:
        raise ProblemError(422, f"right must be one of: {', '.join(labels)}")
    if "answer" not in texts:
        return true_label, None
    try:
        client = FeedbackAnswer.model_validate_json(texts["answer"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("answer", *map(str, first["loc"])))
        raise ProblemError(422, f"{where}: {first['msg']}") from error
    return true_label, Answer(**client.model_dump())


@contextmanager
def _count_errors() -> Iterator[None]:
    try:
        yield
    except ProblemError as error:
        metrics.FEEDBACK.labels("refused" if error.status_code < 500 else "failed").inc()
        raise
