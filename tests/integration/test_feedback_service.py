"""Real processes with feedback: workers, a database that goes away, the commands."""

import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from feedback_fixtures.places import ANSWER, Place, check, photo
from feedback_fixtures.postgres import Postgres
from packaging_fixtures import serving

from platecheck.errors import how_to_install
from tests.conftest import Cli, WriteModel

pytest_plugins = ["feedback_fixtures.fixtures"]

NOWHERE = "postgresql://u:secret@127.0.0.1:1/d"


def give(client: httpx.Client, content: bytes) -> httpx.Response:
    fields = {"right": "clean", "consent": "true"}
    return client.post("/v1/feedback", data=fields, files={"photo": ("a.png", content)})


def running(*command: str | Path) -> AbstractContextManager[httpx.Client]:
    words = [sys.executable, "-m", "platecheck", *command, "--port", "0"]
    return serving(words, Path.cwd(), os.environ)


def test_serve_with_workers_stores_and_deletes_feedback(
    tmp_path: Path, write_model: WriteModel
) -> None:
    place, model = Place(f"sqlite:///{tmp_path}/f.db"), write_model(tmp_path / "m.onnx")
    options = ("--log-level", "error", "--workers", "2", "--feedback", place.url)
    with running("serve", "--model", model, *options) as client:
        with ThreadPoolExecutor(8) as pool:
            given = list(pool.map(lambda number: give(client, photo(number % 4)), range(24)))
        assert {response.status_code for response in given} == {201}
        ids = [response.json()["id"] for response in given]
        with ThreadPoolExecutor(8) as pool:
            gone = list(pool.map(lambda each: client.delete(f"/v1/feedback/{each}"), ids[:12]))
        assert {response.status_code for response in gone} == {204}
        assert client.get("/v1/feedback").json()["stored"] == 12
    with place.store() as store:
        assert check(store) == set(ids[12:])


def test_serve_without_its_database_continues_predicting(
    postgres: Postgres, tmp_path: Path, write_model: WriteModel
) -> None:
    place, model = Place(postgres.new_database()), write_model(tmp_path / "m.onnx")
    options = ("--log-level", "error", "--feedback", place.url)
    with running("serve", "--model", model, *options) as client:
        path = f"/v1/feedback/{give(client, photo(1)).json()['id']}"
        postgres.stop()
        for _ in range(3):
            refused = give(client, photo(2))
            assert refused.status_code == 503
            assert refused.json()["detail"].startswith("the feedback was not stored")
            assert client.post("/v1/predict", content=photo(3)).status_code == 200
        assert client.delete(path).status_code == 503
        postgres.start()
        assert client.get("/v1/feedback").json()["stored"] == 1
        assert give(client, photo(2)).status_code == 201
        assert client.delete(path).status_code == 204
    with place.store() as store:
        assert len(check(store)) == 1


def test_review_command_serves_until_stopped(tmp_path: Path, cli: Cli) -> None:
    place = Place(f"sqlite:///{tmp_path}/f.db")
    with place.store() as store:
        store.add(photo(1), "dirty", ANSWER)
    with running("review", place.url) as client:
        queue = client.get("/v1/review?reviewer=Ann").json()
        assert [each["said"] for each in queue["photos"]] == [{"dirty": 1}]
        taken = cli("review", place.url, "--port", str(client.base_url.port))
    assert taken.code == 2
    assert taken.err.startswith("error: cannot listen on 127.0.0.1")


SERVE, REVIEW, COLLECT = ["serve", "--port", "0", "--feedback"], ["review"], ["data", "collect"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ([*SERVE[:-1], "--feedback-photos", "p"], "feedback_photos requires feedback"),
        ([*SERVE, "x:sec:ret"], "not a database URL"),
        ([*SERVE, "mysql://h/d"], "mysql databases are not"),
        ([*SERVE, "sqlite://"], "in-memory databases"),
        ([*SERVE, "sqlite:///no/f.db"], "unable to open"),
        ([*SERVE, NOWHERE], "Connection refused"),
        ([*REVIEW, "x"], "not a database URL"),
        ([*REVIEW, "sqlite:///f.db"], "no such file"),
        ([*REVIEW, "sqlite:///other.db"], "no feedback tables"),
        ([*REVIEW, NOWHERE], "Connection refused"),
        ([*COLLECT, "sqlite:///f.db", "new"], "no such file"),
        ([*COLLECT, "sqlite:///other.db", "new"], "no feedback tables"),
    ],
)
def test_commands_report_unusable_databases(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delattr("uvicorn.Server.run")
    sqlite3.connect(tmp_path / "other.db").close()
    result = cli(*command)
    assert result.code == 2
    *notes, error = result.err.splitlines()
    assert message in error
    assert error.startswith("error: ")
    assert all(" is deprecated" in note for note in notes)
    assert "sec" not in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["other.db"]


@pytest.mark.parametrize("module", ["psycopg", "sqlalchemy"])
def test_serve_without_driver_names_the_extra(tmp_path: Path, module: str) -> None:
    code = f"""
import sys
sys.modules["{module}"] = None
sys.argv = ["platecheck", "serve", "--feedback", "{NOWHERE}"]
from platecheck.cli import main
main()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.returncode == 2
    assert result.stderr.endswith(f"{how_to_install('feedback')}\n")
