import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from training_fixtures import (
    Cli,
    assert_history_is_of_the_weights,
    cross_entropy,
    gentle,
    options,
    same_weights,
    train,
    validation,
    without_seconds,
)

from platecheck.data.folders import read_photos
from platecheck.data.splits import describe_split, with_validation
from platecheck.data.statistics import channel_statistics
from platecheck.training.feature_cache import FrozenBackbone
from platecheck.training.plate_net import build_network
from platecheck.training.recipe import load_recipe
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor
from platecheck.training.train import build_run

pytest_plugins = ["training_fixtures.fixtures"]


class TestRunFolder:
    def test_run_folder_from_the_command_line_is_complete(
        self, cli: Cli, dishes: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        answer = cli("train", "tiny_vgg", "--data", dishes, "--out", out, *options(epochs=2))
        assert answer.code == 0, answer.err
        assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
            "recipe.yaml",
            "run.json",
            "photos.csv",
            ".platecheck-output",
            "history.csv",
            "curves.png",
            "weights/epoch-001.safetensors",
            "weights/epoch-002.safetensors",
            "calibration.json",
            "last.ckpt",
            "tensorboard/hparams.yaml",
            *(path.relative_to(out).as_posix() for path in out.glob("tensorboard/events.*")),
        }
        with Image.open(out / "curves.png") as curves:
            assert curves.format == "PNG"
            assert min(curves.size) > 300
        run = Run.load(out)
        assert run.facts.command.startswith(f"platecheck train tiny_vgg --data {dishes}")
        for text in ("72 photos (36 clean, 36 dirty)", "24 photos (12 clean, 12 dirty)", str(out)):
            assert text in answer.out
        for row in run.history:
            assert f"validation loss {row['val_loss']:.4f}" in answer.out
        assert f"best epoch {run.best_epoch} of 2" in answer.out

    def test_run_folder_records_recipe_and_facts(self, trained: Run, dishes: Path) -> None:
        assert load_recipe(trained.folder / "recipe.yaml") == gentle()
        photos = read_photos(dishes)
        divided = with_validation(photos, seed=0)
        facts = trained.facts
        assert (facts.seed, facts.data, facts.unreadable) == (0, str(dishes), {})
        assert facts.classes == ("clean", "dirty")
        assert facts.fingerprint == divided.fingerprint()
        assert facts.split_info == describe_split(photos, seed=0)
        assert trained.photos.photos == divided.photos
        assert trained.photos.counts()["val"] == {"clean": 12, "dirty": 12}
        assert facts.versions["torch"] == torch.__version__.split("+")[0]  # without "+cpu"
        assert set(facts.versions) >= {"python", "torchvision", "lightning", "numpy", "pillow"}
        assert facts.settings["precision"] == "32-true"
        assert facts.settings["threads"] == torch.get_num_threads()
        measured = channel_statistics([p.path for p in divided.split("train")], size=32)
        assert facts.normalization.mean == measured.mean
        assert facts.normalization.std == measured.std

    def test_metrics_of_every_epoch_are_those_of_its_weights(self, trained: Run) -> None:
        assert [row["epoch"] for row in trained.history] == [1, 2, 3, 4, 5]
        assert_history_is_of_the_weights(trained)
        losses = [row["val_loss"] for row in trained.history]
        assert trained.best_epoch == 5 - losses[::-1].index(min(losses))
        assert TorchPredictor(trained).epoch == trained.best_epoch

    def test_tensorboard_holds_the_history(self, trained: Run) -> None:
        events = EventAccumulator(str(trained.folder / "tensorboard")).Reload()
        for name in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
            logged = [event.value for event in events.Scalars(name)]
            assert logged == pytest.approx([row[name] for row in trained.history], rel=1e-6)

    def test_temperature_minimizes_the_validation_loss(self, trained: Run) -> None:
        content = json.loads(trained.calibration.read_text())
        assert content["epoch"] == trained.best_epoch
        assert content["photos"] == 24
        pixels, labels = validation(trained)
        logits = TorchPredictor(trained).logits(pixels)

        def loss(temperature: float) -> float:
            return cross_entropy(logits / temperature, labels)

        found = trained.scaling.temperature
        assert loss(found) <= min(loss(found * 1.05), loss(found / 1.05), loss(1.0)) + 1e-9


def test_learning_rate_falls_when_validation_loss_does_not(
    standstill: tuple[str, ...], dishes: Path, tmp_path: Path
) -> None:
    run = train(gentle(*standstill, epochs=4), dishes, tmp_path / "run")
    rates = [row["learning_rate"] for row in run.history]
    # The first epoch's loss is the best so far, those after it are no better.
    assert rates == pytest.approx([1e-6, 1e-6, 0.9e-6, 0.81e-6], rel=1e-6)
    constant = gentle(*standstill, "schedule={name: constant}", epochs=3)
    run = train(constant, dishes, tmp_path / "constant")
    assert [row["learning_rate"] for row in run.history] == [1e-6] * 3


