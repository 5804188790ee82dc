"""The HTTP API of feedback, in one process and without a socket."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import update
from starlette.testclient import TestClient

from platecheck.errors import PhotoError, StorageError
from platecheck.feedback.entry import Answer, encode_photo
from platecheck.feedback.schema import FEEDBACK
from platecheck.feedback.store import Store, open_store
from platecheck.serving.app import create_app
from platecheck.serving.feedback_service import MAX_WAITING
from platecheck.serving.keys import add_key
from platecheck.serving.settings import Settings
from tests.conftest import WriteModel
from tests.support.photos import png

BASE = "http://127.0.0.1:8000"
PROBLEM = "application/problem+json"

Serve = Callable[..., TestClient]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "m.onnx")


@pytest.fixture
def serve(tmp_path: Path, model: Path) -> Iterator[Serve]:
    """Serve a tiny model, with feedback unless told otherwise."""
    with ExitStack() as running:

        def start(*, on: bool = True, **settings: Any) -> TestClient:
            url = f"sqlite:///{tmp_path}/f.db" if on else None
            app = create_app(Settings(model=model, threads=2, feedback=url, **settings))
            client = TestClient(app, BASE, raise_server_exceptions=False)
            return running.enter_context(client)

        yield start


@pytest.fixture
def store(tmp_path: Path, serve: Serve) -> Iterator[Store]:
    """The store of the service, opened beside it."""
    with closing(open_store(f"sqlite:///{tmp_path}/f.db", create=True)) as opened:
        yield opened


def give(client: TestClient, content: bytes = b"", **texts: str | None) -> Any:
    fields = {"right": "clean", "consent": "true", **texts}
    data = {name: text for name, text in fields.items() if text is not None}
    return client.post("/v1/feedback", data=data, files={"photo": ("a.png", content or png())})


def each_route(client: TestClient, feedback: str = "0" * 32) -> list[Any]:
    path = f"/v1/feedback/{feedback}"
    return [give(client), client.get("/v1/feedback"), client.get(path), client.delete(path)]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("platecheck_feedback_total", {"outcome": outcome}) or 0


def test_post_stores_photo_with_the_services_own_prediction(serve: Serve, store: Store) -> None:
    client = serve(feedback_days=30)
    before = counted("stored")
    predicted = client.post("/v1/predict", content=png()).json()
    answers = {"answer": "dirty"}
    photos = REGISTRY.get_sample_value("platecheck_photos_total", answers)
    forged = {"model": "other", "label": "clean", "probabilities": {"clean": 1.0}}
    response = give(client, right="clean", answer=json.dumps(forged))
    assert response.status_code == 201
    found = response.json()
    probabilities = predicted["photos"][0]["probabilities"]
    own = {"model": predicted["model"], "label": "dirty", "probabilities": probabilities}
    assert found["answer"] == own
    assert found["client"] == forged
    (kept,) = store.all()
    assert kept.answer == Answer(**own)
    assert (kept.true_label, kept.key, kept.id) == ("clean", None, found["id"])
    assert store.photo(kept.photo) == encode_photo(png())
    assert response.headers["location"] == f"/v1/feedback/{kept.id}"
    days = datetime.fromisoformat(found["expires"]) - datetime.fromisoformat(found["time"])
    assert days == timedelta(days=30)
    assert counted("stored") == before + 1
    # Feedback does not count as a prediction that a user asked for.
    assert REGISTRY.get_sample_value("platecheck_photos_total", answers) == photos


def test_get_describes_policy_and_counts(serve: Serve) -> None:
    client = serve()
    for right in ("clean", "dirty", "not a dish"):
        assert give(client, right=right).json()["right"] == right
    labels = ["clean", "dirty", "not a dish"]
    expected = {"stored": 3, "by_label": dict.fromkeys(labels, 1), "labels": labels, "days": 180}
    assert client.get("/v1/feedback").json().items() >= expected.items()
    assert client.get("/v1/model").json()["feedback"] == {"on": True, "days": 180}


def test_post_with_invalid_fields_stores_nothing(serve: Serve, store: Store) -> None:
    client, before = serve(), counted("refused")
    out_of_range = '{"model": "m", "label": "a", "probabilities": {"a": 2}}'
    cases: list[tuple[dict[str, str | None], str]] = [
        ({"consent": None}, "consent"),
        ({"consent": "True"}, "consent"),
        ({"right": None}, "right must be one of: clean, dirty, not a dish"),
        ({"right": "unsure"}, "right must be one of"),
        ({"answer": "{"}, "answer"),
        ({"answer": '{"model": "m", "label": "clean"}'}, "answer.probabilities"),
        ({"answer": out_of_range}, "answer.probabilities.a"),
    ]
    for fields, message in cases:
        response = give(client, **fields)
        assert (response.status_code, response.headers["content-type"]) == (422, PROBLEM)
        assert message in response.json()["detail"]
    assert store.all() == []
    assert counted("refused") == before + len(cases)


def test_post_with_invalid_form_or_photo_stores_nothing(serve: Serve, store: Store) -> None:
    client = serve(max_photo_bytes=100_000, max_request_bytes=200_000)
    fields = {"right": "clean", "consent": "true"}
    two = [("photo", ("a.png", png(1))), ("photo", ("b.png", png(2)))]
    for response, status in (
        (client.post("/v1/feedback", content=png(1)), 400),
        (client.post("/v1/feedback", data=fields), 400),
        (client.post("/v1/feedback", data=fields, files={"x": ("a", png(1))}), 422),
        (client.post("/v1/feedback", data=fields, files=two), 422),
        (give(client, b"text"), 422),
        (give(client, png(1) + bytes(100_000)), 413),
        (give(client, png(1) + bytes(200_000)), 413),
        (give(client, answer=" " * 20_000), 413),
    ):
        assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
    assert store.all() == []


def test_post_of_photo_that_cannot_be_re_encoded_returns_422(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise PhotoError("<bytes>", "the file is damaged")

    monkeypatch.setattr(Store, "add", broken)
    response = give(serve())
    assert (response.status_code, response.json()["detail"]) == (422, "the file is damaged")


def test_delete_removes_feedback_by_id(serve: Serve, store: Store) -> None:
    client, before = serve(), counted("deleted")
    one, two = (give(client).json()["id"] for _ in range(2))
    assert client.get(f"/v1/feedback/{one}").json()["id"] == one
    response = client.delete(f"/v1/feedback/{one}")
    assert (response.status_code, response.content) == (204, b"")
    assert counted("deleted") == before + 1
    for gone in (client.get, client.delete):
        response = gone(f"/v1/feedback/{one}")
        assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    assert [entry.id for entry in store.all()] == [two]
    for invalid in ("1", "%00" * 32, "A" * 32, "' OR 1=1"):
        assert client.delete(f"/v1/feedback/{invalid}").status_code == 422


def test_expired_feedback_is_deleted_at_start(serve: Serve, store: Store) -> None:
    entry = store.add(png(1), "clean", Answer("m", "dirty", {"clean": 0.0, "dirty": 1.0}))
    with store.database.writing() as connection:
        old = (entry.time - timedelta(days=3)).replace(tzinfo=None)
        connection.execute(update(FEEDBACK).values(time=old))
    before = counted("expired")
    serve(feedback_days=3).__exit__(None, None, None)  # waits for the purge
    assert store.all() == []
    assert counted("expired") == before + 1


def test_feedback_is_off_by_default(serve: Serve, tmp_path: Path) -> None:
    client = serve(on=False)
    assert client.get("/v1/model").json()["feedback"] == {"on": False, "days": None}
    for response in each_route(client):
        assert (response.status_code, response.headers["content-type"]) == (404, PROBLEM)
    assert list(tmp_path.iterdir()) == []


def test_feedback_requires_and_records_keys(serve: Serve, store: Store, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "kitchen")
    client = serve(keys=tmp_path / "keys.txt")
    assert [response.status_code for response in each_route(client)] == [401] * 4
    assert store.all() == []
    client.headers["Authorization"] = f"Bearer {key}"
    assert give(client).status_code == 201
    assert store.all()[0].key == "kitchen"
    paths = client.get("/openapi.json").json()["paths"]
    post = paths["/v1/feedback"]["post"]
    form = post["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert form["required"] == ["photo", "right", "consent"]
    assert form["properties"]["right"]["enum"] == ["clean", "dirty", "not a dish"]
    assert {"201", "401", "404", "413", "422", "503"} <= post["responses"].keys()
    assert {"get", "delete"} == paths["/v1/feedback/{id}"].keys()


def test_wrong_method_lists_all_methods_of_the_path(serve: Serve) -> None:
    client = serve(cors_origins=("https://app.example",))
    for path, methods in (
        ("/v1/feedback", "GET, HEAD, POST"),
        (f"/v1/feedback/{'0' * 32}", "GET, HEAD, DELETE"),
    ):
        response = client.put(path)
        assert (response.status_code, response.headers["allow"]) == (405, methods)
    preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "DELETE"}
    assert client.options("/v1/feedback/1", headers=preflight).status_code == 200


def test_unavailable_store_returns_503_and_predictions_continue(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()
    entry = give(client).json()["id"]
    before = counted("failed")

    def broken(*_: object, **__: object) -> None:
        raise StorageError("postgresql://somewhere: the database is gone")

    with monkeypatch.context() as patch:
        for name in ("add", "delete", "get", "counts"):
            patch.setattr(Store, name, broken)
        responses = each_route(client, entry)
        assert responses[0].json()["detail"] == "the feedback was not stored; retry later"
        for each in responses:
            assert (each.status_code, each.headers["content-type"]) == (503, PROBLEM)
            assert int(each.headers["retry-after"]) > 0
            assert "somewhere" not in each.text
        assert client.post("/v1/predict", content=png(1)).status_code == 200
    assert counted("failed") == before + 1
    assert give(client).status_code == 201
    assert "feedback failed" in caplog.text


def test_feedback_of_timed_out_request_is_not_stored(
    serve: Serve, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(request_timeout=0.5)
    late, add = threading.Event(), Store.add
    added = []

    def slow(*arguments: Any, **options: Any) -> Any:
        assert late.wait(30)
        added.append(add(*arguments, **options))
        return added[-1]

    monkeypatch.setattr(Store, "add", slow)
    assert give(client).status_code == 503
    late.set()
    client.__exit__(None, None, None)  # waits for the call
    assert len(added) == 1
    assert store.all() == []


def test_too_many_waiting_requests_are_rejected(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, go = serve(), threading.Event()

    def held(_store: Store) -> dict[str, int]:
        assert go.wait(30)
        return {}

    monkeypatch.setattr(Store, "counts", held)
    feedback = client.app.state.feedback  # type: ignore[attr-defined]
    with ThreadPoolExecutor(MAX_WAITING) as pool:
        asked = [pool.submit(client.get, "/v1/feedback") for _ in range(MAX_WAITING)]
        while feedback.waiting < MAX_WAITING:
            assert client.post("/v1/predict", content=png(1)).status_code == 200
        assert client.get("/v1/feedback").status_code == 503
        go.set()
    assert [each.result().status_code for each in asked] == [200] * MAX_WAITING
    assert client.get("/v1/feedback").status_code == 200
