"""Reading the photos of a request, within limits that hold while it still arrives."""

import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from platecheck.serving import metrics
from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings

FIELD = "photos"
# Other names that clients give the field: what is in one is a photo whatever its headers.
_NAMES = re.compile(r"(photo|file|image|picture|img|upload)s?[_-]?\d*(\[\w*\])*", re.IGNORECASE)
_PHOTO_TYPE = re.compile(r"(image/.*|application/octet-stream|binary/octet-stream)?")
# A file's name as RFC 5987 has it. Some clients send no other, and the parser leaves it out.
_EXTENDED_NAME = re.compile(r"""filename\*\s*=\s*"?([\w-]*)'[^']*'([^;"]*)""", re.IGNORECASE)
# Text that is a photo in base64, or a data URL; and where an HTTP client's form begins.
_BASE64 = re.compile(rb"data:.*|[\w+/=\r\n-]{64,}", re.IGNORECASE | re.DOTALL)
_FORM = re.compile(rb"\s{,9}--.{,999}Content-Disposition:", re.IGNORECASE | re.DOTALL)
HOW = (
    "send the photo itself as the body (Content-Type: image/jpeg), or one or more as files of a"
    f" form (multipart/form-data), as in curl -F {FIELD}=@plate.jpg"
)
# Longest name of a photo that is kept, and most form fields beside the photos.
NAME_LENGTH, OTHER_FIELDS = 255, 16
# Most bytes of a form field that is text.
TEXT_BYTES = 16 * 1024
# A boundary has at most so many characters (RFC 2046, section 5.1.1).
BOUNDARY_LENGTH = 70


@dataclass
class MemoryLimiter:
    """Bytes that may be in memory for requests, from when they arrive until they are answered."""

    total: int
    taken: int = 0

    @contextmanager
    def share(self) -> Iterator["Reservation"]:
        """What one request takes of it, given back at the end."""
        share = Reservation(self)
        try:
            yield share
        finally:
            self.taken -= share.taken


@dataclass
class Reservation:
    """What one request has taken of a :class:`Budget`."""

    budget: MemoryLimiter
    taken: int = 0

    def grow_to(self, size: int) -> None:
        """Take as much as is missing to `size`.

        Raises:
            ProblemError: 503, there is not so much left.
        """
        more = max(0, size - self.taken)
        if self.budget.taken + more > self.budget.total:
            metrics.REJECTED.labels("uploads").inc()
            detail = "too much is being uploaded or waits at this moment"
            raise ProblemError(503, detail, {"Retry-After": "1"})
        self.budget.taken += more
        self.taken += more


class _Form:
    """Callbacks of the parser: collects the photos of a form and refuses what is too much.

    Attributes:
        photos: name and file of each.
        texts: fields that are wanted beside them, by name; the last one where there are several.
        others: names of the fields that are neither photos nor wanted.
    """

    def __init__(self, settings: Settings, texts: Collection[str] = ()) -> None:
        self.photos: list[tuple[str, bytearray]] = []
        self.texts: dict[str, bytearray] = {}
        self.others: list[str] = []
        self.ended = False
        self._settings = settings
        self._wanted = texts
        self._header, self._value = bytearray(), bytearray()

    def callbacks(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in dir(self) if name.startswith("on_")}

    def on_part_begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._content: bytearray | None = None  # nobody wants it
        self._limit = ("a part", 0)  # what it is, and the most bytes that it may have

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        self._headers[bytes(self._header).lower()] = bytes(self._value)
        self._header, self._value = bytearray(), bytearray()

    def on_headers_finished(self) -> None:
        disposition = self._headers.get(b"content-disposition", b"")
        _, options = parse_options_header(disposition)
        field = options.get(b"name", b"").decode("utf-8", "replace")
        if field in self._wanted:
            self._content = self.texts[field] = bytearray()
            self._limit = (f"'{field}' is too long: a text", TEXT_BYTES)
        elif (name := self._photo_name(field, disposition, options)) is not None:
            if len(self.photos) == self._settings.max_photos:
                raise ProblemError(
                    413, f"more than {self._settings.max_photos} photos in a request"
                )
            self._content = bytearray()
            name = name[:NAME_LENGTH]
            self._limit = (f"'{name}' is too large: a photo", self._settings.max_photo_bytes)
            self.photos.append((name, self._content))
        elif len(self.others) == OTHER_FIELDS:
            raise ProblemError(413, "too many form fields that are not photos")
        else:
            self.others.append(field)

    def _photo_name(
        self, field: str, disposition: bytes, options: Mapping[bytes, bytes]
    ) -> str | None:
        """The file's name if the part is a photo, else None.

        What is in a field for photos is one, and so is a file in any other field: left out, it
        would not be missed, and the answers would seem to be those of other photos.
        """
        header = self._headers.get(b"content-type", b"").decode("latin-1")
        kind = header.partition(";")[0].strip().lower()
        extended = _EXTENDED_NAME.search(disposition.decode("utf-8", "replace"))
        if b"filename" in options:
            name = options[b"filename"].decode("utf-8", "replace")
        elif extended:
            latin = extended[1].lower() == "iso-8859-1"
            name = unquote(extended[2].strip(), "latin-1" if latin else "utf-8")
        else:
            typed = kind and _PHOTO_TYPE.fullmatch(kind)
            return field if typed or _NAMES.fullmatch(field) else None
        # Where there are fields to be kept with a photo, a file beside it may be something else.
        return None if self._wanted and not _NAMES.fullmatch(field) else name

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._content is None:
            return
        what, limit = self._limit
        _check_size(what, len(self._content) + end - start, limit)
        self._content += data[start:end]

    def on_end(self) -> None:
        self.ended = True


