"""The server of the review page, without a socket."""

from collections.abc import Iterator
from contextlib import closing
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import pytest
from PIL import Image
from starlette.testclient import TestClient

from platecheck.errors import StorageError
from platecheck.feedback.entry import Answer
from platecheck.feedback.store import Store, open_store
from platecheck.serving.middleware import CONTENT_SECURITY_POLICY
from platecheck.serving.review_app import create_review
from tests.support.photos import png

BASE = "http://127.0.0.1:8001"
WRONG = Answer("m", "clean", {"clean": 0.8, "dirty": 0.2})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(open_store(f"sqlite:///{tmp_path}/f.db", create=True)) as opened:
        yield opened


@pytest.fixture
def client(store: Store) -> TestClient:
    return TestClient(create_review(store), BASE, raise_server_exceptions=False)


def decide(client: TestClient, photo: str, reviewer: str, label: str) -> int:
    path = f"/v1/decisions/{photo}?reviewer={quote(reviewer)}"
    return client.put(path, json={"label": label}).status_code


def decisions(client: TestClient, reviewer: str) -> list[str | None]:
    photos = client.get(f"/v1/review?reviewer={reviewer}").json()["photos"]
    return [each["decision"] for each in photos]


def test_review_hides_decisions_of_others_until_own(store: Store, client: TestClient) -> None:
    photos = [store.add(png(level), "dirty", WRONG).photo for level in (1, 2)]
    assert decide(client, photos[0], "Ann", "clean") == 204
    assert decide(client, photos[1], "Ann", "clean") == 204
    assert "Ann" not in client.get("/v1/review?reviewer=Bo").text
    assert decisions(client, "Bo") == [None, None]
    assert decisions(client, "Ann") == ["clean", "clean"]
    assert decide(client, photos[0], "Bo", "dirty") == 204
    for reviewer, disputed in (("Ann", [photos[0]]), ("Bo", [photos[0]]), ("Cy", [])):
        found = client.get(f"/v1/agreement?reviewer={reviewer}").json()
        assert [each["photo"] for each in found["disputed"]] == disputed
        pair = {"reviewers": ["Ann", "Bo"], "photos": 1, "agreed": 0, "kappa": 0.0}
        assert found["pairs"] == [pair]


def test_review_decision_must_be_valid(store: Store, client: TestClient) -> None:
    name = store.add(png(), "dirty", WRONG).photo
    assert client.get("/v1/review?reviewer=A").json()["labels"] == ["clean", "dirty", "not a dish"]
    assert decide(client, name, "A", "spotless") == 422
    for reviewer in ("", "A" * 65, "A\n"):
        assert decide(client, name, reviewer, "clean") == 422
    assert decide(client, "0" * 64, "A", "clean") == 404
    assert decide(client, "../f.db", "A", "clean") in {404, 422}
    assert decisions(client, "A") == [None]
    assert decide(client, name, "A", "clean") == 204
    assert client.delete(f"/v1/decisions/{name}?reviewer=A").status_code == 204
    assert decisions(client, "A") == [None]


def test_review_photo_has_the_requested_size(store: Store, client: TestClient) -> None:
    name = store.add(png(9, 3000, 1500), "dirty", WRONG).photo
    response = client.get(f"/v1/photos/{name}")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"] == "no-store"
    assert Image.open(BytesIO(response.content)).size == (1024, 512)
    small = client.get(f"/v1/photos/{name}?side=100").content
    assert Image.open(BytesIO(small)).size == (100, 50)
    for missing in ("0" * 64, "../f.db"):
        assert client.get(f"/v1/photos/{missing}").status_code in {404, 422}


def test_review_refuses_other_origins_and_hosts(client: TestClient) -> None:
    for path in ("/", "/page/review.js", "/v1/review?reviewer=A", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    other = {"Origin": "https://evil.example"}
    assert client.get("/v1/review?reviewer=A", headers=other).status_code == 403
    assert client.get("/nowhere").headers["content-type"] == "application/problem+json"


def test_review_without_database_returns_503(
    store: Store, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise StorageError("the database is gone")

    monkeypatch.setattr(Store, "all", gone)
    response = client.get("/v1/review?reviewer=A")
    assert (response.status_code, response.json()["detail"]) == (503, "the database is gone")
