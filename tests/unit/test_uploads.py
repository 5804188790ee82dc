"""Reading requests: whole photos come out, too much is refused while it arrives."""

import asyncio
import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platecheck.serving.problems import ProblemError
from platecheck.serving.settings import Settings
from platecheck.serving.uploads import MemoryLimiter, read_photos, unreadable

LIMITS = Settings(max_photos=3, max_photo_bytes=100, max_request_bytes=1000, max_upload_bytes=1000)
FORM = {"content-type": "multipart/form-data; boundary=edge"}
RAW = {"content-type": "image/jpeg"}


def form(*parts: tuple[str, bytes], field: str = "photos") -> bytes:
    written = b"".join(
        b'--edge\r\nContent-Disposition: form-data; name="%s"; filename="%s"\r\n\r\n%s\r\n'
        % (field.encode(), name.encode(), content)
        for name, content in parts
    )
    return written + b"--edge--\r\n"


def part(disposition: bytes, kind: bytes, content: bytes) -> bytes:
    """A part as it is sent; `kind` is its media type, empty: none is sent."""
    header = b"Content-Type: %s\r\n" % kind if kind else b""
    head = b"--edge\r\nContent-Disposition: form-data; " + disposition
    return head + b"\r\n" + header + b"\r\n" + content + b"\r\n"


def read(
    body: bytes | Sequence[bytes],
    headers: Mapping[str, str],
    settings: Settings = LIMITS,
    budget: MemoryLimiter | None = None,
) -> list[tuple[str, bytes]]:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in [body] if isinstance(body, bytes) else body:
            yield chunk

    with (budget or MemoryLimiter(settings.max_upload_bytes)).reserve() as share:
        return asyncio.run(read_photos(stream(), headers, settings, share))


def refused(
    body: bytes | Sequence[bytes], headers: Mapping[str, str], settings: Settings = LIMITS
) -> int:
    with pytest.raises(ProblemError) as error:
        read(body, headers, settings)
    return error.value.status_code


