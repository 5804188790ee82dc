"""Read uploaded photos, enforcing limits while the body arrives."""

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
# Other common names of the field; its content is a photo whatever the headers say.
_NAMES = re.compile(r"(photo|file|image|picture|img|upload)s?[_-]?\d*(\[\w*\])*", re.IGNORECASE)
_PHOTO_TYPE = re.compile(r"(image/.*|application/octet-stream|binary/octet-stream)?")
# RFC 5987 file name: the only one some clients send, and not handled by the parser.
_EXTENDED_NAME = re.compile(r"""filename\*\s*=\s*"?([\w-]*)'[^']*'([^;"]*)""", re.IGNORECASE)
# Base64 text or a data URL; the start of a multipart form.
_BASE64 = re.compile(rb"data:.*|[\w+/=\r\n-]{64,}", re.IGNORECASE | re.DOTALL)
_FORM = re.compile(rb"\s{,9}--.{,999}Content-Disposition:", re.IGNORECASE | re.DOTALL)
HOW = (
    "send the photo itself as the body (Content-Type: image/jpeg), or one or more as files of a"
    f" form (multipart/form-data), as in curl -F {FIELD}=@plate.jpg"
)
# Maximum length of a photo name, and maximum number of other form fields.
NAME_LENGTH, OTHER_FIELDS = 255, 16
# Maximum bytes of a text field.
TEXT_BYTES = 16 * 1024
# RFC 2046, section 5.1.1.
BOUNDARY_LENGTH = 70


@dataclass
class MemoryLimiter:
    """Limits the memory used by the bodies of all requests."""

    total: int
    used: int = 0

    @contextmanager
    def reserve(self) -> Iterator["Reservation"]:
        """Start an empty reservation for one request, released at the end."""
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.used -= reservation.size


@dataclass
class Reservation:
    """Memory of one request."""

    limiter: MemoryLimiter
    size: int = 0

    def grow_to(self, size: int) -> None:
        """Grow the reservation to `size` bytes.

        Raises:
            ProblemError: 503, the memory limit is reached.
        """
        more = max(0, size - self.size)
        if self.limiter.used + more > self.limiter.total:
            metrics.REJECTED.labels("uploads").inc()
            detail = "too many uploads in progress; retry later"
            raise ProblemError(503, detail, {"Retry-After": "1"})
        self.limiter.used += more
        self.size += more


class _Form:
    """Parser callbacks that collect the photos of a form within the limits.

    Attributes:
        photos: name and content of each.
        texts: requested text fields by name; the last one wins.
        others: names of all other fields.
    """

    def __init__(self, settings: Settings, texts: Collection[str] = ()) -> None:
        self.photos: list[tuple[str, bytearray]] = []
        self.texts: dict[str, bytearray] = {}
        self.others: list[str] = []
        self.ended = False
        self._settings = settings
        self._text_fields = texts
        self._header, self._value = bytearray(), bytearray()

    def callbacks(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in dir(self) if name.startswith("on_")}

    def on_part_begin(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._content: bytearray | None = None  # ignored
        self._limit = ("a part", 0)  # description and maximum bytes

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
        if field in self._text_fields:
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
        """Return the file name if the part is a photo, else None.

        Files in any field count as photos: if one were ignored, the predictions would be taken
        for those of other photos.
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
        # With text fields requested, a file in another field may be something else.
        return None if self._text_fields and not _NAMES.fullmatch(field) else name

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._content is None:
            return
        name, limit = self._limit
        _check_size(name, len(self._content) + end - start, limit)
        self._content += data[start:end]

    def on_end(self) -> None:
        self.ended = True


def is_form(headers: Mapping[str, str]) -> bool:
    """Return whether the body is a form rather than a single photo."""
    kind, _ = parse_options_header(headers.get("content-type"))
    return kind == b"multipart/form-data"


def unreadable(headers: Mapping[str, str], body: bytes, reason: str) -> ProblemError:
    """Explain why a raw body is not a photo: unsupported type, or damaged.

    Args:
        headers: headers of the request, with lower-case names.
        body: the whole body.
        reason: error raised when it was opened.
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
        return ProblemError(415, f"the body is not a photo but {kind[:NAME_LENGTH]}{curl}: {HOW}")
    return ProblemError(422, reason + curl)


async def read_photos(
    stream: AsyncIterator[bytes],
    headers: Mapping[str, str],
    settings: Settings,
    memory: Reservation,
) -> list[tuple[str, bytes]]:
    """Read the photos of a request: the files of a form, or the raw body.

    Args:
        stream: chunks of the body.
        headers: headers of the request, with lower-case names.
        settings: the limits.
        memory: grows as the body arrives.

    Returns:
        Name and content of each photo.

    Raises:
        ProblemError: The form is invalid or empty, the body is compressed, or a limit is exceeded.
    """
    boundary = _check_headers(headers, settings)
    limited = _limit(stream, settings, memory)
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
    memory: Reservation,
    *,
    texts: Collection[str],
) -> tuple[tuple[str, bytes], dict[str, str]]:
    """Read a form with one photo and text fields.

    Args:
        stream: chunks of the body.
        headers: headers of the request, with lower-case names.
        settings: the limits.
        memory: grows as the body arrives.
        texts: names of the text fields to return, if present.

    Returns:
        Name and content of the photo, and the text fields by name.

    Raises:
        ProblemError: The body is not a form with exactly one photo, or a limit is exceeded.
    """
    boundary = _check_headers(headers, settings)
    if boundary is None:
        raise ProblemError(400, "the body is not a form (multipart/form-data)")
    form = await _parse(_Form(settings, texts), _limit(stream, settings, memory), boundary)
    if len(form.photos) > 1:
        raise ProblemError(422, "more than one photo in the form")
    name, content = form.photos[0]
    found = {name: text.decode("utf-8", "replace") for name, text in form.texts.items()}
    return (name, bytes(content)), found


def _check_headers(headers: Mapping[str, str], settings: Settings) -> bytes | None:
    """Return the boundary of a form, or None for a raw body.

    Reject bodies whose Content-Length exceeds the limits. Do not reserve memory for it: clients
    that announce much and send nothing would lock out everyone else.
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


async def _limit(
    stream: AsyncIterator[bytes], settings: Settings, memory: Reservation
) -> AsyncIterator[bytes]:
    total = 0
    async for chunk in stream:
        total += len(chunk)
        _check_size("a request", total, settings.max_request_bytes)
        memory.grow_to(total)
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
        raise ProblemError(400, "the body does not match its Content-Type") from error
    if not form.ended:
        raise ProblemError(400, "the form is truncated")
    if not form.photos:
        fields = ", ".join(f"'{name[:40]}'" for name in form.others[:3]) or "none"
        raise ProblemError(
            422,
            f"no photo: the form has no file (its fields: {fields}); send each photo as a file, as"
            f" in curl -F {FIELD}=@plate.jpg",
        )
    return form


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise ProblemError(413, f"{name} may have at most {limit} bytes")
