"""The paths for feedback: what was answered wrongly, and what is right."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Annotated, Any, Self

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from platecheck.feedback.entry import Answer, Feedback
from platecheck.model_info import NO_DISH
from platecheck.serving import metrics
from platecheck.serving.feedback_service import FeedbackService
from platecheck.serving.problems import ProblemError
from platecheck.serving.routes import FILE, answered, check_room, errors, form, guard
from platecheck.serving.service import Service
from platecheck.serving.uploads import read_form

Id = Annotated[str, Path(alias="id", pattern="^[0-9a-f]{32}$")]
FIELD, TEXTS = "photo", ("right", "consent", "answer")
OFF = {404: "This service keeps no feedback (--feedback)"}
NOT_FOUND = {404: "There is no such feedback, or this service keeps none"}
GONE = {503: "The database or the disk does not work: ask again after Retry-After seconds"}
_POST_ERRORS = {
    400: "The body is not a form",
    **OFF,
    408: "The body did not come in time",
    413: "More bytes than the limits allow",
    415: "The body is compressed",
    422: "A field is missing or makes no sense, or the photo cannot be opened",
    503: "Not stored: too much to do, or the database or the disk does not work",
}


def _body(labels: Sequence[str]) -> dict[str, Any]:
    fields = {
        FIELD: FILE,
        "right": {"type": "string", "enum": list(labels), "description": "what is right"},
        "consent": {
            "type": "string",
            "enum": ["true"],
            "description": "the photo may be kept, and looked at by people",
        },
        # OpenAPI: an object in a form is sent as JSON.
        "answer": {"$ref": "#/components/schemas/GivenAnswer"},
    }
    schema = form(fields, required=[FIELD, "right", "consent"])
    content = {"schema": schema, "encoding": {FIELD: {"contentType": "image/*"}}}
    return {"required": True, "content": {"multipart/form-data": content}}


class GivenAnswer(BaseModel):
    """What a model said of a photo."""

    model_config = ConfigDict(from_attributes=True)

    model: str = Field(max_length=200, description="id of the model")
    label: str = Field(max_length=200, description="a class, 'unsure' or 'not a dish'")
    probabilities: dict[
        Annotated[str, Field(max_length=200)], Annotated[float, Field(ge=0, le=1)]
    ] = Field(max_length=1000, description="of every class")


class GivenFeedback(BaseModel):
    """One piece of feedback, as it is kept."""

    id: str = Field(description="to delete it by; nobody guesses it")
    time: datetime
    expires: datetime = Field(description="it is deleted then")
    right: str = Field(description="what is right, in its giver's word")
    answer: GivenAnswer = Field(description="what this service says of the photo")
    client: GivenAnswer | None = Field(
        default=None, description="what the giver's device had said by itself"
    )

    @classmethod
    def of(cls, given: Feedback, days: int) -> Self:
        return cls(expires=given.time + timedelta(days=days), **asdict(given))


class FeedbackFacts(BaseModel):
    """What someone should know before giving feedback, and how much there is."""

    days: int = Field(description="after which it is deleted")
    kept: tuple[str, ...] = Field(
        default=("photo", "right", "answer", "time", "name of the API key"),
        description="of each piece of feedback; the photo exactly as it was sent",
    )
    labels: tuple[str, ...] = Field(description="what may be said to be right")
    stored: int = Field(description="pieces of feedback that are kept now")
    by_label: dict[str, int] = Field(description="of these, by what is right")


def feedback(
    service: Service, keys: Mapping[str, str] | None, keeper: FeedbackService | None
) -> APIRouter:
    """Routes for feedback.

    Args:
        service: answers the photos again, so that what is kept is what it says.
        keys: hashes of API keys by name; None: no key is asked for.
        keeper: keeps it; None: feedback is off.
    """
    guarded, no_key = guard(keys)
    router = APIRouter(dependencies=guarded, tags=["feedback"])
    labels = (*service.classifier.classes, NO_DISH)

    @router.post(
        "/v1/feedback",
        operation_id="createFeedback",
        summary="Send feedback",
        status_code=201,
        response_model_exclude_none=True,
        responses=errors({**_POST_ERRORS, **no_key}),
        openapi_extra={"requestBody": _body(labels)},
    )
    async def give(request: Request, response: Response) -> GivenFeedback:
        """Keep a photo, what is right of it, and what this service says of it.

        It was not kept unless the answer is 201.
        """
        kept = _on(keeper)
        with _counted(), service.uploads.share() as share:
            check_room(service)
            named, texts = await read_form(
                request.stream(), request.headers, service.settings, share, texts=TEXTS
            )
            right, client = _checked(texts, labels)
            found = (await answered(request, service, [named], counts=False))[0].prediction
            if found.error:
                raise ProblemError(422, found.error.reason)
            answer = Answer(service.classifier.id, found.label, found.probabilities or {})
            key = request.state.log.get("key")
            given = await kept.ask(
                lambda: kept.store.add(named[1], right, answer, key=key, client=client),
                "the feedback was not stored",
                undo=lambda given: kept.store.rollback(given.id),
            )
        metrics.FEEDBACK.labels("stored").inc()
        response.headers["Location"] = f"/v1/feedback/{given.id}"
        return GivenFeedback.of(given, kept.days)

    @router.get(
        "/v1/feedback",
        operation_id="describeFeedback",
        summary="Describe what is kept",
        responses=errors({**no_key, **OFF, **GONE}),
    )
    async def facts() -> FeedbackFacts:
        """For how long feedback is kept, and how much there is."""
        kept = _on(keeper)
        counts = await kept.ask(kept.store.counts, "the feedback cannot be counted")
        return FeedbackFacts(
            days=kept.days, labels=labels, stored=sum(counts.values()), by_label=counts
        )

    @router.get(
        "/v1/feedback/{id}",
        operation_id="getFeedback",
        summary="Return one piece of feedback",
        response_model_exclude_none=True,
        responses=errors({**no_key, **NOT_FOUND, 422: "This is no id", **GONE}),
    )
    async def get(feedback_id: Id) -> GivenFeedback:
        """One piece of feedback, without its photo."""
        kept = _on(keeper)
        found = await kept.ask(lambda: kept.store.get(feedback_id), "the feedback cannot be read")
        if found is None:
            raise _unknown()
        return GivenFeedback.of(found, kept.days)

    @router.delete(
        "/v1/feedback/{id}",
        operation_id="deleteFeedback",
        summary="Delete one piece of feedback",
        status_code=204,
        responses=errors({**no_key, **NOT_FOUND, 422: "This is no id", **GONE}),
    )
    async def delete(feedback_id: Id) -> None:
        """Delete one piece of feedback, and its photo unless another one has it too."""
        kept = _on(keeper)
        if not await kept.ask(
            lambda: kept.store.delete(feedback_id), "the feedback is not deleted yet"
        ):
            raise _unknown()
        metrics.FEEDBACK.labels("deleted").inc()

    return router


def _on(keeper: FeedbackService | None) -> FeedbackService:
    if keeper is None:
        raise ProblemError(404, "this service keeps no feedback")
    return keeper


def _unknown() -> ProblemError:
    return ProblemError(404, "there is no such feedback")


def _checked(texts: Mapping[str, str], labels: tuple[str, ...]) -> tuple[str, Answer | None]:
    if texts.get("consent") != "true":
        raise ProblemError(422, "without consent nothing is kept: send consent=true")
    right = texts.get("right")
    if right not in labels:
        raise ProblemError(422, f"right must be one of: {', '.join(labels)}")
    if "answer" not in texts:
        return right, None
    try:
        said = GivenAnswer.model_validate_json(texts["answer"])
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("answer", *map(str, first["loc"])))
        raise ProblemError(422, f"{where}: {first['msg']}") from error
    return right, Answer(**said.model_dump())


@contextmanager
def _counted() -> Iterator[None]:
    try:
        yield
    except ProblemError as error:
        metrics.FEEDBACK.labels("refused" if error.status_code < 500 else "failed").inc()
        raise
