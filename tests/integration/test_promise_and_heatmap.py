from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from platecheck.cli import app
from platecheck.cli.model import _error_rates
from platecheck.errors import DataError, ModelError, PlatecheckError
from platecheck.heatmap import COLOR
from platecheck.model_info import ErrorGuarantee

WriteModel = Callable[..., Path]
BOTH = ("clean", "dirty")


def run(*arguments: str | Path, **options: Any) -> Any:
    """Run a command in this process; an error that `main` would print is raised."""
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], **options)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


class TestErrorRates:
    @pytest.mark.parametrize(
        ("missed", "alarm", "cost", "wrong"),
        [
            (0.01, None, None, {"clean": 0.01, "dirty": 1.0}),
            (None, 0.05, None, {"clean": 1.0, "dirty": 0.05}),
            (0.01, 0.05, None, {"clean": 0.01, "dirty": 0.05}),
            (0.01, None, 5.0, {"clean": 0.01, "dirty": 0.05}),
            (None, 0.05, 5.0, {"clean": 0.01, "dirty": 0.05}),
            (None, 0.5, 0.1, {"clean": 1.0, "dirty": 0.5}),
        ],
    )
    @pytest.mark.parametrize("classes", [BOTH, BOTH[::-1]])
    def test_error_rates_of_options(
        self,
        classes: tuple[str, str],
        missed: float | None,
        alarm: float | None,
        cost: float | None,
        wrong: dict[str, float],
    ) -> None:
        assert _error_rates(classes, missed, alarm, cost) == pytest.approx(wrong)

    @pytest.mark.parametrize("classes", [BOTH, ("a", "b", "c")])
    def test_error_rates_without_options_is_none(self, classes: tuple[str, ...]) -> None:
        assert _error_rates(classes, None, None, None) is None

    @pytest.mark.parametrize(("missed", "alarm", "cost"), [(None, None, 5.0), (0.01, 0.05, 5.0)])
    def test_error_rates_cost_alone_or_with_both_is_refused(
        self, missed: float | None, alarm: float | None, cost: float
    ) -> None:
        with pytest.raises(DataError, match="--cost needs one of --max-missed-dirty and"):
            _error_rates(BOTH, missed, alarm, cost)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ((0.0, None, None), "--max-missed-dirty"),
            ((None, 0.0, None), "--max-false-alarm"),
            ((0.01, None, 0.0), "--cost"),
            ((0.01, None, float("inf")), "--cost"),
        ],
    )
    def test_error_rates_out_of_range_are_refused(
        self, options: tuple[float | None, float | None, float | None], named: str
    ) -> None:
        with pytest.raises(DataError, match=named) as caught:
            _error_rates(BOTH, *options)
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("classes", [("clean", "dirty", "greasy"), ("good", "bad")])
    def test_error_rates_for_other_classes_are_refused(self, classes: tuple[str, ...]) -> None:
        with pytest.raises(DataError, match=f"not {', '.join(classes)}"):
            _error_rates(classes, 0.01, None, None)


def test_model_command_prints_the_guarantee(tmp_path: Path, write_model: WriteModel) -> None:
    promise = ErrorGuarantee(
        wrong={"clean": 0.01, "dirty": 0.2}, shares={"clean": 0.5, "dirty": 0.5},
        photos=300, answered=0.876,
    )  # fmt: skip
    path = write_model(
        tmp_path / "m.onnx",
        thresholds={"clean": 1.1, "dirty": 0.713},
        promise=promise,
        oddness_limit=1.234,
    )
    said = run("model", path, env={"COLUMNS": "200"}).output
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
    def test_predict_heatmap_writes_a_picture_per_photo(self, model: Path, tmp_path: Path) -> None:
        first = photo(tmp_path / "a.png")
        second = photo(tmp_path / "b.jpeg", np.s_[30:, 40:])
        out = tmp_path / "new" / "maps"
        plain = run("predict", first, second, "--model", model)
        result = run("predict", first, second, "--model", model, "--heatmap", out)
        assert result.exit_code == 0
        assert result.stdout == plain.stdout  # what it answers is the same
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

    def test_predict_heatmap_numbers_equal_names(self, model: Path, tmp_path: Path) -> None:
        photos = [photo(tmp_path / folder / "plate.png") for folder in "abc"]
        run("predict", *photos, "--model", model, "--heatmap", tmp_path / "out")
        assert names(tmp_path / "out") == ["0001-plate.jpg", "0002-plate.jpg", "0003-plate.jpg"]

    def test_predict_heatmap_skips_stdin_and_unreadable_photos(
        self, model: Path, tmp_path: Path
    ) -> None:
        good = photo(tmp_path / "good.png")
        (tmp_path / "bad.png").write_bytes(b"no photo")
        result = run(
            "predict", "-", tmp_path / "bad.png", good, "--model", model,
            "--heatmap", tmp_path / "out", "--csv", input=good.read_bytes(),
        )  # fmt: skip
        assert result.exit_code == 1  # one could not be read
        assert "<stdin>,clean," in result.stdout
        assert names(tmp_path / "out") == ["0003-good.jpg"]

    def test_predict_heatmap_without_such_an_output_is_refused(
        self, write_model: WriteModel, tmp_path: Path
    ) -> None:
        plain = write_model(tmp_path / "plain.onnx")
        good = photo(tmp_path / "good.png")
        with pytest.raises(ModelError, match="needs a model with a heatmap"):
            run("predict", good, "--model", plain, "--heatmap", tmp_path / "out")
        assert not (tmp_path / "out").exists()
        assert run("predict", good, "--model", plain).exit_code == 0

    def test_heatmaps_are_not_read_as_photos(self, model: Path, tmp_path: Path) -> None:
        photo(tmp_path / "set" / "a.png")
        out = tmp_path / "set" / "maps"
        for _ in range(2):  # the second time, they are there
            result = run("predict", tmp_path / "set", "--model", model, "--heatmap", out)
            assert len(result.stdout.splitlines()) == 1
        assert names(out) == ["0001-a.jpg"]
        result = run("predict", out / "0001-a.jpg", "--model", model)
        assert "platecheck's own output" in result.stderr
        with pytest.raises(PlatecheckError, match="platecheck's output"):
            run("predict", out, "--model", model)

    def test_predict_heatmap_into_a_folder_with_photos_is_refused(
        self, model: Path, tmp_path: Path
    ) -> None:
        good = photo(tmp_path / "set" / "a.png")
        with pytest.raises(PlatecheckError, match="is not empty; choose a new folder"):
            run("predict", good, "--model", model, "--heatmap", tmp_path / "set")
        assert names(tmp_path / "set") == ["a.png"]
