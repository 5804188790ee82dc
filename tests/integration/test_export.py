import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy.special import softmax
from training_fixtures import Cli, gentle, train, validation

from platecheck.classifier import Classifier
from platecheck.errors import ModelError
from platecheck.evaluation.evaluate import evaluate
from platecheck.export import onnx as exporting
from platecheck.export.calibration import BATCH, calibration_views, fit_calibration
from platecheck.export.onnx import ExportReport, export
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor

pytest_plugins = ["training_fixtures.fixtures"]


def run_file(path: Path, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the file answers, asked without platecheck."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: pixels})
    return found


@pytest.fixture(scope="module")
def report(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export(trained, tmp_path_factory.mktemp("export") / "model.onnx")


class TestFloat32:
    def test_export_probabilities_are_the_runs(self, report: ExportReport, trained: Run) -> None:
        pixels, _ = validation(trained)
        found = run_file(report.path, pixels)
        model = TorchPredictor(trained)
        assert abs(trained.scaling.temperature - 1) > 0.05, "this run shows nothing"
        wanted = softmax(model.logits(pixels).astype(float) / trained.scaling.temperature, axis=1)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        np.testing.assert_allclose(found, model.probabilities(pixels), atol=1e-4)

    def test_report_has_the_measured_values(self, report: ExportReport, trained: Run) -> None:
        pixels, _ = validation(trained)
        theirs = TorchPredictor(trained).probabilities(pixels)
        difference = np.abs(run_file(report.path, pixels) - theirs).max()
        assert report.epoch == trained.best_epoch
        assert report.photos == len(pixels) == 24
        assert report.changed == 0
        assert report.bytes == report.path.stat().st_size
        assert report.max_difference == pytest.approx(difference, abs=1e-6)

    def test_file_takes_any_number_of_uint8_photos(
        self, report: ExportReport, trained: Run
    ) -> None:
        session = onnxruntime.InferenceSession(report.path)
        (taken,), (given,) = session.get_inputs(), session.get_outputs()
        assert taken.type == "tensor(uint8)"
        assert isinstance(taken.shape[0], str)
        assert taken.shape[1:] == [32, 32, 3]
        assert (given.name, given.type, given.shape[1:]) == ("probabilities", "tensor(float)", [2])
        pixels, _ = validation(trained)
        together = run_file(report.path, pixels)
        for count in (1, 3, 24):
            some = run_file(report.path, pixels[:count])
            np.testing.assert_allclose(some, together[:count], atol=1e-6)

    def test_metadata_are_complete(self, report: ExportReport, trained: Run) -> None:
        exported = Classifier.load(report.path)
        info = exported.info
        paths = [photo.path for photo in trained.photos.split("val")]
        answers = Counter(answer.label for answer in exported.predict_many(paths))
        assert info.model_dump() == {
            "format": 1,
            "platecheck": trained.facts.platecheck,
            "recipe": "tiny_vgg",
            "network": "tiny_vgg",
            "classes": ("clean", "dirty"),
            "size": 32,
            "precision": "float32",
            "temperature": trained.scaling.temperature,
            "bias": (0.0,),
            "thresholds": {},
            "promise": None,
            "oddness_limit": None,
            "quality_check": True,
            "reference": {"answers": answers, "oddness_deciles": ()},
            "epoch": trained.best_epoch,
            "seed": 0,
            "data_fingerprint": trained.facts.fingerprint,
            "division": trained.facts.split_info.model_dump(),
            "metrics": info.metrics,
        }

    def test_export_of_another_epoch_has_its_weights(self, trained: Run, tmp_path: Path) -> None:
        other = 1 if trained.best_epoch != 1 else 2
        found = export(trained, tmp_path / "other.onnx", epoch=other)
        assert found.epoch == Classifier.load(found.path).info.epoch == other
        pixels, _ = validation(trained)
        probabilities = run_file(found.path, pixels)
        model = TorchPredictor(trained, other)
        model.scaling, _ = fit_calibration(model, calibration_views(trained, "val"))
        theirs = model.probabilities(pixels)
        best = TorchPredictor(trained).probabilities(pixels)
        np.testing.assert_allclose(probabilities, theirs, atol=1e-4)
        assert np.abs(probabilities - best).max() > 1e-2

    def test_export_of_a_frozen_run_has_its_backbone(self, dishes: Path, tmp_path: Path) -> None:
        recipe = gentle("network.frozen=true", "augmentation={horizontal_flip: true}", epochs=1)
        run = train(recipe, dishes, tmp_path / "run")
        pixels, _ = validation(run)
        found = run_file(export(run, tmp_path / "frozen.onnx").path, pixels)
        np.testing.assert_allclose(found, TorchPredictor(run).probabilities(pixels), atol=1e-4)


@pytest.fixture(scope="module")
def int8(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> ExportReport:
    return export(trained, tmp_path_factory.mktemp("int8") / "model.onnx", int8=True)


class TestInt8:
    def test_int8_quantizes_all_but_first_and_last_layer(
        self, int8: ExportReport, report: ExportReport, trained: Run
    ) -> None:
        graph = onnx.load(int8.path).graph
        kinds = [node.op_type for node in graph.node]
        assert kinds.count("QuantizeLinear") > 6
        made_by = {output: node for node in graph.node for output in node.output}
        weights = [
            made_by[node.input[1]].op_type if node.input[1] in made_by else "float"
            for node in graph.node
            if node.op_type in ("Conv", "Gemm")
        ]
        assert weights == ["float"] + ["DequantizeLinear"] * 6 + ["float"]
        assert int8.bytes < report.bytes / 2
        info = Classifier.load(int8.path).info
        assert (info.precision, info.epoch) == ("int8", trained.best_epoch)

    def test_int8_report_counts_changed_predictions(
        self, int8: ExportReport, trained: Run, tmp_path: Path
    ) -> None:
        """The last bias, which is not quantised, is moved until run and file disagree."""

        def log_odds(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
            return np.diff(np.log(probabilities.astype(float)), axis=1)[:, 0]

        pixels, _ = validation(trained)
        ours = log_odds(TorchPredictor(trained).probabilities(pixels))
        theirs = log_odds(run_file(int8.path, pixels))
        photo = np.abs(ours - theirs)[:BATCH].argmax()  # not in the last batch alone
        between = (ours[photo] + theirs[photo]) / 2 * trained.scaling.temperature
        run = Run.load(Path(shutil.copytree(trained.folder, tmp_path / "run")))
        state = load_file(run.weights(run.best_epoch))
        state["head.3.bias"] += torch.tensor([between, 0.0], dtype=torch.float32)
        save_file(state, run.weights(run.best_epoch))

        report = export(run, tmp_path / "int8.onnx", int8=True)
        answers = TorchPredictor(run).probabilities(pixels).argmax(axis=1)
        changed = sum(answers != run_file(report.path, pixels).argmax(axis=1))
        assert report.changed == changed > 0


class TestErrors:
    @pytest.mark.parametrize("interrupted", [False, True])
    def test_failed_check_or_ctrl_c_keeps_an_old_file(
        self, interrupted: bool, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupt(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        error, said = (KeyboardInterrupt, None) if interrupted else (ModelError, "differ by")
        if interrupted:
            monkeypatch.setattr(exporting, "evaluate", interrupt)
        else:
            monkeypatch.setattr(exporting, "TOLERANCE", -1.0)
        out = tmp_path / "model.onnx"
        with pytest.raises(error, match=said):
            export(trained, out)
        assert list(tmp_path.iterdir()) == []
        out.write_bytes(b"the old one")
        with pytest.raises(error, match=said):
            export(trained, out)
        assert list(tmp_path.iterdir()) == [out]
        assert out.read_bytes() == b"the old one"

    def test_epoch_not_trained_is_an_error(self, trained: Run, tmp_path: Path) -> None:
        with pytest.raises(ModelError, match="has no weights of epoch 6"):
            export(trained, tmp_path / "model.onnx", epoch=6)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (lambda photo: photo.unlink(), "is gone"),
            (lambda photo: photo.write_bytes(photo.read_bytes() + b"x"), "has changed"),
        ],
    )
    def test_missing_or_changed_photo_is_an_error(
        self, change: Callable[[Path], object], said: str, cli: Cli, trained: Run, tmp_path: Path
    ) -> None:
        data = Path(shutil.copytree(trained.facts.data, tmp_path / "data"))
        photo = data / trained.photos.split("val")[3].name
        change(photo)
        out = tmp_path / "model.onnx"
        answer = cli("export", trained.folder, "--data", data, "--out", out)
        assert answer.code == 2
        assert str(photo) in answer.err
        assert said in answer.err
        assert not out.exists()


@pytest.mark.parametrize("int8", [False, True])
def test_export_command_stores_the_files_metrics(
    int8: bool, cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    answer = cli("export", trained.folder, "--out", path, *(["--int8"] if int8 else []))
    assert answer.code == 0, answer.err
    kind = "int8" if int8 else "float32"
    assert f"{kind}, {path.stat().st_size / 1e6:.2f} MB, epoch {trained.best_epoch}" in answer.out
    assert "checked on 24 validation photos" in answer.out
    classifier = Classifier.load(path)
    assert set(classifier.info.metrics) == {"val", "test"}
    for split, figures in classifier.info.metrics.items():
        division = trained.facts.split_info
        result = evaluate(classifier, dishes, split=split, split_info=division).result
        wanted = result.model_dump(mode="json")
        assert figures == {name: wanted[name] for name in figures}
        assert set(figures) >= {"photos", "correct", "accuracy", "accuracy_ci95", "f1", "ece"}
        assert figures["photos"] == 24
    shown = cli("model", path)
    for text in (
        kind,
        f"epoch {trained.best_epoch}",
        f"{trained.scaling.temperature:.4f}",
        "32×32",
    ):
        assert text in shown.out
