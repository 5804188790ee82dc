"""Render reports as self-contained HTML pages.

Styles are inline, images are data URIs, and there are no scripts; a content security policy forbids
everything else.
"""

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.errors import MissingExtraError
from platecheck.evaluation import plots

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
except ModuleNotFoundError as error:
    raise MissingExtraError("Writing a report", "evaluate") from error


THUMBNAIL = 288  # pixels: twice the size on the page, for high-density screens


def render_template(name: str, *, title: str, decimals: int = 1, **context: Any) -> str:
    """Render a template of this package; intervals have the given number of decimals."""
    environment = Environment(
        loader=PackageLoader("platecheck", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": "{:.1%}".format,
        "interval": lambda ends: f"{100 * ends[0]:.{decimals}f}–{ends[1]:.{decimals}%}",
        "three_decimals": "{:.3f}".format,
        "duration": _duration,
        "thumbnail": thumbnail,
    }
    return environment.get_template(name).render(title=title, **context)


def save_page(page: str, path: Path) -> None:
    """Write a page atomically, replacing undecodable bytes of file names with "?"."""
    plots.write(page.encode("utf-8", "replace"), path)


def thumbnail(pixels: NDArray[np.uint8], side: int = THUMBNAIL) -> str:
    """Return a photo [H, W, 3], reduced to fit `side` pixels, as a data URI."""
    image = Image.fromarray(pixels)
    image.thumbnail((side, side))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=82)
    return data_uri("image/jpeg", file.getvalue())


def data_uri(kind: str, content: bytes) -> str:
    """Return content of the MIME type `kind` as a data URI."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
