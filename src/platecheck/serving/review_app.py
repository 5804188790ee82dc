"""The review page: ASGI application and its server on the loopback interface."""

import contextlib
import signal
import socket
import sys
from collections import Counter
from collections.abc import Callable
from typing import Annotated

import uvicorn
from fastapi import APIRouter, Body, Depends, FastAPI, Query
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from platecheck.errors import SettingsError, StorageError
from platecheck.feedback.entry import encode_photo
from platecheck.feedback.reviews import Agreement, agreements, known_labels, review_queue
from platecheck.feedback.store import Store
from platecheck.serving.middleware import (
    LOCAL_NAMES,
    HostOriginMiddleware,
    RequestContextMiddleware,
    TimeoutMiddleware,
)
from platecheck.serving.observability import log_config
from platecheck.serving.problems import ProblemError, add_error_handlers, problem_response
from platecheck.serving.static import PageFiles

HOST = "127.0.0.1"
NO_STORE = {"Cache-Control": "no-store"}  # deleted photos must not stay in browser caches
REQUEST_TIMEOUT = 60  # seconds

Reviewer = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
PhotoHash = Annotated[str, PathParameter(pattern="^[0-9a-f]{64}$")]
Side = Annotated[int, Query(ge=16, le=2048, description="maximum width and height, in pixels")]


class ReviewItem(BaseModel):
    """A photo to review, without the decisions of other reviewers."""

    photo: str
    label: str = Field(description="latest prediction of the service")
    probability: float = Field(description="probability of the most probable class")
    said: dict[str, int] = Field(description="number of users by true label")
    decision: str | None = Field(description="decision of this reviewer")


class ReviewQueue(BaseModel):
    """Photos to review, in order, and the labels to choose from."""

    labels: tuple[str, ...]
    photos: list[ReviewItem]


class Disputed(BaseModel):
    """A photo that reviewers labelled differently."""

    photo: str
    decisions: dict[str, str] = Field(description="labels by reviewer")


class AgreementReport(BaseModel):
    """Agreement of reviewers, and the photos they disagree on."""

    pairs: list[Agreement]
    disputed: list[Disputed] = Field(description="photos labelled by this reviewer")


async def _store(request: Request) -> Store:
    store: Store = request.app.state.store
    return store


Feedback = Annotated[Store, Depends(_store)]
router = APIRouter()
static = PageFiles("review")


@router.get("/")
async def page(request: Request) -> Response:
    """Return the page."""
    return await static.get_response("index.html", request.scope)


# Not async, so that FastAPI runs the blocking calls on threads.


@router.get("/v1/review")
def queue(store: Feedback, reviewer: Reviewer) -> ReviewQueue:
    """Return the photos to review."""
    entries, decisions = store.all(), store.decisions()
    photos = [
        ReviewItem(
            photo=item.photo,
            label=item.answer.label,
            probability=item.answer.probability,
            said=Counter(entry.true_label for entry in item.feedback),
            decision=decisions.get(item.photo, {}).get(reviewer),
        )
        for item in review_queue(entries)
    ]
    return ReviewQueue(labels=known_labels(entries), photos=photos)


@router.get("/v1/photos/{photo}")
def photo(store: Feedback, photo: PhotoHash, side: Side = 2048) -> Response:
    """Return a photo, reduced to `side` pixels."""
    content = store.photo(photo)
    if content is None:
        raise ProblemError(404, "the photo was deleted")
    return Response(encode_photo(content, side), media_type="image/jpeg", headers=NO_STORE)


@router.put("/v1/decisions/{photo}", status_code=204)
def decide(
    store: Feedback, photo: PhotoHash, reviewer: Reviewer, label: Annotated[str, Body(embed=True)]
) -> None:
    """Store a reviewer's decision."""
    known = known_labels(store.all())
    if label not in known:
        raise ProblemError(422, f"label must be one of: {', '.join(known)}")
    if not store.decide(photo, reviewer, label):
        raise ProblemError(404, "the photo was deleted")


@router.delete("/v1/decisions/{photo}", status_code=204)
def undo(store: Feedback, photo: PhotoHash, reviewer: Reviewer) -> None:
    """Remove a reviewer's decision."""
    store.decide(photo, reviewer, None)


@router.get("/v1/agreement")
def agreement(store: Feedback, reviewer: Reviewer) -> AgreementReport:
    """Compare the reviewers' decisions."""
    decisions = store.decisions()
    disputed = [
        Disputed(photo=photo, decisions=labels)
        for photo, labels in sorted(decisions.items())
        if reviewer in labels and len(set(labels.values())) > 1
    ]
    return AgreementReport(pairs=agreements(decisions), disputed=disputed)


def create_review(store: Store) -> FastAPI:
    """Create the ASGI application of the review page."""
    app = FastAPI(title="platecheck review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.store = store
    app.include_router(router)
    app.mount("/page", static)
    add_error_handlers(app)
    app.add_exception_handler(
        StorageError, lambda request, error: problem_response(503, str(error))
    )
    app.add_middleware(HostOriginMiddleware, hosts=LOCAL_NAMES, origins=())
    app.add_middleware(TimeoutMiddleware, request_timeout=REQUEST_TIMEOUT)
    app.add_middleware(RequestContextMiddleware)
    return app


def serve_review(store: Store, *, port: int, on_ready: Callable[[str], None]) -> None:
    """Serve the review page until SIGTERM or SIGINT; `on_ready` gets its URL."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # like platecheck serve
    try:
        listening = socket.create_server((HOST, port))
    except OSError as error:
        raise SettingsError(f"cannot listen on {HOST}, port {port}: {error.strerror}") from error
    with listening:
        on_ready(f"http://{HOST}:{listening.getsockname()[1]}")
        config = uvicorn.Config(
            create_review(store),
            http="h11",
            ws="none",
            lifespan="off",
            server_header=False,
            access_log=False,
            log_config=log_config("warning"),
        )
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run([listening])
