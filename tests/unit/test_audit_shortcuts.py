import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platecheck.auditing.features import FileFacts, PhotoFeatures, extract_all_features
from platecheck.auditing.shortcuts import (
    PROBES,
    ProbeResult,
    find_shortcuts,
    score,
    shortcut_findings,
    verdict,
)
from platecheck.data.folders import Photo, read_photos
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


def render(folder: Path, photos: int, confound: float) -> Path:
    from platecheck.data.render import write_dataset

    write_dataset(folder, photos=photos, size=64, seed=1, confound=confound, workers=1)
    return folder


def looks_of(folder: Path) -> list[PhotoFeatures]:
    return extract_all_features(read_photos(folder).photos, MaskCache())


@pytest.fixture(scope="module")
def fair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """160 rendered dishes, whose table tells nothing."""
    return render(tmp_path_factory.mktemp("fair") / "dishes", 160, 0.5)


@pytest.fixture(scope="module")
def fair_features(fair: Path) -> list[PhotoFeatures]:
    return looks_of(fair)


def test_a_fair_set_has_no_shortcut(fair_features: list[PhotoFeatures]) -> None:
    assert found(fair_features) == set()


def test_a_table_that_tells_the_class_is_found(tmp_path: Path) -> None:
    confounded = looks_of(render(tmp_path / "dishes", 240, 0.95))
    assert found(confounded, "border", "table") == {"border", "table"}


def save_as_png(path: Path) -> None:
    Image.open(path).save(path.with_suffix(".png"))
    path.unlink()


def save_coarsely(path: Path) -> None:
    Image.open(path).save(path, quality=70)


def save_smaller(path: Path) -> None:
    Image.open(path).resize((60, 48)).save(path, quality=92)


def save_dim(path: Path) -> None:
    Image.open(path).point(lambda value: value * 0.6).save(path, quality=92)


def save_padded(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(4000))  # as a preview or metadata would


@pytest.mark.parametrize(
    ("change", "probe"),
    [
        (save_as_png, "file_format"),
        (save_coarsely, "file_format"),
        (save_smaller, "image_size"),
        (save_dim, "brightness"),
        (save_padded, "file_size"),
    ],
)
def test_a_camera_or_format_that_tells_the_class_is_found(
    fair: Path, fair_features: list[PhotoFeatures], tmp_path: Path, change: object, probe: str
) -> None:
    folder = Path(shutil.copytree(fair / "train", tmp_path / "train")).parent
    for path in sorted(folder.glob("train/dirty/*.jpg")):
        change(path)  # type: ignore[operator]
    changed = [photo for photo in read_photos(folder).photos if photo.label == 1]
    unchanged = [
        each for each in fair_features if each.photo.label == 0 and each.photo.split == "train"
    ]
    assert found([*unchanged, *extract_all_features(changed, MaskCache())], probe) == {probe}


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_shortcut(seed: int) -> None:
    features = made_up(120, seed=seed) + made_up(40, seed=seed + 99, split="test")
    assert found(features, seed=seed) == set()


def test_what_tells_the_class_is_found_even_where_one_class_is_rare() -> None:
    features = [
        replace(photo_features, light=photo_features.light / 255 + 100 * photo_features.photo.label)
        for photo_features in made_up(200, clean_share=0.85)
    ]
    assert found(features) == {"brightness"}


def test_a_shortcut_in_other_photos_only_is_found_too() -> None:
    # As in the public set: weak in training, strong in test.
    rng = np.random.default_rng(0)

    def with_light(features: list[PhotoFeatures], sure: float) -> list[PhotoFeatures]:
        return [
            replace(
                photo_features,
                light=np.float32(
                    [photo_features.photo.label if rng.random() < sure else rng.random(), 0]
                ),
            )
            for photo_features in features
        ]

    features = with_light(made_up(120), 0.35) + with_light(made_up(200, seed=5, split="test"), 0.95)
    (result,) = find_shortcuts(
        features, range(len(features)), 2, learn_from="train", probes=[LIGHT]
    )
    assert result.found
    assert result.outside is not None
    assert result.outside.tells
    assert result.telling is result.outside
    assert "on 'test'" in verdict(result, others=["test"])


