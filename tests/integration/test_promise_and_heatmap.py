import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platecheck.cli.model import _error_rates
from platecheck.errors import DataError
from platecheck.heatmap import COLOR
from platecheck.model_info import ErrorGuarantee
from tests.conftest import Cli, WriteModel

BOTH = ("clean", "dirty")


class TestErrorRates:
    @pytest.mark.parametrize(
        ("options", "wrong"),
        [
            ((0.01, None, None), {"clean": 0.01, "dirty": 1.0}),
            ((None, 0.05, None), {"clean": 1.0, "dirty": 0.05}),
            ((0.01, 0.05, None), {"clean": 0.01, "dirty": 0.05}),
            ((0.01, None, 5.0), {"clean": 0.01, "dirty": 0.05}),
            ((None, 0.05, 5.0), {"clean": 0.01, "dirty": 0.05}),
            ((None, 0.5, 0.1), {"clean": 1.0, "dirty": 0.5}),
        ],
    )
    @pytest.mark.parametrize("classes", [BOTH, BOTH[::-1]])
    def test_error_rates_of_options(
        self, classes: tuple[str, str], options: tuple[float | None, ...], wrong: dict[str, float]
    ) -> None:
        assert _error_rates(classes, *options) == pytest.approx(wrong)

    @pytest.mark.parametrize("classes", [BOTH, ("a", "b", "c")])
    def test_error_rates_without_options_is_none(self, classes: tuple[str, ...]) -> None:
        assert _error_rates(classes, None, None, None) is None

    @pytest.mark.parametrize(
        ("classes", "options", "said"),
        [
            (BOTH, (None, None, 5.0), "--cost needs one of --max-missed-dirty and"),
            (BOTH, (0.01, 0.05, 5.0), "--cost needs one of --max-missed-dirty and"),
            (BOTH, (0.0, None, None), "--max-missed-dirty must be a number above 0"),
            (BOTH, (None, 0.0, None), "--max-false-alarm must be a number above 0"),
            (BOTH, (0.01, None, 0.0), "--cost must be a number above 0"),
            (BOTH, (0.01, None, float("inf")), "--cost must be a number above 0"),
            (("clean", "dirty", "greasy"), (0.01, None, None), "not clean, dirty, greasy"),
            (("good", "bad"), (0.01, None, None), "not good, bad"),
        ],
    )
    def test_error_rates_impossible_are_refused(
        self, classes: tuple[str, ...], options: tuple[float | None, ...], said: str
    ) -> None:
        with pytest.raises(DataError, match=said):
            _error_rates(classes, *options)


def test_model_command_prints_the_guarantee(
    cli: Cli, tmp_path: Path, write_model: WriteModel
) -> None:
    guarantee = ErrorGuarantee(
        wrong={"clean": 0.01, "dirty": 0.2}, shares={"clean": 0.5, "dirty": 0.5},
        photos=300, answered=0.876,
    )  # fmt: skip
    thresholds = {"clean": 1.1, "dirty": 0.713}
    path = write_model(
        tmp_path / "m.onnx", thresholds=thresholds, promise=guarantee, oddness_limit=1.234
    )
    said = cli("model", path).out
    lines = {line[:14].strip(): line[14:].strip() for line in said.splitlines()}
    assert lines["predicts clean"].startswith("never")
    assert "at 71.3% or more" in lines["predicts dirty"]
    assert "20.0% are wrong" in lines["predicts dirty"]
    assert lines["else unsure"].startswith("12.4%")
    assert "1.234" in lines["not a dish"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    """The brighter a place, the dirtier."""
    return write_model(tmp_path_factory.mktemp("model") / "m.onnx", evidence=4)


def photo(path: Path, corner: tuple[slice, slice] = np.s_[:30, :40]) -> Path:
    """Dark but for a quarter."""
    pixels = np.full((60, 80, 3), 20, np.uint8)
    pixels[corner] = 250
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "png")
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


class TestHeatmaps:
    def test_predict_heatmap_writes_a_picture_per_photo(
        self, cli: Cli, model: Path, tmp_path: Path
    ) -> None:
        first = photo(tmp_path / "a.png")
        second = photo(tmp_path / "b.jpeg", np.s_[30:, 40:])
        out = tmp_path / "new" / "maps"
        plain = cli("predict", first, second, "--model", model)
        answer = cli("predict", first, second, "--model", model, "--heatmap", out)
        assert answer.code == 0
        assert answer.out == plain.out  # what it answers is the same
        assert names(out) == ["0001-a.jpg", "0002-b.jpg"]
        for name, there in (("0001-a.jpg", np.s_[5:25, 5:35]), ("0002-b.jpg", np.s_[35:55, 45:75])):
            with Image.open(out / name) as opened:
                assert opened.format == "JPEG"
                assert opened.size == (80, 60)
                pixels = np.asarray(opened).astype(int)
            coloured = pixels[..., 0] - pixels[..., 1] > 100
            assert coloured[there].all()
            assert coloured.mean() < 0.4
            assert np.abs(pixels[there].mean(axis=(0, 1)) - COLOR).max() < 100

    def test_predict_heatmap_numbers_equal_names(
        self, cli: Cli, model: Path, tmp_path: Path
    ) -> None:
        photos = [photo(tmp_path / folder / "plate.png") for folder in "abc"]
        cli("predict", *photos, "--model", model, "--heatmap", tmp_path / "out")
        assert names(tmp_path / "out") == ["0001-plate.jpg", "0002-plate.jpg", "0003-plate.jpg"]

    def test_predict_heatmap_skips_stdin_and_unreadable_photos(
        self, cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        good, bad, out = photo(tmp_path / "good.png"), tmp_path / "bad.png", tmp_path / "out"
        bad.write_bytes(b"no photo")
        with good.open() as sent:
            monkeypatch.setattr(sys, "stdin", sent)
            answer = cli("predict", "-", bad, good, "--model", model, "--heatmap", out, "--csv")
        assert answer.code == 1  # one could not be read
        assert "<stdin>,clean," in answer.out
        assert names(out) == ["0003-good.jpg"]

    def test_predict_heatmap_without_such_an_output_is_refused(
        self, cli: Cli, write_model: WriteModel, tmp_path: Path
    ) -> None:
        plain, good = write_model(tmp_path / "plain.onnx"), photo(tmp_path / "good.png")
        answer = cli("predict", good, "--model", plain, "--heatmap", tmp_path / "out")
        assert answer.code == 2
        assert "needs a model with a heatmap" in answer.err
        assert not (tmp_path / "out").exists()

    def test_heatmaps_are_not_read_as_photos(self, cli: Cli, model: Path, tmp_path: Path) -> None:
        photo(tmp_path / "set" / "a.png")
        out = tmp_path / "set" / "maps"
        for _ in range(2):  # the second time, they are there
            answer = cli("predict", tmp_path / "set", "--model", model, "--heatmap", out)
            assert len(answer.out.splitlines()) == 1
        assert names(out) == ["0001-a.jpg"]
        answer = cli("predict", out / "0001-a.jpg", "--model", model)
        assert "platecheck's own output" in answer.err
        answer = cli("predict", out, "--model", model)
        assert answer.code == 2
        assert "platecheck's output" in answer.err

    def test_predict_heatmap_into_a_folder_with_photos_is_refused(
        self, cli: Cli, model: Path, tmp_path: Path
    ) -> None:
        good = photo(tmp_path / "set" / "a.png")
        answer = cli("predict", good, "--model", model, "--heatmap", tmp_path / "set")
        assert answer.code == 2
        assert "is not empty; choose a new folder" in answer.err
        assert names(tmp_path / "set") == ["a.png"]
