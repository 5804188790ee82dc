"""The service does what its OpenAPI description says."""

import subprocess
import sys
from pathlib import Path

import pytest

from platecheck.serving.app import create_app
from platecheck.serving.keys import add_key
from platecheck.serving.settings import Settings
from tests.support.server import Server
from tests.support.writing import write_detector

pytest_plugins = ["serving_fixtures.fixtures"]

CONFIG = Path(__file__).parent / "serving_fixtures" / "schemathesis.toml"


@pytest.mark.slow
def test_schemathesis_finds_nothing(bright_is_dirty: Path, tmp_path: Path) -> None:
    key = add_key(tmp_path / "keys.txt", "tester")
    settings = {"keys": tmp_path / "keys.txt", "feedback": f"sqlite:///{tmp_path}/f.db"}
    detector = write_detector(tmp_path / "d.onnx")
    with Server("--model", bright_is_dirty, "--detector", detector, **settings) as server:
        found = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", CONFIG, "run",
             f"{server.url}/openapi.json", "--checks", "all", "--max-examples", "25", "--seed", "1",
             "--continue-on-failure", "--no-color", "--header", f"Authorization: Bearer {key}"],
            cwd=tmp_path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert found.returncode == 0, found.stdout[-5000:] + found.stderr[-2000:]
        assert "Tested: 12" in found.stdout
        assert {line["level"] for line in server.log()} <= {"info", "warning"}


def test_description_has_the_limits_of_this_service(bright_is_dirty: Path) -> None:
    described = create_app(Settings(model=bright_is_dirty)).openapi()
    for path in ("/v1/predict", "/v1/inspect"):
        operation = described["paths"][path]["post"]
        form = operation["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert form["properties"]["photos"]["maxItems"] == 32
        assert "security" not in operation  # there are no keys


def test_description_is_fit_for_generated_clients(bright_is_dirty: Path, tmp_path: Path) -> None:
    add_key(tmp_path / "keys.txt", "tester")
    settings = Settings(model=bright_is_dirty, keys=tmp_path / "keys.txt")
    described = create_app(settings).openapi()
    operations = [each for path in described["paths"].values() for each in path.values()]
    ids = [each["operationId"] for each in operations]
    assert len(set(ids)) == len(ids)
    assert all(name.isidentifier() and "_" not in name for name in ids)
    tags = {tag["name"] for tag in described["tags"]}
    for each in operations:
        assert each["summary"]
        assert each["description"]
        assert set(each["tags"]) <= tags
        for status, response in each["responses"].items():
            assert response["description"]
            assert ("Retry-After" in response.get("headers", {})) == (status == "503")
            if status >= "400":
                ((kind, content),) = response["content"].items()
                assert kind == "application/problem+json"
                example = content["example"]
                assert example["status"] == int(status)
                assert example["detail"]
    predict = described["paths"]["/v1/predict"]["post"]
    assert {"400", "401", "403", "413", "415", "421", "422", "503"} <= set(predict["responses"])
    assert {
        "multipart/form-data", "image/*", "image/jpeg", "application/octet-stream"
    } <= set(predict["requestBody"]["content"])  # fmt: skip
    assert described["components"]["schemas"]["PredictResponse"]["example"]["photos"]
    assert described["components"]["securitySchemes"]
