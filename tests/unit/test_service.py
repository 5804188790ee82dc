"""The responses of the service, in this process and without a socket."""

import asyncio
import base64
import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from httpx import Response
from PIL import Image
from prometheus_client import REGISTRY
from starlette.testclient import TestClient

from platecheck.errors import ModelError
from platecheck.serving import routes
from platecheck.serving.app import create_app
from platecheck.serving.keys import PREFIX, add_key
from platecheck.serving.service import Service
from platecheck.serving.settings import Settings
from platecheck.serving.static import VERSION, WEB
from tests.conftest import WriteModel
from tests.support.photos import png

Serve = Callable[..., TestClient]
BASE = "http://127.0.0.1:8000"
PROBLEM = "application/problem+json"


@pytest.fixture
def serve(tmp_path: Path, write_model: WriteModel) -> Iterator[Serve]:
    """Serve a tiny model that takes bright photos for dirty, and black ones for no dish."""
    path = write_model(
        tmp_path / "m.onnx",
        evidence=4,
        oddness=True,
        oddness_limit=0.9,
        thresholds={"dirty": 0.9},
    )
    with ExitStack() as running:

        def start(**settings: Any) -> TestClient:
            app = create_app(Settings(model=path, threads=2, **settings))
            client = TestClient(app, BASE, raise_server_exceptions=False)
            return running.enter_context(client)

        yield start


def test_predict_form_has_a_result_per_photo(serve: Serve) -> None:
    photos = {
        "dim": png(60),
        "bad": b"text",
        "lit": png(250),
        "so-so": png(150),
        "black": png(0),
        "packed": gzip.compress(png()),
    }
    response = serve().post("/v1/predict", files=[("photos", each) for each in photos.items()])
    assert response.status_code == 200
    answer = response.json()
    assert re.fullmatch(r"tiny-[0-9a-f]{12}", answer["model"])
    assert answer["milliseconds"] > 0
    dim, bad, lit, soso, _, packed = answer["photos"]
    labels = [each.get("label") for each in answer["photos"]]
    assert labels == ["clean", None, "dirty", "unsure", "not a dish", None]
    assert lit["probabilities"]["dirty"] == lit["probability"] > 0.9 == lit["needed"]
    assert sum(soso["probabilities"].values()) == pytest.approx(1)
    assert dim["needed"] == 0
    assert "evidence" not in dim
    assert "compressed" in packed["error"]["detail"]
    assert bad == {
        "name": "bad",
        "error": {
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "it is not a photo in a format that can be read",
        },
    }


@pytest.mark.parametrize(
    ("kind", "status"), [("", 422), ("text/html", 415), ("multipart/form-data-x; boundary=e", 415)]
)
def test_predict_raw_body_of_any_type_is_one_photo(serve: Serve, kind: str, status: int) -> None:
    client, headers = serve(), {"Content-Type": kind}
    good = client.post("/v1/predict", content=png(250), headers=headers)
    assert good.json()["photos"][0]["label"] == "dirty"
    bad = client.post("/v1/predict", content=b"text", headers=headers)
    assert (bad.status_code, bad.headers["content-type"]) == (status, PROBLEM)
    said = "it is not a photo in a format that can be read"
    assert (said if status == 422 else "curl -F photos=@plate.jpg") in bad.json()["detail"]


def test_predict_with_evidence_returns_a_heatmap(serve: Serve) -> None:
    response = serve().post("/v1/predict?evidence=true", content=png(250))
    url = response.json()["photos"][0]["evidence"]
    kind, _, data = url.partition(",")
    assert kind == "data:image/png;base64"
    picture = np.asarray(Image.open(BytesIO(base64.b64decode(data))))
    assert picture.shape == (16, 16, 4)
    assert picture[..., 3].min() > 100  # a bright photo is dirty everywhere


def test_predict_with_full_queue_is_refused_before_the_body_is_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve()
    monkeypatch.setattr(Service, "queue_delay", 2.3)
    response = client.post("/v1/predict", content=b"")  # no photo: not even looked at
    assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
    assert response.headers["content-type"] == PROBLEM


