"""The review page's server, without a socket."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from PIL import ExifTags, Image
from starlette.testclient import TestClient

from platecheck.feedback.entry import Answer
from platecheck.feedback.errors import StorageError
from platecheck.feedback.store import Store, open_store
from platecheck.serving.middleware import CONTENT_SECURITY_POLICY
from platecheck.serving.review_app import MAX_SIDE, create_review

BASE = "http://127.0.0.1:8001"
WRONG = Answer("m", "clean", {"clean": 0.8, "dirty": 0.2})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/f.db", tmp_path / "photos", create=True)
    yield opened
    opened.close()


@pytest.fixture
def client(store: Store) -> TestClient:
    return TestClient(create_review(store), BASE, raise_server_exceptions=False)


def picture(width: int, height: int, level: int = 9, **options: object) -> bytes:
    file = BytesIO()
    Image.new("RGB", (width, height), (level,) * 3).save(file, "PNG", **options)
    return file.getvalue()


def decide(client: TestClient, photo: str, reviewer: str, label: str) -> int:
    path = f"/v1/decisions/{photo}?reviewer={quote(reviewer)}"
    return client.put(path, json={"label": label}).status_code


def test_no_one_sees_what_others_decided_before_deciding(store: Store, client: TestClient) -> None:
    photos = [store.add(picture(8, 8, level), "dirty", WRONG).photo for level in (1, 2)]
    assert decide(client, photos[0], "Ann", "clean") == 204
    assert decide(client, photos[1], "Ann", "clean") == 204
    seen = client.get("/v1/review?reviewer=Bo")
    assert [each["decision"] for each in seen.json()["photos"]] == [None, None]
    assert "Ann" not in seen.text
    own = client.get("/v1/review?reviewer=Ann").json()["photos"]
    assert [each["decision"] for each in own] == ["clean", "clean"]
    assert decide(client, photos[0], "Bo", "dirty") == 204
    for reviewer, disputed in (("Ann", [photos[0]]), ("Bo", [photos[0]]), ("Cy", [])):
        found = client.get(f"/v1/agreement?reviewer={reviewer}").json()
        assert [each["photo"] for each in found["disputed"]] == disputed
        pair = {"reviewers": ["Ann", "Bo"], "photos": 1, "agreed": 0, "kappa": 0.0}
        assert found["pairs"] == [pair]


def test_a_decision_is_one_that_can_be_made(store: Store, client: TestClient) -> None:
    name = store.add(picture(8, 8), "dirty", WRONG).photo
    assert client.get("/v1/review?reviewer=A").json()["labels"] == ["clean", "dirty", "not a dish"]
    assert decide(client, name, "A", "spotless") == 422
    assert decide(client, name, "", "clean") == 422
    assert decide(client, name, "A" * 65, "clean") == 422
    assert decide(client, name, "A\n", "clean") == 422
    assert decide(client, f"{'0' * 2}/{'0' * 62}.png", "A", "clean") == 404
    assert decide(client, "../f.db", "A", "clean") in {404, 422}
    assert client.get("/v1/review?reviewer=A").json()["photos"][0]["decision"] is None
    assert decide(client, name, "A", "clean") == 204
    assert client.delete(f"/v1/decisions/{name}?reviewer=A").status_code == 204
    assert client.get("/v1/review?reviewer=A").json()["photos"][0]["decision"] is None


def test_a_photo_is_shown_upright_and_not_too_large(store: Store, client: TestClient) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    large = store.add(picture(3000, 1500, exif=exif), "dirty", WRONG).photo
    response = client.get(f"/v1/photos/{large}")
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["cache-control"] == "no-store"
    assert Image.open(BytesIO(response.content)).size == (MAX_SIDE // 2, MAX_SIDE)
    small = client.get(f"/v1/photos/{large}?side=100").content
    assert np.asarray(Image.open(BytesIO(small))).shape == (100, 50, 3)
    for missing in (f"00/{'0' * 62}.png", "../f.db", "platecheck-feedback.txt"):
        assert client.get(f"/v1/photos/{missing}").status_code in {404, 422}


def test_it_is_as_careful_as_the_service(client: TestClient) -> None:
    for path in ("/", "/page/review.js", "/v1/review?reviewer=A", "/nowhere"):
        headers = client.get(path).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421
    there = {"Origin": "https://evil.example"}
    assert client.get("/v1/review?reviewer=A", headers=there).status_code == 403
    assert client.get("/nowhere").headers["content-type"] == "application/problem+json"


def test_its_page_is_its_own_and_its_looks_are_the_main_pages(client: TestClient) -> None:
    assert "Agreement" in client.get("/").text
    assert "kappaNote" in client.get("/page/texts.js").text
    for shared in ("base.css", "elements.js", "language.js", "labels.js", "icons/icon.svg"):
        assert client.get(f"/page/{shared}").status_code == 200


def test_a_database_that_is_gone_is_said(
    store: Store, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise StorageError("the database is gone")

    monkeypatch.setattr(Store, "all", gone)
    response = client.get("/v1/review?reviewer=A")
    assert (response.status_code, response.json()["detail"]) == (503, "the database is gone")
