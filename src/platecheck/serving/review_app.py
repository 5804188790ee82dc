"""ASGI application of the review page."""

from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Annotated, Self

from fastapi import Body, FastAPI, Query
from fastapi import Path as PathParameter
from PIL import Image
from pydantic import BaseModel, Field
from starlette.responses import FileResponse, Response

from platecheck.errors import PhotoError
from platecheck.feedback.agreement import Agreement, agreements, disagreed
from platecheck.feedback.errors import StorageError
from platecheck.feedback.reviews import Item, Reviews, labels
from platecheck.feedback.store import Store
from platecheck.photo import open_photo
from platecheck.serving.middleware import (
    LOCAL_NAMES,
    HostOriginMiddleware,
    RequestContextMiddleware,
    TimeoutMiddleware,
)
from platecheck.serving.problems import ProblemError, add_error_handlers, problem_response
from platecheck.serving.static import NO_CACHE, PAGE, PageFiles

OWN = Path(str(files("platecheck") / "web" / "review"))
# Maximum length of the longer side of a displayed photo.
MAX_SIDE = 2048
NO_STORE = {"Cache-Control": "no-store"}  # deleted photos must not stay in browser caches
REQUEST_TIMEOUT = 60  # seconds

Reviewer = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
PhotoName = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{2}/[0-9a-f]{62}\.[a-z]+$")]


class ReviewItem(BaseModel):
    """A photo to review, without the decisions of other reviewers."""

    photo: str
    label: str = Field(description="latest prediction of the service")
    probability: float = Field(description="probability of the most probable class")
    said: dict[str, int] = Field(description="number of users by true label")
    decision: str | None = Field(description="decision of this reviewer")

    @classmethod
    def of(cls, item: Item, decision: str | None) -> Self:
        labels = [entry.true_label for entry in item.feedback]
        return cls(
            photo=item.photo,
            label=item.answer.label,
            probability=item.answer.probability,
            said={label: labels.count(label) for label in dict.fromkeys(labels)},
            decision=decision,
        )


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


def create_review(store: Store) -> FastAPI:
    """Create the ASGI application of the review page."""
    reviews = Reviews(store)
    app = FastAPI(title="platecheck review", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def page() -> Response:
        return FileResponse(OWN / "index.html", headers=NO_CACHE)

    # Shared styles and modules come from the main page.
    static = PageFiles(directory=OWN)
    static.all_directories.append(PAGE)
    app.mount("/page", static)

    # Not async, so that FastAPI runs the blocking calls on threads.

    @app.get("/v1/review")
    def queue(reviewer: Reviewer) -> ReviewQueue:
        items = reviews.queue()
        decisions = reviews.decisions()
        return ReviewQueue(
            labels=labels(items),
            photos=[
                ReviewItem.of(item, decisions.get(item.photo, {}).get(reviewer)) for item in items
            ],
        )

    @app.get("/v1/photos/{photo:path}")
    def photo(
        photo: PhotoName, side: Annotated[int, Query(ge=16, le=MAX_SIDE)] = MAX_SIDE
    ) -> Response:
        try:
            pixels = open_photo(store.photos.path(photo))
        except PhotoError as error:
            raise ProblemError(404, error.reason) from error
        image, file = Image.fromarray(pixels), BytesIO()
        image.thumbnail((side, side))
        image.save(file, "JPEG", quality=92)
        return Response(file.getvalue(), media_type="image/jpeg", headers=NO_STORE)

    @app.put("/v1/decisions/{photo:path}", status_code=204)
    def decide(
        photo: PhotoName, reviewer: Reviewer, label: Annotated[str, Body(embed=True)]
    ) -> None:
        known = labels(reviews.queue())
        if label not in known:
            raise ProblemError(422, f"label must be one of: {', '.join(known)}")
        if not reviews.decide(photo, reviewer, label):
            raise ProblemError(404, "the photo was deleted")

    @app.delete("/v1/decisions/{photo:path}", status_code=204)
    def undo(photo: PhotoName, reviewer: Reviewer) -> None:
        reviews.undo(photo, reviewer)

    @app.get("/v1/agreement")
    def agreement(reviewer: Reviewer) -> AgreementReport:
        decisions = reviews.decisions()
        return AgreementReport(
            pairs=agreements(decisions),
            disputed=[
                Disputed(photo=photo, decisions=decisions[photo])
                for photo in disagreed(decisions)
                if reviewer in decisions[photo]
            ],
        )

    add_error_handlers(app)
    app.add_exception_handler(
        StorageError, lambda request, error: problem_response(503, str(error))
    )
    app.add_middleware(HostOriginMiddleware, hosts=LOCAL_NAMES, origins=())
    app.add_middleware(TimeoutMiddleware, request_timeout=REQUEST_TIMEOUT)
    app.add_middleware(RequestContextMiddleware)
    return app
