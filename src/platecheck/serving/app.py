"""The application: which path answers what."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse, Response

import platecheck
from platecheck.classifier import Classifier, find_model
from platecheck.serving.addresses import is_loopback
from platecheck.serving.api import api
from platecheck.serving.api_docs import mount_docs
from platecheck.serving.callers import LOCAL_NAMES, Callers
from platecheck.serving.keys import read_keys
from platecheck.serving.logs import event
from platecheck.serving.middleware import Watch
from platecheck.serving.problems import ProblemError, problem_response
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings
from platecheck.serving.static import NO_CACHE, PAGE, PageFiles, service_worker

logger = logging.getLogger("platecheck.serving")

DESCRIPTION = "Tells clean dishes from dirty ones, and looks at the dish, not at the table."


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI application.

    Raises:
        ModelError: the model cannot be used.
        SettingsError: the file of keys cannot be used.
    """
    path = find_model(settings.model)
    classifier = Classifier.load(path, providers=settings.providers or None)
    content = path.read_bytes()
    keys = read_keys(settings.keys) if settings.keys else None
    service = Service(classifier, settings)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        event(logger, logging.INFO, "started", model=classifier.id)
        yield
        await asyncio.to_thread(service.stop)
        event(logger, logging.INFO, "stopped", model=classifier.id)

    app = FastAPI(
        title="platecheck",
        summary=DESCRIPTION,
        version=platecheck.__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    app.include_router(api(service, keys, content))
    _mount_page(app, classifier)
    mount_docs(app)
    app.add_exception_handler(ProblemError, _on_problem)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type", "X-Request-ID"],
        )
    names = {settings.host, *LOCAL_NAMES, *settings.names} if is_loopback(settings.host) else None
    app.add_middleware(Callers, names=names, origins=settings.origins)
    app.add_middleware(Watch, seconds=settings.seconds)
    return app


def _mount_page(app: FastAPI, classifier: Classifier) -> None:
    worker = service_worker([classifier.fingerprint.encode()])

    @app.get("/", include_in_schema=False)
    async def page() -> Response:
        return FileResponse(PAGE / "index.html", headers=NO_CACHE)

    @app.get("/sw.js", include_in_schema=False)
    async def worker_source() -> Response:  # at the root: it is to look after the whole page
        return Response(worker, media_type="text/javascript", headers=NO_CACHE)

    app.mount("/page", PageFiles(directory=PAGE))


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, ProblemError)
    return problem_response(
        error.status, error.detail, request.state.request_id, headers=error.headers
    )


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return problem_response(
        error.status_code, error.detail, request.state.request_id, headers=error.headers
    )


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return problem_response(422, f"{where}: {first['msg']}", request.state.request_id)
