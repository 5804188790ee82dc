"""Forms that are not as they should be."""

import random
from collections.abc import Callable

from tests.fuzz.damaged_photos import mutated, originals

CANARY = "canary-4d7c1e"
"""Is in what is sent, and must not be in a log."""
_END = b"--edge--\r\n"
_HEADERS = b'Content-Disposition: form-data; name="photos"; filename="%s.jpg"' % CANARY.encode()


def odd_form(rng: random.Random) -> tuple[str, str, bytes]:
    """What is odd about it, its content type, and the body."""
    name = rng.choice(sorted(ODDITIES))
    return name, *ODDITIES[name](rng)


def form_of_photos(rng: random.Random) -> tuple[str, str, bytes]:
    """A good form of photos that are not."""
    found = [mutated(rng) for _ in range(rng.choice((1, 2, 5)))]
    parts = b"".join(part(content) for _, content in found)
    return " and ".join(name for name, _ in found), content_type("edge"), parts + _END


def content_type(boundary: str) -> str:
    return f"multipart/form-data; boundary={boundary}"


def part(content: bytes, headers: bytes = _HEADERS, boundary: bytes = b"edge") -> bytes:
    """A part of a form; by default a photo."""
    return b"--%s\r\n%s\r\n\r\n%s\r\n" % (boundary, headers, content)


def _good() -> bytes:
    return originals()["PNG"]


def _form(*parts: bytes, end: bytes = _END) -> tuple[str, bytes]:
    return content_type("edge"), b"".join(parts) + end


def _with_boundary(boundary: str) -> tuple[str, bytes]:
    written = boundary.encode("latin-1", "replace")
    return content_type(boundary), part(_good(), boundary=written) + b"--" + written + b"--\r\n"


def _with_headers(headers: bytes) -> Callable[[random.Random], tuple[str, bytes]]:
    return lambda _: _form(part(_good(), headers))


def _with_type(kind: str) -> tuple[str, bytes]:
    return kind, part(_good()) + _END


def _shuffled(rng: random.Random) -> tuple[str, bytes]:
    kind, body = _form(part(_good()[:500]), part(_good()[:500]))
    changed = bytearray(body)
    for _ in range(rng.choice((1, 3, 9))):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return kind, bytes(changed)


def _cut(rng: random.Random) -> tuple[str, bytes]:
    kind, body = _form(part(_good()), part(_good()))
    return kind, body[: rng.randrange(len(body))]


# Headers of a part that is a photo otherwise.
_ODD_HEADERS = {
    "a long header": b"X-Long: " + b"x" * 100_000,
    "a long name of a header": b"x" * 100_000 + b": y",
    "10000 headers": b"\r\n".join([b"X-Many: y"] * 10_000),
    "a header without a colon": b"Content-Disposition form-data",
    "a header of zeros": bytes(50),
    "no headers": b"",
    "a disposition twice": b"\r\n".join([_HEADERS] * 2),
}
_ODD_DISPOSITIONS = {
    "a part that is folded": b'form-data;\r\n name="photos";\r\n filename="a"',
    "no name": b"form-data",
    "no file name": b'form-data; name="photos"',
    "an empty file name": b'form-data; name="photos"; filename=""',
    "a long file name": b'form-data; name="photos"; filename="' + b"x" * 3000 + b'"',
    "a file name of odd bytes": b'form-data; name="photos"; filename="\xff\xfe\x00\x1b[31m"',
    "a file name that is a path": b'form-data; name="photos"; filename="../../etc/passwd"',
    "a file name of RFC 5987": b"form-data; name=\"photos\"; filename*=UTF-8''%e2%82%ac%zz%",
    "a file name of a charset that is none": b"form-data; name=\"photos\"; filename*=klingon''a%ff",
    "a quote that does not end": b'form-data; name="photos; filename="a"; x="\\',
    "a wrong field": b'form-data; name="picture"; filename="a"',
    "a field twice": b'form-data; name="photos"; name="a"; filename="b"; filename="c"',
    "not form-data": b'attachment; name="photos"; filename="a"',
}
_FORM_IN_A_FORM = _HEADERS + b"\r\nContent-Type: multipart/mixed; boundary=inner"

ODDITIES: dict[str, Callable[[random.Random], tuple[str, bytes]]] = {
    "changed bytes": _shuffled,
    "cut short": _cut,
    "no boundary": lambda _: _with_type("multipart/form-data"),
    "an empty boundary": lambda _: _with_boundary(""),
    "an empty quoted boundary": lambda _: _with_type(content_type('""')),
    "a boundary of 70": lambda _: _with_boundary("e" * 70),
    "a boundary of 71": lambda _: _with_boundary("e" * 71),
    "a boundary of 5000": lambda _: _with_boundary("e" * 5000),
    "a boundary that is not ASCII": lambda _: _with_boundary("é" * 9),
    "a boundary of dashes": lambda _: _with_boundary("-" * 40),
    "a boundary with a space": lambda _: (content_type('"a b"'), part(_good(), boundary=b"a b")),
    "another boundary": lambda _: _with_type(content_type("other")),
    "two boundaries": lambda _: _with_type("multipart/form-data; boundary=a; boundary=edge"),
    "no end": lambda _: _form(part(_good()), end=b""),
    "half an end": lambda _: _form(part(_good()), end=b"--edge-"),
    "only an end": lambda _: _form(),
    "only a boundary": lambda _: _form(end=b"--edge\r\n"),
    "nothing": lambda _: _form(end=b""),
    "line feeds alone": lambda _: _form(part(_good()).replace(b"\r\n", b"\n")),
    "text before": lambda _: _form(b"a preamble\r\n", part(_good())),
    "text after": lambda _: _form(part(_good()), end=_END + b"an epilogue" * 99),
    "a form in a form": lambda _: _form(
        part(part(_good(), boundary=b"inner") + b"--inner--\r\n", _FORM_IN_A_FORM)
    ),
    "5000 parts": lambda _: _form(
        *[part(b"x", b'Content-Disposition: form-data; name="a"')] * 5000
    ),
    "5000 photos": lambda _: _form(*[part(b"x")] * 5000),
    "33 photos": lambda _: _form(*[part(_good())] * 33),
    "100000 boundaries": lambda _: _form(b"--edge\r\n" * 100_000),
    "a header that never ends": lambda _: _form(b"--edge\r\n" + b"x" * 200_000, end=b""),
    "an encoding": lambda _: _form(
        part(b"!!!!", _HEADERS + b"\r\nContent-Transfer-Encoding: base64")
    ),
    "a bad content type": lambda rng: _with_type(
        rng.choice(("multipart/", "multipart/mixed; boundary=edge", ";;;", "a" * 5000, "\xff/\xff"))
    ),
    "a content type that says more": lambda _: _with_type(
        f"multipart/form-data; boundary*=UTF-8''edge; charset={'x' * 1000}; ==; \""
    ),
    **{name: _with_headers(headers) for name, headers in _ODD_HEADERS.items()},
    **{
        name: _with_headers(b"Content-Disposition: " + disposition)
        for name, disposition in _ODD_DISPOSITIONS.items()
    },
}
