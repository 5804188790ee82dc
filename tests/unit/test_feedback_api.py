"""What the service says to feedback, in one process and without a socket."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from prometheus_client import REGISTRY
from sqlalchemy import update
from starlette.testclient import TestClient

from platecheck.feedback.entry import Answer
from platecheck.feedback.errors import StorageError
from platecheck.feedback.photos import PhotoFolder
from platecheck.feedback.schema import FEEDBACK
from platecheck.feedback.store import Store, open_store
from platecheck.serving.app import create_app
from platecheck.serving.feedback_service import MAX_WAITING
from platecheck.serving.keys import add_key
from platecheck.serving.settings import Settings
from tests.conftest import WriteModel

BASE = "http://127.0.0.1:8000"
PROBLEM = "application/problem+json"

Serve = Callable[..., TestClient]


def photo(level: int) -> bytes:
    """The tiny model calls bright ones dirty."""
    file = BytesIO()
    Image.new("RGB", (20, 20), (level, level, level)).save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def serve(tmp_path: Path, write_model: WriteModel) -> Iterator[Serve]:
    """Serve a tiny model, with feedback unless told otherwise."""
    running = []

    def start(*, on: bool = True, **settings: Any) -> TestClient:
        kept = {"feedback": f"sqlite:///{tmp_path}/f.db", "feedback_photos": tmp_path / "photos"}
        path = write_model(tmp_path / "m.onnx")
        app = create_app(Settings(model=path, threads=2, **(kept if on else {}), **settings))
        client = TestClient(app, BASE, raise_server_exceptions=False)
        running.append(client)
        return client.__enter__()

    yield start
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def store(tmp_path: Path, serve: Serve) -> Iterator[Store]:
    """What the service keeps feedback in, opened beside it."""
    opened = open_store(f"sqlite:///{tmp_path}/f.db", tmp_path / "photos", create=True)
    yield opened
    opened.close()


def give(client: TestClient, content: bytes = b"", **texts: str | None) -> Any:
    fields = {"right": "clean", "consent": "true", **texts}
    data = {name: text for name, text in fields.items() if text is not None}
    return client.post("/v1/feedback", data=data, files={"photo": ("a.png", content or photo(250))})


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("platecheck_feedback_total", {"outcome": outcome}) or 0


class TestGiving:
    def test_the_photo_is_kept_as_it_came_with_the_services_own_answer(
        self, serve: Serve, store: Store, tmp_path: Path
    ) -> None:
        client = serve(feedback_days=30)
        before = counted("stored")
        said = client.post("/v1/predict", content=photo(250)).json()
        forged = {"model": "other", "label": "clean", "probabilities": {"clean": 1.0}}
        response = give(client, right="clean", answer=json.dumps(forged))
        assert response.status_code == 201
        found = response.json()
        own = said["photos"][0]
        assert found["answer"] == {
            "model": said["model"],
            "label": "dirty",
            "probabilities": own["probabilities"],
        }
        assert found["client"] == forged
        (kept,) = store.all()
        assert kept.answer == Answer(said["model"], "dirty", own["probabilities"])
        assert kept.true_label == "clean"
        assert kept.key is None
        assert (tmp_path / "photos" / kept.photo).read_bytes() == photo(250)
        assert found["id"] == kept.id
        assert response.headers["location"] == f"/v1/feedback/{kept.id}"
        days = datetime.fromisoformat(found["expires"]) - datetime.fromisoformat(found["time"])
        assert days == timedelta(days=30)
        assert counted("stored") == before + 1

    def test_any_class_or_no_dish_may_be_right(self, serve: Serve) -> None:
        client = serve()
        for right in ("clean", "dirty", "not a dish"):
            assert give(client, right=right).json()["right"] == right
        facts = client.get("/v1/feedback").json()
        assert facts["stored"] == 3
        assert facts["by_label"] == {"clean": 1, "dirty": 1, "not a dish": 1}
        assert facts["labels"] == ["clean", "dirty", "not a dish"]
        assert facts["days"] == 180

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"consent": None}, "consent"),
            ({"consent": "false"}, "consent"),
            ({"consent": "True"}, "consent"),
            ({"right": None}, "right must be one of: clean, dirty, not a dish"),
            ({"right": "unsure"}, "right must be one of"),
            ({"right": "spotless"}, "right must be one of"),
            ({"answer": "{"}, "answer"),
            ({"answer": '{"model": "m", "label": "clean"}'}, "answer.probabilities"),
            (
                {"answer": '{"model": "m", "label": "a", "probabilities": {"a": 2}}'},
                "answer.probabilities.a",
            ),
        ],
    )
    def test_what_makes_no_sense_is_refused_and_not_kept(
        self, serve: Serve, store: Store, tmp_path: Path, fields: dict[str, str], says: str
    ) -> None:
        before = counted("refused")
        response = give(serve(), **fields)
        assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
        assert says in response.json()["detail"]
        assert store.all() == []
        assert list((tmp_path / "photos").rglob("*.png")) == []
        assert counted("refused") == before + 1

    def test_forms_that_are_none_and_photos_that_are_none(self, serve: Serve, store: Store) -> None:
        client = serve(max_photo_bytes=100_000, max_request_bytes=200_000)
        fields = {"right": "clean", "consent": "true"}
        two = [("photo", ("a.png", photo(1))), ("photo", ("b.png", photo(2)))]
        for response, status in (
            (client.post("/v1/feedback", content=photo(1)), 400),
            (client.post("/v1/feedback", data=fields), 400),
            (client.post("/v1/feedback", data=fields, files={"x": ("a", photo(1))}), 422),
            (client.post("/v1/feedback", data=fields, files=two), 422),
            (give(client, b"text"), 422),
            (give(client, photo(1) + bytes(100_000)), 413),
            (give(client, photo(1) + bytes(200_000)), 413),
            (give(client, answer=" " * 20_000), 413),
        ):
            assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
        assert store.all() == []

    def test_what_is_said_wrong_is_no_photo_that_was_asked_about(self, serve: Serve) -> None:
        client = serve()
        before = REGISTRY.get_sample_value("platecheck_photos_total", {"answer": "dirty"})
        assert give(client).status_code == 201
        after = REGISTRY.get_sample_value("platecheck_photos_total", {"answer": "dirty"})
        assert after == before


class TestDeleting:
    def test_feedback_is_deleted_by_its_id(
        self, serve: Serve, store: Store, tmp_path: Path
    ) -> None:
        client = serve()
        one, two = (give(client).json()["id"] for _ in range(2))
        assert client.get(f"/v1/feedback/{one}").json()["id"] == one
        before = counted("deleted")
        response = client.delete(f"/v1/feedback/{one}")
        assert (response.status_code, response.content) == (204, b"")
        assert counted("deleted") == before + 1
        for gone in (client.get, client.delete):
            response = gone(f"/v1/feedback/{one}")
            assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
        assert len(list((tmp_path / "photos").rglob("*.png"))) == 1
        client.delete(f"/v1/feedback/{two}")
        assert list((tmp_path / "photos").rglob("*.png")) == []
        assert store.all() == []

    def test_what_cannot_be_an_id_is_refused(self, serve: Serve) -> None:
        client = serve()
        for odd in ("1", "%00" * 32, "A" * 32, "' OR 1=1"):
            assert client.delete(f"/v1/feedback/{odd}").status_code == 422

    def test_what_is_too_old_goes_as_the_service_starts(
        self, serve: Serve, store: Store, tmp_path: Path
    ) -> None:
        given = store.add(photo(1), "clean", Answer("m", "dirty", {"clean": 0.0, "dirty": 1.0}))
        with store.database.writing() as connection:
            old = (given.time - timedelta(days=3)).replace(tzinfo=None)
            connection.execute(update(FEEDBACK).values(time=old))
        before = counted("expired")
        client = serve(feedback_days=3)
        client.__exit__(None, None, None)  # the sweep is finished first
        assert store.all() == []
        assert counted("expired") == before + 1


class TestAccess:
    def test_it_is_off_unless_switched_on(self, serve: Serve, tmp_path: Path) -> None:
        client = serve(on=False)
        assert client.get("/v1/model").json()["feedback"] == {"on": False, "days": None}
        for response in (
            give(client),
            client.get("/v1/feedback"),
            client.get(f"/v1/feedback/{'0' * 32}"),
            client.delete(f"/v1/feedback/{'0' * 32}"),
        ):
            assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
        assert {path.name for path in tmp_path.iterdir()} == {"m.onnx"}

    def test_the_page_hears_that_it_is_on(self, serve: Serve) -> None:
        client = serve(feedback_days=7)
        assert client.get("/v1/model").json()["feedback"] == {"on": True, "days": 7}

    def test_keys_are_asked_for_and_noted(self, serve: Serve, store: Store, tmp_path: Path) -> None:
        key = add_key(tmp_path / "keys.txt", "kitchen")
        client = serve(keys=tmp_path / "keys.txt")
        for response in (
            give(client),
            client.get("/v1/feedback"),
            client.get(f"/v1/feedback/{'0' * 32}"),
            client.delete(f"/v1/feedback/{'0' * 32}"),
        ):
            assert response.status_code == 401
        assert store.all() == []
        client.headers["Authorization"] = f"Bearer {key}"
        assert give(client).status_code == 201
        assert store.all()[0].key == "kitchen"

    def test_it_is_described(self, serve: Serve, tmp_path: Path) -> None:
        add_key(tmp_path / "keys.txt", "kitchen")
        described = serve(keys=tmp_path / "keys.txt").get("/openapi.json").json()["paths"]
        post = described["/v1/feedback"]["post"]
        form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert form["required"] == ["photo", "right", "consent"]
        assert form["properties"]["right"]["enum"] == ["clean", "dirty", "not a dish"]
        assert {"201", "401", "404", "413", "422", "503"} <= post["responses"].keys()
        assert {"get", "delete"} == described["/v1/feedback/{id}"].keys()

    def test_a_path_names_all_its_methods(self, serve: Serve) -> None:
        client = serve()
        for path, methods in (
            ("/v1/feedback", "GET, HEAD, POST"),
            (f"/v1/feedback/{'0' * 32}", "GET, HEAD, DELETE"),
            ("/v1/predict", "POST"),
        ):
            response = client.put(path)
            assert (response.status_code, response.headers["allow"]) == (405, methods)

    def test_a_web_page_elsewhere_that_may_ask_may_delete(self, serve: Serve) -> None:
        client = serve(cors_origins=("https://app.example",))
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
        assert client.options("/v1/feedback/1", headers=asked).status_code == 200


class TestFaults:
    def test_it_says_that_it_was_not_stored_and_goes_on(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = serve()
        given = give(client).json()["id"]
        before = counted("failed")

        def broken(*_: object, **__: object) -> None:
            raise StorageError("postgresql://somewhere: the database is gone")

        with monkeypatch.context() as patch:
            for name in ("add", "delete", "get", "counts"):
                patch.setattr(Store, name, broken)
            response = give(client)
            assert response.json()["detail"] == "the feedback was not stored; retry later"
            for each in (
                response,
                client.get("/v1/feedback"),
                client.get(f"/v1/feedback/{given}"),
                client.delete(f"/v1/feedback/{given}"),
            ):
                assert (each.status_code, each.headers["content-type"]) == (503, PROBLEM)
                assert int(each.headers["retry-after"]) > 0
                assert "somewhere" not in each.text
            assert client.post("/v1/predict", content=photo(1)).status_code == 200
        assert counted("failed") == before + 1
        assert give(client).status_code == 201
        assert "feedback failed" in caplog.text

    def test_what_is_late_is_not_stored(
        self, serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = serve(request_timeout=0.5)
        late, keep = threading.Event(), PhotoFolder.write

        def slow(folder: PhotoFolder, *words: Any) -> None:
            assert late.wait(30)
            keep(folder, *words)

        monkeypatch.setattr(PhotoFolder, "write", slow)
        response = give(client)
        assert response.status_code == 503
        late.set()
        client.__exit__(None, None, None)  # what is under way is finished first
        assert store.all() == []
        assert store.purge(stale=timedelta(0)) == {}

    def test_more_than_can_wait_is_refused(
        self, serve: Serve, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        client = serve()
        go, begun = threading.Event(), threading.Semaphore(0)

        def held(_store: Store) -> dict[str, int]:
            assert go.wait(30)
            return {}

        monkeypatch.setattr(Store, "counts", held)
        answers: list[int] = []

        def ask() -> None:
            begun.release()
            answers.append(client.get("/v1/feedback").status_code)

        threads = [threading.Thread(target=ask) for _ in range(MAX_WAITING)]
        for thread in threads:
            thread.start()
        keeper = client.app.state.feedback  # type: ignore[attr-defined]
        while keeper.waiting < MAX_WAITING:
            assert client.post("/v1/predict", content=photo(1)).status_code == 200
        assert client.get("/v1/feedback").status_code == 503
        go.set()
        for thread in threads:
            thread.join()
        assert answers == [200] * MAX_WAITING
        assert client.get("/v1/feedback").status_code == 200
