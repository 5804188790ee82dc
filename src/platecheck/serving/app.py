"""The application: which path answers what."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from starlette.responses import Response

import platecheck
from platecheck.classifier import Classifier, find_model
from platecheck.serving.addresses import is_loopback
from platecheck.serving.api_docs import mount_docs
from platecheck.serving.feedback_routes import feedback
from platecheck.serving.feedback_service import FeedbackService, open_feedback
from platecheck.serving.host_origin import LOCAL_NAMES, CrossOrigin, HostOriginMiddleware
from platecheck.serving.keys import read_keys
from platecheck.serving.logs import event
from platecheck.serving.middleware import RequestContextMiddleware
from platecheck.serving.problems import answer_errors
from platecheck.serving.routes import api
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings
from platecheck.serving.static import NO_CACHE, PAGE, PageFiles, service_worker
from platecheck.serving.timeout import TimeoutMiddleware

DESCRIPTION = "Tells clean dishes from dirty ones, and looks at the dish, not at the table."

INTRODUCTION = (
    "Send photos to `POST /v1/predict`. Where the service has API keys, send one as"
    " `Authorization: Bearer KEY`. Every error is `application/problem+json` (RFC 9457). After 503,"
    " retry after as many seconds as `Retry-After` says."
)
TAGS = {
    "predict": "Classify photos",
    "model": "What answers, and within which limits",
    "feedback": "Say that an answer was wrong, where the service keeps that",
    "health": "For load balancers and monitoring",
}


def create_app(settings: Settings, keys: Mapping[str, str] | None = None) -> FastAPI:
    """The service as an ASGI application.

    Args:
        settings: all of it.
        keys: hashes of API keys by name; None: those of the settings' file, if there is one.

    Raises:
        ModelError: the model cannot be used.
        SettingsError: the file of keys, or what keeps feedback, cannot be used.
        StorageError: the database of feedback cannot be reached.
    """
    path = find_model(settings.model)
    classifier = Classifier.load(path, providers=settings.providers or None)
    content = path.read_bytes()
    if keys is None and settings.keys:
        keys = read_keys(settings.keys)
    service = Service(classifier, settings)
    store = open_feedback(settings)
    keeper = FeedbackService(store, settings.feedback_days) if store else None

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        if keeper:
            keeper.start()
        event(logging.INFO, "started", model=classifier.id)
        yield
        await asyncio.to_thread(service.stop)
        if keeper:
            await asyncio.to_thread(keeper.stop)
        event(logging.INFO, "stopped", model=classifier.id)

    app = FastAPI(
        title="platecheck",
        summary=DESCRIPTION,
        description=INTRODUCTION,
        openapi_tags=[{"name": name, "description": what} for name, what in TAGS.items()],
        version=platecheck.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.state.keeper = keeper
    app.include_router(api(service, keys, content))
    app.include_router(feedback(service, keys, keeper))
    worker, files = service_worker(classifier.fingerprint), PageFiles(directory=PAGE)

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await files.get_response("index.html", request.scope)

    @app.get("/sw.js", include_in_schema=False)
    async def worker_source() -> Response:  # at the root: it is to look after the whole page
        return Response(worker, media_type="text/javascript", headers=NO_CACHE)

    app.mount("/page", files)
    mount_docs(app)
    answer_errors(app)
    hosts = None
    if is_loopback(settings.host):
        hosts = {name.lower() for name in (settings.host, *LOCAL_NAMES, *settings.allowed_hosts)}
    app.add_middleware(HostOriginMiddleware, hosts=hosts, origins=settings.cors_origins)
    app.add_middleware(
        TimeoutMiddleware, seconds=settings.request_timeout, idle_seconds=settings.idle_timeout
    )
    if settings.cors_origins:
        app.add_middleware(
            CrossOrigin,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
            expose_headers=["Retry-After", "X-Request-ID"],
        )
    app.add_middleware(RequestContextMiddleware)
    return app
