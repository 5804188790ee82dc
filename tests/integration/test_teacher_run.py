"""A recipe that trains its teacher first."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from training_fixtures import SETTINGS, Cli, same_weights, train, without_seconds

from platecheck.classifier import Classifier
from platecheck.errors import RecipeError
from platecheck.evaluation import plots
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import Run
from platecheck.training.train import build_run

pytest_plugins = ["training_fixtures.fixtures"]

SMALL = (
    "batch_size=8", "network.head=16", "optimizer.lr=0.003",
    "augmentation.robust={backgrounds: 0.7, dirt: 0.3, rendered: 2, pairs: 4}", "epochs=2",
)  # fmt: skip


def of_teacher(*changes: str) -> Recipe:
    return load_recipe("tiny_vgg_plate", [*SMALL, "input.size=64", "teacher=null", *changes])


@pytest.fixture(scope="module", autouse=True)
def one_cache(session_cache: Path) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATECHECK_CACHE", str(session_cache / "robust"))
        yield


@pytest.fixture(autouse=True)
def kept_cache(environment: None, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / "robust"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of another size."""
    path = tmp_path_factory.mktemp("recipes") / "teacher.yaml"
    path.write_text(of_teacher().to_yaml())
    return path


def recipe(teacher: Path, *changes: str) -> Recipe:
    taught = f"teacher={{recipe: {teacher}, weight: 0.9, tta_flips: true}}"
    return load_recipe("tiny_vgg_plate", [*SMALL, "input.size=32", taught, *changes])


@pytest.fixture(scope="module")
def taught(
    one_cache: None, teacher: Path, rendered: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    return train(recipe(teacher), rendered, tmp_path_factory.mktemp("taught") / "run")


def test_teacher_is_trained_on_the_same_photos_and_exported(taught: Run) -> None:
    theirs = Run.load(taught.teacher)
    assert theirs.finished
    assert taught.finished
    assert theirs.photos == taught.photos
    assert theirs.facts.split_info == taught.facts.split_info
    info = Classifier.load(taught.teacher / "model.onnx").info
    assert (info.size, info.precision) == (64, "int8")
    assert info.epoch == theirs.best_epoch


def test_teacher_changes_what_the_student_learns(
    taught: Run, teacher: Path, rendered: Path, tmp_path: Path
) -> None:
    """The same recipe on labels alone ends elsewhere; with the file as a teacher, here."""
    file = taught.teacher / "model.onnx"
    changes = {"alone": "null", "file": f"{{model: {file}, weight: 0.9, tta_flips: true}}"}
    runs = {
        name: train(recipe(teacher, f"teacher={value}"), rendered, tmp_path / name)
        for name, value in changes.items()
    }
    assert same_weights(runs["file"], taught)
    assert not same_weights(runs["alone"], taught)


@pytest.mark.parametrize("stopped", ["teacher", "student"])
def test_stopped_run_resumes_with_identical_weights(
    stopped: str,
    taught: Run,
    teacher: Path,
    rendered: Path,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class StopError(Exception):
        pass

    def stop(_figure: object, path: Path) -> None:
        if (path.parent.name == "teacher") == (stopped == "teacher"):
            raise StopError

    out = tmp_path / "run"
    save = plots.save
    monkeypatch.setattr(plots, "save", stop)
    with pytest.raises(StopError):
        train(recipe(teacher), rendered, out)
    monkeypatch.setattr(plots, "save", save)
    assert len(Run.load(out / "teacher" if stopped == "teacher" else out).history) == 1
    path = tmp_path / "student.yaml"
    path.write_text(recipe(teacher).to_yaml())
    where = ("--data", rendered, "--out", out, "--resume", "--workers", "0", "--devices", "1")
    answer = cli("train", path, *where)
    assert answer.code == 0, answer.err
    said = "training the teacher first" in answer.out
    assert said == (stopped == "teacher")
    resumed = Run.load(out)
    assert same_weights(resumed, taught)
    assert without_seconds(resumed.history) == without_seconds(taught.history)
    assert same_weights(Run.load(resumed.teacher), Run.load(taught.teacher))


def refused(wanted: Recipe, data: Path, out: Path) -> str:
    with pytest.raises(RecipeError) as error:
        build_run(wanted, data, out, settings=SETTINGS)
    assert not out.exists()
    return str(error.value)


def test_impossible_teacher_is_refused_before_anything_is_written(
    teacher: Path, rendered: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    taught = tmp_path / "taught.yaml"
    taught.write_text(recipe(teacher).to_yaml())
    assert "has a teacher itself" in refused(recipe(taught), rendered, out)
    other = recipe(teacher, "val_to_train=0.25")
    assert "trained on evaluation photos of its student" in refused(other, rendered, out)
    assert "no bundled recipe" in refused(recipe(tmp_path / "nothing.yaml"), rendered, out)


@pytest.mark.parametrize("teacher", ["{weight: 0.5}", "{model: plate, recipe: plate_teacher}"])
def test_teacher_must_be_a_model_or_a_recipe(teacher: str) -> None:
    with pytest.raises(RecipeError, match="either a model or a recipe"):
        load_recipe("tiny_vgg_plate", [f"teacher={teacher}"])
