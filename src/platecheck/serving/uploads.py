"""Read uploaded photos into memory, enforcing limits while the body arrives."""

import re
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from platecheck.serving.observability import REJECTED
from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings

Stream = AsyncGenerator[bytes, None]
FIELD = "photos"
# Other accepted field names; their content is a photo regardless of the part headers.
_NAMES = re.compile(r"(photo|file|image|picture|img|upload)s?[_-]?\d*(\[\w*\])*", re.IGNORECASE)
_PHOTO_TYPE = re.compile(r"(image/.*|application/octet-stream|binary/octet-stream)?")
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
_BOUNDARY = re.compile(rb"[\w'()+,\-./:=? ]{1,70}")


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

    def grow(self, size: int) -> None:
        """Reserve `size` more bytes."""
        if self.limiter.used + size > self.limiter.total:
            REJECTED.labels("uploads").inc()
            detail = "too many uploads in progress; retry later"
            raise ProblemError(503, detail, {"Retry-After": "1"})
        self.limiter.used += size
        self.size += size


def is_form(headers: Mapping[str, str]) -> bool:
    """Return whether the body is a form rather than a single photo."""
    return parse_options_header(headers.get("content-type"))[0] == b"multipart/form-data"


def unreadable(headers: Mapping[str, str], body: bytes, reason: str) -> ProblemError:
    """Explain why a raw body is not a photo: unsupported type, or damaged for a `reason`."""
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
    stream: Stream, headers: Mapping[str, str], settings: Settings, memory: Reservation
) -> list[tuple[str, bytes]]:
    """Return name and content of each photo of a request: the files of a form, or the raw body.

    Raises:
        ProblemError: The form is invalid or empty, the body is compressed, or a limit is exceeded.
    """
    if is_form(headers):
        photos, _ = await _read_form(stream, headers, settings, memory, texts=())
        return photos
    _check_headers(headers, settings.max_photo_bytes)
    content = bytearray()
    async for chunk in stream:
        _check_size("a photo", len(content) + len(chunk), settings.max_photo_bytes)
        memory.grow(len(chunk))
        content += chunk
    if not content:
        raise ProblemError(422, f"no photo, the body is empty: {HOW}")
    return [("photo", bytes(content))]


async def read_form(
    stream: Stream,
    headers: Mapping[str, str],
    settings: Settings,
    memory: Reservation,
    *,
    texts: Collection[str],
) -> tuple[tuple[str, bytes], dict[str, str]]:
    """Return name and content of the photo of a form, and its text fields named in `texts`.

    Raises:
        ProblemError: The body is not a form with exactly one photo, or a limit is exceeded.
    """
    if not is_form(headers):
        _check_headers(headers, settings.max_request_bytes)
        raise ProblemError(400, "the body is not a form (multipart/form-data)")
    photos, found = await _read_form(stream, headers, settings, memory, texts)
    if len(photos) > 1:
        raise ProblemError(422, "more than one photo in the form")
    return photos[0], {name: text.decode("utf-8", "replace") for name, text in found.items()}


