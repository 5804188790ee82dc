"""Train, resume, export, evaluate and report a detector, on a few rendered scenes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from training_fixtures import ONE_PROCESS, Cli, fit, same_weights, without_seconds

import platecheck
from platecheck.data.boxes import KINDS, read_boxed_photos
from platecheck.data.folders import list_photos
from platecheck.data.render import render_dish
from platecheck.data.render.scenes import render_scene
from platecheck.detector import Detector
from platecheck.errors import DataError, ModelError, RecipeError
from platecheck.evaluation.detection import evaluate_detector
from platecheck.export.detector import DetectionModel, export_detector
from platecheck.training.detection.datamodule import SceneDataset
from platecheck.training.detection.module import DetectorModule
from platecheck.training.detection.network import DishDetector
from platecheck.training.onnx_import import fine_tuning
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import Run
from platecheck.training.train import TrainerSettings, build_run
from tests.support.writing import write_detector

CHANGES = (
    "network.weights=null",
    "input.size=64",
    "detection.channels=16",
    "detection.frozen_blocks=0",
    "detection.photos=24",
    "detection.patterns=0",
    "optimizer.lr=0.003",
    "batch_size=8",
    "schedule.pct_start=0.3",
    "ema_decay=0.5",
)


def recipe(epochs: int, *changes: str) -> Recipe:
    return load_recipe("dishes", [*CHANGES, *changes, f"epochs={epochs}"])


def save(path: Path, pixels: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All four kinds of photos, listed in a file."""
    folder = tmp_path_factory.mktemp("photos")
    for name in ("scenes", "kitchen"):
        for index in range(12):
            rng = np.random.default_rng([len(name), index])
            scene = render_scene(rng, size=160, kind="table", dishes=3)
            height, width = scene.photo.shape[:2]
            split = "val" if index < 3 else "test" if index < 6 else "train"
            save(folder / name / "images" / split / f"{index}.png", scene.photo)
            label = folder / name / "labels" / split / f"{index}.txt"
            label.parent.mkdir(parents=True, exist_ok=True)
            with label.open("w") as file:
                for x0, y0, x1, y1 in scene.boxes / (width, height, width, height):
                    print(0, (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, file=file)
    for index in range(12):
        rng = np.random.default_rng(index)
        label = ("clean", "dirty")[index % 2]
        split = ("train", "val", "test")[index // 2 % 3]
        dish = render_dish(rng, size=96, label=label)
        save(folder / "dishes" / split / label / f"{index}.png", dish.photo)
        save(folder / "empty" / f"{index}.png", rng.integers(0, 256, (48, 64, 3), np.uint8))
    (folder / "dishes.yaml").write_text(
        "boxes: scenes\npartly:\n  - {folder: kitchen}\ndishes: [dishes]\nempty: [empty]\n"
    )
    return folder / "dishes.yaml"


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    out = tmp_path_factory.mktemp("run") / "run"
    return platecheck.train(recipe(3), photos, out, **ONE_PROCESS)


def test_every_kind_of_photo_is_read(photos: Path) -> None:
    data = read_boxed_photos(photos)
    counts = data.photos.counts()
    assert data.photos.classes == KINDS
    assert counts["train"]["boxes"] == counts["train"]["partly"] == 6
    assert counts["train"]["empty"] == 8  # of 12, which were not split
    assert set(data.photos.splits) == {"train", "val", "test"}
    for photo in data.photos.photos:
        assert photo.path.is_file()
        boxes, kind = data.boxes[photo.name], KINDS[photo.label]
        assert len(boxes) == {"dishes": 1, "empty": 0}.get(kind, len(boxes))
        assert ((boxes >= 0) & (boxes <= 1)).all()


def test_training_learns(run: Run) -> None:
    losses = [row["val_loss"] for row in run.history]
    assert losses[-1] < losses[0]
    assert all(0 <= row["val_ap50"] <= 1 for row in run.history)
    assert run.history[run.best_epoch - 1]["val_ap50"] == max(r["val_ap50"] for r in run.history)
    assert (run.folder / "curves.png").is_file()
    assert Run.load(run.folder).history == run.history


def test_interrupted_run_resumes_with_identical_weights(
    run: Run, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(module: DetectorModule) -> None:
        if module.current_epoch == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "on_train_epoch_start", interrupt)
        with pytest.raises(KeyboardInterrupt):
            platecheck.train(recipe(3), photos, tmp_path / "run", **ONE_PROCESS)
    assert len(Run.load(tmp_path / "run").history) == 2
    resumed = platecheck.train(recipe(3), photos, tmp_path / "run", resume=True, **ONE_PROCESS)
    assert same_weights(resumed, run)
    ours, theirs = without_seconds(resumed.history), without_seconds(run.history)
    assert [{**row, "learning_rate": 0} for row in ours] == [
        {**row, "learning_rate": 0} for row in theirs
    ]


def test_changed_boxes_are_not_resumed(photos: Path, tmp_path: Path) -> None:
    settings = TrainerSettings(**ONE_PROCESS)
    fit(build_run(recipe(1), photos, tmp_path / "run", settings=settings))
    label = next((photos.parent / "scenes/labels/train").glob("*.txt"))
    before = label.read_text()
    try:
        label.write_text("0 0.5 0.5 0.1 0.1\n")
        with pytest.raises(DataError, match="no longer contains the photos"):
            build_run(recipe(2), photos, tmp_path / "run", settings=settings, resume=True)
    finally:
        label.write_text(before)


@pytest.mark.slow
@pytest.mark.parametrize("int8", [False, True])
def test_exported_file_finds_what_the_run_finds(
    run: Run, photos: Path, tmp_path: Path, int8: bool
) -> None:
    report = export_detector(run, tmp_path / "dishes.onnx", int8=int8)
    detector = Detector.load(tmp_path / "dishes.onnx")
    assert detector.info == report.info
    assert detector.info.precision == ("int8" if int8 else "float32")
    assert report.max_difference < (0.3 if int8 else 1e-4)
    assert report.bytes < 6e6 if int8 else report.bytes > 6e6
    found = evaluate_detector(detector, read_boxed_photos(photos), split="test").result
    assert found.model_dump(mode="json") == detector.info.metrics["test"]
    assert found.kinds["dishes"].dishes == found.kinds["dishes"].photos
    assert found.all.empty == found.kinds["empty"].photos
    val = detector.info.metrics["val"]["all"]
    assert val["silent"] >= 0.95 * val["empty"] - 1


@pytest.mark.parametrize("int8", [False, True])
def test_fine_tuning_starts_with_what_the_file_finds(
    run: Run, photos: Path, tmp_path: Path, int8: bool
) -> None:
    file = tmp_path / "dishes.onnx"
    export_detector(run, file, int8=int8, threshold=0.5, measure=False)
    settings = TrainerSettings(**ONE_PROCESS)
    tuned = fine_tuning(recipe(8), str(file))
    assert (tuned.epochs, tuned.optimizer.lr) == (2, pytest.approx(0.001))
    setup = build_run(tuned, photos, tmp_path / "ours", settings=settings)
    assert isinstance(setup.network, DishDetector)
    started = DetectionModel(setup.network, setup.run.facts.normalization).eval()
    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    boxes, scores = Detector.load(file).session.run(["boxes", "scores"], {"photos": pixels})
    with torch.inference_mode():
        ours = started(torch.from_numpy(pixels))
    assert np.abs(ours[0].numpy() - boxes).max() < (8 if int8 else 0.01)  # pixels
    assert np.abs(ours[1].numpy() - scores).max() < (0.3 if int8 else 1e-4)
    before = {k: v.clone() for k, v in setup.network.state_dict().items()}
    fit(setup)
    after = setup.network.state_dict()
    changed = {key.rpartition(".")[2] for key in before if not torch.equal(before[key], after[key])}
    assert changed == {"weight", "bias"}  # statistics stay as they are


def test_single_dishes_get_patterns(photos: Path) -> None:
    data = read_boxed_photos(photos)
    only = ("detection.shares={dishes: 1}", "detection.stretch=1", "detection.scale=[1, 1]")
    plain, decorated = (
        SceneDataset(data, recipe(1, *only, f"detection.patterns={share}"), None)
        for share in (0, 1)
    )
    photo = plain.by_kind["dishes"][0]
    mask = plain.masks.get(photo).mask(plain.cache.size, plain.cache.size)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        assert np.array_equal(plain._decorated(rng, photo), plain.cache.get(photo))
        rng = np.random.default_rng(seed)
        pixels = decorated._decorated(rng, photo)
        changed = (pixels != plain.cache.get(photo)).any(axis=2)
        assert changed[mask > 128].mean() > 0.02
        assert not changed[mask == 0].any()


@pytest.mark.slow
def test_command_line(run: Run, photos: Path, tmp_path: Path, cli: Cli) -> None:
    file = tmp_path / "found.onnx"
    said = cli("export", run.folder, "--out", file, "--int8")
    assert "int8" in said.out
    assert "dishes found" in said.out
    result = json.loads(cli("evaluate", file, "--data", photos, "--json").out)
    assert result["split"] == "test"
    assert set(result["kinds"]) == set(KINDS) - {"empty"}  # which has no split named test
    kept = json.loads(cli("evaluate", run.folder, "--data", photos, "--split", "val", "--json").out)
    boxed = sum(photo.split == "val" for photo in run.photos.photos)
    assert kept["all"]["photos"] == boxed  # as it was split for training
    assert cli("evaluate", file, "--data", photos, "--backgrounds").code == 2
    assert "dishes with a score of" in cli("model", file).out
    table = cli("evaluate", run.folder, "--data", photos.parent / "scenes", "--split", "val").out
    assert "boxes" in table
    assert "AP50" in table
    cli("report", run.folder, "--out", tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "Precision and recall" in page
    assert "Worst mistakes" in page


def test_mistakes_are_explained(photos: Path, tmp_path: Path, cli: Cli) -> None:
    broken = tmp_path / "broken"
    save(broken / "images/train/a.png", np.zeros((9, 9, 3), np.uint8))
    (broken / "labels/train").mkdir(parents=True)
    (broken / "labels/train/a.txt").write_text("0 0.5 0.5 2 0.5\n")
    answer = cli("train", "dishes", "--data", broken, "--out", tmp_path / "run")
    assert answer.code == 2
    assert "a.txt, line 1: the box is outside the photo" in " ".join(answer.err.split())
    (tmp_path / "list.yaml").write_text("photos: [broken]\n")
    with pytest.raises(DataError, match="unknown key 'photos'"):
        read_boxed_photos(tmp_path / "list.yaml")
    (tmp_path / "list.yaml").write_text("boxes: []\n")
    with pytest.raises(DataError, match="lists no folders"):
        read_boxed_photos(tmp_path / "list.yaml")
    (broken / "labels/train/a.txt").write_text("")
    (tmp_path / "list.yaml").write_text("boxes: [broken]\nempty: [broken/images]\n")
    with pytest.raises(DataError, match="twice: under 'boxes' and 'empty'"):
        read_boxed_photos(tmp_path / "list.yaml", split_seed=None)
    for text, says in (
        (
            "boxes: [{folder: broken, classes: []}]",
            r"under 'boxes', write a folder, or \{folder: …",
        ),
        ("empty: [{folder: broken/images, classes: [cup]}]", r"under 'empty', write a folder$"),
        ("boxes: [", r"as YAML: while parsing a flow node [^\n]*$"),
        ("train: images\nnames: [dish]", f"describes the folder {tmp_path}; give the folder"),
    ):
        (tmp_path / "list.yaml").write_text(f"{text}\n")
        with pytest.raises(DataError, match=says):
            read_boxed_photos(tmp_path / "list.yaml")
    with pytest.raises(DataError, match="has boxes for a detector, not classes of photos"):
        list_photos(broken)
    with pytest.raises(ModelError, match="no model file at plate; shipped: dishes"):
        platecheck.train(recipe(1), photos, tmp_path / "run", start="plate")
    foreign = write_detector(tmp_path / "foreign.onnx", network="efficientnet_lite0")
    with pytest.raises(ModelError, match="it was not exported from a run"):
        platecheck.train(recipe(1), photos, tmp_path / "run", start=str(foreign))
    with pytest.raises(ModelError, match="lacks backbone"):
        platecheck.train(recipe(1, f"network.weights={foreign}"), photos, tmp_path / "run")
    with pytest.raises(ModelError, match="the recipe's network needs"):
        platecheck.train(recipe(1), photos, tmp_path / "run", start="default")


def test_photos_without_a_dish_are_refused_before_a_run_begins(
    photos: Path, tmp_path: Path
) -> None:
    for number in range(8):
        save(tmp_path / f"empty/{number}.png", np.full((9, 9, 3), number, np.uint8))
    (tmp_path / "list.yaml").write_text("empty: [empty]\n")
    with pytest.raises(DataError, match=r"no training photo in .*list.yaml that is"):
        platecheck.train(recipe(1), tmp_path / "list.yaml", tmp_path / "run")
    nothing = recipe(1, "detection.shares={composed: 0, boxes: 0, partly: 0, dishes: 0, empty: 0}")
    with pytest.raises(DataError, match="has no photos of a kind that the recipe draws"):
        platecheck.train(nothing, photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("network.name=tiny_vgg", "can detect dishes"),
        ("input.size=100", r"\.yaml: with detection, input.size must be a multiple of 32"),
        ("input.normalize=training_photos", "normalize"),
        ("label_smoothing=0.1", "no label_smoothing"),
        ("detection.shares={plates: 1}", "shares"),
    ],
)
def test_impossible_recipes_are_refused(change: str, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        recipe(1, change)
