import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from platecheck.auditing.duplicates import (
    duplicate_findings,
    find_groups,
    group_numbers,
    suggest_exclusions,
)
from platecheck.auditing.features import PhotoFeatures, extract_all_features
from platecheck.auditing.findings import Finding, Severity
from platecheck.data.folders import read_photos
from platecheck.data.render.scene import render_dish
from platecheck.data.segmentation import MaskCache


@pytest.fixture
def folder(tmp_path: Path, rendered: Path) -> Path:
    """Rendered dishes that may be changed."""
    return Path(shutil.copytree(rendered, tmp_path / "dishes"))


def features_of(folder: Path) -> list[PhotoFeatures]:
    return extract_all_features(read_photos(folder).photos, MaskCache())


def findings_of(folder: Path) -> list[Finding]:
    return duplicate_findings(find_groups(features_of(folder)), ("clean", "dirty"))


def test_different_dishes_are_no_duplicates(rendered: Path) -> None:
    assert findings_of(rendered) == []


@pytest.mark.parametrize(
    ("copy", "severities"),
    [
        ("train/clean/copy.jpg", {"duplicate": "warning"}),
        ("test/clean/copy.jpg", {"leak": "error"}),
        ("train/dirty/copy.jpg", {"contradiction": "error"}),
        ("test/dirty/copy.jpg", {"contradiction": "error", "leak": "error"}),
    ],
)
def test_identical_files_are_found(folder: Path, copy: str, severities: dict[str, str]) -> None:
    source = "train/clean/0001.jpg"
    shutil.copy(folder / source, folder / copy)
    findings = findings_of(folder)
    assert {finding.kind: str(finding.severity) for finding in findings} == severities
    assert len(findings) == len(severities)
    for finding in findings:
        assert set(finding.photos) == {source, copy}
        assert finding.details == {"exact": True}


def darker(value: int) -> float:
    return 0.85 * value


@pytest.mark.parametrize(
    ("copy", "change", "kind", "severity"),
    [
        ("test/clean/smaller.jpg", lambda photo: photo.resize((150, 150)), "leak", "error"),
        (
            "test/clean/dark.jpg",
            lambda p: ImageEnhance.Brightness(p).enhance(0.85),
            "leak",
            "error",
        ),
        ("test/clean/copy.png", lambda photo: photo, "leak", "error"),
        ("test/dirty/copy.png", lambda photo: photo, "contradiction", "warning"),
    ],
)
def test_photo_saved_again_is_a_near_copy(
    folder: Path, copy: str, change: Callable[[Any], Any], kind: str, severity: str
) -> None:
    change(Image.open(folder / "train/clean/0001.jpg")).save(folder / copy)
    (found,) = findings_of(folder)
    assert (found.kind, found.severity) == (kind, severity)
    assert set(found.photos) == {"train/clean/0001.jpg", copy}
    assert found.details == {"exact": False}


def test_chain_of_near_copies_is_one_group(folder: Path) -> None:
    picture = Image.open(folder / "train/clean/0001.jpg")
    for quality in (80, 70, 60):
        picture.save(folder / f"train/clean/q{quality}.jpg", quality=quality)
    features = features_of(folder)
    (found,) = duplicate_findings(find_groups(features), ("clean", "dirty"))
    assert (found.kind, found.severity) == ("duplicate", Severity.NOTE)
    assert len(found.photos) == 4
    assert "4 times" in found.message
    assert len(set(group_numbers(features))) == len(features) - 3


def test_leak_in_a_group_of_two_classes_is_an_error(folder: Path) -> None:
    shutil.copy(folder / "train/clean/0001.jpg", folder / "test/clean/copy.jpg")
    Image.open(folder / "train/clean/0001.jpg").save(folder / "train/dirty/anew.png")
    leak, contradiction = findings_of(folder)
    assert (leak.kind, leak.severity) == ("leak", "error")
    assert leak.message.startswith("Identical and near-identical photos are in 'test' and 'train'")
    assert (contradiction.kind, contradiction.severity) == ("contradiction", "warning")
    (proposed,) = suggest_exclusions(find_groups(features_of(folder)), [])
    assert (proposed.path, proposed.reason) == ("train/clean/0001.jpg", "leak")


def test_uniform_photos_are_no_duplicates(tmp_path: Path) -> None:
    for at, level in enumerate((30, 90, 150, 210)):
        place = tmp_path / "ab"[at % 2] / f"{at}.png"
        place.parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), (level, level, level)).save(place)
    assert find_groups(features_of(tmp_path)) == []


def test_dish_before_and_after_washing_is_never_an_error(tmp_path: Path) -> None:
    for label in ("clean", "dirty"):
        for number in range(6):
            rng = np.random.default_rng(number)  # gives the same dish, clean and dirty
            dish = render_dish(rng, size=96, label=label, background="wood")
            place = tmp_path / label / f"{number}.png"
            place.parent.mkdir(exist_ok=True)
            Image.fromarray(dish.photo).save(place)
    groups = find_groups(features_of(tmp_path))
    for group in groups:
        assert {Path(name).name for name in group.names} == {Path(group.names[0]).name}
    findings = duplicate_findings(groups, ("clean", "dirty"))
    assert {finding.severity for finding in findings} <= {Severity.WARNING}


def test_exclusions_are_copies_in_training_splits(folder: Path) -> None:
    shutil.copy(folder / "test/clean/0001.jpg", folder / "train/clean/copy.jpg")
    shutil.copy(folder / "test/clean/0001.jpg", folder / "val/clean/copy.jpg")
    proposed = suggest_exclusions(find_groups(features_of(folder)), ["train/dirty/broken.jpg"])
    assert [(one.path, one.reason) for one in proposed] == [
        ("train/clean/copy.jpg", "leak"),
        ("train/dirty/broken.jpg", "unreadable"),
        ("val/clean/copy.jpg", "leak"),
    ]
    assert proposed[0].sha256 == proposed[2].sha256 != ""


def test_exclusions_have_all_photos_of_a_contradiction(folder: Path) -> None:
    shutil.copy(folder / "test/clean/0001.jpg", folder / "train/dirty/copy.jpg")
    # Saved anew, it is in a group of near-identical photos with both.
    Image.open(folder / "test/clean/0001.jpg").save(folder / "train/clean/anew.png")
    proposed = suggest_exclusions(find_groups(features_of(folder)), [])
    assert [(one.path, one.reason) for one in proposed] == [
        ("test/clean/0001.jpg", "contradiction"),
        ("train/dirty/copy.jpg", "contradiction"),
    ]


@pytest.mark.real_photos
def test_real_dish_before_and_after_washing_is_no_duplicate(
    tmp_path: Path, real_photos: Path
) -> None:
    for name in ("test/clean/1135.jpg", "test/dirty/1276.jpg"):
        place = tmp_path / name
        place.parent.mkdir(parents=True)
        shutil.copy(real_photos / name, place)
    assert find_groups(features_of(tmp_path)) == []