def read_or_status(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether photos come out, or a problem that is the caller's."""
    try:
        return bool(read(body, headers))
    except ProblemError as error:
        return error.status_code in {400, 413, 415, 422}


@given(
    contents=st.lists(st.binary(max_size=100), min_size=1, max_size=3),
    cuts=st.lists(st.integers(0, 900), max_size=8),
)
def test_photos_come_out_as_they_were_however_the_body_is_cut(
    contents: list[bytes], cuts: list[int]
) -> None:
    # A boundary inside a photo would be a boundary.
    contents = [content.replace(b"--edge", b"") for content in contents]
    body = form(*((f"{number}.jpg", content) for number, content in enumerate(contents)))
    places = sorted({0, len(body), *(rechunk for rechunk in cuts if rechunk < len(body))})
    chunks = [body[a:b] for a, b in pairwise(places)]
    assert read(chunks, FORM) == [(f"{n}.jpg", content) for n, content in enumerate(contents)]


@given(st.binary(max_size=400), st.sampled_from([FORM, RAW, {}]))
def test_any_body_is_photos_or_a_problem(body: bytes, headers: dict[str, str]) -> None:
    assert read_or_status(body, headers)


@given(st.text(st.characters(max_codepoint=255), max_size=60))
def test_any_content_type_is_read_or_a_problem(kind: str) -> None:
    assert read_or_status(form(("a", b"1")), {"content-type": kind})


def test_a_body_that_is_no_form_is_one_photo() -> None:
    assert read([b"ab", b"c"], RAW) == [("photo", b"abc")]


def test_fields_that_are_not_photos_are_left_out() -> None:
    body = b'--edge\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n' + form(
        ("a", b"1")
    )
    assert read(body, FORM) == [("a", b"1")]


@pytest.mark.parametrize(
    ("disposition", "kind", "name"),
    [
        # What clients send first: curl -F, requests, axios, PHP, Java, Swift, .NET.
        (b'name="photos"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="file"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="files"; filename="a.jpg"', b"", "a.jpg"),
        (b'name="files[]"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="photos[]"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="photos[0]"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="photo"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="image"; filename="blob"', b"image/png", "blob"),
        (b'name="images"; filename="a.heic"', b"application/octet-stream", "a.heic"),
        (b'name="Image"; filename="a.bin"', b"text/plain", "a.bin"),
        (b'name="dish"; filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b'name="dish"; filename="a.heic"', b"application/octet-stream", "a.heic"),
        (b'name=""; filename="a.jpg"', b"", "a.jpg"),
        (b'filename="a.jpg"', b"image/jpeg", "a.jpg"),
        (b"name=photos; filename=a.jpg", b"image/jpeg", "a.jpg"),
        (b"name=\"photos\"; filename*=UTF-8''caf%C3%A9.jpg", b"image/jpeg", "café.jpg"),
        (b"name=\"photos\"; filename*=utf-8'en'caf%C3%A9.jpg", b"", "café.jpg"),
        (b"name=\"file\"; filename*=ISO-8859-1''caf%E9.jpg", b"", "café.jpg"),
        (b"name=\"file\"; filename*=nonsense''a%FF.jpg", b"", "a\ufffd.jpg"),
        (b'name="file"; FileName* = "UTF-8\'\'a%3Bb.jpg"', b"", "a;b.jpg"),
        (b'name="photos"; filename="a.jpg"; filename*=UTF-8\'\'a.jpg', b"", "a.jpg"),
        # A field for photos holds one, and a file is one, whatever the headers say or leave out.
        (b'name="photos"', b"", "photos"),
        (b'name="photo"', b"text/plain", "photo"),
        (b'name="photo1"', b"", "photo1"),
        (b'name="image_2"', b"text/plain", "image_2"),
        (b'name="dish"', b"application/octet-stream", "dish"),
        (b'name="files[]"', b"application/json", "files[]"),
        (b'name="dish1"; filename="a.jpg"', b"text/plain", "a.jpg"),
        (b'name="thumb"; filename="a.jpg"', b"application/x-foo", "a.jpg"),
        (b'name="thumb"; filename="a.jpg"', b"multipart/mixed; boundary=x", "a.jpg"),
        (b'name="meta"; filename="meta.json"', b"application/json", "meta.json"),
        (b"name=\"dish\"; filename*=UTF-8''a.jpg", b"video/mp4", "a.jpg"),
        (b'name="dish"; filename=""', b"text/plain", ""),
        (b'name="upload"', b"image/jpeg", "upload"),
        (b'name="photos"', b"IMAGE/JPEG; q=1", "photos"),
    ],
)
def test_photo_of_a_form_whatever_the_client_calls_it(
    disposition: bytes, kind: bytes, name: str
) -> None:
    odd = part(disposition, kind, b"1") + part(b'name="note"', b"", b"hello")
    assert read(odd + b"--edge--\r\n", FORM) == [(name, b"1")]
    # Beside others: none is left out, and the order is kept.
    assert read(odd + form(("b.jpg", b"2")), FORM) == [(name, b"1"), ("b.jpg", b"2")]
    body = form(("b.jpg", b"2")).removesuffix(b"--edge--\r\n") + odd + b"--edge--\r\n"
    assert read(body, FORM) == [("b.jpg", b"2"), (name, b"1")]


@pytest.mark.parametrize(
    ("disposition", "kind"),
    [
        (b'name="dish"', b""),
        (b'name="note"', b"text/plain"),
        (b'name="meta"', b"application/json"),
        (b"", b""),
    ],
)
def test_form_without_a_photo_says_what_it_has_and_what_to_send(
    disposition: bytes, kind: bytes
) -> None:
    with pytest.raises(ProblemError) as error:
        read(part(disposition, kind, b"1") + b"--edge--\r\n", FORM)
    assert error.value.status_code == 422
    assert "curl -F photos=@plate.jpg" in error.value.detail
    if b'name="' in disposition:
        assert disposition.split(b'"')[1].decode() in error.value.detail


@given(st.binary(max_size=80), st.binary(max_size=40))
def test_any_part_is_a_photo_or_a_problem(disposition: bytes, kind: bytes) -> None:
    assert read_or_status(part(disposition, kind, b"1") + b"--edge--\r\n", FORM)


@pytest.mark.parametrize("coding", ["gzip", "br", "deflate, gzip", "GZIP"])
@pytest.mark.parametrize("headers", [FORM, RAW, {}])
def test_compressed_body_is_refused_before_it_is_read(coding: str, headers: dict[str, str]) -> None:
    with pytest.raises(ProblemError) as error:
        read(b"", {**headers, "content-encoding": coding})
    assert error.value.status_code == 415
    assert "without Content-Encoding" in error.value.detail
    assert error.value.headers == {"Accept-Encoding": "identity"}
    assert read(b"1", {**RAW, "content-encoding": "identity"}) == [("photo", b"1")]


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b'{"image": "/9j/4AAQ"}', 415),
        ("application/json; charset=utf-8", b"[1]", 415),
        ("application/x-www-form-urlencoded", b"image=%FF%D8", 415),
        ("text/plain", "Teller für alle".encode(), 415),
        ("application/xml", b"<photo/>", 415),
        ("image/jpeg", b"\x1f\x8b\x08\0\0", 415),  # compressed, and no header says so
        ("", b"\x1f\x8b\x08\0\0", 415),
        ("image/jpeg", b"text", 422),
        ("application/octet-stream", b"text", 422),
        ("", b"text", 422),
    ],
)
def test_body_of_another_kind_is_told_from_a_damaged_photo(
    kind: str, body: bytes, status: int
) -> None:
    problem = unreadable({"content-type": kind}, body, "the file is damaged")
    assert problem.status_code == status
    if status == 415:
        assert "curl -F photos=@plate.jpg" in problem.detail
        assert "Content-Type: image/jpeg" in problem.detail
    else:
        assert problem.detail == "the file is damaged"


JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 4
MISTAKEN_FORM = "this is a form: let the HTTP client set the Content-Type"


@pytest.mark.parametrize(
    ("kind", "body", "status", "says"),
    [
        # curl -d @plate.jpg, which leaves out line ends and zeros; and -d plate.jpg, without @.
        ("application/x-www-form-urlencoded", JPEG, 422, "use --data-binary, not -d"),
        ("application/x-www-form-urlencoded", b"plate.jpg", 415, "use --data-binary, not -d"),
        ("image/jpeg", form(("a.jpg", JPEG)), 415, MISTAKEN_FORM),
        ("", b"\r\n" + form(("a.jpg", JPEG)), 415, MISTAKEN_FORM),
        ("multipart/mixed; boundary=edge", form(("a.txt", b"text")), 415, MISTAKEN_FORM),
        ("application/json", b"--e\nContent-Type: a/b\ncontent-disposition: x", 415, MISTAKEN_FORM),
        ("image/jpeg", base64.b64encode(JPEG), 415, "this is base64: decode it first"),
        ("", base64.encodebytes(JPEG), 415, "this is base64: decode it first"),
        ("text/plain", base64.urlsafe_b64encode(JPEG), 415, "this is base64: decode it first"),
        ("application/json", b'"%s"' % base64.b64encode(JPEG), 415, "base64: decode it first"),
        ("image/png", b"data:image/png;base64,iVBORw0KGgo=", 415, "base64: decode it first"),
        ("image/jpeg", b"DATA:image/png;base64,iVBO\r\n", 415, "base64: decode it first"),
        ("image/jpeg", b"--not a form", 422, "the file is damaged"),
        ("image/jpeg", b"words that are no base64, " * 9, 422, "the file is damaged"),
    ],
)
def test_body_that_was_wrapped_says_how_to_send_the_photo(
    kind: str, body: bytes, status: int, says: str
) -> None:
    problem = unreadable({"content-type": kind}, body, "the file is damaged")
    assert problem.status_code == status
    assert says in problem.detail


