import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from platecheck.data.folders import Photo, PhotoSet
from platecheck.errors import ModelError, PhotoError, PlatecheckError
from platecheck.model_info import SplitInfo
from platecheck.training.recipe import Normalization, load_recipe
from platecheck.training.run import (
    HISTORY_KEYS,
    Run,
    RunFacts,
    write_history,
)

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
    photos = tuple(
        Photo(data / "train" / name / file, f"train/{name}/{file}", label, split, f"{i:064x}")
        for i, (label, name, split, file) in enumerate(
            (label, name, split, file)
            for label, name in enumerate(("clean", "dirty"))
            for split in ("train", "val")
            for file in NAMES
        )
    )
    bad = PhotoError(str(data / "train/clean/broken") + NAMES[-1], "cannot identify image file")
    facts = RunFacts(
        platecheck="0.1.0",
        seed=7,
        data=str(data),
        fingerprint="f" * 64,
        classes=("clean", "dirty"),
        division=SplitInfo(split="test", seed=3, fingerprint="d" * 64),
        normalization=Normalization(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)),
        unreadable={bad.source: bad.reason},
        settings={"precision": "32-true", "threads": 1},
        versions={"torch": "2.0"},
        command="platecheck train tiny_vgg",
    )
    recipe = load_recipe("tiny_vgg", ["epochs=3", "calibrate=true"])
    run = Run(tmp_path / "run", recipe, facts, PhotoSet(data, facts.classes, photos, (bad,)))
    run.save()
    return run


def test_saved_run_loads_equal(run: Run) -> None:
    write_history(run.folder / "history.csv", [row(1, 0.6), row(2, 0.5)])
    loaded = Run.load(run.folder)
    assert loaded.recipe == run.recipe
    assert loaded.facts == run.facts
    assert loaded.photos.photos == run.photos.photos
    assert loaded.photos.classes == run.photos.classes
    assert [(e.source, e.reason) for e in loaded.photos.unreadable] == [
        (e.source, e.reason) for e in run.photos.unreadable
    ]
    assert loaded.history == [row(1, 0.6), row(2, 0.5)]
    assert not loaded.finished
    write_history(run.folder / "history.csv", [row(1, 0.6), row(2, 0.5), row(3, 0.4)])
    assert Run.load(run.folder).finished


@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([0.5], 1),
        ([0.6, 0.4, 0.5], 2),
        ([0.6, 0.4, 0.4], 2),
        ([0.6, float("nan"), 0.5], 3),
        ([float("nan"), 0.6, 0.5], 3),
        ([float("inf"), 0.6], 2),
    ],
)
def test_best_epoch_has_the_lowest_finite_loss(losses: list[float], best: int, run: Run) -> None:
    history = [row(epoch, loss) for epoch, loss in enumerate(losses, 1)]
    write_history(run.folder / "history.csv", history)
    assert Run.load(run.folder).best_epoch == best


def test_best_epoch_without_epochs_is_an_error(run: Run) -> None:
    assert Run.load(run.folder).history == []
    with pytest.raises(ModelError, match="no finished epoch: continue with --resume"):
        _ = Run.load(run.folder).best_epoch


def test_temperature_is_the_calibrated_one_or_1(run: Run) -> None:
    assert run.temperature == 1.0
    run.calibration.write_text(json.dumps({"temperature": 1.75, "epoch": 2, "photos": 9}))
    assert run.temperature == 1.75


@pytest.mark.parametrize("content", ["", "[]", '{"temperature": null}'])
def test_damaged_calibration_is_an_error(content: str, run: Run) -> None:
    run.calibration.write_text(content)
    with pytest.raises(ModelError, match="is corrupt") as caught:
        _ = run.temperature
    assert str(run.calibration) in str(caught.value)


def test_folder_without_run_json_is_no_run(run: Run, tmp_path: Path) -> None:
    assert Run.is_run(run.folder)
    (run.folder / "run.json").unlink()
    for folder in (run.folder, tmp_path / "nowhere"):
        assert not Run.is_run(folder)
        with pytest.raises(ModelError, match="is not a run folder"):
            Run.load(folder)


def write(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(write("run.json", ""), id="empty run.json"),
        pytest.param(write("run.json", "{}"), id="run.json without facts"),
        pytest.param(write("run.json", '{"seed": 1'), id="half a run.json"),
        pytest.param(lambda run: (run / "run.json").write_bytes(b"\xff\xfe"), id="not text"),
        pytest.param(lambda run: (run / "recipe.yaml").unlink(), id="no recipe"),
        pytest.param(write("recipe.yaml", "name: ["), id="half a recipe"),
        pytest.param(write("recipe.yaml", "epochs: 3"), id="recipe without a network"),
        pytest.param(write("recipe.yaml", ""), id="empty recipe"),
        pytest.param(lambda run: (run / "photos.csv").unlink(), id="no photos"),
        pytest.param(write("photos.csv", "name,class,split,sha256\na,filthy,val,0\n"), id="class"),
        pytest.param(write("photos.csv", "name,split\na,val\n"), id="photos without a class"),
        pytest.param(write("history.csv", "epoch,val_loss\n1,low\n"), id="words in the history"),
        pytest.param(write("history.csv", "epoch,val_loss\n1,0.5\n"), id="history lacks columns"),
    ],
)
def test_damaged_run_is_an_error(damage: Callable[[Path], object], run: Run) -> None:
    damage(run.folder)
    with pytest.raises(PlatecheckError) as caught:
        Run.load(run.folder)
    assert str(run.folder) in str(caught.value)
    assert "\n" not in str(caught.value)
