"""Real services for tests, which ``tests.support`` starts."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from tests.support.photos import encode, png
from tests.support.raw_http import RawAnswer, RawConnection, request
from tests.support.server import Server

PNG = {"Content-Type": "image/png"}


@cache
def slow_photo() -> bytes:
    """Few bytes that take long to decode: 64 million pixels."""
    return encode(Image.new("L", (8000, 8000)), "PNG", compress_level=1)


def predict(content: bytes, **headers: str) -> bytes:
    """A request to answer one photo."""
    return request("POST", "/v1/predict", content, {**PNG, **headers})


def wait_until(true: Callable[[], bool]) -> None:
    """Wait for something that must come; the test run's own limit ends it if it does not."""
    for _ in range(3000):
        if true():
            return
        time.sleep(0.02)
    raise AssertionError("it did not come")


def ask(server: Server, what: bytes) -> RawAnswer:
    with RawConnection(server.address) as connection:
        return connection.ask(what)


def answers_well(server: Server) -> bool:
    return is_dirty(ask(server, predict(png())))


def is_dirty(answer: RawAnswer) -> bool:
    """Whether the photo has arrived whole: the bright one is dirty."""
    return answer.status == 200 and b'"label":"dirty"' in answer.body


def problem(answer: RawAnswer) -> dict[str, Any]:
    """The problem details of an answer, which must be some."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    found: dict[str, Any] = json.loads(answer.body)
    assert found["status"] == answer.status
    assert {"type", "title", "detail"} <= found.keys()
    return found


def metric(server: Server, name: str, **headers: str) -> float:
    """The sum of a figure at /metrics over its labels."""
    answer = ask(server, request("GET", "/metrics", headers=headers))
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    samples = [sample for family in families for sample in family.samples]
    return sum(sample.value for sample in samples if sample.name == name)


def worker_of(server: Server, connection: RawConnection) -> int:
    """The process id of the worker that has accepted a connection (0: none yet)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    inodes = {tuple(int(end.partition(":")[2], 16) for end in row[1:3]): row[9] for row in rows}
    theirs, ours = server.address[1], connection.socket.getsockname()[1]
    inode = f"socket:[{inodes.get((theirs, ours))}]"
    for pid in server.workers():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # closed in the meantime
                if str(link.readlink()) == inode:
                    return pid
    return 0
