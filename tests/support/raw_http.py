"""Bytes to a service and bytes back, with no regard for what HTTP allows."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

_END_OF_HEADERS = b"\r\n\r\n"


class NoAnswerError(Exception):
    """The other side closed the connection, or was silent, before an answer was whole."""


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer: headers by name in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class RawConnection:
    """A connection whose every byte is chosen by who uses it."""

    def __init__(
        self, address: tuple[str, int], *, seconds: float = 60, tls: ssl.SSLContext | None = None
    ) -> None:
        """Connect; `seconds` of silence are waited for."""
        plain = socket.create_connection(address, timeout=seconds)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = tls.wrap_socket(plain, server_hostname=address[0]) if tls else plain
        self._received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, to_head: bool = False) -> RawAnswer:
        """Wait for the next answer that is not 1xx; one to HEAD has no body."""
        while True:
            head = self._until(_END_OF_HEADERS)
            status_line, *lines = head.decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines)
            headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
            try:
                protocol, status = status_line.split(" ", 2)[:2]
                if not protocol.startswith("HTTP/1."):
                    raise ValueError(protocol)
                if int(status) >= 200:
                    body = b"" if to_head else self._body(int(status), headers)
                    return RawAnswer(int(status), headers, body)
            except ValueError as error:
                raise NoAnswerError(f"not HTTP: {status_line[:100]!r}") from error

    def ask(self, request: bytes) -> RawAnswer:
        """Send a request and wait for its answer, which may come before all is sent."""
        return next(self.ask_all(request, 1))

    def ask_all(self, requests: bytes, count: int, *, ends: bool = False) -> Iterator[RawAnswer]:
        """Send requests and yield so many answers; `ends` says that nothing more will be sent."""
        with suppress(OSError):  # refused midway: the answer says why
            self.send(requests)
            if ends:
                self.socket.shutdown(socket.SHUT_WR)
        for _ in range(count):
            yield self.answer()

    def rest(self) -> bytes:
        """What else comes until the other side closes."""
        while self._read():
            pass
        return self._received

    def close(self) -> None:
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _body(self, status: int, headers: dict[str, str]) -> bytes:
        if status in {204, 304}:
            return b""
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(self._chunks())
        if "content-length" not in headers:
            return self.rest()
        return self._exactly(int(headers["content-length"]))

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._until(b"\r\n"), 16):
            yield self._exactly(size)
            self._until(b"\r\n")
        self._until(b"\r\n")

    def _until(self, end: bytes) -> bytes:
        while end not in self._received:
            if not self._read():
                raise NoAnswerError("the connection was closed")
        found, _, self._received = self._received.partition(end)
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._received) < size:
            if not self._read():
                raise NoAnswerError("the connection was closed within an answer")
        found, self._received = self._received[:size], self._received[size:]
        return found

    def _read(self) -> bool:
        try:
            more = self.socket.recv(2**16)
        except TimeoutError as error:
            raise NoAnswerError("nothing came in time") from error
        except OSError as error:
            raise NoAnswerError(f"the connection was lost: {error}") from error
        self._received += more
        return bool(more)


def request(
    method: str = "GET",
    path: str = "/healthz",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    """A request as bytes; Host and Content-Length are added where they are missing."""
    given = {"Host": "127.0.0.1", **(headers or {})}
    if body is not None:
        given.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b"")
