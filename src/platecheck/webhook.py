"""Post JSON to a URL without blocking."""

import http.client
import json
import threading
import time
import uuid
from base64 import b64encode
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any
from urllib.parse import unquote, urlsplit

from platecheck.errors import DataError

RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0)  # seconds between attempts
TIMEOUT = 10.0  # of one attempt, in seconds
FILE_TIMEOUT = 60.0  # after a file's last frame; nothing presses then
QUEUED = 100  # messages


class Webhook:
    """Posts messages in order, on a thread.

    Connection errors, time-outs and the statuses 408, 429 and 5xx are retried; each message has an
    ``Idempotency-Key``, so that the receiver can recognize one that it got twice. A message is
    dropped if it is refused, if all `RETRIES` fail or if too many are waiting.

    Attributes:
        sent: number of messages.
        delivered: number of messages that were accepted.

    Raises:
        DataError: the URL is invalid.
    """

    def __init__(self, url: str, *, on_note: Callable[[str], None] = lambda note: None) -> None:
        self._note = on_note
        connections = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
        try:
            self._url = urlsplit(url)
            self._connect, self._port = connections[self._url.scheme], self._url.port
            self._host = self._url.hostname or ""
            valid = url.isascii() and url.isprintable() and " " not in url
            valid = valid and bool(self._host.encode("idna"))
        except (KeyError, ValueError):
            valid = False
        if not valid:
            raise DataError(
                "the webhook must be a URL such as https://example.com/dishes, with other letters"
                " and spaces percent-encoded"
            )
        self.sent = self.delivered = 0
        self._waiting: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; never blocks. With `QUEUED` waiting it is dropped, with a note."""
        self.sent += 1
        if self._waiting.qsize() < QUEUED:
            self._waiting.put(json.dumps(message).encode())
        else:
            self._note("the webhook is too slow or out of reach: a report was dropped")

    def close(self, seconds: float = TIMEOUT) -> None:
        """Deliver what is waiting, for at most so many seconds; what is left then is lost."""
        self._waiting.put(None)
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._note(f"{self.sent - self.delivered} reports did not reach the webhook in time")

    def _work(self) -> None:
        while (body := self._waiting.get()) is not None:
            if reason := self._deliver(body, str(uuid.uuid4())):
                self._note(f"a report was dropped: the webhook's {reason}")
            else:
                self.delivered += 1

    def _deliver(self, body: bytes, key: str) -> str:
        """Post a message, again if necessary; return why it was not accepted, or ""."""
        for delay in (*RETRIES, None):
            try:
                status = self._post(body, key)
            except (OSError, http.client.HTTPException) as error:
                reason = f"connection failed ({error or type(error).__name__})"
            else:
                if 200 <= status < 300:
                    return ""
                reason = f"status was {status}"
                if status < 500 and status not in (408, 429):
                    return reason
            if delay is not None:
                time.sleep(delay)
        return reason

    def _post(self, body: bytes, key: str) -> int:
        connection = self._connect(self._host, self._port, timeout=TIMEOUT)
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        if self._url.username:
            user = f"{unquote(self._url.username)}:{unquote(self._url.password or '')}"
            headers["Authorization"] = f"Basic {b64encode(user.encode()).decode()}"
        try:
            query = f"?{self._url.query}" if self._url.query else ""
            connection.request("POST", (self._url.path or "/") + query, body, headers)
            return int(connection.getresponse().status)
        finally:
            connection.close()
