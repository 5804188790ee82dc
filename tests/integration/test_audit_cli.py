import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from typer.testing import CliRunner

from platecheck.auditing import shortcuts as shortcuts_module
from platecheck.cli import app
from platecheck.data.exclusions import read_exclusions, without
from platecheck.data.folders import read_photos
from platecheck.errors import MissingExtraError

WritePhotos = Callable[[Path, Mapping[str, int]], Path]


def run(*arguments: str | Path) -> Any:
    """Run the command in this process; an error that `main` would print is raised."""
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture(autouse=True)
def few_trees(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow small forests on rendered dishes: they find the same in a fraction of the time."""
    if "real_photos" not in request.fixturenames:
        monkeypatch.setattr(shortcuts_module, "TREES", 20)


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory, rendered: Path) -> Path:
    """Rendered dishes with one of each mistake."""
    folder = Path(shutil.copytree(rendered, tmp_path_factory.mktemp("audit") / "sick"))
    shutil.copy(folder / "test/clean/0001.jpg", folder / "train/clean/leak.jpg")
    shutil.copy(folder / "train/clean/0002.jpg", folder / "train/dirty/contradiction.jpg")
    torn = (folder / "val/dirty/0001.jpg").read_bytes()[:300]
    (folder / "val/dirty/broken.jpg").write_bytes(torn)
    misnamed = folder / "train/dirty/0003.jpg"
    Image.open(misnamed).convert("RGBA").save(misnamed, "TIFF")
    return folder


@pytest.mark.slow
def test_heic_photos_are_audited(tmp_path: Path, rendered: Path) -> None:
    folder = Path(shutil.copytree(rendered, tmp_path / "dishes"))
    heic = Path(__file__).parents[1] / "unit" / "heif_fixtures" / "orientation6.heic"
    shutil.copy(heic, folder / "train/clean/phone.HEIC")
    shutil.copy(heic, folder / "train/clean/renamed.jpg")
    found = json.loads(run(folder, "--json").stdout)["findings"]
    wrong = [finding for finding in found if finding["kind"] == "wrong_extension"]
    assert [finding["photos"] for finding in wrong] == [["train/clean/renamed.jpg"]]


def test_each_problem_is_found_and_exclusions_fix_them(sick: Path, tmp_path: Path) -> None:
    page, table = tmp_path / "audit.html", tmp_path / "exclusions.csv"
    result = run(sick, "--json", "--report", page, "--write-exclusions", table)
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert list(found) == [
        "folder", "photos", "classes", "counts", "unreadable", "verdict", "severities", "kinds",
        "findings", "shortcuts", "labels", "exclusions",
    ]  # fmt: skip
    named = {finding["kind"]: sorted(finding["photos"]) for finding in found["findings"]}
    assert named["leak"] == ["test/clean/0001.jpg", "train/clean/leak.jpg"]
    assert named["contradiction"] == ["train/clean/0002.jpg", "train/dirty/contradiction.jpg"]
    assert named["unreadable"] == ["val/dirty/broken.jpg"]
    assert named["wrong_extension"] == ["train/dirty/0003.jpg"]
    assert found["severities"]["error"] == 3
    assert sum(found["severities"].values()) == len(found["findings"])
    assert found["unreadable"] == 1
    left_out = {one["path"] for one in found["exclusions"]}
    assert left_out == {"train/clean/leak.jpg", *named["contradiction"], *named["unreadable"]}
    assert left_out == {one.path for one in read_exclusions(table)}
    assert "train/clean/leak.jpg" in page.read_text()

    left = without(read_photos(sick), read_exclusions(table))
    for photo in left.photos:
        place = tmp_path / "sound" / photo.path.relative_to(sick)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(photo.path, place)
    sound = run(tmp_path / "sound", "--fail-on", "error")
    assert sound.exit_code == 0, sound.output


def test_text_lists_findings(sick: Path) -> None:
    result = run(sick, "--fail-on", "never")
    assert result.exit_code == 0
    assert "15     15" in result.stdout
    assert "error leak: 1" in result.stdout
    assert "test/clean/0001.jpg" in result.stdout
    assert "A TIFF file has the extension .jpg" in result.stdout


@pytest.mark.parametrize(
    ("limit", "code"), [("error", 0), ("warning", 1), ("note", 1), ("never", 0)]
)
def test_fail_on_sets_the_exit_code(
    tmp_path: Path, write_photos: WritePhotos, limit: str, code: int
) -> None:
    folder = write_photos(tmp_path / "set", {"train/a": 2, "train/b": 2})
    shutil.copy(folder / "train/a/001.png", folder / "train/a/copy.png")
    assert run(folder, "--fail-on", limit).exit_code == code


@pytest.mark.slow
def test_set_without_splits_is_audited(tmp_path: Path, write_photos: WritePhotos) -> None:
    folder = write_photos(tmp_path / "set", {"empty": 12, "full": 14, "half": 11})
    found = json.loads(run(folder, "--json", "--fail-on", "never").stdout)
    assert found["classes"] == ["empty", "full", "half"]
    assert [one["tested"] for one in found["shortcuts"]] == [None] * len(found["shortcuts"])
    assert not any(one["found"] for one in found["shortcuts"])


def test_two_photos_are_enough(tmp_path: Path, write_photos: WritePhotos) -> None:
    found = json.loads(run(write_photos(tmp_path / "set", {"a": 1, "b": 1}), "--json").stdout)
    assert found["shortcuts"] == []
    assert found["labels"]["accuracy"] is None
    assert found["verdict"].startswith("Too few photos")


def test_without_cleanlab_names_the_extra(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "cleanlab.filter", None)
    for name in [name for name in sys.modules if name.startswith("platecheck.auditing")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingExtraError, match=r"Auditing photos needs .*\[audit\]"):
        run(rendered)


@pytest.mark.real_photos
@pytest.mark.slow
def test_known_problems_of_real_photos_are_found(real_photos: Path, tmp_path: Path) -> None:
    known = {
        ("test/dirty/1324.jpg", "train/dirty/1219.jpg"): "leak",
        ("train/clean/1068.jpg", "train/clean/1102.jpg"): "duplicate",
        ("train/clean/1184.jpg", "train/dirty/1190.jpg"): "contradiction",
    }
    misnamed = {"train/clean/1187.jpeg", "train/clean/1188.jpeg"}
    photos = [path.relative_to(real_photos) for path in sorted(real_photos.glob("*/*/*.jp*g"))]
    for name in {str(path) for path in photos[::6]} | misnamed.union(*known):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(real_photos / name, tmp_path / name)
    result = run(tmp_path, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    exact = {
        tuple(sorted(finding["photos"])): finding["kind"]
        for finding in found["findings"]
        if finding["details"].get("exact")
    }
    assert exact == known
    wrong = [finding for finding in found["findings"] if finding["kind"] == "wrong_extension"]
    assert {name for finding in wrong for name in finding["photos"]} == misnamed
    shortcuts = {one["probe"]: one for one in found["shortcuts"]}
    assert shortcuts["border"]["found"]
    assert shortcuts["border"]["tested"]["accuracy"] > 0.75
    assert not shortcuts["image_size"]["found"]
