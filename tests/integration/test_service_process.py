"""The service as processes: how it starts, what it survives, how it stops."""

import os
import signal
import socket
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from pathlib import Path
from select import select

import pytest
from serving_fixtures import (
    answers_well,
    ask,
    metric,
    predict,
    problem,
    slow_photo,
    wait_until,
    worker_of,
)

from platecheck.serving.keys import add_key
from tests.support.photos import png
from tests.support.raw_http import NoAnswerError, RawConnection
from tests.support.server import NotStartedError, Server

pytest_plugins = ["serving_fixtures.fixtures"]


def fails(*options: str | Path, **more: object) -> str:
    """Start a service that must end with exit code 2 and one line, and return that line."""
    with pytest.raises(NotStartedError) as error:
        Server(*options, **more)  # type: ignore[arg-type]
    assert (error.value.code, error.value.said.count("\n")) == (2, 1)
    return error.value.said


def keep_asking(server: Server, enough: threading.Event, answered: list[int]) -> list[int]:
    """Ask without pause, each time on the same connection while it lasts; note the statuses.

    Returns:
        For each request without a response, the worker that had accepted the connection.
    """
    lost = []
    while not enough.is_set():
        worker = 0
        # An OSError: the connection was closed before all was sent.
        with RawConnection(server.address) as connection, suppress(OSError):
            while not enough.is_set():
                connection.send(predict(png()))
                try:
                    answered.append(connection.answer().status)
                except NoAnswerError:
                    lost.append(worker)
                    break
                worker = worker or worker_of(server, connection)
    return lost


def send_slow_photos(server: Server, stack: ExitStack, count: int) -> list[RawConnection]:
    connections = [stack.enter_context(RawConnection(server.address)) for _ in range(count)]
    for connection in connections:
        connection.send(predict(slow_photo()))
    return connections


def wait_for_workers(server: Server, **headers: str) -> None:
    """Each of two workers reports its queue limit of 256; those of dead ones are forgotten."""
    wait_until(lambda: metric(server, "platecheck_queue_limit_photos", **headers) == 512)


def test_photos_beyond_the_queue_are_refused_at_once(bright_is_dirty: Path) -> None:
    limits = {"threads": 1, "queue": 3, "max_photos": 1, "request_timeout": 300}
    with Server("--model", bright_is_dirty, **limits) as server:
        with ThreadPoolExecutor(10) as pool:
            asked = [pool.submit(ask, server, predict(slow_photo())) for _ in range(10)]
            answers = [each.result() for each in as_completed(asked)]
        assert answers[0].status == 503  # others are still in flight
        refused = [answer for answer in answers if answer.status == 503]
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert "queued" in problem(refused[0])["detail"]
        kept = [answer for answer in answers if answer.status == 200]
        assert len(kept) >= 3
        assert len(kept) + len(refused) == 10
        assert metric(server, "platecheck_rejected_requests_total") == len(refused)
        assert metric(server, "platecheck_queue_photos") == 0
        assert answers_well(server)


def test_sigterm_finishes_requests_in_flight_and_frees_the_port(bright_is_dirty: Path) -> None:
    settings = {"threads": 1, "request_timeout": 300, "max_queue_delay": 300}
    with Server("--model", bright_is_dirty, **settings) as server, ExitStack() as stack:
        connections = send_slow_photos(server, stack, 4)
        wait_until(lambda: metric(server, "platecheck_queue_photos") >= 3)
        server.process.send_signal(signal.SIGTERM)
        answers = [connection.answer() for connection in connections]
        assert [answer.status for answer in answers] == [200] * 4
        assert server.process.wait() == 0  # a second signal could interrupt Python's own end
        assert "stopped" in [line["event"] for line in server.log()]
        with Server("--model", bright_is_dirty, port=server.address[1]) as second:
            assert second.address == server.address
            assert answers_well(second)


def test_sigterm_closes_the_port_while_workers_finish(bright_is_dirty: Path) -> None:
    settings = {"workers": 2, "threads": 1, "request_timeout": 300, "max_queue_delay": 300}
    with Server("--model", bright_is_dirty, **settings) as server, ExitStack() as stack:
        wait_for_workers(server)
        connections = send_slow_photos(server, stack, 6)
        wait_until(lambda: metric(server, "platecheck_queue_photos") >= 4)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionRefusedError):
            wait_until(lambda: RawConnection(server.address).close())  # None: it listens
        answered, _, _ = select([connection.socket for connection in connections], [], [], 0)
        assert len(answered) < 6  # it was closed before they had ended
        assert [connection.answer().status for connection in connections] == [200] * 6
        assert server.process.wait() == 0


