"""The service as processes: how it starts, what it survives, how it stops."""

import json
import os
import selectors
import signal
import socket
import ssl
import subprocess
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from zlib import crc32

import pytest
from serving_fixtures import (
    answers_well,
    ask,
    metric,
    photo,
    predict,
    problem,
    slow_photo,
    wait_until,
    worker_of,
)

from platecheck.serving.keys import add_key
from platecheck.serving.server import _config
from platecheck.serving.settings import Settings
from tests.support.raw_http import NoAnswerError, RawConnection, request
from tests.support.server import NotStartedError, Server

pytest_plugins = ["serving_fixtures.fixtures"]

CANARY = "a-secret-of-the-photo"


def fails(*options: str | Path, **more: object) -> NotStartedError:
    """How a service that must not start ends."""
    with pytest.raises(NotStartedError) as error:
        Server(*options, **more)  # type: ignore[arg-type]
    return error.value


class Load:
    """Clients that ask without pause, each on a connection that it keeps while it can.

    Attributes:
        answered: statuses, and how many.
        lost: requests that were sent whole and got no answer, by who had accepted the connection.
    """

    def __init__(self, server: Server, clients: int) -> None:
        """Start them."""
        self.answered: Counter[int] = Counter()
        self.lost: list[int] = []
        self._server = server
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client end with the answer that it waits for."""
        self._enough.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _ask(self) -> None:
        while not self._enough.is_set():
            with RawConnection(self._server.address) as connection:
                self._ask_on(connection)

    def _ask_on(self, connection: RawConnection) -> None:
        worker = 0
        while not self._enough.is_set():
            try:
                connection.send(predict(photo()))
            except OSError:
                return  # closed before all was sent
            try:
                answer = connection.answer()
            except NoAnswerError:
                with self._lock:
                    self.lost.append(worker)
                return
            with self._lock:
                self.answered[answer.status] += 1
            worker = worker or worker_of(self._server, connection)


def test_more_than_the_queue_holds_is_refused_at_once_and_the_rest_answered(
    bright_is_dirty: Path,
) -> None:
    options = ("--threads", "1", "--queue", "3", "--max-photos", "1")
    with Server("--model", bright_is_dirty, *options) as server, ExitStack() as stack:
        slow = predict(slow_photo())
        connections = [stack.enter_context(RawConnection(server.address)) for _ in range(10)]
        for connection in connections:
            connection.send(slow)
        answers = []
        with selectors.DefaultSelector() as waiting:
            for connection in connections:
                waiting.register(connection.socket, selectors.EVENT_READ, connection)
            while waiting.get_map():
                for key, _ in waiting.select():
                    waiting.unregister(key.fileobj)
                    answers.append(key.data.answer())
        assert answers[0].status == 503  # others are still under way
        refused = [answer for answer in answers if answer.status == 503]
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        assert "queued" in problem(refused[0])["detail"]
        kept = [answer for answer in answers if answer.status == 200]
        assert len(kept) >= 3
        assert len(kept) + len(refused) == 10
        assert metric(server, "platecheck_rejected_requests_total") == len(refused)
        assert metric(server, "platecheck_queue_photos") == 0
        assert answers_well(server)


def test_what_is_under_way_is_finished_and_the_port_is_free_again(bright_is_dirty: Path) -> None:
    with Server("--model", bright_is_dirty, "--threads", "1") as server, ExitStack() as stack:
        slow = predict(slow_photo())
        connections = [stack.enter_context(RawConnection(server.address)) for _ in range(5)]
        for connection in connections:
            connection.send(slow)
        wait_until(lambda: metric(server, "platecheck_queue_photos") >= 3)
        server.process.send_signal(signal.SIGTERM)
        answers = [connection.answer() for connection in connections]
        assert [answer.status for answer in answers] == [200] * 5
        assert answers[-1].headers["connection"] == "close"
        assert server.stop() == 0
        assert server.log()[-1]["event"].startswith("Finished")
        with Server("--model", bright_is_dirty, port=server.address[1]) as second:
            assert second.address == server.address
            assert answers_well(second)


def test_the_port_is_closed_while_workers_finish_what_is_under_way(bright_is_dirty: Path) -> None:
    options = ("--workers", "2", "--threads", "1", "--max-queue-delay", "60")
    with Server("--model", bright_is_dirty, *options) as server, ExitStack() as stack:
        wait_until(lambda: metric(server, "platecheck_queue_limit_photos") == 512)
        slow = predict(slow_photo())
        connections = [stack.enter_context(RawConnection(server.address)) for _ in range(6)]
        for connection in connections:
            connection.send(slow)
        wait_until(lambda: metric(server, "platecheck_queue_photos") >= 4)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: not _takes_connections(server))
        still = [_has_no_answer(connection) for connection in connections]
        assert any(still)  # it was closed before they had ended
        assert [connection.answer().status for connection in connections] == [200] * 6
        assert server.stop() == 0


def test_a_worker_that_is_started_later_takes_the_keys_of_the_others(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys.txt"
    key = add_key(keys, "cook")
    right = {"Authorization": f"Bearer {key}"}
    with Server("--model", bright_is_dirty, "--keys", keys, "--workers", "2") as server:
        wait_until(lambda: metric(server, "platecheck_queue_limit_photos", **right) == 512)
        keys.write_text("this is no file of keys any more")
        for worker in server.workers():
            os.kill(worker, signal.SIGKILL)
            wait_until(lambda worker=worker: worker not in server.workers())  # type: ignore[misc]
            wait_until(lambda: metric(server, "platecheck_queue_limit_photos", **right) == 512)
        assert ask(server, predict(photo())).status == 401
        assert ask(server, predict(photo(), **right)).status == 200


def test_a_worker_that_cannot_start_says_why_and_another_one_can_once_it_is_mended(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(bright_is_dirty.read_bytes())
    with Server("--model", model, "--workers", "2") as server:
        wait_until(lambda: metric(server, "platecheck_queue_limit_photos") == 512)
        model.write_bytes(b"damaged")
        os.kill(server.workers()[0], signal.SIGKILL)
        # A line that is not JSON would be an error here.
        wait_until(lambda: any(line["event"] == "a worker cannot start" for line in server.log()))
        assert answers_well(server)
        model.write_bytes(bright_is_dirty.read_bytes())
        wait_until(lambda: metric(server, "platecheck_queue_limit_photos") == 512)
        (reason,) = {line["reason"] for line in server.log() if "reason" in line}
        assert str(model) in reason


def test_it_says_for_how_long_it_keeps_a_connection(bright_is_dirty: Path) -> None:
    options = ("--model", bright_is_dirty, "--idle-timeout", "4")
    with Server(*options) as server, RawConnection(server.address) as connection:
        for path in ("/", "/healthz", "/nowhere"):
            assert connection.ask(request("GET", path)).headers["keep-alive"] == "timeout=4"


def test_a_killed_worker_takes_only_its_own_requests_with_it(bright_is_dirty: Path) -> None:
    with Server("--model", bright_is_dirty, "--workers", "2") as server:
        wait_until(lambda: metric(server, "platecheck_queue_limit_photos") == 512)
        first, second = server.workers()
        load = Load(server, 12)
        wait_until(lambda: load.answered[200] >= 100)
        os.kill(first, signal.SIGKILL)
        at_the_kill = load.answered[200]
        wait_until(lambda: load.answered[200] >= at_the_kill + 200)  # it goes on
        wait_until(lambda: len(server.workers()) == 2 and first not in server.workers())
        # Each worker says how long its queue is: the new one has come, the dead one is forgotten.
        wait_until(lambda: metric(server, "platecheck_queue_limit_photos") == 512)
        load.stop()
        assert second in server.workers()
        assert load.answered.keys() == {200}
        assert second not in load.lost
        assert len(load.lost) <= 12  # no connection had more than one request under way
        # What the dead worker had counted is not lost.
        counted = metric(server, "platecheck_photos_total")
        assert load.answered[200] <= counted <= load.answered[200] + len(load.lost)
        assert metric(server, "platecheck_queue_photos") == 0
        assert all(answers_well(server) for _ in range(20))


def test_a_worker_that_is_slow_to_start_is_waited_for(bright_is_dirty: Path) -> None:
    configured = _config(Settings(model=bright_is_dirty, workers=2), None)
    assert configured.timeout_worker_healthcheck >= 60


def test_a_port_in_use_is_one_line_and_exit_code_2(bright_is_dirty: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        error = fails("--model", bright_is_dirty, port=port)
    assert (error.code, error.said.count("\n")) == (2, 1)
    assert f"port {port}" in error.said


def test_others_may_ask_only_with_a_key_or_when_told_so(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    options = ("--model", bright_is_dirty, "--host", "0.0.0.0")
    error = fails(*options)
    assert error.code == 2
    assert error.said.count("\n") == 1
    assert "--no-auth" in error.said
    with Server(*options, "--no-auth") as server:
        assert answers_well(server)
    add_key(tmp_path / "keys.txt", "cook")
    with Server(*options, "--keys", tmp_path / "keys.txt") as server:
        assert ask(server, predict(photo())).status == 401


def test_keys_are_asked_for_and_logs_tell_no_secret(bright_is_dirty: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "cook")
    content = _with_text(photo(), CANARY)
    with Server("--model", bright_is_dirty, "--keys", tmp_path / "keys.txt") as server:
        for path in ("/v1/model", "/v1/model/file", "/metrics"):
            assert ask(server, request("GET", path)).status == 401
        for path in ("/", "/healthz", "/readyz", "/openapi.json"):
            assert ask(server, request("GET", path)).status == 200
        missing = ask(server, predict(content))
        how = "send it as 'Authorization: Bearer KEY'"
        assert (missing.status, problem(missing)["detail"]) == (
            401,
            f"the API key is missing: {how}",
        )
        assert missing.headers["www-authenticate"] == "Bearer"
        wrong = ask(server, predict(content, Authorization=f"Bearer {key[:-1]}"))
        assert (wrong.status, problem(wrong)["detail"]) == (401, f"the API key is wrong: {how}")
        right = predict(
            content, **{"Authorization": f"Bearer {key}", "X-Request-ID": "chosen-by-me"}
        )
        answer = ask(server, right)
        assert (answer.status, answer.headers["x-request-id"]) == (200, "chosen-by-me")
        in_query = ask(server, right.replace(b"/predict", b"/predict?key=" + key.encode()))
        assert in_query.status == 200
        assert metric(server, "platecheck_photos_total", Authorization=f"Bearer {key}") == 2
        lines = [line for line in server.log() if line["event"] == "request"]
        assert all(line["request_id"] for line in lines)
        assert problem(wrong)["request_id"] in {line["request_id"] for line in lines}
        line = next(line for line in lines if line["request_id"] == "chosen-by-me")
        assert (line["status"], line["photos"], line["key"]) == (200, 1, "cook")
        written = server.log_file.read_text(encoding="utf-8")
        assert CANARY not in written
        assert key[4:-1] not in written


def test_settings_come_from_flags_the_environment_and_a_file(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text(
        f"model: {bright_is_dirty}\nmax_photos: 3\nmax_photo_bytes: 3000\nmax_pixels: 3000\n"
    )
    env = {"PLATECHECK_MAX_PHOTO_BYTES": "2000", "PLATECHECK_MAX_PIXELS": "2000"}
    with Server("--settings", file, "--max-pixels", "1000", env=env) as server:
        limits = json.loads(ask(server, request("GET", "/v1/model")).body)["limits"]
        assert (limits["photos"], limits["photo_bytes"], limits["pixels"]) == (3, 2000, 1000)
        assert ask(server, predict(b"x" * 2001)).status == 413
    file.write_text("prot: 8000\n")
    error = fails("--settings", file)
    assert (error.code, error.said.count("\n")) == (2, 1)
    assert "prot" in error.said


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key


def test_https_is_served_with_a_certificate(
    bright_is_dirty: Path, certificate: tuple[Path, Path]
) -> None:
    options = ("--certificate", certificate[0], "--private-key", certificate[1])
    with Server("--model", bright_is_dirty, *options) as server:
        assert server.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=certificate[0])
        with RawConnection(server.address, tls=trusting) as connection:
            assert connection.ask(predict(photo())).status == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            RawConnection(server.address, tls=ssl.create_default_context())


def test_a_certificate_that_is_none_is_one_line_and_exit_code_2(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.pem"
    bad.write_text("no certificate")
    error = fails("--model", bright_is_dirty, "--certificate", bad, "--private-key", bad)
    assert (error.code, error.said.count("\n")) == (2, 1)
    assert "certificate" in error.said
    odd = tmp_path / "odd.yaml"
    odd.write_text('certificate: "a\\0b"\nprivate_key: "a\\0b"\n')
    error = fails("--model", bright_is_dirty, "--settings", odd)
    assert (error.code, error.said.count("\n")) == (2, 1)
    assert "certificate" in error.said


def _takes_connections(server: Server) -> bool:
    try:
        RawConnection(server.address).close()
    except ConnectionRefusedError:
        return False
    return True


def _has_no_answer(connection: RawConnection) -> bool:
    with selectors.DefaultSelector() as waiting:
        waiting.register(connection.socket, selectors.EVENT_READ)
        return not waiting.select(0)


def _with_text(png: bytes, text: str) -> bytes:
    """A PNG with a comment in it."""
    chunk = b"tEXtComment\0" + text.encode()
    written = len(chunk[4:]).to_bytes(4) + chunk + crc32(chunk).to_bytes(4)
    return png[:33] + written + png[33:]
