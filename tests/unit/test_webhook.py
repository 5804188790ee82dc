"""The webhook delivers what it can, never blocks, and says what it dropped."""

import json
import socket
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from platecheck import webhook
from platecheck.errors import DataError
from platecheck.webhook import Webhook
from tests.support.cameras import http_server


@dataclass
class Receiver:
    """Answers with each of the statuses, then 204; None: never."""

    statuses: list[int | None] = field(default_factory=list)
    received: list[tuple[Any, str | None]] = field(default_factory=list)
    users: list[str | None] = field(default_factory=list)
    finished: threading.Event = field(default_factory=threading.Event)

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        self.received.append((json.loads(body), request.headers["Idempotency-Key"]))
        self.users.append(request.headers["Authorization"])
        status = self.statuses.pop(0) if self.statuses else 204
        if status is None:
            self.finished.wait(20)
        else:
            request.send_response(status)
            request.end_headers()


@pytest.fixture
def hook(
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., Any]:
    monkeypatch.setattr(webhook, "RETRIES", (0.01, 0.01, 0.01))

    @contextmanager
    def start(*statuses: int | None) -> Iterator[tuple[Webhook, Receiver, list[str]]]:
        receiver, notes = Receiver(list(statuses)), list[str]()
        with http_server(receiver) as url:
            yield Webhook(f"{url}/in?key=1", on_note=notes.append), receiver, notes
            receiver.finished.set()

    return start


def test_webhook_delivers_in_order(hook: Any) -> None:
    with hook() as (posts, receiver, notes):
        for number in range(5):
            posts.send({"track": number})
        posts.close()
    assert [content["track"] for content, _ in receiver.received] == [0, 1, 2, 3, 4]
    assert len({key for _, key in receiver.received}) == 5
    assert (posts.sent, posts.delivered, notes) == (5, 5, [])


def test_webhook_sends_user_and_password() -> None:
    receiver = Receiver()
    with http_server(receiver) as url:
        post = Webhook(url.replace("//", "//me:p%40ss@"))
        post.send({"track": 1})
        post.close()
    assert receiver.users == [f"Basic {b64encode(b'me:p@ss').decode()}"]


def test_webhook_fails_twice_is_retried_with_the_same_key(hook: Any) -> None:
    with hook(503, 429) as (posts, receiver, notes):
        posts.send({"track": 1})
        posts.close()
    assert [content for content, _ in receiver.received] == [{"track": 1}] * 3
    assert len({key for _, key in receiver.received}) == 1
    assert (posts.delivered, notes) == (1, [])


@pytest.mark.parametrize("status", [400, 404, 302])
def test_webhook_refused_is_dropped_at_once(hook: Any, status: int) -> None:
    with hook(status) as (posts, receiver, notes):
        posts.send({"track": 1})
        posts.send({"track": 2})
        posts.close()
    assert [content["track"] for content, _ in receiver.received] == [1, 2]
    assert (posts.sent, posts.delivered) == (2, 1)
    assert notes == [f"a report was dropped: the webhook's status was {status}"]


def test_webhook_keeps_failing_is_dropped(hook: Any) -> None:
    with hook(500, 500, 500, 500) as (posts, receiver, notes):
        posts.send({"track": 1})
        posts.close()
    assert len(receiver.received) == 4
    assert (posts.delivered, len(notes)) == (0, 1)


def test_webhook_never_answers_does_not_block(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "QUEUED", 3)
    with hook(None, None) as (posts, receiver, notes):
        posts.send({"track": 0})
        while not receiver.received:
            time.sleep(0.01)
        for number in range(1, 6):
            posts.send({"track": number})
        assert (posts.sent, posts.delivered, len(receiver.received)) == (6, 0, 1)
        assert len(notes) == 2  # three are waiting, two were dropped
        posts.close(0.1)
        assert posts.sent - posts.delivered == 6


def test_webhook_times_out_is_retried(hook: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "TIMEOUT", 0.2)
    with hook(None) as (posts, receiver, _):
        posts.send({"track": 0})
        posts.close(20)
        assert (posts.delivered, len(receiver.received)) == (1, 2)


def test_webhook_closed_too_early_says_what_is_lost(hook: Any) -> None:
    with hook(None) as (posts, receiver, notes):
        for number in range(3):
            posts.send({"track": number})
        posts.close(0.05)
        assert notes == ["3 reports did not reach the webhook in time"]
        receiver.finished.set()


def test_webhook_out_of_reach_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "RETRIES", (0.01,))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    notes: list[str] = []
    posts = Webhook(f"http://127.0.0.1:{port}", on_note=notes.append)
    posts.send({})
    posts.close()
    assert posts.delivered == 0
    assert "connection failed" in notes[0]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com/in",
        "ftp://example.com",
        "http://",
        "http://a:b",
        "http://[x",
        "http://..:1/",
        "http://a/é",
        "http://a/b c",
        "http://a/\n",
    ],
)
def test_webhook_invalid_url_is_an_error(url: str) -> None:
    with pytest.raises(DataError, match=r"https://example\.com"):
        Webhook(url)
