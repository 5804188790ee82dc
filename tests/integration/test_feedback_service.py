"""A real service with feedback: worker processes, a database that goes and comes back."""

import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from feedback_fixtures.places import ANSWER, Place, check
from feedback_fixtures.postgres import Postgres
from PIL import Image

from platecheck.errors import how_to_install
from tests.conftest import Cli, WriteModel

pytest_plugins = ["feedback_fixtures.fixtures"]

Start = Callable[..., httpx.Client]


def photo(level: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (20, 20), (level, level, level)).save(file, "PNG")
    return file.getvalue()


def give(client: httpx.Client, content: bytes) -> httpx.Response:
    fields = {"right": "clean", "consent": "true"}
    return client.post("/v1/feedback", data=fields, files={"photo": ("a.png", content)})


@contextmanager
def serving(model: Path, place: Place, *options: str) -> Iterator[httpx.Client]:
    """``platecheck serve`` with feedback, which ends well when it is told to stop."""
    words = ["--port", "0", "--log-level", "error", "--model", str(model), *options]
    kept = ["--feedback", place.url, "--feedback-photos", str(place.photos)]
    command = [sys.executable, "-m", "platecheck", "serve", *words, *kept]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        found = re.search(r"http://[\w.:]+", process.stdout.readline())
        assert found, "the service has not started"
        with httpx.Client(base_url=found[0], timeout=60) as client:
            yield client
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()


def test_workers_keep_feedback_side_by_side(
    place: Place, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "m.onnx")
    with serving(model, place, "--workers", "2") as client:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda number: give(client, photo(number % 4)), range(24)))
        assert {answer.status_code for answer in answers} == {201}
        ids = [answer.json()["id"] for answer in answers]
        with ThreadPoolExecutor(8) as pool:
            gone = list(pool.map(lambda each: client.delete(f"/v1/feedback/{each}"), ids[:12]))
        assert {answer.status_code for answer in gone} == {204}
        assert client.get("/v1/feedback").json()["stored"] == 12
    with place.store() as store:
        check(place, store)
        assert {given.id for given in store.all()} == set(ids[12:])
        assert place.files() == {given.photo for given in store.all()}


def test_without_its_database_the_service_goes_on(
    postgres: Postgres, tmp_path: Path, write_model: WriteModel
) -> None:
    place = Place(postgres.new_database(), tmp_path / "photos")
    with serving(write_model(tmp_path / "m.onnx"), place) as client:
        given = give(client, photo(1))
        assert given.status_code == 201
        postgres.stop()
        for _ in range(3):
            refused = give(client, photo(2))
            assert refused.status_code == 503
            assert refused.json()["detail"].startswith("the feedback was not stored")
            assert client.post("/v1/predict", content=photo(250)).status_code == 200
        assert client.delete(f"/v1/feedback/{given.json()['id']}").status_code == 503
        postgres.start()
        assert client.get("/v1/feedback").json()["stored"] == 1
        assert give(client, photo(2)).status_code == 201
        assert client.delete(f"/v1/feedback/{given.json()['id']}").status_code == 204
    with place.store() as store:
        check(place, store)
        assert len(store.all()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--feedback", "sqlite:///f.db"], "must be set together"),
        (["--feedback", "x:sec:ret", "--feedback-photos", "p"], "not a database URL"),
        (
            ["--feedback", "mysql://h/d", "--feedback-photos", "p"],
            "mysql databases are not",
        ),
        (
            ["--feedback", "sqlite://", "--feedback-photos", "p"],
            "in-memory databases",
        ),
        (["--feedback", "sqlite:///no/f.db", "--feedback-photos", "p"], "unable to open"),
        (
            ["--feedback", "sqlite:///f.db", "--feedback-photos", "file"],
            "cannot be stored here",
        ),
        (
            ["--feedback", "postgresql://u:secret@127.0.0.1:1/d", "--feedback-photos", "p"],
            "Connection refused",
        ),
    ],
)
def test_mistakes_are_said_in_a_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Sequence[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("uvicorn.Server.run")
    (tmp_path / "file").touch()
    result = cli("serve", "--port", "0", *options)
    assert result.code == 2
    assert says in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert "sec" not in result.err


def test_the_review_page_is_served_until_it_is_stopped(place: Place) -> None:
    with place.store() as store:
        store.add(photo(1), "dirty", ANSWER)
    words = ["review", place.url, "--photos", str(place.photos), "--port"]
    command = [sys.executable, "-m", "platecheck", *words]
    process = subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    try:
        found = re.search(r"http://127.0.0.1:(\d+)", process.stdout.readline())
        assert found, "the review page has not started"
        seen = httpx.get(f"{found[0]}/v1/review?reviewer=Ann").json()
        assert [each["said"] for each in seen["photos"]] == [{"dirty": 1}]
        taken = subprocess.run([*command, found[1]], capture_output=True, text=True, check=False)
        assert taken.returncode == 2
        assert taken.stderr.startswith("error: cannot listen on 127.0.0.1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.stdout.close()


@pytest.mark.parametrize("command", [["review"], ["data", "collect"]])
@pytest.mark.parametrize(
    ("url", "photos", "says"),
    [
        ("x", "p", "not a database URL"),
        ("sqlite:///f.db", "p", "no such file"),
        ("sqlite:///other.db", "p", "no feedback tables"),
        ("sqlite:///other.db", "nowhere", "no such folder"),
        ("postgresql://u@127.0.0.1:1/d", "p", "Connection refused"),
    ],
)
def test_there_must_be_feedback_to_review_or_collect(
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: Sequence[str],
    url: str,
    photos: str,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("uvicorn.Server.run")
    (tmp_path / "p").mkdir()
    sqlite3.connect(tmp_path / "other.db").close()
    words = [*command, url, *(["new"] if "collect" in command else []), "--photos", photos]
    result = cli(*words)
    assert result.code == 2
    assert says in result.err
    assert result.err.startswith("error: ")
    assert result.err.count("\n") == 1
    assert list((tmp_path / "p").iterdir()) == []


@pytest.mark.parametrize("module", ["psycopg", "sqlalchemy"])
def test_what_is_not_installed_is_named(tmp_path: Path, module: str) -> None:
    options = ["serve", "--feedback", "postgresql://u@127.0.0.1:1/d", "--feedback-photos", "p"]
    code = f"""
import sys
sys.modules["{module}"] = None
sys.argv = ["platecheck", *{options!r}]
from platecheck.cli import main
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.endswith(f"{how_to_install('feedback')}\n")
