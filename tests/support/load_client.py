"""A client that costs little: it shares the machine with the service that it measures."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

BOUNDARY = b"platecheck-boundary"
_END_OF_HEADERS = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and after how many seconds from when the request was due."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    def header(self, name: str) -> str | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name.lower().encode():
                return value.strip().decode("latin-1")
        return None


def form(photos: Sequence[bytes]) -> bytes:
    """A request whose body is a form of these photos, ready to be sent."""
    parts = b"".join(
        b'--%s\r\nContent-Disposition: form-data; name="photos"; filename="%d.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n%s\r\n" % (BOUNDARY, number, photo)
        for number, photo in enumerate(photos)
    )
    body = parts + b"--%s--\r\n" % BOUNDARY
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n"
        b"Content-Type: multipart/form-data; boundary=%s\r\n\r\n%s" % (len(body), BOUNDARY, body)
    )


class Connection(asyncio.Protocol):
    """A connection that is kept, with one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._due = 0.0
        self._until = float("inf")
        self._on_answer: Callable[[Answer | None], None] | None = None

    @property
    def lost(self) -> bool:
        """Whether the other side has closed it."""
        return self._transport is None

    @property
    def kept(self) -> bool:
        """Whether the other side keeps it open for long enough to ask, as it has said."""
        return not self.lost and time.perf_counter() < self._until

    def ask(
        self, request: bytes, on_answer: Callable[[Answer | None], None], due: float | None = None
    ) -> None:
        """Send a request.

        Args:
            on_answer: called with the answer, or with None where there will be none.
            due: when it should have been sent, of :func:`time.perf_counter`; now when absent.
        """
        assert self._transport
        self._due = time.perf_counter() if due is None else due
        self._on_answer = on_answer
        self._transport.write(request)

    def close(self) -> None:
        if self._transport:
            self._transport.close()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(_END_OF_HEADERS)
        if end < 0:
            return
        head = bytes(self._received[:end])
        start = end + len(_END_OF_HEADERS)
        length = _content_length(head)
        if len(self._received) < start + length:
            return
        body = bytes(self._received[start : start + length])
        del self._received[: start + length]
        answer = Answer(int(head[9:12]), head, body, time.perf_counter() - self._due)
        seconds = (answer.header("Keep-Alive") or "").removeprefix("timeout=")
        if seconds.isdecimal():
            self._until = time.perf_counter() + int(seconds) - 1
        self._tell(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._tell(None)

    def _tell(self, answer: Answer | None) -> None:
        on_answer, self._on_answer = self._on_answer, None
        if on_answer:
            on_answer(answer)


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        if line[:15].lower() == b"content-length:":
            return int(line[15:])
    return 0


async def connect(address: tuple[str, int]) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(Connection, *address)
    return connection


async def keep_asking(
    address: tuple[str, int], requests: Iterable[bytes], connections: int
) -> list[Answer | None]:
    """Send requests over so many connections, the next one as soon as an answer is there."""
    waiting = deque(requests)
    answers: list[Answer | None] = []

    async def work() -> None:
        connection = await connect(address)
        while waiting:
            got: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
            connection.ask(waiting.popleft(), got.set_result)
            answers.append(await got)
        connection.close()

    await asyncio.gather(*(work() for _ in range(connections)))
    return answers