def test_near_copies_stay_in_one_fold_and_are_not_tried_on() -> None:
    # Each photo is there four times, with numbers that a forest learns by heart.
    originals = made_up(60)
    features = [
        replace(one, photo=replace(one.photo, name=f"{copy}-{one.photo.name}"))
        for one in originals
        for copy in range(4)
    ]
    features += [replace(one, photo=replace(one.photo, split="test")) for one in originals]
    groups = [at // 4 for at in range(240)] + list(range(60))
    apart = find_shortcuts(features, groups, 2, learn_from="train", probes=[BORDER])
    assert [result.found for result in apart] == [False]
    assert all(result.outside is None for result in apart)
    together = find_shortcuts(
        features, range(len(features)), 2, learn_from="train", probes=[BORDER]
    )
    assert all(result.found for result in together)


def test_nothing_is_said_of_too_few_photos() -> None:
    assert find_shortcuts(made_up(18), range(18), 2, learn_from="train") == []
    # Many copies of few photos are few photos.
    features = made_up(60)
    assert find_shortcuts(features, [at % 9 for at in range(60)], 2, learn_from="train") == []


def test_dishes_that_were_not_found_are_left_out_of_the_table_alone() -> None:
    features = made_up(80)
    features[:10] = [
        replace(photo_features, background=None, background_bytes=None)
        for photo_features in features[:10]
    ]
    results = find_shortcuts(features, range(80), 2, learn_from="train")
    photos = {result.probe.name: result.inside.photos for result in results}
    assert photos == {
        probe.name: 70 if probe.name in ("table", "file_size") else 80 for probe in PROBES
    }


def test_the_answer_depends_on_the_seed_alone() -> None:
    features = made_up(60)
    first, second = (
        find_shortcuts(features, range(60), 2, learn_from="train", probes=[LIGHT]) for _ in range(2)
    )
    assert [result.inside for result in first] == [result.inside for result in second]


def test_score_of_known_answers() -> None:
    labels = np.array([0] * 80 + [1] * 20)
    answers = np.array([0] * 72 + [1] * 8 + [1] * 15 + [0] * 5)
    found = score(labels, answers, 2)
    assert (found.photos, found.correct, found.majority) == (100, 87, 0.8)
    assert found.accuracy_ci95 == wilson_interval(87, 100)
    assert found.balanced_accuracy == pytest.approx((0.9 + 0.75) / 2)
    assert 0.5 < found.balanced_accuracy_low < found.balanced_accuracy
    assert found.chance == 0.5


def test_the_commonest_class_alone_tells_nothing() -> None:
    labels = np.array([0] * 95 + [1] * 5)
    found = score(labels, np.zeros(100, int), 2)
    assert found.accuracy == found.majority == 0.95
    assert found.balanced_accuracy == 0.5
    assert not found.tells


@pytest.mark.parametrize(("photos", "tells"), [(20, False), (2000, True)])
def test_more_photos_make_surer(photos: int, tells: bool) -> None:
    labels = np.arange(photos) % 2
    answers = np.where(np.arange(photos) % 10 < 6, labels, 1 - labels)  # 60 % are right
    assert score(labels, answers, 2).tells is tells


def test_a_little_more_than_chance_is_no_shortcut_however_sure() -> None:
    labels = np.arange(100_000) % 2
    answers = np.where(np.arange(100_000) % 100 < 54, labels, 1 - labels)
    assert not score(labels, answers, 2).tells


def result_of(right: int, photos: int, *, rare: int | None = None) -> ProbeResult:
    labels = np.arange(photos) % 2 if rare is None else (np.arange(photos) < rare).astype(int)
    answers = labels.copy()
    answers[right:] = 1 - answers[right:]
    return ProbeResult(PROBES[0], score(labels, answers, 2), None)


def test_the_verdict_is_a_plain_sentence() -> None:
    told = verdict(result_of(178, 200), others=[])
    assert told.startswith("The background around the dish alone gives an accuracy of 89%")
    assert "most frequent class: 50%" in told
    assert told.endswith("a model trained on this dataset can score high without seeing a dish.")
    assert "does not predict the class" in verdict(result_of(100, 200), others=[])


def test_the_verdict_where_one_class_is_rare_speaks_of_balanced_accuracy() -> None:
    result = result_of(180, 200, rare=20)  # all rare ones are right
    assert result.found
    assert "balanced accuracy of 94%" in verdict(result, others=[])


def test_each_shortcut_is_an_error_with_its_figures() -> None:
    results = [result_of(178, 200), result_of(100, 200)]
    (finding,) = shortcut_findings(results, others=[])
    assert finding.severity == "error"
    assert finding.details["probe"] == "border"
    assert finding.details["accuracy"] == 0.89
    assert finding.details["majority"] == 0.5
