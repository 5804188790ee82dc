"""HTTP as it arrives: upgrades that are ignored, heads that are too long, readers that are slow."""

import selectors
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from serving_fixtures import ask, photo, predict, problem, wait_until

from platecheck.classifier import find_model
from tests.support.raw_http import RawAnswer, RawConnection, request
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
UPGRADES = {"h2c": H2C, "websocket": WEBSOCKET}


@pytest.fixture(scope="module")
def server(bright_is_dirty: Path) -> Iterator[Server]:
    """A service that sends the silent away after two seconds."""
    with Server("--model", bright_is_dirty, "--idle-timeout", "2") as server:
        yield server


def chunked(content: bytes, headers: dict[str, str]) -> bytes:
    """A request to answer one photo, in chunks of a hundred bytes, with a trailer."""
    head = request("POST", "/v1/predict", headers={"Transfer-Encoding": "chunked", **headers})
    parts = (content[start : start + 100] for start in range(0, len(content), 100))
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return head + chunks + b"0\r\nX-After: y\r\n\r\n"


def is_dirty(answer: RawAnswer) -> bool:
    """Whether the photo has arrived whole: the bright one is dirty."""
    return answer.status == 200 and b'"label":"dirty"' in answer.body


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
def test_who_would_upgrade_is_answered_as_anyone_else(
    server: Server, upgrade: dict[str, str]
) -> None:
    whole = predict(photo(), **upgrade)
    head_ends = whole.index(b"\r\n\r\n") + 4
    splits = {0, 30, head_ends - 2, head_ends, head_ends + 1, len(whole) - 1}
    with RawConnection(server.address) as connection:
        for split in sorted(splits):  # one connection: it must stay in step
            connection.send(whole[:split])
            # Another connection's answer: the first part has been read.
            with RawConnection(server.address) as other:
                other.ask(request("GET", "/healthz"))
            assert is_dirty(connection.ask(whole[split:])), split
        assert is_dirty(connection.ask(chunked(photo(), upgrade)))
        assert connection.ask(request("GET", "/healthz", headers=upgrade)).status == 200
        assert is_dirty(connection.ask(predict(photo())))
    log = [line for line in server.log() if line["level"] != "info"]
    assert not log


def test_requests_behind_an_upgrade_have_answers_of_their_own(server: Server) -> None:
    kinds = [predict(photo(), **H2C), chunked(photo(), WEBSOCKET), predict(photo())]
    with RawConnection(server.address) as connection:
        connection.send(b"".join(kinds * 3) + request("GET", "/nowhere", headers=H2C))
        assert all(is_dirty(connection.answer()) for _ in range(9))
        assert connection.answer().status == 404
    many = request("GET", "/healthz", headers={"Upgrade": "h2c", "Connection": "upgrade"})
    with RawConnection(server.address) as connection:
        connection.send(many * 1500)  # in a few reads: each goes on in the one before
        assert {connection.answer().status for _ in range(1500)} == {200}


def test_the_body_of_an_upgrade_is_no_request(server: Server) -> None:
    hidden = request("GET", "/v1/model")
    with RawConnection(server.address) as connection:
        refused = connection.ask(predict(hidden, **H2C))
        assert refused.status == 422
        # What comes next is the answer to what is asked next.
        assert connection.ask(request("GET", "/nowhere")).status == 404


def test_an_upgrade_does_not_make_a_wrong_length_right(server: Server) -> None:
    for wrong in ({"Content-Length": "-1"}, {"Transfer-Encoding": "chunked, gzip"}):
        with RawConnection(server.address) as connection:
            answer = connection.ask(request("POST", "/v1/predict", headers={**H2C, **wrong}))
            assert answer.status == 400
            assert answer.headers["content-type"] == "application/problem+json"
            assert connection.rest() == b""  # closed: nobody knows where the next one begins


@pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/v1/model", "/page/resize.js"])
def test_head_is_answered_as_get_without_a_body(server: Server, path: str) -> None:
    with RawConnection(server.address) as connection:
        got = connection.ask(request("GET", path))
        connection.send(request("HEAD", path))
        head = connection.answer(to_head=True)
        assert head.status == got.status == 200
        for name in ("content-length", "content-type"):
            assert head.headers[name] == got.headers[name]
        assert connection.ask(request("GET", "/nowhere")).status == 404  # no body in between


def test_head_is_no_method_where_get_is_none(server: Server) -> None:
    with RawConnection(server.address) as connection:
        connection.send(request("HEAD", "/v1/predict"))
        refused = connection.answer(to_head=True)
        assert (refused.status, refused.headers["allow"]) == (405, "POST")
        refused = connection.ask(request("DELETE", "/v1/model"))
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")


def test_a_path_that_leaves_the_page_is_not_found(server: Server) -> None:
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/vendor/../../app.py"):
        assert ask(server, request("GET", path)).status == 404


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8::7", "2001:db8::7"),
        ("fe80::1%a-secret", "fe80::1"),
        ("a-secret", None),
        ("<script>", None),
    ],
)
def test_what_a_proxy_says_of_the_client_is_logged_if_it_is_an_address(
    server: Server, forwarded: str, client: str | None
) -> None:
    answer = ask(server, request("GET", "/healthz", headers={"X-Forwarded-For": forwarded}))
    assert answer.status == 200
    id_ = answer.headers["x-request-id"]
    wait_until(lambda: any(line.get("request_id") == id_ for line in server.log()))
    (line,) = (line for line in server.log() if line.get("request_id") == id_)
    assert line["client"] == client


