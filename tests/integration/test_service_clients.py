"""What HTTP clients send first, as real bytes to a real service; and the example of a client."""

import asyncio
import gzip
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest
from serving_fixtures import ask, photo

from platecheck.serving.keys import add_key
from tests.support.raw_http import RawConnection, request
from tests.support.server import Server

pytest_plugins = ["serving_fixtures.fixtures"]

HEIC = Path(__file__).parents[1] / "unit" / "heif_fixtures" / "plain.heic"
EXAMPLE = Path(__file__).parents[2] / "examples" / "async_client.py"


@pytest.fixture(scope="module")
def server(bright_is_dirty: Path) -> Iterator[Server]:
    with Server("--model", bright_is_dirty) as server:
        yield server


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


@pytest.mark.parametrize(
    "head",
    [
        part('name="photos"; filename="a.png"', "image/png"),
        part('name="file"; filename="a.png"', "image/png"),
        part('name="photos[]"; filename="a.png"', "image/png"),
        part('name="image"; filename="blob"', "application/octet-stream"),
        part("name=\"photos\"; filename*=UTF-8''a.png"),
        part('name="dish"', "image/png"),
    ],
)
def test_form_of_any_client_is_answered(server: Server, head: bytes) -> None:
    body = head + photo() + b"\r\n--e--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=e"}
    answer = ask(server, request("POST", "/v1/predict", body, form))
    assert answer.status == 200, answer.body
    assert json.loads(answer.body)["photos"][0]["label"] == "dirty"


@pytest.mark.parametrize(
    "odd",
    [
        part('name="photos"'),
        part('name="photos"', "text/plain"),
        part('name="file"', "application/json"),
        part('name="dish1"; filename="a.png"', "text/plain"),
        part('name="thumb"; filename="a.png"', "application/x-foo"),
    ],
)
def test_no_photo_of_a_form_is_left_out(server: Server, odd: bytes) -> None:
    """A dark photo with unusual headers between bright ones, and a text that is none."""
    plain = part('name="photos"; filename="b.png"', "image/png")
    parts = [plain + photo(), part('name="note"') + b"hello", odd + photo(10), plain + b"damaged",
             odd + b"damaged", plain + photo()]  # fmt: skip
    body = b"\r\n".join(parts) + b"\r\n--e--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=e"}
    answer = ask(server, request("POST", "/v1/predict", body, form))
    assert answer.status == 200, answer.body
    labels = [each.get("label") for each in json.loads(answer.body)["photos"]]
    assert labels == ["dirty", "clean", None, None, "dirty"]


def test_compressed_file_of_a_form_is_said_to_be_compressed(server: Server) -> None:
    body = part('name="photos"; filename="a.png.gz"') + gzip.compress(photo()) + b"\r\n--e--\r\n"
    form = {"Content-Type": "multipart/form-data; boundary=e"}
    answer = ask(server, request("POST", "/v1/predict", body, form))
    assert "compressed" in json.loads(answer.body)["photos"][0]["error"]["detail"]


@pytest.mark.parametrize(
    "kind",
    ["image/png", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain",
     "application/json", None],
)  # fmt: skip
def test_photo_as_the_body_is_answered_whatever_its_type(server: Server, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = ask(server, request("POST", "/v1/predict", photo(), headers))
    assert json.loads(answer.body)["photos"][0]["label"] == "dirty"


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "application/json"}, b'{"image": "data:image/png;base64,iVBORw0KGgo="}'),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"image=iVBORw0KGgo%3D"),
        ({"Content-Type": "text/plain"}, b"iVBORw0KGgo="),
        (
            {"Content-Type": "image/png", "Content-Encoding": "gzip"},
            gzip.compress(photo(), mtime=0),
        ),
        ({"Content-Type": "image/png"}, gzip.compress(photo(), mtime=0)),
    ],
)
def test_body_that_is_no_photo_is_told_what_to_send(
    server: Server, headers: dict[str, str], body: bytes
) -> None:
    with RawConnection(server.address) as connection:
        answer = connection.ask(request("POST", "/v1/predict", body, headers))
    assert answer.status == 415
    detail = json.loads(answer.body)["detail"]
    assert "curl -F photos=@plate.jpg" in detail or "without Content-Encoding" in detail


def test_body_that_waits_to_be_asked_for_is_answered(server: Server) -> None:
    whole = request("POST", "/v1/predict", photo(), {"Expect": "100-continue"})
    head, _, body = whole.partition(b"\r\n\r\n")
    with RawConnection(server.address) as connection:
        connection.send(head + b"\r\n\r\n")
        assert connection.socket.recv(100).startswith(b"HTTP/1.1 100 Continue\r\n")
        assert b'"label":"dirty"' in connection.ask(body).body


def test_example_answers_many_photos_and_names_those_that_it_cannot(
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


def test_example_says_in_a_line_why_no_service_answers(
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


def test_example_asks_a_busy_service_again_after_the_time_that_it_names(
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
