"""Static files: the web page and Swagger UI."""

import hashlib
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(str(files("platecheck") / "web"))
VERSION = "__VERSION__"  # placeholder in the service worker
NO_CACHE = {"Cache-Control": "no-cache"}
# FastAPI's own page loads Swagger UI from a CDN and uses inline scripts.
SWAGGER = str(files("fastapi_offline") / "static")
SWAGGER_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>platecheck: API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/docs/files/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/files/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
SWAGGER_START = """SwaggerUIBundle({
  url: "/openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null,
});
"""


class PageFiles(StaticFiles):
    """Files of a page and of ``shared/``; browsers revalidate them, WebAssembly is compressed."""

    def __init__(self, page: str) -> None:
        super().__init__(directory=WEB / page)
        self.all_directories.append(WEB / "shared")

    async def get_response(self, path: str, scope: Scope) -> Response:
        packed = path.endswith(".wasm")
        response = await super().get_response(f"{path}.gz" if packed else path, scope)
        response.headers.update(NO_CACHE)
        if packed:
            response.headers["Content-Type"] = "application/wasm"
            response.headers["Content-Encoding"] = "gzip"
        return response


def mount_page(app: FastAPI, model: str) -> None:
    """Add the web page; its service worker changes with the page and the model's fingerprint."""
    digest = hashlib.sha256()
    for path in sorted(path for path in WEB.rglob("*") if path.is_file()):
        digest.update(path.relative_to(WEB).as_posix().encode() + path.read_bytes())
    digest.update(model.encode())
    worker = (WEB / "page" / "sw.js").read_text(encoding="utf-8")
    worker = worker.replace(VERSION, digest.hexdigest()[:12])
    page_files = PageFiles("page")

    @app.get("/", include_in_schema=False)
    async def page(request: Request) -> Response:
        return await page_files.get_response("index.html", request.scope)

    @app.get("/sw.js", include_in_schema=False)
    async def service_worker() -> Response:  # at the root, so that its scope is the whole page
        return Response(worker, media_type="text/javascript", headers=NO_CACHE)

    app.mount("/page", page_files)


def mount_docs(app: FastAPI) -> None:
    """Add ``/docs``, Swagger UI."""
    app.mount("/docs/files", StaticFiles(directory=SWAGGER))

    @app.get("/docs/start.js", include_in_schema=False)
    async def start() -> Response:
        return Response(SWAGGER_START, media_type="text/javascript")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return HTMLResponse(SWAGGER_PAGE)
