"""The example of a client, and what HTTP clients send first, with a real service."""

import asyncio
import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from serving_fixtures import predict

from platecheck.serving.keys import add_key
from tests.support.photos import grey, png
from tests.support.raw_http import RawConnection
from tests.support.server import Server

pytest_plugins = ["serving_fixtures.fixtures"]

HEIC = Path(__file__).parents[1] / "unit" / "heif_fixtures" / "plain.heic"
EXAMPLE = Path(__file__).parents[2] / "examples" / "async_client.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(EXAMPLE.parent)
    return importlib.import_module("async_client")


def test_expect_continue_is_answered(server: Server) -> None:
    head, _, body = predict(png(), Expect="100-continue").partition(b"\r\n\r\n")
    with RawConnection(server.address) as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.socket.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        assert b'"label":"dirty"' in connection.ask(body).body


def test_example_classifies_photos_and_names_unreadable_ones(
    server: Server, example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = [grey(tmp_path / f"{n}.png", 250 if n % 2 else 10) for n in range(12)]
    (tmp_path / "notes.png").write_bytes(b"text")
    photos += [tmp_path / "notes.png", tmp_path / "gone.png", HEIC]
    assert asyncio.run(example.main(server.url, photos)) == 2
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert len(lines) == len(photos)
    assert lines["1.png"].startswith("dirty")
    assert lines["0.png"].startswith("clean")
    assert lines["plain.heic"].startswith(("clean", "dirty"))
    assert lines["notes.png"] == "it is not a photo in a format that can be read"
    assert lines["gone.png"] == "No such file or directory"


def test_example_without_service_says_why_in_one_line(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    def run(*arguments: str | Path, key: str = "") -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PLATECHECK_API_KEY": key}
        command = [sys.executable, EXAMPLE, *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    photos = [grey(tmp_path / f"{number}.png", 250) for number in range(6)]
    add_key(tmp_path / "keys.txt", "cook")
    with Server("--model", bright_is_dirty, "--keys", tmp_path / "keys.txt") as server:
        no_scheme = server.url.removeprefix("http://")
        refused = run(server.url, *photos, key="wrong")
        tried = {"such as http": run(no_scheme, *photos), "Bearer KEY": refused}
        assert run(server.url).returncode == 2
        assert "URL PHOTO..." in run(server.url).stderr
    tried["failed"] = run(server.url, *photos)  # it is gone
    for says, found in tried.items():
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.count("\n") == 1, found.stderr
        assert says in found.stderr


def test_example_retries_after_the_time_that_a_busy_service_names(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = grey(tmp_path / "a.png", 250)
    waits: list[float] = []
    asked = 0

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal asked
        asked += 1
        if asked < 3:
            return httpx.Response(503, headers={"Retry-After": "7"})
        entry = {"name": "a.png", "label": "clean", "probability": 1}
        return httpx.Response(200, json={"photos": [entry]})

    monkeypatch.setattr(example.asyncio, "sleep", sleep)

    async def run() -> dict[str, object]:
        transport = httpx.MockTransport(answer)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return dict(await example.predict(client, photo))

    assert asyncio.run(run())["label"] == "clean"
    assert (waits, asked) == ([7, 7], 3)
