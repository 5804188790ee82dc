"""Robust recipes: EMA, one cycle, heatmap, out-of-distribution score, error guarantee."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch.optim.lr_scheduler import OneCycleLR
from training_fixtures import (
    SETTINGS,
    Cli,
    fit,
    same_weights,
    train,
    without_seconds,
)

from platecheck.classifier import Classifier
from platecheck.export import onnx as exporting
from platecheck.export import thresholds as choosing
from platecheck.export.calibration import calibration_views, fit_calibration
from platecheck.export.onnx import ExportReport, export
from platecheck.export.ood import MahalanobisOOD
from platecheck.export.thresholds import choose_thresholds, worst_view
from platecheck.model_info import NO_DISH, UNSURE
from platecheck.training.callbacks import Callback
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor
from platecheck.training.train import build_run

pytest_plugins = ["training_fixtures.fixtures"]
pytestmark = pytest.mark.usefixtures("one_cache", "kept_cache")

EPOCHS, BATCH, SIZE = 3, 8, 64
STEPS = 4  # of an epoch: 28 photos and 2 rendered dishes, in batches of 8
ROBUST = (
    "augmentation.robust={backgrounds: 0.7, backgrounds_ramp: 0.4, patterns: 0.3,"
    " dirt: 0.3, rendered: 2, pairs: 4}"
)


def tiny(*changes: str, epochs: int = EPOCHS) -> Recipe:
    """Everything of the shipped recipe, on little."""
    small = (
        f"input.size={SIZE}", f"batch_size={BATCH}", "network.head=16", "optimizer.lr=0.003",
        "ema_decay=0.8", "teacher=null", ROBUST,
    )  # fmt: skip
    return load_recipe("tiny_vgg_plate", [*small, *changes, f"epochs={epochs}"])


@pytest.fixture(scope="module")
def unbroken(one_cache: None, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(tiny(), rendered, tmp_path_factory.mktemp("tiny") / "run")


def test_ema_is_what_is_saved(unbroken: Run) -> None:
    state = torch.load(unbroken.checkpoint, weights_only=True, map_location="cpu")["state_dict"]
    saved = load_file(unbroken.weights(EPOCHS))
    for key, tensor in saved.items():
        assert torch.equal(tensor, state[f"averaged.module.{key}"])
    learning = [key for key in saved if key.endswith("weight")]
    assert not any(torch.equal(saved[key], state[f"network.{key}"]) for key in learning)


def one_cycle(steps: int, rate: float, warm_up: float) -> list[float]:
    """PyTorch's own schedule: the rate before each step."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=rate)
    schedule = OneCycleLR(optimizer, rate, total_steps=steps + 1, pct_start=warm_up)
    found = []
    for _ in range(steps):
        found.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        schedule.step()
    return found


class Rates(Callback):
    """Notes the learning rates of every step."""

    def __init__(self) -> None:
        self.seen: list[list[float]] = []

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        self.seen.append([float(group["lr"]) for group in trainer.optimizers[0].param_groups])


def train_noting_rates(
    recipe: Recipe, data: Path, out: Path, **options: Any
) -> tuple[Run, list[list[float]]]:
    rates = Rates()
    prepared = build_run(recipe, data, out, settings=SETTINGS, **options)
    return fit(prepared, callbacks=[rates]), rates.seen


