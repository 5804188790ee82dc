"""Reading uploads into memory, within limits."""

import asyncio
import base64
import os
import sys
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings
from platecheck.serving.uploads import MemoryLimiter, read_photos, unreadable

LIMITS = Settings(max_photos=3, max_photo_bytes=100, max_request_bytes=1000, max_upload_bytes=1000)
FORM = {"content-type": "multipart/form-data; boundary=edge"}
RAW = {"content-type": "image/jpeg"}
END = b"--edge--\r\n"
BINARY = b"\xff\xd8\0\x81"


def part(disposition: bytes, kind: bytes, content: bytes) -> bytes:
    """A part as it is sent; `kind` is its media type, empty: none is sent."""
    header = b"Content-Type: %s\r\n" % kind if kind else b""
    head = b"--edge\r\nContent-Disposition: form-data; " + disposition
    return head + b"\r\n" + header + b"\r\n" + content + b"\r\n"


def form(*parts: tuple[str, bytes], field: str = "photos") -> bytes:
    written = b"".join(
        part(f'name="{field}"; filename="{name}"'.encode(), b"", content) for name, content in parts
    )
    return written + END


def read(
    body: bytes | Iterable[bytes],
    headers: Mapping[str, str],
    limiter: MemoryLimiter | None = None,
    limits: Settings = LIMITS,
) -> list[tuple[str, bytes]]:
    async def stream() -> AsyncGenerator[bytes, None]:
        for chunk in [body] if isinstance(body, bytes) else body:
            yield chunk

    with (limiter or MemoryLimiter(limits.max_upload_bytes)).reserve() as memory:
        return asyncio.run(read_photos(stream(), headers, limits, memory))


def read_or_problem(body: bytes, headers: Mapping[str, str]) -> bool:
    """Return whether there are photos, or a problem of the client."""
    try:
        return bool(read(body, headers))
    except ProblemError as error:
        return error.status_code in {400, 413, 415, 422}


@given(
    contents=st.lists(st.binary(max_size=100), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 900), max_size=8),
)
def test_photos_of_a_form_are_intact_however_the_body_is_chunked(
    contents: list[bytes], cuts: list[int]
) -> None:
    # A boundary inside a photo would be a boundary.
    contents = [content.replace(b"--edge", b"") for content in contents]
    body = form(*((f"{number}.jpg", content) for number, content in enumerate(contents)))
    places = sorted({0, len(body), *(cut for cut in cuts if cut < len(body))})
    chunks = [body[a:b] for a, b in pairwise(places)]
    assert read(chunks, FORM) == [(f"{n}.jpg", content) for n, content in enumerate(contents)]


@given(st.binary(max_size=400), st.sampled_from([FORM, RAW, {}]))
def test_any_body_gives_photos_or_a_problem(body: bytes, headers: dict[str, str]) -> None:
    assert read_or_problem(body, headers)


@given(st.text(st.characters(max_codepoint=255), max_size=60))
@example("multipart/form-data; boundary=edge; charset=idna")
@example("multipart/form-data; boundary=edge; charset=undefined")
@example('multipart/form-data; boundary="e\\"dge"')
def test_any_content_type_gives_photos_or_a_problem(kind: str) -> None:
    assert read_or_problem(form(("a", b"1")), {"content-type": kind})


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_part_gives_a_photo_or_a_problem(disposition: bytes, kind: bytes) -> None:
    assert read_or_problem(part(disposition, kind, b"1") + END, FORM)


def test_raw_body_is_one_photo() -> None:
    assert read([b"ab", b"c"], RAW) == [("photo", b"abc")]