def test_what_is_too_large_in_a_form_is_named() -> None:
    with pytest.raises(ProblemError) as error:
        read(form(("a.jpg", b"x"), ("b.jpg", b"x" * 101), ("c.jpg", b"x")), FORM)
    assert error.value.status_code == 413
    assert error.value.detail == "'b.jpg' is too large: a photo may have at most 100 bytes"


def test_names_are_shortened_and_may_be_no_text() -> None:
    ((name, _),) = read(
        b'--edge\r\nContent-Disposition: form-data; name="photos"; filename="\xff'
        + b"x" * 400
        + b'"\r\n\r\n1\r\n--edge--\r\n',
        FORM,
    )
    assert len(name) == 255
    assert name[0] == "\ufffd"


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", RAW, 422),
        (b"x" * 101, RAW, 413),
        (b"x", {**RAW, "content-length": "101"}, 413),  # before it is read
        (b"x", {**FORM, "content-length": "1001"}, 413),
        ([b"x" * 60] * 20, FORM, 400),
        (form(*[("a", b"x")] * 4), FORM, 413),
        (form(("a", b"x" * 101)), FORM, 413),
        (form(*[("a", b"")] * 4, field="other"), FORM, 413),
        (b"".join(part(b'name="note"', b"", b"1") for _ in range(20)) + b"--edge--\r\n", FORM, 413),
        (form(("a", b"x"))[:-4], FORM, 400),
        (form(("a", b"x")), {"content-type": "multipart/form-data"}, 400),
        (form(("a", b"x")), {"content-type": f"multipart/form-data; boundary={'e' * 71}"}, 400),
        (b"--edge--\r\n", FORM, 422),
    ],
)
def test_what_is_wrong_or_too_much_is_refused(
    body: bytes | list[bytes], headers: dict[str, str], status: int
) -> None:
    assert refused(body, headers) == status


def test_a_body_without_end_is_refused_when_it_is_too_much() -> None:
    read_so_far = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read_so_far
        while True:
            read_so_far += 50
            yield b"x" * 50

    with pytest.raises(ProblemError) as error, MemoryLimiter(1000).reserve() as share:
        asyncio.run(read_photos(endless(), RAW, LIMITS, share))
    assert error.value.status_code == 413
    assert read_so_far == 150


def test_what_is_in_memory_at_a_time_is_bounded_and_given_back() -> None:
    budget = MemoryLimiter(150)

    async def quick() -> AsyncIterator[bytes]:
        yield b"y" * 80

    with budget.reserve() as first:
        photos = asyncio.run(read_photos(quick(), RAW, LIMITS, first))
        assert photos == [("photo", b"y" * 80)]
        # It is read, but not answered yet.
        with budget.reserve() as second, pytest.raises(ProblemError) as error:
            asyncio.run(read_photos(quick(), RAW, LIMITS, second))
        assert error.value.status_code == 503
        assert error.value.headers["Retry-After"] == "1"
    assert budget.used == 0
    assert read(b"y" * 80, RAW, budget=budget) == photos


def test_who_announces_much_and_sends_nothing_keeps_no_one_out() -> None:
    budget = MemoryLimiter(150)

    async def others() -> None:
        never = asyncio.Event()

        async def silent() -> AsyncIterator[bytes]:
            await never.wait()
            yield b""

        async def read_silently() -> None:
            with budget.reserve() as share:
                await read_photos(silent(), {**RAW, "content-length": "100"}, LIMITS, share)

        waiting = [asyncio.create_task(read_silently()) for _ in range(20)]
        await asyncio.sleep(0)
        assert budget.used == 0
        for task in waiting:
            task.cancel()

    asyncio.run(others())
    assert read(b"y" * 80, RAW, budget=budget) == [("photo", b"y" * 80)]