def test_predict_internal_error_is_a_problem_and_logged(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = serve()

    def broken(*_: object, **__: object) -> None:
        raise ModelError("the model cannot be run")

    monkeypatch.setattr(Service, "_classify", broken)
    response = client.post("/v1/predict", content=png(1))
    assert (response.status_code, response.headers["content-type"]) == (500, PROBLEM)
    assert "cannot be run" not in response.text
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert "cannot be run" in caplog.text


def test_model_returns_metadata_and_limits(serve: Serve) -> None:
    found = serve(max_photos=5).get("/v1/model").json()
    assert found["classes"] == ["clean", "dirty"]
    assert found["thresholds"] == {"dirty": 0.9}
    assert (found["gives_evidence"], found["offline"], found["size"]) == (True, True, 16)
    assert found["limits"]["photos"] == 5


def test_model_file_is_returned_unless_disabled(serve: Serve, tmp_path: Path) -> None:
    client = serve()
    given = client.get("/v1/model/file")
    assert given.content == (tmp_path / "m.onnx").read_bytes()
    again = client.get("/v1/model/file", headers={"If-None-Match": given.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    kept = serve(offline=False)
    assert kept.get("/v1/model/file").status_code == 404
    assert kept.get("/v1/model").json()["offline"] is False


def test_routes_with_keys_require_one(serve: Serve, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "app")
    client = serve(keys=tmp_path / "keys.txt")
    for path in ("/v1/model", "/v1/model/file", "/metrics"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": key}):
            response = client.get(path, headers=headers)
            assert response.status_code == 401, path
            assert response.headers["www-authenticate"] == "Bearer"
            assert response.headers["content-type"] == PROBLEM
        assert client.get(path, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    assert client.post("/v1/predict", content=png(1)).status_code == 401
    for path in ("/", "/healthz", "/readyz", "/docs", "/openapi.json", "/sw.js"):
        assert client.get(path).status_code == 200, path


def test_every_response_has_id_and_security_headers(serve: Serve) -> None:
    client = serve()
    for path in ("/", "/v1/model", "/nowhere", "/docs"):
        headers = client.get(path).headers
        assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
    assert client.get("/", headers={"X-Request-ID": "a-1"}).headers["x-request-id"] == "a-1"
    for odd in ("a b", f"{PREFIX}a"):  # the latter may be a key, and logs tell none
        given = client.get("/", headers={"X-Request-ID": odd}).headers["x-request-id"]
        assert re.fullmatch(r"[0-9a-f]{32}", given)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nowhere", 404),
        ("GET", "/v1/model/", 404),
        ("GET", "/v1/predict", 405),
        ("GET", "/page/..%2fapp.py", 404),  # beside page/, there is one
        ("POST", "/v1/predict?evidence=perhaps", 422),
    ],
)
def test_every_error_is_problem_details(serve: Serve, method: str, path: str, status: int) -> None:
    response = serve().request(method, path)
    assert (response.status_code, response.headers["content-type"]) == (status, PROBLEM)
    assert response.json().keys() >= {"type", "title", "status", "detail", "request_id"}


def test_page_of_an_allowed_origin_can_call_and_read_every_error(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = {"Origin": "https://app.example"}
    client = serve(cors_origins=("https://app.example",), request_timeout=0.2)

    def preflight(method: str) -> Response:
        headers = {**origin, "Access-Control-Request-Method": method}
        return client.options("/v1/predict", headers=headers)

    def broken(*_: object, **__: object) -> None:
        raise ModelError("the model cannot be run")

    async def late(*_: object, **__: object) -> None:
        await asyncio.sleep(30)

    def predict() -> Response:
        return client.post("/v1/predict", content=png(1), headers=origin)

    responses = [preflight("POST"), predict(), preflight("PUT"), client.get("/no", headers=origin)]
    responses.append(client.get("/v1/model", headers={**origin, "Host": "evil.example"}))
    monkeypatch.setattr(Service, "_classify", broken)
    responses.append(predict())
    monkeypatch.setattr(routes, "read_photos", late)
    responses.append(predict())
    assert [each.status_code for each in responses] == [200, 200, 400, 404, 421, 500, 408]
    for response in responses:
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        assert response.headers["x-request-id"]
        assert response.status_code == 200 or response.headers["content-type"] == PROBLEM
    exposed = responses[-1].headers["access-control-expose-headers"]
    assert exposed == "Retry-After, X-Request-ID"
    assert "access-control-allow-origin" not in serve().get("/v1/model", headers=origin).headers


def test_host_header_must_be_a_known_name(serve: Serve) -> None:
    client = serve()
    for host in ("evil.example", "evil.example:8000", "", "[", "127.0.0.1.evil.example"):
        response = client.get("/v1/model", headers={"Host": host})
        assert (response.status_code, response.headers["content-type"]) == (421, PROBLEM)
        told = "evil.example is not allowed; add it to PLATECHECK_ALLOWED_HOSTS" in response.text
        assert told == ("evil.example" in host)
        assert ("Host header" in response.text) == (host in {"", "["})
    for host in ("localhost:1", "[::1]:8000", "127.0.0.1"):
        assert client.get("/v1/model", headers={"Host": host}).status_code == 200
    behind_proxy = serve(allowed_hosts=("Kitchen.Example",))
    for host in ("kitchen.example", "KITCHEN.example:443"):
        assert behind_proxy.get("/v1/model", headers={"Host": host}).status_code == 200
    anyone = serve(host="0.0.0.0")
    assert anyone.get("/v1/model", headers={"Host": "10.0.0.7"}).status_code == 200


def test_foreign_origin_is_refused(serve: Serve) -> None:
    client = serve()
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9"):
        response = client.post("/v1/predict", content=png(1), headers={"Origin": origin})
        assert (response.status_code, response.headers["content-type"]) == (403, PROBLEM)
    own = client.post("/v1/predict", content=png(1), headers={"Origin": BASE})
    assert own.status_code == 200


def test_metrics_count_predictions_and_requests_by_route(serve: Serve) -> None:
    client = serve()

    def values() -> list[float]:
        figures: list[tuple[str, dict[str, str]]] = [
            ("photos", {"answer": "dirty"}),
            ("photos", {"answer": "error"}),
            ("requests", {"method": "GET", "path": "unknown", "status": "404"}),
            ("requests", {"method": "GET", "path": "/page", "status": "404"}),
        ]
        return [REGISTRY.get_sample_value(f"platecheck_{n}_total", at) or 0 for n, at in figures]

    before = values()
    client.post("/v1/predict", files=[("photos", each) for each in (png(250), png(251), b"x")])
    client.get("/nowhere")
    client.get("/page/nowhere.js")
    assert np.subtract(values(), before).tolist() == [2, 1, 1, 1]
    text = client.get("/metrics").text
    assert "platecheck_queue_photos 0.0" in text
    assert "platecheck_wait_seconds 0.0" in text
    assert f"platecheck_wait_limit_seconds {Settings().max_queue_delay}" in text
    assert 'platecheck_model_info{model="tiny-' in text


def test_readyz_while_stopping_is_503(serve: Serve) -> None:
    client = serve()
    assert client.get("/readyz").json() == {"status": "ok"}
    client.app.state.service.stop()  # type: ignore[attr-defined]
    assert client.get("/readyz").status_code == 503
    assert client.post("/v1/predict", content=png(1)).status_code == 503
    assert client.get("/healthz").status_code == 200


def test_page_files_are_revalidated(serve: Serve) -> None:
    client = serve()
    first = client.get("/")
    assert first.headers["cache-control"] == "no-cache"
    again = client.get("/", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    changed = client.get("/", headers={"If-None-Match": '"another"'})
    assert (changed.status_code, changed.content) == (200, first.content)
    script = client.get("/page/resize.js")
    again = client.get("/page/resize.js", headers={"If-None-Match": script.headers["etag"]})
    assert again.status_code == 304
    assert script.headers["content-type"].startswith("text/javascript")


def test_page_webassembly_is_sent_compressed(serve: Serve) -> None:
    (packed,) = (WEB / "page").glob("vendor/*.wasm.gz")
    response = serve().get(f"/page/vendor/{packed.name.removesuffix('.gz')}")
    assert response.headers["content-type"] == "application/wasm"
    assert response.content == gzip.decompress(packed.read_bytes())


def test_page_service_worker_changes_with_the_model(
    serve: Serve, tmp_path: Path, write_model: WriteModel
) -> None:
    one = serve().get("/sw.js")
    assert VERSION not in one.text
    assert one.headers["content-type"].startswith("text/javascript")
    other = write_model(tmp_path / "other.onnx", seed=8)
    with TestClient(create_app(Settings(model=other)), BASE) as client:
        assert client.get("/sw.js").text != one.text


def test_docs_load_nothing_from_elsewhere(serve: Serve) -> None:
    client = serve()
    page = client.get("/docs").text
    for path in re.findall(r'(?:src|href)="([^"]+)"', page):
        assert path.startswith(("/", "data:"))
        if path.startswith("/"):
            assert client.get(path).status_code == 200