async def _read_form(
    stream: Stream,
    headers: Mapping[str, str],
    settings: Settings,
    memory: Reservation,
    texts: Collection[str],
) -> tuple[list[tuple[str, bytes]], dict[str, bytes]]:
    """Return the photos of a form, at least one, and the fields named in `texts`."""
    _check_headers(headers, settings.max_request_bytes)
    boundary = parse_options_header(headers["content-type"])[1].get(b"boundary", b"")
    if not _BOUNDARY.fullmatch(boundary):
        detail = "the form's boundary is missing or invalid: let the HTTP client set Content-Type"
        raise ProblemError(400, detail)
    end, tail, complete = b"--" + boundary + b"--", b"", False

    async def limited() -> Stream:
        nonlocal tail, complete
        async for chunk in stream:
            _check_size("a request", memory.size + len(chunk), settings.max_request_bytes)
            memory.grow(len(chunk))
            tail += chunk
            complete = complete or end in tail
            tail = tail[-len(end) :]
            yield chunk

    # Without charset: Python has codecs that are slow or raise other errors.
    content_type = f'multipart/form-data; boundary="{boundary.decode()}"'
    parser = MultiPartParser(
        Headers({"content-type": content_type}),
        limited(),
        max_files=settings.max_photos,
        max_fields=settings.max_photos + OTHER_FIELDS,
        max_part_size=settings.max_photo_bytes,
    )
    parser.spool_max_size = 2**62  # never write files to disk; the stream limits their size
    try:
        form = await parser.parse()
    except MultiPartException as error:
        # Starlette distinguishes limits from malformed forms only by message.
        if error.message.startswith("Too many files"):
            raise _too_many_photos(settings) from error
        limit = error.message.startswith(("Too many fields", "Part exceeded"))
        raise ProblemError(413 if limit else 400, f"invalid form: {error.message}") from error
    photos, found, others = await _sort_fields(form.multi_items(), texts, settings)
    if not complete:  # Starlette silently drops a truncated part
        raise ProblemError(400, "the form is truncated")
    if not photos:
        fields = ", ".join(f"'{name[:40]}'" for name in others[:3]) or "none"
        raise ProblemError(
            422,
            f"no photo: the form has no file (its fields: {fields}); send each photo as a file, as"
            f" in curl -F {FIELD}=@plate.jpg",
        )
    return photos, found


def _too_many_photos(settings: Settings) -> ProblemError:
    return ProblemError(413, f"more than {settings.max_photos} photos in a request")


async def _sort_fields(
    items: Collection[tuple[str, UploadFile | str]], texts: Collection[str], settings: Settings
) -> tuple[list[tuple[str, bytes]], dict[str, bytes], list[str]]:
    """Return photos, texts, and names of other fields.

    Every file is a photo, whatever its field: if one were ignored, predictions could be attributed
    to the wrong photos. So is a field without a file name that has the name of a photo field
    or binary content. With `texts`, files in fields of other names may be something else.
    """
    photos, found, others = [], {}, []
    for field, value in items:
        if isinstance(value, UploadFile):
            name, content, is_photo = value.filename or "", await value.read(), not texts
            await value.close()
        else:
            name, content = field, _bytes_of(value)
            is_photo = not texts and _is_binary(content)
        if field in texts:
            _check_size(f"'{field}' is too long: a text", len(content), TEXT_BYTES)
            found[field] = content
        elif is_photo or _NAMES.fullmatch(field):
            name = name[:NAME_LENGTH]
            limit = settings.max_photo_bytes
            _check_size(f"'{name}' is too large: a photo", len(content), limit)
            photos.append((name, content))
        else:
            others.append(field)
    if len(photos) > settings.max_photos:
        raise _too_many_photos(settings)
    if len(others) > OTHER_FIELDS:
        raise ProblemError(413, "too many form fields that are not photos")
    return photos, found, others


def _bytes_of(text: str) -> bytes:
    """Undo the decoding of a field by Starlette: as UTF-8 or, if it is not UTF-8, as Latin-1."""
    try:
        content = text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()
    return content if _is_binary(content) else text.encode()


def _is_binary(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def _check_headers(headers: Mapping[str, str], limit: int) -> None:
    """Reject a body that is compressed or whose Content-Length exceeds the limit.

    Do not reserve memory for it: clients that declare a large body and send nothing would block
    everyone else.
    """
    declared = headers.get("content-length", "")
    expected = int(declared) if declared.isdecimal() and len(declared) < 20 else 0
    _check_size("a request", expected, limit)
    if (coding := headers.get("content-encoding", "").strip().lower()) not in ("", "identity"):
        raise ProblemError(
            415,
            f"the body is compressed ({coding[:NAME_LENGTH]}): send it without Content-Encoding;"
            " photos are compressed already",
            headers={"Accept-Encoding": "identity"},
        )


def _check_size(name: str, size: int, limit: int) -> None:
    if size > limit:
        raise ProblemError(413, f"{name} may have at most {limit} bytes")