class StopAt(Callback):
    """Ends the training in the middle of an epoch, as a kill does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_start(self, trainer: Any, _module: Any, _batch: Any, step: int) -> None:
        if trainer.current_epoch + 1 == self.epoch and step == 2:
            raise InterruptedError


class TestOneCycle:
    def test_one_cycle_steps_with_every_batch(self, rendered: Path, tmp_path: Path) -> None:
        run, rates = train_noting_rates(tiny(), rendered, tmp_path / "run")
        wanted = one_cycle(EPOCHS * STEPS, 0.003, run.recipe.schedule.pct_start)
        assert [step for (step,) in rates] == pytest.approx(wanted, rel=1e-6)
        assert max(wanted) == pytest.approx(0.003, rel=0.05)
        assert wanted[-1] < 0.003 / 20
        noted = [row["learning_rate"] for row in run.history]
        assert noted == pytest.approx(wanted[::STEPS], rel=1e-6)

    def test_one_cycle_of_the_head_has_its_own_rate(self, rendered: Path, tmp_path: Path) -> None:
        recipe = tiny("optimizer.head_lr=0.02", epochs=1)
        _, rates = train_noting_rates(recipe, rendered, tmp_path / "run")
        for found, peak in zip(zip(*rates, strict=True), (0.003, 0.02), strict=True):
            wanted = one_cycle(STEPS, peak, recipe.schedule.pct_start)
            assert list(found) == pytest.approx(wanted, rel=1e-6)

    @pytest.mark.parametrize("epoch", [1, 3])
    def test_stopped_run_resumes_with_identical_weights(
        self, epoch: int, unbroken: Run, rendered: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        prepared = build_run(tiny(), rendered, out, settings=SETTINGS)
        with pytest.raises(InterruptedError):
            fit(prepared, callbacks=[StopAt(epoch)])
        assert len(Run.load(out).history) == epoch - 1
        resumed, rates = train_noting_rates(tiny(), rendered, out, resume=True)
        assert len(rates) == (EPOCHS - epoch + 1) * STEPS
        assert same_weights(resumed, unbroken)
        assert without_seconds(resumed.history) == without_seconds(unbroken.history)

    def test_resume_with_more_epochs_lengthens_the_cycle(
        self, unbroken: Run, rendered: Path, tmp_path: Path
    ) -> None:
        """A cycle is over when its epochs are: what comes is that of all epochs together."""
        folder = Path(shutil.copytree(unbroken.folder, tmp_path / "run"))
        longer = EPOCHS + 2
        run, rates = train_noting_rates(tiny(epochs=longer), rendered, folder, resume=True)
        assert len(run.history) == longer
        wanted = one_cycle(longer * STEPS, 0.003, run.recipe.schedule.pct_start)[EPOCHS * STEPS :]
        # The first step still has the rate that the optimiser was saved with.
        assert [step for (step,) in rates][1:] == pytest.approx(wanted[1:], rel=1e-6)


def test_dropout_ramp_raises_dropout(rendered: Path, tmp_path: Path) -> None:
    shares: list[set[float]] = []

    class Dropout(Callback):
        def on_train_batch_start(self, _trainer: Any, module: Any, *_: Any) -> None:
            dropping = [m for m in module.network.backbone.modules() if hasattr(m, "p")]
            shares.append({float(m.p) for m in dropping})

    recipe = tiny("network.dropout=0.4", "network.dropout_ramp=0.5", epochs=4)
    prepared = build_run(recipe, rendered, tmp_path / "run", settings=SETTINGS)
    fit(prepared, callbacks=[Dropout()])
    assert shares[::STEPS] == [{0.0}, {0.2}, {0.4}, {0.4}]


def plate(*changes: str, epochs: int = 2) -> Recipe:
    """The shipped model's recipe on little: no ImageNet weights, two epochs."""
    small = (
        f"input.size={SIZE}", f"batch_size={BATCH}", "network.weights=null", "teacher=null",
        "network.frozen_statistics=false", "ema_decay=0.5", ROBUST,
    )  # fmt: skip
    return load_recipe("plate", [*small, *changes, f"epochs={epochs}"])


