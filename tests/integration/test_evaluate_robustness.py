import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from training_fixtures import Cli

from platecheck.evaluation.robustness import CHANGES, ON_DISH

pytest_plugins = ["training_fixtures.fixtures"]

WriteModel = Callable[..., Path]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Dishes of one brightness each: the model takes brighter photos for dirty."""
    for label, levels in (("clean", (80, 90, 100)), ("dirty", (170, 180, 190, 200))):
        folder = tmp_path / "photos" / label
        folder.mkdir(parents=True)
        for level in levels:
            rng = np.random.default_rng(level)
            table = rng.normal(level, 5, (300, 300, 3))
            rows, columns = np.mgrid[:300, :300] - 150
            dish = (rows**2 + columns**2 < 100**2)[..., None]
            pixels = np.where(dish, level + (30 if label == "dirty" else -30), table)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{level}.png")
    return tmp_path / "photos"


def robustness(cli: Cli, *arguments: object) -> dict[str, dict[str, dict[str, float]]]:
    answer = cli("evaluate", *arguments, "--robustness", "--json")
    assert answer.code == 0, answer.err
    return {row.pop("change"): row for row in json.loads(answer.out)["robustness"]}


def test_changes_that_mislead_a_model_are_counted(
    cli: Cli, photos: Path, tmp_path: Path, write_model: WriteModel
) -> None:
    """What is dark looks clean to this model, and what is bright dirty."""
    model = write_model(tmp_path / "model.onnx", thresholds={"clean": 0.5, "dirty": 0.9})
    found = robustness(cli, model, "--data", photos)
    assert list(found) == list(CHANGES)
    counts = {
        change: [row[key]["count"] for key in ("correct", "dangerous", "undecided")]
        for change, row in found.items()
    }
    assert counts["none"][:2] == [7, 0]
    assert counts["dark"] == [3, 4, 0]
    assert counts["bright"][:2] == [4, 0]
    assert counts["blurred"][:2] == counts["noisy"][:2] == counts["rotated"][:2] == [7, 0]
    assert found["dark"]["dangerous"]["of"] == 4
    assert found["dark"]["correct"]["of"] == 7
    assert all(found[change]["correct"]["of"] <= 7 for change in ON_DISH)
    assert found == robustness(cli, model, "--data", photos)


def test_quality_check_makes_photos_that_cannot_be_judged_unsure(
    cli: Cli, photos: Path, tmp_path: Path, write_model: WriteModel
) -> None:
    model = write_model(tmp_path / "model.onnx", quality_check=True)
    found = robustness(cli, model, "--data", photos)
    assert found["dark"]["dangerous"]["count"] == 0
    assert found["dark"]["undecided"]["count"] == 7


def test_plot_is_drawn_and_table_printed(
    cli: Cli, photos: Path, tmp_path: Path, write_model: WriteModel
) -> None:
    model, plot = write_model(tmp_path / "model.onnx"), tmp_path / "robustness.svg"
    answer = cli("evaluate", model, "--data", photos, "--robustness", "--plot", plot)
    assert answer.code == 0, answer.err
    lines = [line.split() for line in answer.out.splitlines()]
    assert [line[0] for line in lines if line and line[0] in CHANGES] == list(CHANGES)
    drawn = plot.read_text(encoding="utf-8")
    assert "<svg" in drawn
    for name, arguments in (
        ("plot.gif", ["--robustness"]),
        ("plot.png", []),
        ("photos/clean/80.png/plot.png", ["--robustness"]),
    ):
        answer = cli("evaluate", model, "--data", photos, *arguments, "--plot", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        assert len(answer.err.splitlines()) == 1
