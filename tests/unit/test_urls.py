"""Downloads: what is refused, and that the checked address is the one connected to."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from platecheck import urls
from platecheck.errors import PhotoError
from platecheck.urls import fetch_photo, is_public


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.startswith("/to"):
            self.send_response(302)
            self.send_header("Location", self.path.removeprefix("/to"))
            self.end_headers()
        elif self.path == "/gone":
            self.send_error(404, "Not Found")
        elif self.path.startswith("/slow"):
            if self.path == "/slow":
                self.send_response(200)
                self.end_headers()
            for _ in range(40):
                with contextlib.suppress(OSError):
                    self.wfile.write(b"x")
                threading.Event().wait(0.05)
        else:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(f"{self.headers['Host']} {self.path}".encode())

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    running = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    running.server_close()


def refused(url: str, says: str, *, allow_private: bool = False) -> None:
    with pytest.raises(PhotoError, match=says) as caught:
        fetch_photo(url, allow_private=allow_private)
    assert caught.value.source == url


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0",
        "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0",
        "fc00::1", "ff02::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
        "2001:db8::1",
    ],
)  # fmt: skip
def test_is_public_of_a_private_address_is_false(address: str) -> None:
    assert not is_public(address)


def test_is_public_of_a_public_address_is_true() -> None:
    assert all(is_public(each) for each in ("8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"))


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/a.jpg", "https://127.0.0.1/a.jpg", "https://[::1]/a.jpg",
        "https://2130706433/a.jpg", "https://0x7f.1/a.jpg", "https://u:p@127.0.0.1/a.jpg",
    ],
)  # fmt: skip
def test_fetch_photo_from_a_private_address_is_refused(url: str) -> None:
    refused(url, "its address is private; use --allow-private-urls")


def test_fetch_photo_from_a_host_with_one_private_address_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = [(socket.AF_INET, 1, 6, "", (a, 443)) for a in ("8.8.8.8", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    refused("https://example.org/a.jpg", "its address is private")


def test_fetch_photo_connects_to_the_checked_address(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([[(socket.AF_INET, 1, 6, "", ("8.8.8.8", 443))]])
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: next(answers))
    connected = []

    def connect(address: tuple[str, int], **_: float) -> socket.socket:
        connected.append(address)
        raise ConnectionAbortedError  # without a message: its type is named

    monkeypatch.setattr(socket, "create_connection", connect)
    refused("https://rebinding.example/a.jpg", r"cannot be fetched \(ConnectionAbortedError\)")
    assert connected == [("8.8.8.8", 443)]


def test_fetch_photo_of_another_scheme_is_refused() -> None:
    for url in ("http://example.org/a.jpg", "ftp://example.org/a.jpg"):
        refused(url, "only https:// is allowed")


def test_fetch_photo_with_allow_private_follows_redirects(server: str) -> None:
    found = fetch_photo(f"{server}/to/a.jpg?x=1", allow_private=True)
    assert found.decode() == f"{server.removeprefix('http://')} /a.jpg?x=1"


def test_fetch_photo_checks_each_redirect(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    refused(f"{server}/tofile:///etc/passwd", "only https://", allow_private=True)
    refused(f"{server}" + "/to" * 9, "redirected more than 5", allow_private=True)
    # A public address that leads inside: only the first name is public here.
    monkeypatch.setattr(urls, "is_public", lambda address: False)
    refused("https://example.org.invalid/a.jpg", "cannot be fetched")


def test_fetch_photo_enforces_size_time_and_status(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused(f"{server}/gone", "the server returned 404", allow_private=True)
    monkeypatch.setattr(urls, "MAX_BYTES", 5)
    refused(f"{server}/a.jpg", "larger than", allow_private=True)
    monkeypatch.setattr(urls, "MAX_BYTES", 10**6)
    monkeypatch.setattr(urls, "TIMEOUT", 0.3)
    for path in ("slow", "slow-header"):
        refused(f"{server}/{path}", "the download timed out after", allow_private=True)
