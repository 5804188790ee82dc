"""Clients that keep a connection busy with as little as they can."""

import itertools
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from tests.support.raw_http import NoAnswerError, RawAnswer, RawConnection, request

_PAUSE = 0.3


@dataclass(frozen=True)
class Target:
    """A service under attack.

    Attributes:
        headers: of every request, such as the key.
        good: a whole request that must be answered with 200 all the while.
        patience: seconds after which whoever is slow must have been sent away.
    """

    address: tuple[str, int]
    headers: dict[str, str]
    good: bytes
    patience: float

    def connect(self) -> RawConnection:
        return RawConnection(self.address, seconds=self.patience)

    def head(self, length: int | None, *lines: str) -> bytes:
        """The head of a request whose body is so long, or in chunks."""
        size = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        more = dict(line.split(": ", 1) for line in (size, *lines))
        return request("POST", "/v1/predict", headers={**self.headers, **more})


def attack_slowly(target: Target) -> dict[str, str]:
    """All of them at once; what went wrong, by attack."""
    with ThreadPoolExecutor(len(ATTACKS)) as pool:
        found = dict(zip(ATTACKS, pool.map(lambda each: _run(each, target), ATTACKS), strict=True))
    return {name: fault for name, fault in found.items() if fault}


def _run(name: str, target: Target) -> str:
    try:
        return ATTACKS[name](target)
    except (NoAnswerError, OSError) as error:
        return f"{type(error).__name__}: {error}"


def _expect(answer: RawAnswer, *statuses: int) -> str:
    return "" if answer.status in statuses else f"{answer.status}, not {statuses}"


def _drip(target: Target, begin: bytes, drops: Iterable[bytes], *statuses: int) -> str:
    """Send the rest bit by bit; there must be an answer, and then an end, before it is all sent."""
    with target.connect() as connection:
        connection.send(begin)
        late = time.monotonic() + target.patience
        connection.socket.settimeout(_PAUSE)
        for drop in drops:
            if time.monotonic() > late:
                return "still listens"
            with suppress(OSError):
                connection.send(drop)
            with suppress(NoAnswerError):
                fault = _expect(connection.answer(), *statuses)
                connection.socket.settimeout(target.patience)
                return fault or _closed(connection)
        return "took all of it"


def _closed(connection: RawConnection) -> str:
    try:
        connection.rest()
    except NoAnswerError as error:
        return "" if "lost" in str(error) else "the connection stays open"
    return ""


def _slow_body(target: Target) -> str:
    return _drip(target, target.head(100_000), itertools.repeat(b"x"), 408)


def _slow_form(target: Target) -> str:
    kind = "Content-Type: multipart/form-data; boundary=edge"
    return _drip(target, target.head(100_000, kind), itertools.repeat(b"-"), 400, 408)


def _slow_chunks(target: Target) -> str:
    return _drip(target, target.head(None), itertools.repeat(b"1\r\nx\r\n"), 408)


def _silent_body(target: Target, *lines: str) -> str:
    with target.connect() as connection:
        connection.send(target.head(1000, *lines))
        return _expect(connection.answer(), 408) or _closed(connection)


def _silent_after_100(target: Target) -> str:
    return _silent_body(target, "Expect: 100-continue")


def _endless_chunks(target: Target) -> str:
    with target.connect() as connection:
        connection.send(target.head(None))
        chunk = b"100000\r\n" + b"x" * 2**20 + b"\r\n"
        with suppress(OSError):  # the answer says why it reads no more
            for _ in range(200):
                connection.send(chunk)
        return _expect(connection.answer(), 413)


def _silent_after_answer(target: Target) -> str:
    with target.connect() as connection:
        return _expect(connection.ask(target.good), 200) or _closed(connection)


def _late_body_of_what_was_refused(target: Target) -> str:
    """The body was refused before its last byte, which then comes after all."""
    with target.connect() as connection:
        size = 60 * 2**20
        connection.send(target.head(size))
        fault = _expect(connection.answer(), 413, 503)
        connection.send(bytes(size))
        return fault or _expect(connection.ask(target.good), 200, 503)


def _never_reads(target: Target) -> str:
    with target.connect() as connection:
        late = time.monotonic() + target.patience
        # It does not fit into the buffers of a connection.
        wanted = request("GET", "/docs/files/swagger-ui-bundle.js", headers=target.headers)
        try:
            connection.send(wanted * 50)
            while time.monotonic() < late:
                time.sleep(_PAUSE)
                connection.send(b"G")  # whoever has closed does not want it
        except OSError:
            return ""
        return "the connection stays open"


def _endless(target: Target, begin: bytes, more: bytes) -> str:
    with target.connect() as connection:
        connection.send(target.head(None) + begin)
        with suppress(OSError):
            for _ in range(500):
                connection.send(more)
            return "took all of it"
        return _expect(connection.answer(), 400)


def _endless_trailers(target: Target) -> str:
    """What looks like headers, after the last chunk."""
    return _endless(target, b"1\r\nx\r\n0\r\n", b"X-Trailer: y\r\n" * 2**14)


def _endless_extension(target: Target) -> str:
    """What may follow the size of a chunk."""
    return _endless(target, b"5;", b"x" * 2**18)


def _announce_much(target: Target) -> str:
    """Many announce large bodies and send none: others must still be let in."""
    with ExitStack() as stack:
        for size in [19 * 2**20] * 20 + [2**20] * 20 + [2**14] * 70:
            stack.enter_context(target.connect()).send(target.head(size))
        with target.connect() as connection:
            return _expect(connection.ask(target.good), 200)


def _many_connections(target: Target) -> str:
    """Hundreds connect and send nothing, or half a head: others must still be let in."""
    with ExitStack() as stack:
        for number in range(500):
            connection = stack.enter_context(target.connect())
            connection.send(b"GET / HTTP/1.1\r\nX-Slow: y" if number % 2 else b"")
        with target.connect() as connection:
            return _expect(connection.ask(target.good), 200)


ATTACKS: dict[str, Callable[[Target], str]] = {
    each.__name__.strip("_").replace("_", " "): each
    for each in (
        _slow_body,
        _slow_form,
        _slow_chunks,
        _silent_body,
        _silent_after_100,
        _endless_chunks,
        _silent_after_answer,
        _late_body_of_what_was_refused,
        _never_reads,
        _endless_trailers,
        _endless_extension,
        _announce_much,
        _many_connections,
    )
}
