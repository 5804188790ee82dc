"""Forms that are not as they should be."""

import random
from collections.abc import Callable

from tests.fuzz.damaged_photos import mutated, originals

CANARY = "canary-4d7c1e"
"""Is in what is sent, and must not be in a log."""


def odd_form(rng: random.Random) -> tuple[str, str, bytes]:
    """What is odd about it, its content type, and the body."""
    name = rng.choice(sorted(ODDITIES))
    kind, body = ODDITIES[name](rng)
    return name, kind, body


def form_of_photos(rng: random.Random) -> tuple[str, str, bytes]:
    """A good form of photos that are not."""
    found = [mutated(rng) for _ in range(rng.choice((1, 2, 5)))]
    parts = b"".join(part(content) for _, content in found)
    return " and ".join(name for name, _ in found), content_type("edge"), parts + b"--edge--\r\n"


def content_type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def part(content: bytes, headers: bytes | None = None, boundary: bytes = b"edge") -> bytes:
    """A part of a form; by default a photo."""
    if headers is None:
        headers = (
            b'Content-Disposition: form-data; name="photos"; filename="%s.jpg"' % CANARY.encode()
        )
    return b"--" + boundary + b"\r\n" + headers + b"\r\n\r\n" + content + b"\r\n"


def _named(disposition: bytes) -> bytes:
    return b"Content-Disposition: " + disposition


def _form(*parts: bytes, end: bytes = b"--edge--\r\n") -> tuple[str, bytes]:
    return content_type("edge"), b"".join(parts) + end


def _with_boundary(boundary: str) -> tuple[str, bytes]:
    written = boundary.encode("latin-1", "replace")
    return content_type(boundary), part(_good(), boundary=written) + b"--" + written + b"--\r\n"


def _good() -> bytes:
    return originals()["PNG"]


