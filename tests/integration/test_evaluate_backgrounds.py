import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from training_fixtures import Cli

from platecheck.data.render import write_dataset
from platecheck.errors import how_to_install
from platecheck.training.run import Run

pytest_plugins = ["training_fixtures.fixtures"]

WriteModel = Callable[..., Path]

METRICS = [
    "split", "seed", "original", "original_same_dishes", "mixed_same", "mixed_rand", "mixed_next",
    "bg_gap", "next_gap", "only_bg", "worst_group", "worst_table", "ece_original_and_mixed_rand",
    "left_out",
]  # fmt: skip


@pytest.fixture(autouse=True)
def one_cache(environment: None, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut-outs are kept by content, so these tests may share them."""
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / "exchange"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rendered dishes whose tables tell the class."""
    folder = tmp_path_factory.mktemp("tables") / "set"
    splits = {"val": 1.0}
    write_dataset(folder, photos=24, size=96, seed=1, confound=1.0, splits=splits, workers=1)
    return folder


@pytest.fixture
def model(tmp_path: Path, write_model: WriteModel) -> Path:
    return write_model(tmp_path / "model.onnx", size=96)


def test_json_has_the_documented_keys(cli: Cli, model: Path, photos: Path) -> None:
    plain = cli("evaluate", model, "--data", photos, "--json")
    answer = cli("evaluate", model, "--data", photos, "--backgrounds", "--json")
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    metrics = found.pop("tables")
    assert found == json.loads(plain.out)
    assert list(metrics) == METRICS
    keys = ["photos", "correct", "accuracy", "accuracy_ci95"]
    added = {"only_bg": ["majority_rate"], "worst_table": ["tables"]}
    for name in ("original", "original_same_dishes", "mixed_same", *added):
        assert list(metrics[name]) == keys + added.get(name, [])
    for group in metrics["worst_group"]["groups"]:
        assert list(group) == [*keys, "label", "kind"]
    assert metrics["original"]["photos"] == 24
    dishes = metrics["original_same_dishes"]["photos"]
    assert dishes == 24 - metrics["left_out"]["dishes"] >= 20
    assert metrics["mixed_same"]["photos"] == metrics["worst_table"]["photos"] == dishes
    gap = metrics["mixed_same"]["accuracy"] - metrics["mixed_rand"]["accuracy"]
    assert metrics["bg_gap"]["gap"] == pytest.approx(gap)


def test_json_depends_on_the_seed_and_tables_is_a_deprecated_alias(
    cli: Cli, model: Path, photos: Path
) -> None:
    asked = ("evaluate", model, "--data", photos, "--json")
    new = cli(*asked, "--backgrounds", "--seed", 1)
    other = json.loads(new.out)["tables"]
    default = json.loads(cli(*asked, "--backgrounds").out)["tables"]
    assert (default.pop("seed"), other.pop("seed")) == (0, 1)
    assert default != other
    old = cli(*asked, "--tables", "--seed", 1)
    assert (old.code, old.out) == (0, new.out)
    assert "--tables is now --backgrounds" in old.err
    assert "--tables" not in cli("evaluate", "--help").out


def test_text_has_the_same_metrics_as_json(cli: Cli, model: Path, photos: Path) -> None:
    command = ("evaluate", model, "--data", photos, "--backgrounds")
    metrics = json.loads(cli(*command, "--json").out)["tables"]
    answer = cli(*command)
    assert answer.code == 0, answer.err
    words = " ".join(answer.out.split())
    names = ("Original", "Mixed-Same", "Mixed-Rand", "Mixed-Next", "Only-BG")
    for name in (*names, "worst background"):
        key = {"worst background": "worst_table"}.get(name, name.lower().replace("-", "_"))
        accuracy = metrics[key]
        low, high = (100 * end for end in accuracy["accuracy_ci95"])
        counts = f"{accuracy['correct']}/{accuracy['photos']}"
        assert f"{name} {counts} {accuracy['accuracy']:.1%} {low:.1f}–{high:.1f}%" in words
    assert f"BG-Gap {100 * metrics['bg_gap']['gap']:+.1f} points" in words
    assert f"Left out: {metrics['left_out']['dishes']} of 24 dishes" in words
    assert "On the other class's backgrounds it" in words


def test_without_opencv_names_the_extra(
    cli: Cli, model: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needing = (
        ".backgrounds", ".background_evaluation", ".background_swap", ".segmentation", ".composite",
    )  # fmt: skip
    for name in [name for name in sys.modules if name.startswith("platecheck.")]:
        if name.endswith(needing):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cv2", None)
    answer = cli("evaluate", model, "--data", photos, "--backgrounds")
    assert answer.code == 2
    assert f"needs more packages: {how_to_install('data')}" in answer.err


def test_report_with_backgrounds(cli: Cli, trained: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    answer = cli("report", trained.folder, "--backgrounds", "--seed", 3, "--out", page)
    assert answer.code == 0, answer.err
    text = page.read_text()
    for fact in ("Other backgrounds", "Mixed-Next", "drawn with seed 3", "--backgrounds --seed 3"):
        assert fact in text
    assert 'alt="Only-BG"' in text or "Most affected dishes" not in text
    assert cli("report", trained.folder, "--out", page).code == 0
    assert "Other backgrounds" not in page.read_text()
