"""Real services for tests: ``tests.support`` starts them, photos are drawn here."""

import json
import time
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.support.raw_http import RawAnswer, RawConnection, request
from tests.support.server import Server

PNG = {"Content-Type": "image/png"}


def photo(level: int = 250, size: int = 20) -> bytes:
    """An even grey PNG: the tiny model calls bright ones dirty."""
    file = BytesIO()
    Image.new("RGB", (size, size), (level, level, level)).save(file, "PNG")
    return file.getvalue()


@cache
def slow_photo() -> bytes:
    """Few bytes that take long to decode: 64 million pixels."""
    file = BytesIO()
    Image.new("L", (8000, 8000)).save(file, "PNG", compress_level=1)
    return file.getvalue()


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
    """Ask on a connection of its own."""
    with RawConnection(server.address) as connection:
        return connection.ask(what)


def answers_well(server: Server) -> bool:
    return is_dirty(ask(server, predict(photo())))


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
    lines = [line.split(" ") for line in answer.body.decode().splitlines() if line[:1] != "#"]
    return float(np.sum([float(value) for key, value in lines if key.partition("{")[0] == name]))


def worker_of(server: Server, connection: RawConnection) -> int:
    """The process id of the worker that has accepted a connection (0: none yet)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]]
    ports = {(_port(row[1]), _port(row[2])): row[9] for row in rows}
    theirs, ours = server.address[1], connection.socket.getsockname()[1]
    inode = f"socket:[{ports.get((theirs, ours))}]"
    for pid in server.workers():
        for link in Path(f"/proc/{pid}/fd").iterdir():
            try:
                if str(link.readlink()) == inode:
                    return pid
            except FileNotFoundError:  # closed in the meantime
                continue
    return 0


def _port(address: str) -> int:
    return int(address.partition(":")[2], 16)