def _shuffled(rng: random.Random) -> tuple[str, bytes]:
    kind, body = _form(part(_good()[:500]), part(_good()[:500]))
    changed = bytearray(body)
    for _ in range(rng.choice((1, 3, 9))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return kind, bytes(changed)


def _cut(rng: random.Random) -> tuple[str, bytes]:
    kind, body = _form(part(_good()), part(_good()))
    return kind, body[: rng.randrange(len(body))]


ODDITIES: dict[str, Callable[[random.Random], tuple[str, bytes]]] = {
    "changed bytes": _shuffled,
    "cut short": _cut,
    "no boundary": lambda _: ("multipart/form-data", part(_good()) + b"--edge--\r\n"),
    "an empty boundary": lambda _: _with_boundary(""),
    "an empty quoted boundary": lambda _: (content_type('""'), part(_good()) + b"--edge--\r\n"),
    "a boundary of 70": lambda _: _with_boundary("e" * 70),
    "a boundary of 71": lambda _: _with_boundary("e" * 71),
    "a boundary of 5000": lambda _: _with_boundary("e" * 5000),
    "a boundary that is not ASCII": lambda _: _with_boundary("é" * 9),
    "a boundary of dashes": lambda _: _with_boundary("-" * 40),
    "a boundary with a space": lambda _: (content_type('"a b"'), part(_good(), boundary=b"a b")),
    "another boundary": lambda _: (content_type("other"), part(_good()) + b"--edge--\r\n"),
    "two boundaries": lambda _: (
        "multipart/form-data; boundary=a; boundary=edge",
        part(_good()) + b"--edge--\r\n",
    ),
    "no end": lambda _: _form(part(_good()), end=b""),
    "half an end": lambda _: _form(part(_good()), end=b"--edge-"),
    "only an end": lambda _: _form(),
    "only a boundary": lambda _: _form(end=b"--edge\r\n"),
    "nothing": lambda _: (content_type("edge"), b""),
    "line feeds alone": lambda _: _form(part(_good()).replace(b"\r\n", b"\n")),
    "text before": lambda _: _form(b"a preamble\r\n", part(_good())),
    "text after": lambda _: _form(part(_good()), end=b"--edge--\r\n" + b"an epilogue" * 99),
    "a form in a form": lambda _: _form(
        part(
            part(_good(), boundary=b"inner") + b"--inner--\r\n",
            _named(b'form-data; name="photos"; filename="a"\r\n')
            + b"Content-Type: multipart/mixed; boundary=inner",
        )
    ),
    "5000 parts": lambda _: _form(*[part(b"x", _named(b'form-data; name="a"'))] * 5000),
    "5000 photos": lambda _: _form(*[part(b"x")] * 5000),
    "33 photos": lambda _: _form(*[part(_good())] * 33),
    "100000 boundaries": lambda _: _form(b"--edge\r\n" * 100_000),
    "a long header": lambda _: _form(part(_good(), b"X-Long: " + b"x" * 100_000)),
    "a long name of a header": lambda _: _form(part(_good(), b"x" * 100_000 + b": y")),
    "10000 headers": lambda _: _form(part(_good(), b"\r\n".join([b"X-Many: y"] * 10_000))),
    "a header that never ends": lambda _: _form(b"--edge\r\n" + b"x" * 200_000, end=b""),
    "a header without a colon": lambda _: _form(part(_good(), b"Content-Disposition form-data")),
    "a header of zeros": lambda _: _form(part(_good(), bytes(50))),
    "no headers": lambda _: _form(part(_good(), b"")),
    "a part that is folded": lambda _: _form(
        part(_good(), _named(b'form-data;\r\n name="photos";\r\n filename="a"'))
    ),
    "no name": lambda _: _form(part(_good(), _named(b"form-data"))),
    "no file name": lambda _: _form(part(_good(), _named(b'form-data; name="photos"'))),
    "an empty file name": lambda _: _form(
        part(_good(), _named(b'form-data; name="photos"; filename=""'))
    ),
    "a long file name": lambda _: _form(
        part(_good(), _named(b'form-data; name="photos"; filename="' + b"x" * 3000 + b'"'))
    ),
    "a file name of odd bytes": lambda _: _form(
        part(_good(), _named(b'form-data; name="photos"; filename="\xff\xfe\x00\x1b[31m"'))
    ),
    "a file name that is a path": lambda _: _form(
        part(_good(), _named(b'form-data; name="photos"; filename="../../etc/passwd"'))
    ),
    "a file name of RFC 5987": lambda _: _form(
        part(_good(), _named(b"form-data; name=\"photos\"; filename*=UTF-8''%e2%82%ac%zz%"))
    ),
    "a file name of a charset that is none": lambda _: _form(
        part(_good(), _named(b"form-data; name=\"photos\"; filename*=klingon''a%ff"))
    ),
    "a quote that does not end": lambda _: _form(
        part(_good(), _named(b'form-data; name="photos; filename="a"; x="\\'))
    ),
    "a wrong field": lambda _: _form(
        part(_good(), _named(b'form-data; name="picture"; filename="a"'))
    ),
    "a field twice": lambda _: _form(
        part(_good(), _named(b'form-data; name="photos"; name="a"; filename="b"; filename="c"'))
    ),
    "a disposition twice": lambda _: _form(
        part(_good(), b"\r\n".join([_named(b'form-data; name="photos"; filename="a"')] * 2))
    ),
    "not form-data": lambda _: _form(
        part(_good(), _named(b'attachment; name="photos"; filename="a"'))
    ),
    "an encoding": lambda _: _form(
        part(
            b"!!!!",
            _named(b'form-data; name="photos"; filename="a"\r\n')
            + b"Content-Transfer-Encoding: base64",
        )
    ),
    "a bad content type": lambda rng: (
        rng.choice(
            ("multipart/", "multipart/mixed; boundary=edge", ";;;", "a" * 5000, "\xff/\xff")
        ),
        part(_good()) + b"--edge--\r\n",
    ),
    "a content type that says more": lambda _: (
        f"multipart/form-data; boundary*=UTF-8''edge; charset={'x' * 1000}; ==; \"",
        part(_good()) + b"--edge--\r\n",
    ),
}
