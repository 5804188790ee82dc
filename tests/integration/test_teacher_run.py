"""A recipe that trains its teacher first."""

from pathlib import Path

import pytest
import torch
from training_fixtures import SETTINGS, Cli, same_weights, train, without_seconds

from platecheck.classifier import Classifier
from platecheck.errors import RecipeError
from platecheck.evaluation import plots
from platecheck.training.pretrained import read_state
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
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe of another size."""
    path = tmp_path_factory.mktemp("recipes") / "teacher.yaml"
    own = load_recipe("tiny_vgg_plate", [*SMALL, "input.size=64", "teacher=null"])
    path.write_text(own.to_yaml())
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


def test_warm_start_begins_where_the_teacher_ended(
    taught: Run, teacher: Path, rendered: Path, tmp_path: Path
) -> None:
    """With a tiny learning rate, the student stays at the teacher's weights."""
    taught_so = f"teacher={{recipe: {teacher}, weight: 0.5, warm_start: true}}"
    still = ("optimizer.lr=1e-9", "input.size=64", "epochs=1", "ema_decay=0", taught_so)
    run = train(load_recipe("tiny_vgg_plate", [*SMALL, *still]), rendered, tmp_path / "run")
    theirs = Run.load(run.teacher)
    there = read_state(theirs.weights(theirs.best_epoch))
    here = read_state(run.weights(1))
    assert there.keys() == here.keys()
    for key, tensor in there.items():
        if "running" not in key and "num_batches" not in key:
            assert torch.allclose(here[key], tensor, atol=1e-5)
    with pytest.raises(RecipeError, match="trains another network"):
        build_run(
            load_recipe("tiny_vgg_plate", [*SMALL, *still, "network.head=32"]),
            rendered,
            tmp_path / "other",
        )


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
    def stop(_figure: object, path: Path) -> None:
        if (path.parent.name == "teacher") == (stopped == "teacher"):
            raise InterruptedError

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(plots, "save", stop)
        with pytest.raises(InterruptedError):
            train(recipe(teacher), rendered, out)
    assert len(Run.load(out / "teacher" if stopped == "teacher" else out).history) == 1
    path = tmp_path / "student.yaml"
    path.write_text(recipe(teacher).to_yaml())
    where = ("--data", rendered, "--out", out, "--resume", "--workers", "0", "--devices", "1")
    answer = cli("train", path, *where)
    assert answer.code == 0, answer.err
    assert ("training the teacher first" in answer.out) == (stopped == "teacher")
    resumed = Run.load(out)
    assert same_weights(resumed, taught)
    assert without_seconds(resumed.history) == without_seconds(taught.history)
    assert same_weights(Run.load(resumed.teacher), Run.load(taught.teacher))


def test_impossible_teacher_is_refused_before_anything_is_written(
    teacher: Path, rendered: Path, tmp_path: Path
) -> None:
    taught = tmp_path / "taught.yaml"
    taught.write_text(recipe(teacher).to_yaml())
    for wanted, said in (
        (recipe(taught), "has a teacher itself"),
        (recipe(teacher, "val_to_train=0.25"), "trained on evaluation photos of its student"),
        (recipe(tmp_path / "nothing.yaml"), "no bundled recipe"),
    ):
        with pytest.raises(RecipeError, match=said):
            build_run(wanted, rendered, tmp_path / "run", settings=SETTINGS)
        assert not (tmp_path / "run").exists()
