"""What is not quite HTTP."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.fuzz.damaged_photos import originals
from tests.fuzz.forms import CANARY


@dataclass(frozen=True)
class Broken:
    """Bytes for a connection of their own.

    Attributes:
        data: what is sent.
        answers: expected number of responses.
        malformed: whether the server may close the connection instead.
        ends: whether the client then closes its side; the server may do so, too.
        status: expected status; None: any that is not a fault.
    """

    data: bytes
    answers: int = 1
    malformed: bool = False
    ends: bool = False
    status: int | None = None


def broken_http(rng: random.Random, extra: str) -> tuple[str, Broken]:
    """What is broken about it, and the bytes; `extra` are headers for every request."""
    name = rng.choice(sorted(FAULTS))
    return name, fault(name, rng, extra)


def fault(name: str, rng: random.Random, extra: str) -> Broken:
    """Return the bytes of one kind of fault."""
    return replace(FAULTS[name](rng, extra), malformed=name not in WELL_FORMED)


def _head(extra: str, *lines: str, start: str = "POST /v1/predict HTTP/1.1") -> bytes:
    return "\r\n".join([start, "Host: 127.0.0.1" + extra, *lines, "", ""]).encode("latin-1")


def _photo() -> bytes:
    return originals()["PNG"]


def _whole(extra: str, *lines: str, body: bytes | None = None) -> bytes:
    body = _photo() if body is None else body
    return _head(extra, f"Content-Length: {len(body)}", "Content-Type: image/png", *lines) + body


def _chunked(extra: str, body: bytes, *lines: str) -> bytes:
    return _head(extra, "Transfer-Encoding: chunked", "Content-Type: image/png", *lines) + body


def _chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


def _empty(extra: str, method: str, path: str = "/v1/predict", version: str = "HTTP/1.1") -> Broken:
    return Broken(_head(extra, "Content-Length: 0", start=f"{method} {path} {version}"))


def _method(rng: random.Random, extra: str) -> Broken:
    methods = "GET PUT DELETE PATCH TRACE CONNECT PROPFIND BREW post P\0ST"
    return _empty(extra, rng.choice(methods.split(" ")))


def _version(rng: random.Random, extra: str) -> Broken:
    versions = "HTTP/0.9 HTTP/2.0 HTTP/9.9 HTTP/1.11 HTP/1.1  http/1.1"  # one is empty
    return _empty(extra, "POST", version=rng.choice(versions.split(" ")))


def _path(rng: random.Random, extra: str) -> Broken:
    path = rng.choice(
        (
            "*", "/%", "/%zz", "/%00", "/%ff", "//", "/../../etc/passwd", "/page/..%2f..%2fapi.py",
            "/page/%2e%2e/app.py", "/page/%00.js", "/page//etc/passwd", "/docs/files/%00",
            "/" + "a" * 5000, "http://example.com/v1/predict", "example.com:443",
            "/v1/predict?evidence=perhaps",
            "/v1/predict?evidence=%ff", f"/v1/predict?{'a=b&' * 5000}", "/v1/predict/", "/\xff\xfe",
            "/v1/model?" + CANARY, "/metrics?name[]=%00", "/page/vendor", "/page/vendor/", "/page",
        )
    )  # fmt: skip
    return _empty(extra, rng.choice(("GET", "GET", "POST")), path)


def _header(rng: random.Random, extra: str) -> Broken:
    line = rng.choice(
        (
            "X\0: y", "X: \0", "X : y", ": y", "no colon", "X: " + "y" * 30_000, "Host: other",
            "Content-Type: \xff", "Origin: http://[", "Origin: null", "Range: bytes=zz",
            "Range: bytes=0-,0-,0-", "If-None-Match: " + "x" * 999, "If-Modified-Since: never",
            "X-Request-ID: " + "x" * 999, "X-Request-ID: \xe9", f"X-Request-ID: {CANARY} {CANARY}",
            "Accept-Encoding: " + "gzip;q=9," * 500, "Cookie: " + "a=b;" * 999,
            "Authorization: Bearer " + CANARY, "Authorization: Basic " + CANARY, "Authorization:",
            "Expect: 100-continue", "Expect: a miracle", "Connection: close, keep-alive, \xff",
            "Forwarded: for=\"_\xff\"", "X-Forwarded-For: <script>", "X-Forwarded-Proto: \xff",
        )
    )  # fmt: skip
    start = rng.choice(("GET /v1/model/file", "GET /", "GET /page/main.js", "GET /v1/model"))
    if rng.random() < 0.5:
        return Broken(_whole(extra, line))
    return Broken(_head(extra, line, start=f"{start} HTTP/1.1"))


def _upgrade(rng: random.Random, extra: str) -> Broken:
    """A good request that would rather speak another protocol, and another one behind it."""
    wish = f"Upgrade: {rng.choice(('websocket', 'h2c', 'TLS/1.0', 'cow'))}\r\nConnection: Upgrade"
    chunks = _chunk(_photo()) + b"0\r\n\r\n"
    first = rng.choice((_whole(extra, wish), _chunked(extra, chunks, wish)))
    return Broken(first + _whole(extra), answers=2, status=200)


def _length(rng: random.Random, extra: str) -> Broken:
    arabic = "٣".encode().decode("latin-1")
    length = rng.choice(("-1", "1e3", "0x10", "9" * 30, "", arabic, "1,1", "+5", " 5 5", "two"))
    return Broken(_head(extra, f"Content-Length: {length}") + b"xxxxx")


def _body_too_short(rng: random.Random, extra: str) -> Broken:
    head = _head(extra, f"Content-Length: {rng.choice((9_999, 999_999, 20_000_000))}")
    return Broken(head + _photo()[:500], ends=True)


def _size_of_chunk(rng: random.Random, extra: str) -> Broken:
    size = rng.choice((b"zz", b"-1", b"", b"f" * 20, b"0x5", b"5 5", b"5;" + b"x" * 20_000, b"\0"))
    return Broken(_chunked(extra, size + b"\r\nhello\r\n0\r\n\r\n"))


def _noise(rng: random.Random, _extra: str) -> Broken:
    return Broken(rng.randbytes(rng.choice((1, 50, 5000))) + b"\r\n\r\n", ends=True)


def _changed(rng: random.Random, extra: str) -> Broken:
    """A good request, of which a few bytes of the head are others."""
    head, _, body = _whole(extra).partition(b"\r\n\r\n")
    changed = bytearray(head)
    for _ in range(rng.choice((1, 2, 5))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return Broken(bytes(changed) + b"\r\n\r\n" + body, ends=True)


FAULTS: dict[str, Callable[[random.Random, str], Broken]] = {
    "a method": _method,
    "a version": _version,
    "a path": _path,
    "a header": _header,
    "an upgrade": _upgrade,
    "a length": _length,
    "a body that is too short": _body_too_short,
    "a size of a chunk": _size_of_chunk,
    "noise": _noise,
    "changed bytes": _changed,
    "a long line": lambda _, extra: Broken(_head(extra, start=f"GET /{'a' * 200_000} HTTP/1.1")),
    "a flood of headers": lambda _, extra: Broken(_head(extra, *["X-Many: y"] * 20_000)),
    "a header of 200 kB": lambda _, extra: Broken(_head(extra, "X: " + "y" * 200_000)),
    "zeros": lambda _, extra: Broken(bytes(2000), ends=True),
    "a line of HTTP/0.9": lambda _, extra: Broken(b"GET /\r\n\r\n"),
    "TLS": lambda rng, _: Broken(b"\x16\x03\x01\x02\x00\x01" + rng.randbytes(300), ends=True),
    "HTTP/2": lambda _, extra: Broken(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), ends=True),
    "nothing": lambda _, extra: Broken(b"", ends=True),
    "half a head": lambda _, extra: Broken(_head(extra)[:-20], ends=True),
    "no host": lambda _, extra: Broken(b"GET /healthz HTTP/1.1\r\n\r\n"),
    "HTTP/1.0": lambda _, extra: Broken(_whole(extra).replace(b"HTTP/1.1", b"HTTP/1.0", 1)),
    "two lengths": lambda _, extra: Broken(_whole(extra, "Content-Length: 5")),
    "a length and chunks": lambda _, extra: Broken(
        _chunked(extra, _chunk(b"x") + b"0\r\n\r\n", "Content-Length: 5")
    ),
    "an encoding that is none": lambda _, extra: Broken(
        _head(extra, "Transfer-Encoding: gzip, chunked, cow") + b"0\r\n\r\n"
    ),
    "a body of gzip": lambda _, extra: Broken(_whole(extra, "Content-Encoding: gzip")),
    "chunks of a byte": lambda _, extra: Broken(
        _chunked(extra, b"".join(_chunk(_photo()[i : i + 1]) for i in range(2000)) + b"0\r\n\r\n")
    ),
    "a chunk that is too short": lambda _, extra: Broken(
        _chunked(extra, b"ffff\r\nhello\r\n0\r\n\r\n"), ends=True
    ),
    "a trailer": lambda _, extra: Broken(
        _chunked(extra, _chunk(_photo()) + b"0\r\nX-After: y\r\n\r\n")
    ),
    "a flood of trailers": lambda _, extra: Broken(
        _chunked(extra, _chunk(_photo()) + b"0\r\n" + b"X-After: y\r\n" * 20_000 + b"\r\n")
    ),
    "chunks without end": lambda _, extra: Broken(
        _chunked(extra, _chunk(b"x" * 2**20) * 22, "X-Endless: yes"), ends=True
    ),
    "a body of GET": lambda _, extra: Broken(
        _whole(extra).replace(b"POST /v1/predict", b"GET /v1/model", 1)
    ),
    "ten requests at once": lambda _, extra: Broken(_whole(extra) * 10, answers=10),
    "a good one, then noise": lambda rng, extra: Broken(
        _whole(extra) + rng.randbytes(200), ends=True
    ),
    "a hidden second request": lambda _, extra: Broken(
        _whole(extra, body=_photo() + _whole(extra))
    ),
    "more than it says": lambda _, extra: Broken(_head(extra, "Content-Length: 5") + b"x" * 5000),
    "refused, then more": lambda _, extra: Broken(
        _head(extra, "Content-Length: 99999999") + b"x" * 50_000
    ),
}

WELL_FORMED = {
    "an upgrade", "HTTP/1.0", "ten requests at once", "a body of GET", "chunks of a byte"
}  # fmt: skip