@pytest.mark.parametrize(
    ("disposition", "kind", "name"),
    [
        # What clients send first: curl -F, requests, axios, PHP, Java, Swift, .NET.
        (b'name="photos"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="files[]"; filename="a.jpg"', b"", "a.jpg"),
        (b'name="photos[0]"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="image"; filename="blob"', b"image/png", "blob"),
        (b'name="images"; filename="a.heic"', b"application/octet-stream", "a.heic"),
        (b'name=""; filename="a.jpg"', b"", "a.jpg"),
        (b"name=photos; filename=a.jpg", b"image/jpeg", "a.jpg"),
        ('name="photos"; filename="café.jpg"'.encode(), b"image/jpeg", "café.jpg"),
        (b'name="photos"; filename="a.jpg"; filename*=UTF-8\'\'b.jpg', b"", "a.jpg"),
        (b"name=\"photos\"; filename*=UTF-8''caf%C3%A9.jpg", b"image/jpeg", "photos"),
        # A field for photos holds one, and a file is one, whatever the headers say or leave out.
        (b'name="photo"', b"text/plain", "photo"),
        (b'name="image_2"', b"", "image_2"),
        (b'name="files[]"', b"application/json", "files[]"),
        (b'name="thumb"; filename="a.jpg"', b"multipart/mixed; boundary=x", "a.jpg"),
        (b'name="meta"; filename="meta.json"', b"application/json", "meta.json"),
        (b'name="dish"; filename=""', b"text/plain", ""),
        (b'name="photos"', b"IMAGE/JPEG; q=1", "photos"),
        # So is a field with binary content.
        (b'name="dish"', b"image/jpeg", "dish"),
    ],
)
@pytest.mark.parametrize("content", [BINARY, "é\u20ac".encode()], ids=["binary", "text"])
def test_photo_of_a_form_is_found_whatever_the_client_calls_it(
    disposition: bytes, kind: bytes, name: str, content: bytes
) -> None:
    if name == "dish":
        content = BINARY
    odd = part(disposition, kind, content) + part(b'name="note"', b"", b"hello")
    assert read(odd + END, FORM) == [(name, content)]
    # Among others: none is excluded, and the order is kept.
    plain = form(("b.jpg", b"2"))
    body = plain.removesuffix(END) + odd + plain
    assert read(body, FORM) == [("b.jpg", b"2"), (name, content), ("b.jpg", b"2")]


@pytest.mark.parametrize(
    ("disposition", "kind"),
    [(b'name="dish"', b""), (b'name="note"', b"text/plain"), (b'name="meta"', b"application/json")],
)
def test_form_without_a_photo_names_its_fields_and_what_to_send(
    disposition: bytes, kind: bytes
) -> None:
    with pytest.raises(ProblemError) as error:
        read(part(disposition, kind, b"1") + END, FORM)
    assert error.value.status_code == 422
    assert "curl -F photos=@plate.jpg" in error.value.detail
    assert disposition.split(b'"')[1].decode() in error.value.detail


@pytest.mark.parametrize("headers", [FORM, RAW, {}])
def test_compressed_body_is_refused_before_it_is_read(headers: dict[str, str]) -> None:
    with pytest.raises(ProblemError) as error:
        read(b"", {**headers, "content-encoding": "GZIP"})
    assert error.value.status_code == 415
    assert "without Content-Encoding" in error.value.detail
    assert error.value.headers == {"Accept-Encoding": "identity"}
    assert read(b"1", {**RAW, "content-encoding": "identity"}) == [("photo", b"1")]


JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4
MISTAKEN_FORM = "this is a form: let the HTTP client set the Content-Type"
DAMAGED = "the file is damaged"


@pytest.mark.parametrize(
    ("kind", "body", "status", "says"),
    [
        ("application/json; charset=utf-8", b"[1]", 415, "curl -F photos=@plate.jpg"),
        ("text/plain", "Teller für alle".encode(), 415, "Content-Type: image/jpeg"),
        ("image/jpeg", b"\x1f\x8b\x08\0\0", 415, "compressed (gzip)"),  # and no header says so
        ("image/jpeg", b"text", 422, DAMAGED),
        ("application/octet-stream", b"text", 422, DAMAGED),
        ("", b"text", 422, DAMAGED),
        # curl -d @plate.jpg, which leaves out line ends and zeros; and -d plate.jpg, without @.
        ("application/x-www-form-urlencoded", JPEG, 422, "use --data-binary, not -d"),
        ("application/x-www-form-urlencoded", b"plate.jpg", 415, "use --data-binary, not -d"),
        ("image/jpeg", form(("a.jpg", JPEG)), 415, MISTAKEN_FORM),
        ("multipart/mixed; boundary=edge", form(("a.txt", b"text")), 415, MISTAKEN_FORM),
        ("application/json", b"--e\nContent-Type: a/b\ncontent-disposition: x", 415, MISTAKEN_FORM),
        ("image/jpeg", base64.b64encode(JPEG), 415, "this is base64: decode it first"),
        ("text/plain", base64.urlsafe_b64encode(JPEG), 415, "this is base64: decode it first"),
        ("application/json", b'"%s"' % base64.b64encode(JPEG), 415, "base64: decode it first"),
        ("image/jpeg", b"DATA:image/png;base64,iVBO\r\n", 415, "base64: decode it first"),
        ("image/jpeg", b"--not a form", 422, DAMAGED),
        ("image/jpeg", b"words that are no base64, " * 9, 422, DAMAGED),
    ],
)
def test_unreadable_body_says_how_to_send_the_photo(
    kind: str, body: bytes, status: int, says: str
) -> None:
    problem = unreadable({"content-type": kind}, body, DAMAGED)
    assert problem.status_code == status
    assert says in problem.detail