def is_form(headers: Mapping[str, str]) -> bool:
    """Whether a request's body is a form; else it is one photo.

    Args:
        headers: by name in lower case.
    """
    kind, _ = parse_options_header(headers.get("content-type"))
    return kind == b"multipart/form-data"


def unreadable(headers: Mapping[str, str], body: bytes, reason: str) -> ProblemError:
    """Why a body that should be one photo cannot be answered: it is of another kind, or damaged.

    Args:
        headers: by name in lower case.
        body: all of it.
        reason: why it cannot be opened as a photo.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    is_text = b"\0" not in body and not body.decode("utf-8", "replace").count("\ufffd")
    if body.startswith(b"\x1f\x8b"):
        return ProblemError(415, f"the body is compressed (gzip): {HOW}")
    if _FORM.match(body):
        return ProblemError(415, "this is a form: let the HTTP client set the Content-Type")
    if _BASE64.fullmatch(body.strip(b"\"' \r\n\t")):
        return ProblemError(415, f"this is base64: decode it first, then {HOW}")
    curl = " (with curl use --data-binary, not -d)" * kind.endswith("/x-www-form-urlencoded")
    if is_text and not _PHOTO_TYPE.fullmatch(kind):
        return ProblemError(415, f"the body is no photo but {kind[:NAME_LENGTH]}{curl}: {HOW}")
    return ProblemError(422, reason + curl)


async def read_photos(
    stream: AsyncIterator[bytes], headers: Mapping[str, str], settings: Settings, share: Reservation
) -> list[tuple[str, bytes]]:
    """Name and file of each photo of a request: a form's files, or the raw body.

    Args:
        stream: the body as it arrives.
        headers: by name in lower case.
        settings: the limits.
        share: of the bytes that all requests may take; grows with what arrives.

    Raises:
        ProblemError: it is not a form, holds no photo, is compressed, or is more than the limits
            allow.
    """
    boundary = _announced(headers, settings)
    limited = _limited(stream, settings, share)
    if boundary is None:
        content = bytearray()
        async for chunk in limited:
            content += chunk
            _check_size("a photo", len(content), settings.max_photo_bytes)
        if not content:
            raise ProblemError(422, f"no photo, the body is empty: {HOW}")
        return [("photo", bytes(content))]
    form = await _parse(_Form(settings), limited, boundary)
    return [(name, bytes(content)) for name, content in form.photos]


async def read_form(
    stream: AsyncIterator[bytes],
    headers: Mapping[str, str],
    settings: Settings,
    share: Reservation,
    *,
    texts: Collection[str],
) -> tuple[tuple[str, bytes], dict[str, str]]:
    """Name and file of the one photo of a form, and its fields that are texts.

    Args:
        stream: the body as it arrives.
        headers: by name in lower case.
        settings: the limits.
        share: of the bytes that all requests may take; grows with what arrives.
        texts: other fields that are wanted, if they are there.

    Raises:
        ProblemError: it is not a form, holds no photo or several, or is more than the limits allow.
    """
    boundary = _announced(headers, settings)
    if boundary is None:
        raise ProblemError(400, "the body is not a form (multipart/form-data)")
    form = await _parse(_Form(settings, texts), _limited(stream, settings, share), boundary)
    if len(form.photos) > 1:
        raise ProblemError(422, "more than one photo in the form")
    name, content = form.photos[0]
    found = {name: text.decode("utf-8", "replace") for name, text in form.texts.items()}
    return (name, bytes(content)), found


def _announced(headers: Mapping[str, str], settings: Settings) -> bytes | None:
    """The boundary of a body that is a form; None for another.

    What announces too much is refused before it is read. But nothing is set aside for what is
    announced: a few who announce much and send nothing would keep out everyone else.
    """
    declared = headers.get("content-length", "")
    expected = int(declared) if declared.isdecimal() and len(declared) < 20 else 0
    _check_size("a request", expected, settings.max_request_bytes)
    if (coding := headers.get("content-encoding", "").strip().lower()) not in ("", "identity"):
        raise ProblemError(
            415,
            f"the body is compressed ({coding[:NAME_LENGTH]}): send it without Content-Encoding;"
            " photos are compressed already",
            headers={"Accept-Encoding": "identity"},
        )
    if is_form(headers):
        return parse_options_header(headers["content-type"])[1].get(b"boundary", b"")
    _check_size("a photo", expected, settings.max_photo_bytes)
    return None


async def _limited(
    stream: AsyncIterator[bytes], settings: Settings, share: Reservation
) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in stream:
        total += len(chunk)
        _check_size("a request", total, settings.max_request_bytes)
        share.grow_to(total)
        yield chunk


async def _parse(form: _Form, stream: AsyncIterator[bytes], boundary: bytes) -> _Form:
    if not 1 <= len(boundary) <= BOUNDARY_LENGTH:
        detail = "the form's boundary is missing or too long: let the HTTP client set Content-Type"
        raise ProblemError(400, detail)
    try:
        parser = MultipartParser(boundary, form.callbacks())  # type: ignore[arg-type]
        async for chunk in stream:
            parser.write(chunk)
        parser.finalize()
    except FormParserError as error:
        raise ProblemError(400, "the body is not a form as its content type says") from error
    if not form.ended:
        raise ProblemError(400, "the form is cut short")
    if not form.photos:
        fields = ", ".join(f"'{name[:40]}'" for name in form.others[:3]) or "none"
        raise ProblemError(
            422,
            f"no photo: the form has no file (its fields: {fields}); send each photo as a file, as"
            f" in curl -F {FIELD}=@plate.jpg",
        )
    return form


def _check_size(what: str, size: int, limit: int) -> None:
    if size > limit:
        raise ProblemError(413, f"{what} may have at most {limit} bytes")