def test_uploads_that_have_no_room_are_counted(bright_is_dirty: Path) -> None:
    limits = (
        "--max-photo-bytes",
        "60000",
        "--max-request-bytes",
        "60000",
        "--max-upload-bytes",
        "90000",
    )
    half = predict(bytes(60_000))[:-100]
    with Server("--model", bright_is_dirty, *limits) as server:
        with RawConnection(server.address) as first, RawConnection(server.address) as second:
            first.send(half)
            second.send(half)
            with selectors.DefaultSelector() as waiting:
                waiting.register(first.socket, selectors.EVENT_READ, first)
                waiting.register(second.socket, selectors.EVENT_READ, second)
                ((key, _),) = waiting.select()  # whichever has come second
            refused = key.data.answer()
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
        answer = ask(server, request("GET", "/metrics"))
        counted = b'platecheck_rejected_requests_total{reason="uploads"} 1.0'
        assert counted in answer.body.splitlines()


def test_connect_is_no_method_of_anything_here(server: Server) -> None:
    with RawConnection(server.address) as connection:
        assert connection.ask(request("CONNECT", "/v1/predict")).status == 405
        assert is_dirty(connection.ask(predict(photo())))


def test_a_long_head_is_refused_even_if_it_comes_at_once(server: Server) -> None:
    for long in (
        request("GET", "/healthz", headers={"X-Long": "y" * 66_000}),
        request("GET", "/healthz?" + "y" * 66_000),
        request("GET", "/healthz", headers={f"X-{n}": "y" for n in range(15_000)}),
    ):
        answer = ask(server, long)
        assert (answer.status, problem(answer)["detail"]) == (431, "the headers are too long")
    with RawConnection(server.address) as connection:
        body = photo() + bytes(100_000)  # what is long is not the head
        assert is_dirty(connection.ask(predict(body, **{"X-Long": "y" * 60_000})))
        answer = connection.ask(request("GET", "/healthz", headers={"X-Long": "y" * 66_000}))
        assert answer.status == 431
        assert connection.rest() == b""


@pytest.mark.parametrize("begun", [b"", b"x" * 40])
@pytest.mark.parametrize("kind", ["image/png", "multipart/form-data; boundary=e"])
def test_body_that_stops_is_given_up_after_the_idle_time(
    server: Server, kind: str, begun: bytes
) -> None:
    """Long before the thirty seconds that a request has in all; one that goes on is answered."""
    begun = begun and b"--e\r\n" + begun
    head = request("POST", "/v1/predict", headers={"Content-Length": "99", "Content-Type": kind})
    start = time.monotonic()
    with RawConnection(server.address, seconds=20) as connection:
        connection.send(head)
        connection.send(begun)
        answer = connection.answer()
        assert (answer.status, problem(answer)["status"]) == (408, 408)
        assert 1.5 < time.monotonic() - start < 15
        assert connection.rest() == b""


def test_body_that_comes_slowly_but_goes_on_is_answered(server: Server) -> None:
    whole = predict(photo())
    head_ends = whole.index(b"\r\n\r\n") + 4
    with RawConnection(server.address) as connection:
        connection.send(whole[:head_ends])
        for number in range(head_ends, head_ends + 5):  # 3 s: more than it may be silent
            time.sleep(0.6)
            connection.send(whole[number : number + 1])
        connection.send(whole[head_ends + 5 :])
        assert is_dirty(connection.answer())


def slow_reader(server: Server, asked: bytes) -> socket.socket:
    """A client that has asked, and has room for little of the answer at a time."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 48 * 1024)
    client.settimeout(30)
    client.connect(server.address)
    client.sendall(asked)
    return client


def test_who_reads_slowly_but_goes_on_gets_all_of_it() -> None:
    model = find_model("plate").read_bytes()
    asked = request("GET", "/v1/model/file", headers={"Connection": "close"})
    # It takes at least 2.4 s: more than a client may be silent, or an answer be waited for.
    options = ("--idle-timeout", "1", "--request-timeout", "1")
    with Server(*options) as server, slow_reader(server, asked) as client:
        got = b""
        while more := client.recv(len(model) // 120):
            got += more
            time.sleep(0.02)
        assert got.partition(b"\r\n\r\n")[2] == model
        assert {line["level"] for line in server.log()} == {"info"}


def test_who_stops_reading_is_let_go_and_that_is_no_fault() -> None:
    asked = request("GET", "/v1/model/file")
    with Server("--idle-timeout", "1") as server, slow_reader(server, asked) as client:
        wait_until(lambda: any(line.get("path") == "/v1/model/file" for line in server.log()))
        got = 0
        with suppress(ConnectionResetError):
            while more := client.recv(2**16):
                got += len(more)
        assert got < find_model("plate").stat().st_size
        assert {line["level"] for line in server.log()} == {"info"}
