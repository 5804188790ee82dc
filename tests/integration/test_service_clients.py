"""What HTTP clients send first, as real bytes to a real service; and the example of a client."""

import asyncio
import gzip
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from serving_fixtures import ask, photo

from platecheck.serving.keys import add_key
from tests.support.raw_http import RawAnswer, RawConnection, request
from tests.support.server import Server

pytest_plugins = ["serving_fixtures.fixtures"]

HEIC = Path(__file__).parents[1] / "unit" / "heif_fixtures" / "plain.heic"
EXAMPLE = Path(__file__).parents[2] / "examples" / "async_client.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("async_client", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def part(disposition: str, kind: str = "") -> bytes:
    header = f"Content-Type: {kind}\r\n" if kind else ""
    return f"--e\r\nContent-Disposition: form-data; {disposition}\r\n{header}\r\n".encode()


def post_form(server: Server, *parts: bytes) -> RawAnswer:
    body = b"\r\n".join(parts) + b"\r\n--e--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=e"}
    return ask(server, request("POST", "/v1/predict", body, form))


@pytest.mark.parametrize(
    "odd",
    [
        part('name="photos"'),
        part('name="file"', "application/json"),
        part('name="photos[]"; filename="a.png"', "image/png"),
        part('name="image"; filename="blob"', "application/octet-stream"),
        part("name=\"photos\"; filename*=UTF-8''a.png"),
        part('name="dish"', "image/png"),
        part('name="thumb"; filename="a.png"', "application/x-foo"),
    ],
)
def test_form_of_any_client_has_a_result_per_photo(server: Server, odd: bytes) -> None:
    """A dark photo with unusual headers among bright and damaged ones, and a text that is none."""
    plain = part('name="photos"; filename="b.png"', "image/png")
    damaged = gzip.compress(photo(), mtime=0)
    parts = [plain + photo(), part('name="note"') + b"hello", odd + photo(10), plain + damaged]
    answer = post_form(server, *parts, odd + b"\xff\0", plain + photo())
    assert answer.status == 200, answer.body
    results = json.loads(answer.body)["photos"]
    assert [each.get("label") for each in results] == ["dirty", "clean", None, None, "dirty"]
    assert "compressed" in results[2]["error"]["detail"]


@pytest.mark.parametrize("kind", ["image/png", "application/json", None])
def test_raw_body_of_any_type_is_answered(server: Server, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = ask(server, request("POST", "/v1/predict", photo(), headers))
    assert json.loads(answer.body)["photos"][0]["label"] == "dirty"


def test_expect_continue_is_answered(server: Server) -> None:
    whole = request("POST", "/v1/predict", photo(), {"Expect": "100-continue"})
    head, _, body = whole.partition(b"\r\n\r\n")
    with RawConnection(server.address) as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.socket.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        assert b'"label":"dirty"' in connection.ask(body).body


def test_example_classifies_photos_and_names_unreadable_ones(
    server: Server, example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = []
    for number in range(12):
        photos.append(tmp_path / f"{number}.png")
        photos[-1].write_bytes(photo(250 if number % 2 else 10))
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


def run_example(*arguments: str | Path, key: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE, *arguments],
        env={**os.environ, "PLATECHECK_API_KEY": key}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_example_without_service_says_why_in_one_line(
    bright_is_dirty: Path, tmp_path: Path
) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(6)]
    for each in photos:
        each.write_bytes(photo())
    add_key(tmp_path / "keys.txt", "cook")
    with Server("--model", bright_is_dirty, "--keys", tmp_path / "keys.txt") as server:
        no_scheme = server.url.removeprefix("http://")
        refused = run_example(server.url, *photos, key="wrong")
        tried = {"such as http": run_example(no_scheme, *photos), "Bearer KEY": refused}
        assert run_example(server.url).returncode == 2
        assert "URL PHOTO..." in run_example(server.url).stderr
    tried["failed"] = run_example(server.url, *photos)  # it is gone
    for says, found in tried.items():
        assert (found.returncode, found.stdout) == (1, "")
        assert found.stderr.count("\n") == 1, found.stderr
        assert says in found.stderr


def test_example_retries_after_the_time_that_a_busy_service_names(
    example: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").write_bytes(photo())
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
            return dict(await example.predict(client, tmp_path / "a.png"))

    assert asyncio.run(run())["label"] == "clean"
    assert (waits, asked) == ([7, 7], 3)
