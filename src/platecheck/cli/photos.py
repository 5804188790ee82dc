"""What commands that take photos share: arguments, opening, and pictures they write."""

import io
import sys
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast
from unicodedata import category

import typer

from platecheck.cli.terminal import console, escape, show_first
from platecheck.errors import DataError, PhotoError
from platecheck.files import check_writable, is_output, mark_output, replacing
from platecheck.inputs import STDIN

if TYPE_CHECKING:
    from PIL.Image import Image

    from platecheck.photo import Source

COLORS = {
    "clean": "green",
    "dirty": "red",
    "unsure": "yellow",
    "not a dish": "yellow",
    "no dish": "yellow",
}

PhotoArguments = Annotated[
    list[str],
    typer.Argument(
        metavar="PHOTO|FOLDER|GLOB|LIST|URL|-…",
        help="LIST: .txt (one path per line) or .csv (with a path column). -: read one photo"
        " from stdin.",
    ),
]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
MaxPixels = Annotated[
    int | None,
    typer.Option(min=1, max=200_000_000, help="Largest photo to open; default: 134 million."),
]
AllowPrivate = Annotated[
    bool,
    typer.Option("--allow-private-urls", help="Allow http:// and private network addresses."),
]


def list_sources(arguments: list[str]) -> list[str]:
    """Expand arguments to paths and URLs; note those that platecheck wrote itself."""
    from platecheck.inputs import photo_sources

    sources = list(photo_sources(arguments))
    if written := next((name for name in sources if is_output(Path(name).parent)), None):
        console(stderr=True).print(
            f"note: {escape(written)} is platecheck's own output, not a photo"
        )
    return sources


def open_source(source: str, *, allow_private: bool) -> "Source":
    """Return a photo to decode; URLs are read later, in the thread that decodes them."""
    from platecheck.inputs import LazyFile, is_url
    from platecheck.photo import MAX_BYTES

    if source == STDIN:
        stdin = io.BytesIO(sys.stdin.buffer.read(MAX_BYTES + 1))
        stdin.name = "<stdin>"
        return stdin
    if is_url(source):
        from platecheck.urls import fetch_photo

        fetch = partial(fetch_photo, source, allow_private=allow_private)
        return cast("BinaryIO", LazyFile(source, fetch))
    return source


def check_pictures(folder: Path, option: str) -> None:
    """Check that pictures can be written to a folder that is new, empty or platecheck's own."""
    check_writable(folder, folder=True)
    if folder.is_dir() and any(folder.iterdir()) and not is_output(folder):
        # Marked as output, its contents would no longer be read as photos.
        raise DataError(f"{folder} is not empty; choose a new folder for {option}")


def save_picture(picture: "Image", folder: Path, number: int, source: str) -> None:
    """Write the picture of the numbered photo; the number keeps names unique."""
    mark_output(folder)
    with replacing(folder / f"{number:04d}-{short(Path(source).stem)}.jpg") as temporary:
        picture.save(temporary, quality=90)


def short(name: str) -> str:
    """Return a name without control characters that leaves room for more in that of a file.

    That has at most 255 bytes.
    """
    printable = "".join("_" if category(character) == "Cc" else character for character in name)
    return printable.encode(errors="surrogateescape")[:160].decode(errors="ignore")


def free_path(path: Path) -> Path:
    """Return the path, or one with a number if there is such a file."""
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(2))
    return path if not path.exists() else next(each for each in names if not each.exists())


class Failures:
    """Photos that cannot be read: counted, or with ``--strict`` an error."""

    def __init__(self, *, strict: bool) -> None:
        self.strict = strict
        self.messages: list[str] = []

    def add(self, error: PhotoError | None) -> None:
        if error and self.strict:
            raise DataError(f"unreadable photos (--strict): {error}")
        self.messages += [str(error)] if error else []

    def finish(self, photos: int, *, shown: bool) -> None:
        """List them if `shown`; exit with code 1 if there are any."""
        if self.messages and shown and photos > 1:
            stdout = console()
            stdout.print(f"{len(self.messages)} of {photos} photos could not be read:")
            show_first(self.messages, stdout)
        if self.messages:
            raise typer.Exit(1)