def test_replaced_worker_has_the_keys_of_the_others(bright_is_dirty: Path, tmp_path: Path) -> None:
    """And one that cannot start says why, until it can."""
    keys, model = tmp_path / "keys.txt", tmp_path / "model.onnx"
    right = {"Authorization": f"Bearer {add_key(keys, 'cook')}"}
    model.write_bytes(bright_is_dirty.read_bytes())
    with Server("--model", model, "--keys", keys, workers=2) as server:
        wait_for_workers(server, **right)
        keys.write_text("this is no file of keys any more")
        model.write_bytes(b"damaged")
        first, second = server.workers()
        os.kill(first, signal.SIGKILL)
        # A line that is not JSON would be an error here.
        wait_until(lambda: any(line["event"] == "a worker cannot start" for line in server.log()))
        assert ask(server, predict(png(), **right)).status == 200
        model.write_bytes(bright_is_dirty.read_bytes())
        wait_for_workers(server, **right)
        os.kill(second, signal.SIGKILL)
        wait_until(lambda: second not in server.workers())
        wait_for_workers(server, **right)
        assert ask(server, predict(png())).status == 401
        assert ask(server, predict(png(), **right)).status == 200
        (reason,) = {line["reason"] for line in server.log() if "reason" in line}
        assert str(model) in reason


def test_killed_worker_loses_only_its_own_requests(bright_is_dirty: Path) -> None:
    enough, answered = threading.Event(), []
    with Server("--model", bright_is_dirty, workers=2) as server:
        wait_for_workers(server)
        first, second = server.workers()
        with ThreadPoolExecutor(12) as pool, ExitStack() as stack:
            stack.callback(enough.set)
            asking = [pool.submit(keep_asking, server, enough, answered) for _ in range(12)]
            wait_until(lambda: len(answered) >= 100)
            os.kill(first, signal.SIGKILL)
            at_the_kill = len(answered)
            wait_until(lambda: len(answered) >= at_the_kill + 200)  # it goes on
            wait_until(lambda: len(server.workers()) == 2 and first not in server.workers())
            wait_for_workers(server)
        lost = [worker for each in asking for worker in each.result()]
        assert second in server.workers()
        assert set(answered) == {200}
        assert second not in lost
        assert len(lost) <= 12  # no connection had more than one request in flight
        # What the dead worker had counted is not lost.
        counted = metric(server, "platecheck_photos_total")
        assert len(answered) <= counted <= len(answered) + len(lost)
        assert metric(server, "platecheck_queue_photos") == 0
        assert all(answers_well(server) for _ in range(20))


def test_serve_on_port_in_use_fails_in_one_line(bright_is_dirty: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"port {port}" in fails("--model", bright_is_dirty, port=port)


def test_serve_on_public_address_needs_keys_or_no_auth(bright_is_dirty: Path) -> None:
    options = ("--model", bright_is_dirty, "--host", "0.0.0.0")
    assert "--no-auth" in fails(*options)
    with Server(*options, "--no-auth") as server:
        assert answers_well(server)


def test_log_has_no_secrets(bright_is_dirty: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "cook")
    content = png() + b"a-secret-of-the-photo"
    headers = {"Authorization": f"Bearer {key}", "X-Request-ID": "chosen-by-me"}
    with Server("--model", bright_is_dirty, "--keys", tmp_path / "keys.txt") as server:
        wrong = ask(server, predict(content, Authorization=f"Bearer {key[:-1]}"))
        assert problem(wrong)["detail"].startswith("the API key is wrong: send it as")
        right = predict(content, **headers).replace(b"/predict", b"/predict?key=" + key.encode())
        answer = ask(server, right)
        assert (answer.status, answer.headers["x-request-id"]) == (200, "chosen-by-me")
        assert answer.headers["keep-alive"] == "timeout=10"
        wait_until(lambda: "chosen-by-me" in server.log_file.read_text())  # after the response
        lines = {line["request_id"]: line for line in server.log() if line["event"] == "request"}
        assert problem(wrong)["request_id"] in lines
        line = lines["chosen-by-me"]
        assert (line["status"], line["photos"], line["key"]) == (200, 1, "cook")
        written = server.log_file.read_text(encoding="utf-8")
        assert "a-secret-of-the-photo" not in written
        assert key[4:-1] not in written


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    files = {"certificate": folder / "certificate.pem", "private_key": folder / "key.pem"}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", files["private_key"], "-out", files["certificate"]],
        check=True, capture_output=True,
    )  # fmt: skip
    return files


def test_serve_with_certificate_speaks_https(
    bright_is_dirty: Path, certificate: dict[str, Path]
) -> None:
    with Server("--model", bright_is_dirty, **certificate) as server:
        assert server.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate["certificate"])
        with RawConnection(server.address, tls=trusting) as connection:
            assert connection.ask(predict(png())).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            RawConnection(server.address, tls=ssl.create_default_context())


def test_serve_with_bad_certificate_fails_in_one_line(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    assert "certificate" in fails("--model", bright_is_dirty, certificate=bad, private_key=bad)
    odd = tmp_path / "odd.yaml"
    odd.write_text('certificate: "a\\0b"\nprivate_key: "a\\0b"\n')
    assert "certificate" in fails("--model", bright_is_dirty, "--config", odd)
