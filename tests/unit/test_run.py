import itertools
import json
import os
from pathlib import Path

import pytest
import yaml

from platecheck.data.folders import Photo, PhotoSet
from platecheck.errors import ModelError, PhotoError, PlatecheckError
from platecheck.model_info import SplitInfo
from platecheck.training.recipe import Normalization, load_recipe
from platecheck.training.run import HISTORY_KEYS, Run, RunFacts, write_history

# File names that a careless reader of CSV would trip over.
NAMES = (
    "plain.jpg",
    "comma, and space.jpg",
    'a "quoted" one.jpg',
    "line\nbreak.jpg",
    "tëller ☕.jpg",
    os.fsdecode(b"caf\xe9.jpg"),  # not UTF-8
)


def row(epoch: int, val_loss: float) -> dict[str, float]:
    figures = (epoch, 0.7, 0.5, val_loss, 0.6, 0.01, 1.25)
    return dict(zip(HISTORY_KEYS, figures, strict=True))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    data = tmp_path / "photos"
    places = itertools.product(enumerate(("clean", "dirty")), ("train", "val"), NAMES)
    photos = tuple(
        Photo(data / "train" / name / file, f"train/{name}/{file}", label, split, f"{i:064x}")
        for i, ((label, name), split, file) in enumerate(places)
    )
    bad = PhotoError(str(data / "train/clean/broken") + NAMES[-1], "cannot identify image file")
    facts = RunFacts(
        platecheck="0.1.0", seed=7, data=str(data), fingerprint="f" * 64,
        classes=("clean", "dirty"),
        division=SplitInfo(split="test", seed=3, fingerprint="d" * 64),
        normalization=Normalization(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
        unreadable={bad.source: bad.reason}, settings={"precision": "32-true", "threads": 1},
        versions={"torch": "2.0"}, command="platecheck train tiny_vgg",
    )  # fmt: skip
    recipe = load_recipe("tiny_vgg", ["epochs=3", "calibrate=true"])
    run = Run(tmp_path / "run", recipe, facts, PhotoSet(data, facts.classes, photos, (bad,)))
    run.save()
    return run


def test_saved_run_loads_equal(run: Run) -> None:
    history = [row(1, 0.6), row(2, 0.5)]
    write_history(run.folder / "history.csv", history)
    loaded = Run.load(run.folder)
    assert (loaded.recipe, loaded.facts) == (run.recipe, run.facts)
    assert (loaded.photos.photos, loaded.photos.classes) == (run.photos.photos, run.photos.classes)
    assert [(e.source, e.reason) for e in loaded.photos.unreadable] == [
        (e.source, e.reason) for e in run.photos.unreadable
    ]
    assert loaded.history == history
    assert not loaded.finished
    write_history(run.folder / "history.csv", [*history, row(3, 0.4)])
    assert Run.load(run.folder).finished


def test_run_whose_recipe_trained_its_teacher_still_loads(run: Run) -> None:
    """As version 0.2 wrote it; the file can still teach if the run is resumed."""
    path = run.folder / "recipe.yaml"
    content = yaml.safe_load(path.read_text())
    content["teacher"] = {"model": None, "recipe": "plate_teacher", "weight": 0.7}
    content["augmentation"]["robust"] = {"backgrounds": 0.7}
    path.write_text(yaml.safe_dump(content))
    teacher = Run.load(run.folder).recipe.teacher
    assert teacher is not None
    assert teacher.model == str(run.folder / "teacher" / "model.onnx")


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([0.5], 1),
        ([0.6, 0.4, 0.5], 2),
        ([0.6, 0.4, 0.4], 3),
        ([0.6, float("nan"), 0.5], 3),
        ([float("nan"), 0.6, 0.5], 3),
        ([float("inf"), 0.6], 2),
    ],
)
def test_best_epoch_has_the_lowest_finite_loss(losses: list[float], best: int, run: Run) -> None:
    history = [row(epoch, loss) for epoch, loss in enumerate(losses, 1)]
    write_history(run.folder / "history.csv", history)
    assert Run.load(run.folder).best_epoch == best


def test_best_epoch_without_finite_epochs_is_an_error(run: Run) -> None:
    assert Run.load(run.folder).history == []
    with pytest.raises(ModelError, match="no finished epoch: continue with --resume"):
        _ = Run.load(run.folder).best_epoch
    write_history(run.folder / "history.csv", [row(1, float("nan")), row(2, float("inf"))])
    with pytest.raises(ModelError, match="no epoch has a finite validation loss"):
        _ = Run.load(run.folder).best_epoch


def test_scaling_is_the_calibrated_one_or_none(run: Run) -> None:
    assert run.scaling == (1.0, (0.0,))
    written: dict[str, object] = {"temperature": 1.75, "epoch": 2, "photos": 9}
    run.calibration.write_text(json.dumps(written))
    assert run.scaling == (1.75, (0.0,)), "before version 0.3 there was no bias"
    run.calibration.write_text(json.dumps(written | {"bias": [0.5, -0.5]}))
    assert run.scaling == (1.75, (0.5, -0.5))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"temperature": null}', '{"temperature": 1, "bias": [null]}']
)
def test_damaged_calibration_is_an_error(content: str, run: Run) -> None:
    run.calibration.write_text(content)
    with pytest.raises(ModelError, match="is corrupt") as caught:
        _ = run.scaling
    assert str(run.calibration) in str(caught.value)


def test_folder_without_run_json_is_no_run(run: Run, tmp_path: Path) -> None:
    assert Run.is_run(run.folder)
    (run.folder / "run.json").unlink()
    for folder in (run.folder, tmp_path / "nowhere"):
        assert not Run.is_run(folder)
        with pytest.raises(ModelError, match="is not a run folder"):
            Run.load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("run.json", b""),
        ("run.json", b"{}"),
        ("run.json", b'{"seed": 1'),
        ("run.json", b"\xff\xfe"),
        ("recipe.yaml", None),
        ("recipe.yaml", b"name: ["),
        ("recipe.yaml", b"epochs: 3"),
        ("recipe.yaml", b""),
        ("photos.csv", None),
        ("photos.csv", b"name,class,split,sha256\na,filthy,val,0\n"),
        ("photos.csv", b"name,split\na,val\n"),
        ("history.csv", b"epoch,val_loss\n1,low\n"),
        ("history.csv", b"epoch,val_loss\n1,0.5\n"),
    ],
)
def test_damaged_run_is_an_error(name: str, content: bytes | None, run: Run) -> None:
    (run.folder / name).unlink(missing_ok=True)
    if content is not None:
        (run.folder / name).write_bytes(content)
    with pytest.raises(PlatecheckError) as caught:
        Run.load(run.folder)
    assert str(run.folder) in str(caught.value)
    assert "\n" not in str(caught.value)
