"""Serve the files of the two web pages."""

import hashlib
from importlib.resources import files
from pathlib import Path

from starlette.responses import Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

WEB = Path(str(files("platecheck") / "web"))
PAGE = WEB / "page"
VERSION = "__VERSION__"  # placeholder in sw.js
NO_CACHE = {"Cache-Control": "no-cache"}


class PageFiles(StaticFiles):
    """Files of a page and of ``shared/``, revalidated by browsers since they change with updates.

    WebAssembly is stored and sent compressed.
    """

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


def service_worker(model: str) -> str:
    """Return the service worker's source, with a version that depends on the files and the model.

    Args:
        model: fingerprint of the model.
    """
    digest = hashlib.sha256(model.encode())
    for path in sorted(path for path in WEB.rglob("*") if path.is_file()):
        digest.update(path.relative_to(WEB).as_posix().encode() + path.read_bytes())
    source = (WEB / "page" / "sw.js").read_text(encoding="utf-8")
    return source.replace(VERSION, digest.hexdigest()[:12])
