from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from platecheck.auditing.features import (
    FileFacts,
    PhotoFeatures,
    extract_all_features,
    extract_features,
)
from platecheck.auditing.shortcuts import (
    PROBES,
    ProbeResult,
    find_shortcuts,
    score,
    shortcut_findings,
    verdict,
)
from platecheck.data.folders import Photo, read_photos
from platecheck.data.render import write_dataset
from platecheck.data.segmentation import MaskCache
from platecheck.evaluation.metrics import wilson_interval

BORDER, LIGHT = PROBES[0], PROBES[5]
FACTS = FileFacts("JPEG", 100, 100, 9000, 5.0)


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grow small forests: they find the same as large ones in a fraction of the time."""
    monkeypatch.setattr("platecheck.auditing.shortcuts.TREES", 20)


def made_up(
    count: int, *, seed: int = 0, clean_share: float = 0.5, split: str = "train"
) -> list[PhotoFeatures]:
    """Looks of noise: nothing tells the class."""
    rng = np.random.default_rng(seed)
    features = []
    for number in range(count):
        label = int(number >= count * clean_share)
        name = f"{split}/{label}/{number}.jpg"
        features.append(
            PhotoFeatures(
                photo=Photo(Path(name), name, label, split, f"{split}{seed}{number}"),
                file=replace(FACTS, bytes=int(rng.integers(5000, 15000))),
                phash=rng.random(64) > 0.5,
                grey=rng.standard_normal(1024).astype(np.float32),
                properties={},
                rim=rng.uniform(0, 255, 30).astype(np.float32),
                light=rng.uniform(0, 255, 2).astype(np.float32),
                sharpness=rng.uniform(0, 9, 2).astype(np.float32),
                blur=0.3,
                dish=rng.uniform(0, 255, 20).astype(np.float32),
                background=rng.uniform(0, 255, 20).astype(np.float32),
                background_bytes=float(rng.uniform(4000, 9000)),
            )
        )
    return features


def found(features: Sequence[PhotoFeatures], *names: str, **options: object) -> set[str]:
    """Shortcuts among the probes of these names, or of all."""
    options["probes"] = [probe for probe in PROBES if not names or probe.name in names]
    results = find_shortcuts(
        features,
        range(len(features)),
        2,
        learn_from="train",
        **options,  # type: ignore[arg-type]
    )
    return {result.probe.name for result in results if result.found}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("confound", "names", "shortcuts"),
    [(0.5, (), set()), (0.95, ("border", "table"), {"border", "table"})],
    ids=["fair", "biased"],
)
def test_rendered_backgrounds_are_a_shortcut_if_they_predict_the_class(
    confound: float, names: tuple[str, ...], shortcuts: set[str], tmp_path: Path
) -> None:
    write_dataset(tmp_path / "set", photos=160, size=64, seed=1, confound=confound, workers=1)
    features = extract_all_features(read_photos(tmp_path / "set").photos, MaskCache())
    assert found(features, *names) == shortcuts


def test_background_bytes_grow_with_appended_data(rendered: Path, tmp_path: Path) -> None:
    photos = read_photos(rendered).photos[:6]
    before = extract_all_features(photos, MaskCache())
    item = next(item for item in before if item.background_bytes)
    path = tmp_path / item.photo.path.name
    path.write_bytes(item.photo.path.read_bytes() + bytes(9000))  # such as a preview or metadata
    after = extract_features(replace(item.photo, path=path), MaskCache())
    assert after.background_bytes > 2 * item.background_bytes


@pytest.mark.parametrize(
    ("probe", "change"),
    [
        ("file_format", {"file": replace(FACTS, format="PNG", coarseness=0)}),
        ("file_format", {"file": replace(FACTS, coarseness=9.0)}),
        ("image_size", {"file": replace(FACTS, width=60, height=48)}),
        ("file_size", {"background_bytes": 12000.0}),
        ("brightness", {"light": np.float32([20, 5])}),
        ("sharpness", {"sharpness": np.float32([30, 9])}),
    ],
)
def test_property_that_differs_between_classes_is_a_shortcut(
    probe: str, change: dict[str, Any]
) -> None:
    features = [replace(item, **change) if item.photo.label else item for item in made_up(120)]
    assert found(features) == {probe}


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_shortcut(seed: int) -> None:
    features = made_up(120, seed=seed) + made_up(40, seed=seed + 99, split="test")
    assert found(features, seed=seed) == set()


def test_shortcut_with_a_rare_class_is_found() -> None:
    features = [
        replace(item, light=item.light / 255 + 100 * item.photo.label)
        for item in made_up(200, clean_share=0.85)
    ]
    assert found(features) == {"brightness"}


def test_shortcut_on_other_splits_only_is_found() -> None:
    # As in the public set: weak in training, strong in test.
    rng = np.random.default_rng(0)
    features = []
    for item in made_up(120) + made_up(200, seed=5, split="test"):
        sure = rng.random() < (0.35 if item.photo.split == "train" else 0.95)
        light = item.photo.label if sure else rng.random()
        features.append(replace(item, light=np.float32([light, 0])))
    (result,) = find_shortcuts(
        features, range(len(features)), 2, learn_from="train", probes=[LIGHT]
    )
    assert result.found
    assert result.outside is not None
    assert result.outside.tells
    assert result.telling is result.outside
    assert "on 'test'" in verdict(result, others=["test"])


def test_near_copies_stay_in_one_fold_and_are_not_tested_on() -> None:
    # Each photo occurs four times, with features that a forest memorizes.
    originals = made_up(60)
    features = [
        replace(item, photo=replace(item.photo, name=f"{copy}-{item.photo.name}"))
        for item in originals
        for copy in range(4)
    ]
    features += [replace(item, photo=replace(item.photo, split="test")) for item in originals]
    groups = [at // 4 for at in range(240)] + list(range(60))
    options: dict[str, Any] = {"learn_from": "train", "probes": [BORDER]}
    (grouped,) = find_shortcuts(features, groups, 2, **options)
    assert not grouped.found
    assert grouped.outside is None
    (ungrouped,) = find_shortcuts(features, range(len(features)), 2, **options)
    assert ungrouped.found


def test_too_few_different_photos_give_no_result() -> None:
    assert find_shortcuts(made_up(18), range(18), 2, learn_from="train") == []
    # Many copies of few photos are few photos.
    features = made_up(60)
    assert find_shortcuts(features, [at % 9 for at in range(60)], 2, learn_from="train") == []


def test_photos_without_a_mask_are_left_out_of_background_probes_only() -> None:
    features = made_up(80)
    features[:10] = [
        replace(item, background=None, background_bytes=None) for item in features[:10]
    ]
    results = find_shortcuts(features, range(80), 2, learn_from="train")
    photos = {result.probe.name: result.inside.photos for result in results}
    assert photos == {
        probe.name: 70 if probe.name in ("table", "file_size") else 80 for probe in PROBES
    }


def test_score_of_known_predictions() -> None:
    labels = np.array([0] * 80 + [1] * 20)
    answers = np.array([0] * 72 + [1] * 8 + [1] * 15 + [0] * 5)
    found = score(labels, answers, 2)
    assert (found.photos, found.correct, found.majority) == (100, 87, 0.8)
    assert found.accuracy_ci95 == wilson_interval(87, 100)
    assert found.balanced_accuracy == pytest.approx((0.9 + 0.75) / 2)
    assert 0.5 < found.balanced_accuracy_low < found.balanced_accuracy
    assert found.chance == 0.5
    majority = score(labels, np.zeros(100, int), 2)
    assert majority.accuracy == majority.majority == 0.8
    assert majority.balanced_accuracy == 0.5
    assert not majority.tells


@pytest.mark.parametrize(
    ("photos", "accuracy", "tells"), [(20, 0.6, False), (2000, 0.6, True), (100_000, 0.54, False)]
)
def test_score_tells_if_significantly_and_clearly_above_chance(
    photos: int, accuracy: float, tells: bool
) -> None:
    assert result_of(np.arange(photos) % 2, int(accuracy * photos)).inside.tells is tells


def result_of(labels: NDArray[np.int_], right: int) -> ProbeResult:
    answers = np.where(np.arange(len(labels)) < right, labels, 1 - labels)
    return ProbeResult(BORDER, score(labels, answers, 2), None)


EVEN, RARE = np.arange(200) % 2, (np.arange(200) < 20).astype(int)


@pytest.mark.parametrize(
    ("labels", "right", "sentence"),
    [
        (
            EVEN,
            178,
            "The background around the dish alone gives an accuracy of 89% when cross-validated in"
            " training (most frequent class: 50%): a model trained on this dataset can score high"
            " without seeing a dish.",
        ),
        (EVEN, 100, "does not predict the class"),
        (RARE, 180, "balanced accuracy of 94%"),  # all of the rare class are correct
    ],
)
def test_verdict_is_a_sentence(labels: NDArray[np.int_], right: int, sentence: str) -> None:
    assert sentence in verdict(result_of(labels, right), others=[])


def test_each_shortcut_is_an_error_with_its_metrics() -> None:
    results = [result_of(EVEN, right) for right in (178, 100)]
    (finding,) = shortcut_findings(results, others=[])
    assert finding.severity == "error"
    assert finding.details["probe"] == "border"
    assert finding.details["accuracy"] == 0.89
    assert finding.details["majority"] == 0.5
