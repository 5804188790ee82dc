"""A run that is taught by an exported model."""

from pathlib import Path

import pytest
from training_fixtures import SETTINGS, Cli, same_weights, train, without_seconds

from platecheck.errors import ModelError
from platecheck.evaluation import plots
from platecheck.export.onnx import export
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import Run
from platecheck.training.train import build_run

pytest_plugins = ["training_fixtures.fixtures"]
pytestmark = pytest.mark.usefixtures("one_cache", "kept_cache")

SMALL = (
    "batch_size=8", "network.head=16", "optimizer.lr=0.003",
    "augmentation.robust={backgrounds: 0.7, dirt: 0.3, rendered: 2, pairs: 4}", "epochs=2",
)  # fmt: skip


@pytest.fixture(scope="module")
def teacher(one_cache: None, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model of another size."""
    folder = tmp_path_factory.mktemp("teacher")
    run = train(
        load_recipe("tiny_vgg_plate", [*SMALL, "input.size=64", "teacher=null"]),
        rendered,
        folder / "run",
    )
    export(run, folder / "teacher.onnx", int8=True, measure=False)
    return folder / "teacher.onnx"


def recipe(teacher: Path) -> Recipe:
    taught = f"teacher={{model: {teacher}, weight: 0.9, tta_flips: true}}"
    return load_recipe("tiny_vgg_plate", [*SMALL, "input.size=32", taught])


@pytest.fixture(scope="module")
def taught(
    one_cache: None, teacher: Path, rendered: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    return train(recipe(teacher), rendered, tmp_path_factory.mktemp("taught") / "run")


def test_teacher_changes_what_the_student_learns(
    taught: Run, rendered: Path, tmp_path: Path
) -> None:
    alone = load_recipe("tiny_vgg_plate", [*SMALL, "input.size=32", "teacher=null"])
    assert not same_weights(train(alone, rendered, tmp_path / "alone"), taught)


def test_stopped_student_resumes_with_identical_weights(
    taught: Run,
    teacher: Path,
    rendered: Path,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(_figure: object, _path: Path) -> None:
        raise InterruptedError

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(plots, "save", stop)
        with pytest.raises(InterruptedError):
            train(recipe(teacher), rendered, out)
    assert len(Run.load(out).history) == 1
    path = tmp_path / "student.yaml"
    path.write_text(recipe(teacher).to_yaml())
    where = ("--data", rendered, "--out", out, "--resume", "--workers", "0", "--devices", "1")
    answer = cli("train", path, *where)
    assert answer.code == 0, answer.err
    resumed = Run.load(out)
    assert same_weights(resumed, taught)
    assert without_seconds(resumed.history) == without_seconds(taught.history)


def test_missing_teacher_is_reported_before_anything_is_written(
    rendered: Path, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=r"nothing\.onnx"):
        build_run(recipe(tmp_path / "nothing.onnx"), rendered, tmp_path / "run", settings=SETTINGS)
    assert not (tmp_path / "run").exists()
