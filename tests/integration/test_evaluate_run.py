import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from training_fixtures import Cli, gentle, train

from platecheck.errors import ModelError
from platecheck.evaluation.evaluate import Evaluation, evaluate, load_model
from platecheck.export.onnx import export
from platecheck.training.run import Run

pytest_plugins = ["training_fixtures.fixtures"]


@pytest.fixture(scope="module")
def exported(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    export(trained, path)
    return path


def evaluate_model(path: Path, data: Path, split: str | None = None) -> Evaluation:
    model, split_info = load_model(path)
    return evaluate(model, data, split=split, split_info=split_info)


def names(evaluation: Evaluation) -> list[str]:
    return [photo.name for photo in evaluation.photos]


def assert_alike(ours: Evaluation, theirs: Evaluation) -> None:
    assert names(ours) == names(theirs)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
    first, second = ours.result.model_dump(), theirs.result.model_dump()
    assert first.keys() == second.keys()
    for key in ("accuracy_ci95", "auroc", "brier", "ece", "mean_confidence"):
        assert first.pop(key) == pytest.approx(second.pop(key), abs=1e-4), key
    for result in (first, second):
        result["mistakes"] = [(m["path"], m["label"], m["predicted"]) for m in result["mistakes"]]
    assert first == second


@pytest.mark.parametrize("split", ["test", "val", "train"])
def test_run_and_export_have_the_same_metrics(
    split: str, trained: Run, exported: Path, dishes: Path
) -> None:
    ours, theirs = (evaluate_model(path, dishes, split) for path in (trained.folder, exported))
    assert_alike(ours, theirs)
    assert ours.result.photos == {"test": 24, "val": 24, "train": 72}[split]
    if split == "val":
        accuracy = trained.history[trained.best_epoch - 1]["val_accuracy"]
        assert ours.result.accuracy == pytest.approx(accuracy)


def test_evaluate_uses_the_part_not_used_for_selection(
    trained: Run, exported: Path, dishes: Path, tmp_path: Path
) -> None:
    moved = Path(shutil.copytree(dishes, tmp_path / "moved"))
    wanted = [photo.name for photo in trained.photos.split("test")]
    assert not {photo.name for photo in trained.photos.split("val")} & set(wanted)
    for path in (trained.folder, exported):
        for data in (dishes, moved):
            evaluation = evaluate_model(path, data)
            assert evaluation.split == "test"
            assert names(evaluation) == wanted
            assert {photo.split for photo in evaluation.photos} == {"test"}
    photo = moved / "test" / "clean" / "000.jpg"
    shutil.copy(photo, photo.with_name("one more.jpg"))
    for path in (trained.folder, exported):  # of other photos, all
        assert evaluate_model(path, moved).result.photos == 49


def test_evaluate_without_splits_uses_the_part_held_out(dishes: Path, tmp_path: Path) -> None:
    data = dishes / "train"  # clean/ and dirty/, nothing above them
    run = train(gentle(epochs=1), data, tmp_path / "run")
    counts = {split: sum(n.values()) for split, n in run.photos.counts().items()}
    assert counts == {"train": 50, "val": 11, "test": 11}
    evaluation = evaluate_model(run.folder, data)
    assert names(evaluation) == [photo.name for photo in run.photos.split("test")]
    export(run, tmp_path / "model.onnx")
    assert_alike(evaluate_model(tmp_path / "model.onnx", data), evaluation)


def test_evaluate_command_prints_the_same_metrics(
    cli: Cli, trained: Run, exported: Path, dishes: Path
) -> None:
    ours, theirs = (
        json.loads(cli("evaluate", path, "--data", dishes, "--json").out)
        for path in (trained.folder, exported)
    )
    wanted = evaluate_model(trained.folder, dishes).result
    assert ours == wanted.model_dump(mode="json")
    assert ours["photos"] == theirs["photos"] == 24
    assert ours["correct"] == theirs["correct"]
    assert ours["brier"] == pytest.approx(theirs["brier"], abs=1e-4)
    shown = cli("evaluate", trained.folder, "--data", dishes)
    assert f"{wanted.correct}/24 = {wanted.accuracy:.2%}" in shown.out


def test_run_without_a_finished_epoch_raises(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    (folder / "history.csv").unlink()
    with pytest.raises(ModelError, match="no finished epoch"):
        load_model(folder)
    for command in (("evaluate", folder, "--data", dishes), ("report", folder)):
        answer = cli(*command)
        assert answer.code == 2
        assert "continue with --resume" in answer.err
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize("damage", ["gone", "cut short", "another network's"])
def test_run_with_damaged_weights_raises(damage: str, trained: Run, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    weights = Run.load(folder).weights(trained.best_epoch)
    if damage == "gone":
        weights.unlink()
    elif damage == "cut short":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        recipe = (folder / "recipe.yaml").read_text()
        (folder / "recipe.yaml").write_text(recipe.replace("head: 32", "head: 64"))
    with pytest.raises(ModelError) as caught:
        load_model(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
