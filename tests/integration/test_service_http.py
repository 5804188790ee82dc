"""HTTP as it arrives: upgrades, HEAD, long headers, slow clients."""

import socket
import time
from pathlib import Path
from select import select

import pytest
from serving_fixtures import ask, is_dirty, predict, problem, wait_until

from platecheck.classifier import find_model
from tests.support.photos import png
from tests.support.raw_http import RawConnection, request
from tests.support.server import Server

pytest_plugins = ["serving_fixtures.fixtures"]

H2C = {
    "Upgrade": "h2c",
    "Connection": "Upgrade, HTTP2-Settings",
    "HTTP2-Settings": "AAMAAABkAAQAoAAAAAIAAAAA",
}
WEBSOCKET = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def chunked(content: bytes, headers: dict[str, str]) -> bytes:
    """A request in chunks of a hundred bytes, with a trailer."""
    head = request("POST", "/v1/predict", headers={"Transfer-Encoding": "chunked", **headers})
    parts = (content[start : start + 100] for start in range(0, len(content), 100))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head + chunks + b"0\r\nX-After: y\r\n\r\n"


@pytest.mark.parametrize("upgrade", [H2C, WEBSOCKET], ids=["h2c", "websocket"])
def test_upgrade_is_ignored_however_the_request_is_split(
    server: Server, upgrade: dict[str, str]
) -> None:
    whole = predict(png(), **upgrade)
    head_ends = whole.index(b"\r\n\r\n") + 4
    with RawConnection(server.address) as connection:
        for split in (0, 30, head_ends - 2, head_ends, head_ends + 1, len(whole) - 1):
            connection.send(whole[:split])
            ask(server, request("GET", "/healthz"))  # the first part has been read
            assert is_dirty(connection.ask(whole[split:])), split
        assert is_dirty(connection.ask(chunked(png(), upgrade)))
        assert connection.ask(request("GET", "/healthz", headers=upgrade)).status == 200
        refused = connection.ask(predict(request("GET", "/v1/model"), **upgrade))
        assert refused.status == 422  # its body is no request
        pipelined = [whole, chunked(png(), upgrade), predict(png())] * 3
        assert all(map(is_dirty, connection.ask_all(b"".join(pipelined), 9)))
    assert {line["level"] for line in server.log()} == {"info"}


@pytest.mark.parametrize("path", ["/", "/healthz", "/v1/model", "/page/resize.js"])
def test_head_is_answered_as_get_without_a_body(server: Server, path: str) -> None:
    with RawConnection(server.address) as connection:
        got = connection.ask(request("GET", path))
        connection.send(request("HEAD", path))
        head = connection.answer(to_head=True)
        assert head.status == got.status == 200
        for name in ("content-length", "content-type"):
            assert head.headers[name] == got.headers[name]
        assert connection.ask(request("GET", "/nowhere")).status == 404  # no body in between


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("HEAD", "/v1/predict", "POST"),
        ("CONNECT", "/v1/predict", "POST"),
        ("DELETE", "/v1/model", "GET, HEAD"),
    ],
)
def test_other_method_is_refused_with_allow(
    server: Server, method: str, path: str, allow: str
) -> None:
    with RawConnection(server.address) as connection:
        connection.send(request(method, path))
        refused = connection.answer(to_head=method == "HEAD")
        assert (refused.status, refused.headers["allow"]) == (405, allow)


def test_path_outside_the_page_is_not_found(server: Server) -> None:
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/vendor/../../app.py"):
        assert ask(server, request("GET", path)).status == 404


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%a-secret", "fe80::1"),
        ("<script>", None),
    ],
)
def test_forwarded_client_is_logged_if_it_is_an_address(
    server: Server, forwarded: str, client: str | None
) -> None:
    answer = ask(server, request("GET", "/healthz", headers={"X-Forwarded-For": forwarded}))
    id_ = answer.headers["x-request-id"]
    wait_until(lambda: any(line.get("request_id") == id_ for line in server.log()))
    (line,) = (line for line in server.log() if line.get("request_id") == id_)
    assert line["client"] == client


def test_upload_without_room_in_memory_is_refused_and_counted(bright_is_dirty: Path) -> None:
    limits = {"max_photo_bytes": 60000, "max_request_bytes": 60000, "max_upload_bytes": 90000}
    half = predict(bytes(60_000))[:-100]
    with Server("--model", bright_is_dirty, **limits) as server:
        with RawConnection(server.address) as first, RawConnection(server.address) as second:
            first.send(half)
            second.send(half)
            ((refusing,), _, _) = select([first.socket, second.socket], [], [])
            refused = (first if refusing is first.socket else second).answer()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        answer = ask(server, request("GET", "/metrics"))
        assert b'\nplatecheck_rejected_requests_total{reason="uploads"} 1.0\n' in answer.body


def test_long_headers_are_refused_and_a_long_body_is_not(server: Server) -> None:
    with RawConnection(server.address) as connection:
        body = png() + bytes(100_000)
        assert is_dirty(connection.ask(predict(body, **{"X-Long": "y" * 60_000})))
        connection.send(b"GET /healthz HTTP/1.1\r\nX-Long: " + b"y" * 66_000)
        assert connection.answer().status == 400
        assert connection.rest() == b""


@pytest.mark.parametrize("begun", [b"", b"--e\r\n" + b"x" * 40])
@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=e"])
def test_upload_that_stops_is_given_up_after_the_idle_timeout(
    server: Server, kind: str, begun: bytes
) -> None:
    head = request("POST", "/v1/predict", headers={"Content-Length": "99", "Content-Type": kind})
    with RawConnection(server.address, seconds=20) as connection:
        connection.send(head + begun)
        answer = connection.answer()
        assert (answer.status, problem(answer)["detail"]) == (408, "the upload timed out")
        assert connection.rest() == b""


def test_upload_that_is_slow_but_goes_on_is_answered(server: Server) -> None:
    whole = predict(png())
    head_ends = whole.index(b"\r\n\r\n") + 4
    with RawConnection(server.address) as connection:
        connection.send(whole[:head_ends])
        for number in range(head_ends, head_ends + 5):  # 3 s: more than the idle timeout
            time.sleep(0.6)
            connection.send(whole[number : number + 1])
        assert is_dirty(connection.ask(whole[head_ends + 5 :]))


def test_slow_reader_gets_all_of_it() -> None:
    """It takes at least 2.4 s: more than the timeouts."""
    model, got = find_model("plate").read_bytes(), b""
    with Server(idle_timeout=1, request_timeout=1) as server, socket.socket() as client:
        # There is room for little of it at a time.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 48 * 1024)
        client.settimeout(30)
        client.connect(server.address)
        client.sendall(request("GET", "/v1/model/file", headers={"Connection": "close"}))
        while more := client.recv(len(model) // 120):
            got += more
            time.sleep(0.02)
        assert got.partition(b"\r\n\r\n")[2] == model
        assert {line["level"] for line in server.log()} == {"info"}