@pytest.fixture(scope="module")
def evidence(one_cache: None, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(plate(), rendered, tmp_path_factory.mktemp("plate") / "run")


@pytest.fixture(scope="module")
def exported(evidence: Run, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export(evidence, tmp_path_factory.mktemp("exported") / "m.onnx")


def pixels_of(run: Run) -> NDArray[np.uint8]:
    return np.stack(calibration_views(run, "val")[0])


def asked(path: Path, pixels: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
    """What a file answers, asked without platecheck."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"pixels": pixels}), strict=True))


class TestHeatmap:
    def test_run_has_heatmap_weights_and_ood_statistics(self, evidence: Run) -> None:
        assert all(np.isfinite(list(row.values())).all() for row in evidence.history)
        assert any(key.startswith("evidence.") for key in load_file(evidence.weights(1)))
        assert evidence.ood_statistics.is_file()
        content = json.loads(evidence.calibration.read_text())
        assert content["photos"] == len(pixels_of(evidence)) > 6

    def test_export_outputs_are_the_runs(self, evidence: Run, exported: ExportReport) -> None:
        assert exported.max_difference < exporting.TOLERANCE
        pixels = pixels_of(evidence)
        found = asked(exported.path, pixels)
        assert list(found) == ["probabilities", "evidence", "oddness"]
        model = TorchPredictor(evidence)
        np.testing.assert_allclose(
            found["probabilities"], model.probabilities(pixels), atol=exporting.TOLERANCE
        )
        assert found["evidence"].shape == (len(pixels), SIZE // 8, SIZE // 8)
        assert found["evidence"].min() >= 0
        assert found["evidence"].max() <= 1
        ood = MahalanobisOOD.load(evidence.ood_statistics)
        score = ood.ood_score(model.pooled_features(pixels))
        np.testing.assert_allclose(found["oddness"], score, rtol=1e-3)
        assert (score <= ood.limit * (1 + 1e-5)).all()  # too few to leave one out
        info = Classifier.load(exported.path).info
        assert info.ood_threshold == pytest.approx(ood.limit)
        deciles = info.reference.ood_deciles
        assert len(deciles) == 9
        assert list(deciles) == sorted(deciles)
        assert (info.thresholds, info.error_guarantee) == ({}, None)

    def test_int8_export_has_the_same_outputs(
        self, evidence: Run, exported: ExportReport, tmp_path: Path
    ) -> None:
        small = export(evidence, tmp_path / "int8.onnx", int8=True)
        assert small.bytes < exported.bytes / 2
        pixels = pixels_of(evidence)
        ours, theirs = asked(small.path, pixels), asked(exported.path, pixels)
        assert list(ours) == ["probabilities", "evidence", "oddness"]
        for name, found in ours.items():
            assert found.shape == theirs[name].shape
            assert np.isfinite(found).all()
        assert np.abs(ours["probabilities"] - theirs["probabilities"]).mean() < 0.2
        assert np.abs(ours["evidence"] - theirs["evidence"]).mean() < 0.1
        # What is unlike everything that the ranges were seen on.
        strange = np.random.default_rng(0).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
        strange[0], strange[1] = 0, 255
        classifier = Classifier.load(small.path)
        wanted = Classifier.load(exported.path).outputs(strange).ood_score
        np.testing.assert_allclose(classifier.outputs(strange).ood_score, wanted, rtol=0.3)
        assert classifier.has_heatmap
        assert classifier.info.precision == "int8"

    def test_export_of_another_epoch_is_calibrated_to_it(
        self, evidence: Run, tmp_path: Path
    ) -> None:
        other = 3 - evidence.best_epoch
        classifier = Classifier.load(export(evidence, tmp_path / "m.onnx", epoch=other).path)
        photos = [photo.path for photo in evidence.photos.split("val")]
        answers = list(classifier.predict_many(photos))
        assert [answer.label for answer in answers].count(NO_DISH) < len(photos) / 2
        assert all(answer.heatmap is not None for answer in answers)
        scaling, ood = fit_calibration(
            TorchPredictor(evidence, other), calibration_views(evidence, "val")
        )
        assert classifier.info.temperature == pytest.approx(scaling.temperature)
        assert classifier.info.bias == pytest.approx(scaling.bias) != evidence.scaling.bias
        best = MahalanobisOOD.load(evidence.ood_statistics)
        assert ood is not None
        assert classifier.info.ood_threshold == pytest.approx(ood.limit, rel=1e-3) != best.limit


class TestErrorGuarantee:
    def test_thresholds_are_chosen_on_the_files_predictions(
        self, evidence: Run, cli: Cli, tmp_path: Path
    ) -> None:
        path = tmp_path / "m.onnx"
        limits = ("--max-missed-dirty", "0.45", "--max-false-alarm", "0.8")
        answer = cli("export", evidence.folder, "--out", path, *limits)
        assert answer.code == 0, answer.err
        classifier = Classifier.load(path)
        pixels, labels, owners = calibration_views(evidence, "val")
        worst = worst_view(classifier.probabilities(np.stack(pixels)), labels, owners)
        assert len(worst[1]) == len(evidence.photos.split("val")) < len(labels)
        rates = {"clean": 0.45, "dirty": 0.8}
        wanted, promise = choose_thresholds(*worst, tuple(rates), rates)
        assert classifier.info.thresholds == pytest.approx(wanted, abs=1e-6)
        assert classifier.info.error_guarantee == promise
        # As people meet it: what is called clean or dirty is above its threshold.
        for prediction in classifier.predict_many(p.path for p in evidence.photos.split("val")):
            if prediction.label in wanted:
                assert prediction.probability >= wanted[prediction.label] - 1e-6
            else:
                assert prediction.label in (UNSURE, NO_DISH)
        assert set(classifier.info.metrics) == {"val", "test"}
        assert "else unsure" in cli("model", path).out

    @pytest.mark.parametrize("int8", [False, True])
    def test_impossible_guarantee_labels_everything_unsure(
        self, int8: bool, unbroken: Run, cli: Cli, rendered: Path, tmp_path: Path
    ) -> None:
        path = tmp_path / "m.onnx"
        limits = ["--max-missed-dirty", "0.001", "--cost", "1", *(["--int8"] if int8 else [])]
        answer = cli("export", unbroken.folder, "--out", path, *limits)
        assert answer.code == 0, answer.err
        assert "never predicted: clean, dirty" in answer.err
        info = Classifier.load(path).info
        assert info.thresholds == dict.fromkeys(("clean", "dirty"), choosing.NEVER)
        assert info.error_guarantee.answered == 0
        told = cli("predict", rendered / "test", "--model", path, "--csv").out.splitlines()
        labels = [row["label"] for row in csv.DictReader(told)]
        assert labels == [UNSURE] * 6
        assert cli("model", path).out.count("never: too few validation photos") == 2

    def test_export_without_heatmap_has_one_output(self, unbroken: Run, tmp_path: Path) -> None:
        path = export(unbroken, tmp_path / "m.onnx").path
        assert list(asked(path, pixels_of(unbroken))) == ["probabilities"]
        assert not unbroken.ood_statistics.exists()

    def test_invalid_guarantee_writes_nothing(
        self, unbroken: Run, cli: Cli, tmp_path: Path
    ) -> None:
        answer = cli("export", unbroken.folder, "--out", tmp_path / "m.onnx", "--cost", "5")
        assert answer.code == 2
        assert "--cost needs one of" in answer.err
        assert answer.err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []
