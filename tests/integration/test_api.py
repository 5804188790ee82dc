"""The public functions, and networks that are registered outside the package."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from torch import nn
from training_fixtures import Cli, finish, gentle, options, same_weights, start, train

import platecheck
from platecheck.classifier import Classifier
from platecheck.serving.app import create_app
from platecheck.serving.settings import Settings
from platecheck.training.networks import NETWORKS, register_network
from platecheck.training.plate_net import classifier_head
from platecheck.training.recipe import Network
from platecheck.training.run import Run

pytest_plugins = ["training_fixtures.fixtures"]

SCRIPT = """
import sys, platecheck
data, out = sys.argv[1:]
changes = ["input.size=32", "network.head=8", "batch_size=8", "calibrate=true"]
run = platecheck.train("tiny_vgg", data, out, overrides=changes, epochs=2, workers=2)
print(run.best_epoch, platecheck.evaluate(run, data).result.photos)
"""


@pytest.fixture
def strided() -> Iterator[str]:
    """Register a network of one convolution."""

    @register_network("strided")
    def build(recipe: Network, classes: int, size: int) -> tuple[nn.Module, nn.Module]:
        backbone = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4, padding=1), nn.ReLU(), nn.Flatten())
        return backbone, classifier_head(8 * (size // 4) ** 2, recipe, classes)

    yield "strided"
    del NETWORKS["strided"]


def test_network_registered_outside_trains_resumes_exports_and_serves(
    strided: str, cli: Cli, dishes: Path, tmp_path: Path
) -> None:
    out, model = tmp_path / "run", tmp_path / "model.onnx"
    name = f"network.name={strided}"
    whole = train(gentle(name, epochs=2), dishes, tmp_path / "whole")
    train(gentle(name, epochs=1), dishes, out)
    where = ("--data", dishes, "--out", out, "--resume")
    answer = cli("train", "tiny_vgg", *where, *options(name, epochs=2))
    assert answer.code == 0, answer.err
    run = Run.load(out)
    assert run.recipe.network.name == strided
    assert same_weights(run, whole)
    answer = cli("export", out, "--int8", "-o", model)
    assert answer.code == 0, answer.err
    assert Classifier.load(model).info.network == strided
    for path in (out, model):
        assert cli("evaluate", path, "--data", dishes).code == 0
    assert len(cli("predict", dishes / "test", "--model", model).out.splitlines()) == 48
    photo = next((dishes / "test").rglob("*.jpg"))
    with TestClient(create_app(Settings(model=model)), "http://127.0.0.1:8000") as client:
        response = client.post("/v1/predict", files={"photos": photo.read_bytes()})
    assert response.status_code == 200, response.text


@pytest.mark.slow
def test_train_in_a_script_without_main_guard_uses_workers_and_prints_epochs(
    trained: Run, dishes: Path, tmp_path: Path
) -> None:
    script, out = tmp_path / "script.py", tmp_path / "run"
    script.write_text(SCRIPT)
    done = finish(start(sys.executable, script, dishes, out))
    assert done.code == 0, done.err
    *epochs, last = done.out.splitlines()
    assert [line.split()[1] for line in epochs] == ["1/2", "2/2"]
    assert last == f"{Run.load(out).best_epoch} 24"
    assert (out / "curves.png").is_file()
    assert (out / "calibration.json").is_file()


def test_evaluate_accepts_run_folder_file_and_classifier(trained: Run, dishes: Path) -> None:
    by_run = platecheck.evaluate(trained, dishes)
    by_folder = platecheck.evaluate(str(trained.folder), dishes, split="test")
    assert by_run.result == by_folder.result
    assert by_run.split == "test"
    tiny = platecheck.evaluate(Classifier.load("tiny"), dishes).result
    assert platecheck.evaluate("tiny", dishes).result == tiny


@pytest.mark.slow
def test_audit_returns_the_findings(dishes: Path) -> None:
    assert platecheck.audit(dishes).as_dict()["photos"] == 120
