"""A connection that does not wait for ever: for headers, for a body, for someone to read."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from platecheck.serving.parser import Parser
from platecheck.serving.problems import PROBLEM_JSON, problem_details

HEADER_BYTES = 64 * 1024
"""Most bytes of a request's line and headers, and of whatever else is not its body."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, and a limit on how long a client may be silent: its keep-alive time.

    uvicorn closes idle connections between requests, but waits without end for the headers of the
    first one, for the rest of a body that was refused, and for a client that does not read.
    Errors of the protocol itself are problem details, as all others are.
    """

    _silence: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _in_headers = True
    _header_bytes = 0  # since the last bytes of a body, or the end of the headers
    _broken = False
    _cycles: tuple[RequestResponseCycle, ...] = ()  # requests without a whole answer

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.parser = Parser(self)  # type: ignore[assignment]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for headers, but not for ever."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers, and who waits for an answer."""
        self._stop_waiting()
        self._disconnect()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what is not a body, which is limited elsewhere, then go on as usual."""
        if self._broken:
            return
        self._header_bytes += len(data)
        if self._in_headers and self._silence is None:
            self._wait()
        super().data_received(data)
        if self._header_bytes > HEADER_BYTES and self.parser is not None:
            self._refuse(431, "the headers are too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; what follows a body in chunks may look like one, but is not wanted."""
        if self._in_headers:
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._header_bytes = 0
        super().on_body(body)

    def on_headers_complete(self) -> None:
        """A request has come in time."""
        head = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if head > HEADER_BYTES:  # though it came at once
            self._refuse(431, "the headers are too long")
            raise ValueError  # for which uvicorn would refuse it, with 400
        self._stop_waiting()
        self._in_headers, self._header_bytes = False, 0
        super().on_headers_complete()
        under_way = (cycle for cycle in self._cycles if not cycle.response_complete)
        self._cycles = (*under_way, self.cycle)

    def on_message_complete(self) -> None:
        """The next bytes are another request's headers."""
        self._stop_waiting()
        self._in_headers, self._header_bytes = True, 0
        super().on_message_complete()
        if not self._is_answering():  # it was refused before its body had come
            self._wait()

    def on_response_complete(self) -> None:
        """The rest of a body that was not wanted may still arrive, but not for ever."""
        super().on_response_complete()
        if not self._in_headers:
            self._unset_keepalive_if_required()
            self._wait()

    def pause_writing(self) -> None:
        """The client does not read: wait for it, but not for ever."""
        super().pause_writing()
        if self._stall is None:
            self._stall = self.loop.call_later(self.timeout_keep_alive, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._stall:
            self._stall.cancel()
            self._stall = None

    def send_400_response(self, msg: str) -> None:
        """What is not HTTP gets problem details, as any other mistake."""
        self._refuse(400, msg)

    def _wait(self) -> None:
        self._silence = self.loop.call_later(self.timeout_keep_alive, self._too_slow)

    def _stop_waiting(self) -> None:
        if self._silence:
            self._silence.cancel()
            self._silence = None

    def _too_slow(self) -> None:
        self._silence = None
        if self._in_headers and self._is_answering():  # an earlier request of this connection
            self._wait()
        elif self._in_headers and self._header_bytes:
            self._refuse(408, "the request did not come in time")
        else:
            self.transport.abort()

    def _give_up(self) -> None:
        self._disconnect()
        self.transport.abort()

    def _disconnect(self) -> None:
        """Tell requests that no one waits for their answers; uvicorn tells only the last one."""
        for cycle in self._cycles:
            cycle.disconnected = True
            cycle.message_event.set()

    def _refuse(self, status: int, detail: str) -> None:
        if self.transport.is_closing():
            return
        self._broken = True
        if self._is_receiving():  # what is wrong is the body of this very request
            self._disconnect()
        elif self._is_answering():  # an earlier request
            self.cycle.keep_alive = False
            return
        body = problem_details(status, detail).model_dump_json(exclude_none=True).encode()
        head = (
            f"content-type: {PROBLEM_JSON}\r\ncontent-length: {len(body)}\r\n"
            "connection: close\r\n\r\n"
        )
        self.transport.write(STATUS_LINE[status] + head.encode() + body)
        self.transport.close()

    def _is_receiving(self) -> bool:
        return (
            self._is_answering()
            and not self._in_headers
            and not self.pipeline
            and not self.cycle.response_started
        )

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete
