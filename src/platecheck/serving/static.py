"""The page's files."""

import hashlib
from importlib.resources import files
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

PAGE = Path(str(files("platecheck") / "web" / "page"))
# What the service worker holds where the version of the page belongs.
VERSION = "__VERSION__"
NO_CACHE = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """Static files that browsers ask about anew each time, since they change with an update.

    WebAssembly is kept and sent compressed.
    """

    async def get_response(self, path: str, scope: Scope) -> Response:
        packed = path.endswith(".wasm")
        response = await super().get_response(f"{path}.gz" if packed else path, scope)
        response.headers.update(NO_CACHE)
        if packed:
            response.headers["Content-Type"] = "application/wasm"
            response.headers["Content-Encoding"] = "gzip"
        return response


def service_worker(model: str) -> str:
    """The service worker's source, with a version that changes with the page and the `model`."""
    digest = hashlib.sha256()
    for path in sorted(path for path in PAGE.rglob("*") if path.is_file()):
        digest.update(path.relative_to(PAGE).as_posix().encode() + path.read_bytes())
    digest.update(model.encode())
    source = (PAGE / "sw.js").read_text(encoding="utf-8")
    return source.replace(VERSION, digest.hexdigest()[:12])
