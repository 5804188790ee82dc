"""Labels beside the classes (unsure, not a dish), heatmap and OOD score of exported files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from platecheck.classifier import Classifier
from platecheck.model_info import NO_DISH, UNSURE, ErrorGuarantee, ModelInfo
from tests.conftest import WriteModel
from tests.support.photos import encode
from tests.support.writing import model_info

SIZE, CELL = 16, 4
ODD = 0.8  # darker than a fifth of white is no dish, to the tiny model


def photo_of(level: int) -> bytes:
    return encode(Image.new("RGB", (20, 30), (level,) * 3), "PNG")


PROMISE = ErrorGuarantee(
    wrong={"clean": 0.01, "dirty": 0.2}, shares={"clean": 0.4, "dirty": 0.6},
    photos=200, answered=0.9,
)  # fmt: skip


class TestLabel:
    @pytest.mark.parametrize(
        ("thresholds", "row", "label"),
        [
            ({"clean": 0.9, "dirty": 0.6}, [0.9, 0.1], "clean"),
            ({"clean": 0.9, "dirty": 0.6}, [0.89, 0.11], UNSURE),
            ({"clean": 0.9, "dirty": 0.6}, [0.39, 0.61], "dirty"),
            ({"clean": 0.9, "dirty": 0.6}, [0.41, 0.59], UNSURE),
            ({}, [0.501, 0.499], "clean"),
            ({"clean": 0.9}, [0.499, 0.501], "dirty"),
            ({"clean": 0.9}, [0.6, 0.4], UNSURE),
            ({"clean": 1.1}, [1.0, 0.0], UNSURE),
            ({"a": 0.5, "b": 0.7, "c": 0.0}, [0.6, 0.3, 0.1], "a"),
            ({"a": 0.5, "b": 0.7, "c": 0.0}, [0.4, 0.3, 0.3], UNSURE),
            ({"a": 0.5, "b": 0.7, "c": 0.0}, [0.2, 0.65, 0.15], UNSURE),
            ({"a": 0.5, "b": 0.7, "c": 0.0}, [0.3, 0.3, 0.4], "c"),
        ],
    )
    def test_label_needs_the_threshold_of_the_most_probable_class(
        self, thresholds: dict[str, float], row: list[float], label: str
    ) -> None:
        classes = ("clean", "dirty") if len(row) == 2 else ("a", "b", "c")
        assert model_info(classes=classes, thresholds=thresholds).label(np.array(row)) == label

    @given(
        row=st.tuples(st.floats(0, 1, width=32), st.floats(0, 1, width=32)),
        least=st.floats(0, 1.2),
        oddness=st.none() | st.floats(0, 5),
        limit=st.none() | st.floats(0, 5),
    )
    def test_label_of_ood_photo_is_not_a_dish(
        self, row: tuple[float, float], least: float, oddness: float | None, limit: float | None
    ) -> None:
        told = model_info(thresholds={"clean": least, "dirty": least}, oddness_limit=limit)
        label = told.label(np.array(row), oddness)
        if oddness is not None and limit is not None and oddness > limit:
            assert label == NO_DISH
        elif max(row) >= least:
            assert label == told.classes[int(row[1] > row[0])]
        else:
            assert label == UNSURE

    def test_float32_threshold_survives_json(self) -> None:
        row = np.float32([0.7000001, 0.2999999])
        stored = model_info(thresholds={"clean": float(row[0])}).model_dump_json()
        loaded = ModelInfo.model_validate_json(stored)
        assert loaded.label(row) == "clean"
        assert loaded.label(np.nextafter(row, np.float32(0))) == UNSURE


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Classifier:
    """Of a file with probabilities alone."""
    return Classifier.load(write_model(tmp_path_factory.mktemp("plain") / "m.onnx", size=SIZE))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Classifier:
    """Of a file that says everything."""
    path = tmp_path_factory.mktemp("full") / "m.onnx"
    says = {"thresholds": {"clean": 0.9, "dirty": 0.8}, "promise": PROMISE, "oddness_limit": ODD}
    return Classifier.load(write_model(path, size=SIZE, evidence=CELL, oddness=True, **says))


class TestFileWithoutThem:
    def test_predictions_have_no_heatmap_or_score(self, plain: Classifier) -> None:
        assert not plain.has_heatmap
        assert plain.info.error_guarantee is None
        assert plain.info.ood_threshold is None
        pixels = np.full((3, SIZE, SIZE, 3), 90, np.uint8)
        answers = plain.outputs(pixels)
        assert answers.heatmap is None
        assert answers.ood_score is None
        np.testing.assert_array_equal(answers.probabilities, plain.probabilities(pixels))
        for prediction in (plain.predict(photo_of(120)), *plain.predict_many([photo_of(120)])):
            assert prediction.label == "clean"
            assert prediction.heatmap is None

    def test_thresholds_need_no_other_outputs(
        self, tmp_path: Path, write_model: WriteModel
    ) -> None:
        path = write_model(tmp_path / "m.onnx", thresholds={"clean": 0.9, "dirty": 0.9})
        classifier = Classifier.load(path)
        assert [classifier.predict(photo_of(level)).label for level in (0, 100, 140, 255)] == [
            "clean", UNSURE, UNSURE, "dirty",
        ]  # fmt: skip

    @pytest.mark.parametrize("options", [{"oddness_limit": 0.0}, {"oddness": True}])
    def test_ood_needs_both_score_and_threshold(
        self, options: dict[str, Any], tmp_path: Path, write_model: WriteModel
    ) -> None:
        classifier = Classifier.load(write_model(tmp_path / "m.onnx", **options))
        assert classifier.predict(photo_of(0)).label == "clean"


class TestFileWithAll:
    def test_outputs_agree_with_probabilities(self, full: Classifier) -> None:
        rng = np.random.default_rng(0)
        pixels = rng.integers(0, 256, (5, SIZE, SIZE, 3), np.uint8)
        answers = full.outputs(pixels)
        np.testing.assert_allclose(answers.probabilities, full.probabilities(pixels), atol=1e-6)
        assert answers.heatmap is not None
        assert answers.ood_score is not None
        assert answers.heatmap.shape == (5, SIZE // CELL, SIZE // CELL)
        assert answers.heatmap.dtype == answers.ood_score.dtype == np.float32
        cells = pixels.reshape(5, SIZE // CELL, CELL, SIZE // CELL, CELL, 3) / 255
        np.testing.assert_allclose(answers.heatmap, cells.mean(axis=(2, 4, 5)), atol=1e-5)
        np.testing.assert_allclose(
            answers.ood_score, 1 - pixels.mean(axis=(1, 2, 3)) / 255, atol=1e-5
        )

    @pytest.mark.parametrize(
        ("level", "label"),
        [(0, NO_DISH), (40, NO_DISH), (54, "clean"), (110, UNSURE), (140, UNSURE), (180, "dirty")],
    )
    def test_predict_and_predict_many_agree(self, full: Classifier, level: int, label: str) -> None:
        photo = photo_of(level)
        for prediction in (full.predict(photo), *full.predict_many([photo])):
            assert prediction.label == label
            # The probabilities are told all the same.
            assert prediction.probabilities is not None
            assert sum(prediction.probabilities.values()) == pytest.approx(1)
            assert prediction.probability == max(prediction.probabilities.values())
            assert prediction.heatmap is not None
            np.testing.assert_allclose(prediction.heatmap, level / 255, atol=1e-5)

    def test_each_photo_of_a_batch_has_its_own_heatmap(self, full: Classifier) -> None:
        levels = [60, 200, 10, 255, 128, 90, 30, 220, 70, 180]
        photos: list[Any] = [photo_of(level) for level in levels]
        photos.insert(4, b"no photo")
        for batch_size in (1, 3, 8):
            found = list(full.predict_many(photos, batch_size=batch_size))
            assert found[4].error is not None
            assert found[4].heatmap is None
            assert found[4].label == ""
            means = [p.heatmap.mean() * 255 for p in found if p.heatmap is not None]
            assert means == pytest.approx(levels, abs=0.01)

    def test_heatmap_starts_in_the_upper_left(self, full: Classifier) -> None:
        pixels = np.zeros((40, 80, 3), np.uint8)
        pixels[:20, :40] = 255
        evidence = full.predict(encode(pixels, "PNG")).heatmap
        assert evidence is not None
        assert evidence[:2, :2].min() > 0.85
        assert evidence[2:].max() < 0.15
        assert evidence[:, 2:].max() < 0.15

    def test_dict_has_the_label_but_not_the_heatmap(self, full: Classifier) -> None:
        told = full.predict(photo_of(120)).as_dict()
        assert list(told)[:4] == ["photo", "label", "probability", "probabilities"]
        assert set(told) - set(list(told)[:4]) == {"top_class", "needed", "oddness", "quality"}
        assert told["label"] == UNSURE
        assert told["top_class"] in full.classes

    def test_info_is_read_back_and_keeps_its_json_keys(self, full: Classifier) -> None:
        assert full.info.error_guarantee == PROMISE
        assert full.info.ood_threshold == ODD
        stored = json.loads(full.info.model_dump_json())
        assert stored["oddness_limit"] == ODD
        assert {"promise", "division"} < stored.keys()
        assert not {"error_guarantee", "ood_threshold", "split_info"} & stored.keys()

    def test_predictions_compare_without_their_heatmaps(self, full: Classifier) -> None:
        assert full.predict(photo_of(100)) == full.predict(photo_of(100))
        assert full.predict(photo_of(100)) != full.predict(photo_of(200))


def test_deprecated_attribute_warns_and_returns_the_renamed_one(full: Classifier) -> None:
    prediction = full.predict(photo_of(90))
    renamed = {"needed": "threshold", "oddness": "ood_score", "evidence": "heatmap"}
    for old, new in renamed.items():
        with pytest.warns(DeprecationWarning, match=f"Prediction.{old} is now {new}"):
            assert getattr(prediction, old) is getattr(prediction, new)
    with pytest.warns(DeprecationWarning, match="gives_evidence is now has_heatmap"):
        assert full.gives_evidence
    with pytest.warns(DeprecationWarning, match="answers is now outputs"):
        assert full.answers(np.zeros((1, SIZE, SIZE, 3), np.uint8)).heatmap is not None