def test_too_large_photo_of_a_form_is_named() -> None:
    with pytest.raises(ProblemError) as error:
        read(form(("a.jpg", b"x"), ("b.jpg", b"x" * 101), ("c.jpg", b"x")), FORM)
    assert error.value.detail == "'b.jpg' is too large: a photo may have at most 100 bytes"


def test_long_name_of_odd_bytes_is_shortened() -> None:
    disposition = b'name="photos"; filename="\xff' + b"x" * 400 + b'"'
    ((name, _),) = read(part(disposition, b"", b"1") + END, FORM)
    assert len(name) == 255


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", RAW, 422),
        (b"x" * 101, RAW, 413),
        (b"x", {**RAW, "content-length": "101"}, 413),  # before it is read
        (b"x", {**FORM, "content-length": "1001"}, 413),
        ([b"--edge\r\n" + b"x" * 60] * 20, FORM, 400),
        ([b"\r\n" * 60] * 20, FORM, 413),
        (form(*[("a", b"x")] * 4), FORM, 413),
        (form(("a", b"x" * 101)), FORM, 413),
        (form(*[("a", b"")] * 4, field="other"), FORM, 413),
        (part(b'name="photos"', b"", b"x" * 101) + END, FORM, 413),
        (b"".join(part(b'name="note"', b"", b"1") for _ in range(20)) + END, FORM, 413),
        (form(("a", b"x"))[:-4], FORM, 400),
        (form(("a", b"x")), {"content-type": "multipart/form-data"}, 400),
        (form(("a", b"x")), {"content-type": f"multipart/form-data; boundary={'e' * 71}"}, 400),
        (END, FORM, 422),
    ],
)
def test_invalid_or_too_large_body_is_refused(
    body: bytes | list[bytes], headers: dict[str, str], status: int
) -> None:
    with pytest.raises(ProblemError) as error:
        read(body, headers)
    assert error.value.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        form(*[("a", b"x")] * 4),
        b"".join(part(b'name="photos"', b"", b"\xff\xd8") for _ in range(4)) + END,
    ],
)
def test_too_many_photos_are_refused_with_the_number_allowed(body: bytes) -> None:
    with pytest.raises(ProblemError) as error:
        read(body, FORM)
    assert error.value.status_code == 413
    assert error.value.detail == "more than 3 photos in a request"


@pytest.mark.parametrize(("headers", "limit"), [(RAW, 100), (FORM, 1000)])
def test_endless_body_is_refused_at_the_limit(headers: dict[str, str], limit: int) -> None:
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        yield b"" if headers is RAW else form(("a", b"1")).removesuffix(b"1\r\n" + END)
        while True:
            sent += 50
            yield b"x" * 50

    with pytest.raises(ProblemError) as error:
        read(endless(), headers)
    assert error.value.status_code == 413
    assert limit - 100 < sent <= limit + 50


def test_memory_of_all_requests_is_bounded_and_given_back() -> None:
    limiter = MemoryLimiter(150)
    with limiter.reserve() as first:
        first.grow(80)  # read, but not answered yet
        with pytest.raises(ProblemError) as error:
            read(b"y" * 80, RAW, limiter)
        assert error.value.status_code == 503
        assert error.value.headers["Retry-After"] == "1"
    assert limiter.used == 0
    # What is announced, but not sent, takes no memory.
    assert read(b"y" * 80, {**RAW, "content-length": "100"}, MemoryLimiter(90))


def test_large_photos_of_a_form_are_never_written_to_disk() -> None:
    photos = [(f"{number}.jpg", bytes(3 * 2**20)) for number in range(3)]
    written, watching = [], True

    def trace(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(arguments[0])

    body = form(*photos)
    chunks = (body[start : start + 2**16] for start in range(0, len(body), 2**16))
    sys.addaudithook(trace)  # it cannot be removed
    assert read(chunks, FORM, limits=Settings()) == photos
    watching = False
    assert written == []