class TestReproducibility:
    def test_same_seed_gives_the_same_weights_and_another_does_not(
        self, trained: Run, dishes: Path, tmp_path: Path
    ) -> None:
        again = train(gentle(), dishes, tmp_path / "again")
        assert same_weights(again, trained)
        assert without_seconds(again.history) == without_seconds(trained.history)
        assert again.scaling == trained.scaling
        other = train(gentle(epochs=1), dishes, tmp_path / "other", seed=1)
        first, second = load_file(trained.weights(1)), load_file(other.weights(1))
        assert not any(
            torch.equal(first[key], second[key]) for key in first if key.endswith("weight")
        )
        # Runs with several seeds are evaluated on the same photos.
        assert other.facts.fingerprint == trained.facts.fingerprint

    def test_split_seed_changes_the_split(self, trained: Run, dishes: Path, tmp_path: Path) -> None:
        other = build_run(gentle(), dishes, tmp_path / "run", split_seed=1).run
        assert other.photos.counts() == trained.photos.counts()
        assert other.photos.split("val") != trained.photos.split("val")
        assert other.facts.fingerprint != trained.facts.fingerprint


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_lower_precision_trains(precision: str, frozen: bool, dishes: Path, tmp_path: Path) -> None:
    recipe = gentle(f"network.frozen={frozen}", "calibrate=false", epochs=1)
    run = train(recipe, dishes, tmp_path / "run", precision=precision)
    assert run.facts.settings["precision"] == precision
    assert all(np.isfinite(list(row.values())).all() for row in run.history)
    wanted = torch.float32 if precision == "bf16-mixed" else torch.bfloat16
    state = load_file(run.weights(1))
    assert {tensor.dtype for tensor in state.values() if tensor.is_floating_point()} == {wanted}
    assert all(tensor.isfinite().all() for tensor in state.values())
    pixels = np.zeros((1, 32, 32, 3), np.uint8)
    assert TorchPredictor(run).probabilities(pixels).sum() == pytest.approx(1)


class TestFrozen:
    RECIPE = ("network.frozen=true", "calibrate=false")

    @pytest.mark.parametrize(
        ("augmentation", "versions"),
        [
            ("{}", 1),
            ("{horizontal_flip: true, vertical_flip: true}", 4),
            ("{rotation: 10}", 3),  # random: once per epoch
        ],
    )
    def test_backbone_computes_every_version_once(
        self,
        augmentation: str,
        versions: int,
        dishes: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        computed: list[int] = []
        compute = FrozenBackbone.__call__

        def count(self: FrozenBackbone, photos: torch.Tensor) -> torch.Tensor:
            computed.append(len(photos))
            return compute(self, photos)

        monkeypatch.setattr(FrozenBackbone, "__call__", count)
        recipe = gentle(*self.RECIPE, f"augmentation={augmentation}", epochs=3)
        train(recipe, dishes, tmp_path / "run")
        assert sum(computed) == versions * 72 + 24

    def test_head_is_saved_each_epoch_and_backbone_once(self, dishes: Path, tmp_path: Path) -> None:
        recipe = gentle(*self.RECIPE, "augmentation={horizontal_flip: true}", epochs=2)
        run = train(recipe, dishes, tmp_path / "run")
        names = list(build_network(recipe.network, classes=2, size=32).state_dict())
        backbone = [f"backbone.{name}" for name in load_file(run.frozen_weights)]
        for epoch in (1, 2):
            assert sorted([*load_file(run.weights(epoch)), *backbone]) == sorted(names)
        assert all(name.startswith("head.") for name in load_file(run.weights(2)))
        # What was learned on features is what the whole network answers with.
        pixels, labels = validation(run)
        logits = TorchPredictor(run, 2).logits(pixels)
        assert run.history[1]["val_loss"] == pytest.approx(cross_entropy(logits, labels), abs=1e-4)


@pytest.fixture
def broken(dishes: Path, tmp_path: Path) -> Path:
    """The dishes, one of them cut short."""
    shutil.copytree(dishes, tmp_path / "data")
    os.truncate(tmp_path / "data" / "train" / "clean" / "000.jpg", 200)
    return tmp_path / "data"


def test_exclude_removes_photos_after_the_split(cli: Cli, dishes: Path, tmp_path: Path) -> None:
    gone = ("train/clean/000.jpg", "train/dirty/001.jpg")
    table = tmp_path / "exclude.csv"
    table.write_text("path\n" + "\n".join(gone) + "\n")
    out = tmp_path / "run"
    where = ("--data", dishes, "--out", out, "--exclude", table)
    answer = cli("train", "tiny_vgg", *where, *options(epochs=1))
    assert answer.code == 0, answer.err
    whole, left = with_validation(read_photos(dishes)), Run.load(out).photos
    names = {split: {photo.name for photo in whole.split(split)} for split in whole.splits}
    assert set(gone) < names["train"]
    assert {photo.name for photo in left.split("train")} == names["train"] - set(gone)
    assert {photo.name for photo in left.split("val")} == names["val"]


class TestErrors:
    def test_unreadable_photo_is_skipped_and_recorded(
        self, cli: Cli, broken: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        answer = cli("train", "tiny_vgg", "--data", broken, "--out", out, *options(epochs=1))
        assert answer.code == 0, answer.err
        assert "71 photos (35 clean, 36 dirty)" in answer.out
        assert "1 unreadable photos were skipped" in answer.out
        run = Run.load(out)
        ((victim, reason),) = run.facts.unreadable.items()
        assert victim == str(broken / "train/clean/000.jpg")
        assert reason
        assert "train/clean/000.jpg" not in {photo.name for photo in run.photos.photos}
        assert len(run.photos.split("train")) == 71

    def test_unreadable_photo_with_strict_is_an_error(
        self, cli: Cli, broken: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        answer = cli("train", "tiny_vgg", "--data", broken, "--out", out, "--strict")
        assert answer.code == 2
        assert answer.err.count("\n") == 1
        assert str(broken / "train/clean/000.jpg") in answer.err
        assert "--strict" in answer.err
        assert not out.exists()

    def test_out_not_empty_is_refused_and_unchanged(
        self, cli: Cli, dishes: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        answer = cli("train", "tiny_vgg", "--data", dishes, "--out", tmp_path, *options(epochs=1))
        assert answer.code == 2
        assert "not empty; add --resume or choose another --out" in answer.err
        assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
