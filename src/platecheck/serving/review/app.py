"""The review page's application: which path answers what."""

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
from platecheck.serving.host_origin import LOCAL_NAMES, HostOriginMiddleware
from platecheck.serving.middleware import RequestContextMiddleware
from platecheck.serving.problems import ProblemError, answer_errors, problem_response
from platecheck.serving.static import NO_CACHE, PAGE, PageFiles
from platecheck.serving.timeout import TimeoutMiddleware

OWN = Path(str(files("platecheck.serving.review") / "page"))
# Photos are shown with this as their longer side at most.
LARGEST = 2048
NO_STORE = {"Cache-Control": "no-store"}  # a photo that is deleted is not to be in a browser
SECONDS = 60

Reviewer = Annotated[str, Query(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]+$")]
PhotoName = Annotated[str, PathParameter(pattern=r"^[0-9a-f]{2}/[0-9a-f]{62}\.[a-z]+$")]


class ReviewItem(BaseModel):
    """A photo to review; what other reviewers decided is not part of it."""

    photo: str
    label: str = Field(description="what the service said last")
    probability: float = Field(description="of the likeliest class")
    said: dict[str, int] = Field(description="how many users said what is right")
    decision: str | None = Field(description="what this reviewer decided")

    @classmethod
    def of(cls, item: Item, decision: str | None) -> Self:
        rights = [given.right for given in item.given]
        return cls(
            photo=item.photo,
            label=item.answer.label,
            probability=item.answer.probability,
            said={right: rights.count(right) for right in dict.fromkeys(rights)},
            decision=decision,
        )


class ReviewQueue(BaseModel):
    """Everything to review, in order, and what may be decided."""

    labels: tuple[str, ...]
    photos: list[ReviewItem]


class Disputed(BaseModel):
    """A photo of which reviewers said different things."""

    photo: str
    decisions: dict[str, str] = Field(description="by reviewer")


class AgreementAnswer(BaseModel):
    """How far reviewers agree, and on what they do not."""

    pairs: list[Agreement]
    disputed: list[Disputed] = Field(description="that the one who asks has decided")


def create_review(store: Store) -> FastAPI:
    """The review page for a store, as an ASGI application."""
    reviews = Reviews(store)
    app = FastAPI(title="platecheck review", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/")
    async def page() -> Response:
        return FileResponse(OWN / "index.html", headers=NO_CACHE)

    # What is not of this page is the main page's: its looks, its language, its elements.
    static = PageFiles(directory=OWN)
    static.all_directories.append(PAGE)
    app.mount("/page", static)

    # These wait for a database, or draw: FastAPI runs them on threads, since they are not async.

    @app.get("/v1/review")
    def queue(reviewer: Reviewer) -> ReviewQueue:
        items = reviews.items()
        decisions = reviews.decisions()
        return ReviewQueue(
            labels=labels(items),
            photos=[
                ReviewItem.of(item, decisions.get(item.photo, {}).get(reviewer)) for item in items
            ],
        )

    @app.get("/v1/photos/{photo:path}")
    def photo(
        photo: PhotoName, side: Annotated[int, Query(ge=16, le=LARGEST)] = LARGEST
    ) -> Response:
        try:
            pixels = open_photo(store.photos.path(photo))
        except PhotoError as error:
            raise ProblemError(404, error.reason) from error
        picture, file = Image.fromarray(pixels), BytesIO()
        picture.thumbnail((side, side))
        picture.save(file, "JPEG", quality=92)
        return Response(file.getvalue(), media_type="image/jpeg", headers=NO_STORE)

    @app.put("/v1/decisions/{photo:path}", status_code=204)
    def decide(
        photo: PhotoName, reviewer: Reviewer, label: Annotated[str, Body(embed=True)]
    ) -> None:
        known = labels(reviews.items())
        if label not in known:
            raise ProblemError(422, f"label must be one of: {', '.join(known)}")
        if not reviews.decide(photo, reviewer, label):
            raise ProblemError(404, "the photo was deleted")

    @app.delete("/v1/decisions/{photo:path}", status_code=204)
    def undo(photo: PhotoName, reviewer: Reviewer) -> None:
        reviews.undo(photo, reviewer)

    @app.get("/v1/agreement")
    def agreement(reviewer: Reviewer) -> AgreementAnswer:
        decisions = reviews.decisions()
        return AgreementAnswer(
            pairs=agreements(decisions),
            disputed=[
                Disputed(photo=photo, decisions=decisions[photo])
                for photo in disagreed(decisions)
                if reviewer in decisions[photo]
            ],
        )

    answer_errors(app)
    app.add_exception_handler(
        StorageError, lambda request, error: problem_response(503, str(error))
    )
    app.add_middleware(HostOriginMiddleware, hosts=LOCAL_NAMES, origins=())
    app.add_middleware(TimeoutMiddleware, seconds=SECONDS)
    app.add_middleware(RequestContextMiddleware)
    return app
