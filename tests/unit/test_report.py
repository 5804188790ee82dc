import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from platecheck.data.folders import Photo
from platecheck.errors import DataError
from platecheck.evaluation.background_evaluation import BackgroundEvaluation
from platecheck.evaluation.background_metrics import (
    Accuracy,
    AccuracyGap,
    BackgroundMetrics,
    LeftOut,
    OnlyBackground,
    WorstBackground,
    WorstGroup,
)
from platecheck.evaluation.evaluate import Evaluation
from platecheck.evaluation.metrics import (
    EvaluationResult,
    UnreadablePhoto,
    evaluate_probabilities,
    mistakes,
)
from platecheck.evaluation.plots import PredictedPhoto
from platecheck.report.render import save_page
from platecheck.report.run import GalleryRow, RunReport, gallery, render
from tests.support.html import Page


def evaluation(
    name: str,
    classes: Sequence[str] = ("clean", "dirty"),
    unreadable: Sequence[UnreadablePhoto] = (),
    wrong: int = 16,
) -> Evaluation:
    """251 photos of which `wrong` are named wrongly."""
    labels = np.arange(251) % 2
    probabilities = np.where(labels[:, None] == [0, 1], 0.93, 0.07)
    probabilities[:wrong] = probabilities[:wrong, ::-1]
    metrics = evaluate_probabilities(probabilities, labels, classes)
    found = mistakes(probabilities, labels, classes, [f"{i}.jpg" for i in range(251)])
    result = EvaluationResult(**dict(metrics), mistakes=found, unreadable=list(unreadable))
    return Evaluation(name, result, probabilities, labels, ())


def photo(name: str, predicted: str, truth: str | None) -> PredictedPhoto:
    return PredictedPhoto(np.zeros((400, 200, 3), np.uint8), predicted, 0.876, truth, name)


FULL = RunReport(
    title="TinyVGG on dishes",
    recipe="network:\n  name: tiny_vgg\n",
    seed=4711,
    data_fingerprint="f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
    versions={"platecheck": "0.1.0", "torch": "2.13.0"},
    counts={"train": {"clean": 231, "dirty": 227}, "test": {"clean": 86, "dirty": 165}},
    trained={"Recipe": "tiny_vgg (a small network)", "Network": "64 pixels"},
    history=[
        dict.fromkeys(["train_loss", "train_accuracy", "learning_rate"], 0.5)
        | {"epoch": epoch, "val_loss": 0.4, "val_accuracy": 0.85}
        for epoch in (1, 2)
    ],
    best_epoch=2,
    training_seconds=3725,
    evaluations=[evaluation("test"), evaluation("other", wrong=100)],
    grid=[photo("a.jpg", "clean", "clean"), photo("b.jpg", "clean", None)],
    mistakes=[photo("c.jpg", "clean", "dirty")],
    commands=["platecheck train tiny_vgg --seed 4711"],
    warnings=["The background may tell the class."],
)
BARE = RunReport("Bare", "", 0, "f1")


@cache
def full_page() -> Page:
    return Page(render(FULL))


def words_of(data: RunReport) -> str:
    return Page(render(data)).words


@pytest.mark.parametrize(
    "fact",
    [
        "TinyVGG on dishes",
        "The background may tell the class.",
        "name: tiny_vgg",
        "Seed 4711",
        "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
        "torch 2.13.0",
        "train 231 227 458 test 86 165 251",
        "2, best: epoch 2 (lowest validation loss)",
        "Recipe tiny_vgg (a small network) Network 64 pixels Epochs 2",
        "Training time 1 h 2 min",
        "platecheck train tiny_vgg --seed 4711",
        "235/251 93.6% 89.9–96.0%",
        "151/251 60.2% 54.0–66.0%",
        "235 of 251 correct 95% CI 89.9–96.0% always 'clean': 50.2%",
        "test: Better than always predicting 'clean': 126/251 = 50.2% (p < 0.001).",
        "✓ correct: clean 87.6% a.jpg",
        "✗ wrong: clean 87.6% true: dirty c.jpg",
    ],
)
def test_report_contains(fact: str) -> None:
    assert fact in full_page().words


def test_report_sections_are_in_order_and_the_recipe_is_folded() -> None:
    page = full_page()
    headings = re.findall(r"<h2[^>]*>([^<]*)", full_page().html)
    assert headings == [
        "Warnings", "Run", "Curves", "Most confident mistakes", "Confusion matrix", "Metrics",
        "Calibration", "Predictions", "Reproduce",
    ]  # fmt: skip
    assert page.words.index("235 of 251 correct") < page.words.index("Run")
    assert page.words.endswith("Resolved recipe network: name: tiny_vgg")
    assert not any("open" in details for details in page.all("details"))
    assert re.search(r"(?<!: )clean 87\.6% b\.jpg", page.words)  # neither correct nor wrong


def test_report_without_mistakes_or_of_a_stopped_run_says_so() -> None:
    data = replace(FULL, evaluations=[evaluation("test", wrong=0)], mistakes=[], planned_epochs=50)
    words = words_of(data)
    assert "None on test: 251 of 251 photos are correct." in words
    assert "Epochs 2 of 50, best: epoch 2" in words


def test_report_loads_nothing_from_outside() -> None:
    page = full_page()
    loading = {"src", "href", "srcset", "action", "data", "poster"}
    addresses = [of[name] for _, of in page.elements for name in loading & of.keys()]
    assert len(addresses) == 1 + 1 + 2 + 2 + 3  # icon, curves, matrices, diagrams, photos
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[^\"]*", "", full_page().html))
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "object", "embed", "form", "base"}
    (policy,) = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")


def test_report_is_accessible() -> None:
    page = full_page()
    assert not page.open, "every element is closed"
    assert page.all("html")[0]["lang"] == "en"
    assert all(picture["alt"] for picture in page.all("img"))
    assert all(cell["scope"] in ("col", "row", "rowgroup") for cell in page.all("th"))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    alt = " ".join(picture["alt"] for picture in page.all("img"))
    assert "Of 126 clean photos: 118 as clean, 8 as dirty." in alt
    assert "expected calibration error 0.006" in alt
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))


NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</pre></code></style><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "&lt;b&gt; <!-- $\\frac$",
]


def all_named(name: str) -> Page:
    unreadable = [UnreadablePhoto(path=name, reason=name)]
    data = RunReport(
        title=name,
        recipe=name,
        seed=1,
        data_fingerprint=name,
        versions={name: name},
        counts={name: {name: 3}},
        evaluations=[evaluation(name, [name, f"{name}2"], unreadable)],
        grid=[photo(name, name, name)],
        mistakes=[photo(name, name, name + "2")],
        backgrounds=SWAPPED,
        gallery=[GalleryRow(name, name, [photo(name, name, None)])],
        commands=[name],
        warnings=[name],
    )
    return Page(render(data))


def test_hostile_names_are_displayed_as_text() -> None:
    harmless = all_named("harmless")
    for nasty in NASTY:
        page = all_named(nasty)
        shape = [(tag, sorted(attributes)) for tag, attributes in page.elements]
        assert shape == [(tag, sorted(attributes)) for tag, attributes in harmless.elements], nasty
        assert page.words == harmless.words.replace("harmless", " ".join(nasty.split()))
        assert nasty in page.all("img")[0]["alt"]


def test_empty_fields_omit_their_sections() -> None:
    page = Page(render(BARE))
    assert not page.all("img")
    assert not page.all("table")
    assert re.findall(r"<h2>([^<]*)", render(BARE)) == ["Run", "Reproduce"]
    assert "Training time" not in page.words
    assert "best" not in page.words


def test_unreadable_photos_are_truncated_and_a_missing_auroc_is_a_dash() -> None:
    unreadable = [UnreadablePhoto(path=f"{i}.jpg", reason="truncated") for i in range(50)]
    measured = evaluation("test", unreadable=unreadable)
    result = measured.result.model_copy(update={"auroc": None})
    words = words_of(replace(FULL, evaluations=[replace(measured, result=result)]))
    assert "– 0.006" in words
    assert "Unreadable: 50 photos of test" in words
    assert "19.jpg: truncated and 30 more" in words


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (90, "1 min 30 s"), (7260, "2 h 1 min")],
)
def test_training_time_is_readable(seconds: float, shown: str) -> None:
    assert f"Training time {shown} Reproduce" in words_of(replace(BARE, training_seconds=seconds))


def test_save_page_is_atomic_and_replaces_undecodable_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    save_page("é " + b"\xff.jpg".decode("utf-8", "surrogateescape"), path)
    assert path.read_text("utf-8") == "é ?.jpg"

    def fail(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(DataError, match=r"report\.html cannot be written: No space left"):
        save_page("new", path)
    assert path.read_text("utf-8") == "é ?.jpg"
    assert list(tmp_path.iterdir()) == [path]


# --- exchanged backgrounds


def measured(
    labels: list[int], original: list[float], mixed: list[tuple[float, float, float]]
) -> BackgroundEvaluation:
    """From the probability of the true class of each dish; photo 0 is no dish.

    Images have one level each, which identifies them.
    """

    def rows(probabilities: Any) -> np.ndarray:
        pairs = zip(probabilities, labels, strict=True)
        return np.float32([[p, 1 - p] if label == 0 else [1 - p, p] for p, label in pairs])

    image = partial(np.full, (4, 4, 3), dtype=np.uint8)

    photos = [Photo(Path(), f"{i}.jpg", label, "val") for i, label in enumerate([0, *labels])]
    swap: Any = SimpleNamespace(
        photos=[SimpleNamespace(photo=photo) for photo in photos],
        dishes=list(range(1, len(photos))),
        original=image,
        mixed=lambda dish, background: image(100 + 10 * dish + background),
        only_background=lambda index: image(50 + index),
    )
    names = ("mixed_same", "mixed_rand", "mixed_next")
    return BackgroundEvaluation(
        result=BackgroundMetrics.model_construct(),
        swap=swap,
        backgrounds={name: [k] * len(labels) for k, name in enumerate(names)},
        probabilities={"original": rows(original)}
        | {name: rows([row[k] for row in mixed]) for k, name in enumerate(names)},
        only_background={1: np.float32([0.3, 0.7])},
    )


def test_gallery_starts_with_lost_dishes_then_largest_drops() -> None:
    found = measured(
        labels=[0, 1, 1, 0, 0, 1],
        original=[0.9, 0.60, 0.99, 0.4, 0.7, 0.8],
        mixed=[
            (0.9, 0.9, 0.4),  # correct, then wrong: drops by 0.5
            (0.6, 0.45, 0.6),  # correct, then wrong: drops by 0.15
            (0.99, 0.99, 0.55),  # stays correct: drops by 0.44
            (0.1, 0.2, 0.1),  # wrong before: drops by 0.3
            (0.8, 0.7, 0.9),  # does not drop
            (0.8, 0.6, 0.7),  # stays correct: drops by 0.2
        ],
    )
    names = ["1.jpg", "2.jpg", "3.jpg", "4.jpg", "6.jpg"]
    assert [row.name for row in gallery(found, ["clean", "dirty"])] == names
    assert len(gallery(found, ["clean", "dirty"], max_rows=2)) == 2


ROWS = gallery(measured([1, 0], [0.9, 0.8], [(0.8, 0.3, 0.1), (0.7, 0.7, 0.7)]), ["clean", "dirty"])


def test_gallery_row_has_each_background_and_the_background_alone() -> None:
    first, second = ROWS
    assert (first.name, first.truth) == ("1.jpg", "dirty")
    assert [
        (p.name, p.pixels[0, 0, 0], p.predicted, round(p.probability, 2), p.correct)
        for p in first.predictions
    ] == [
        ("Original", 1, "dirty", 0.9, True),
        ("Mixed-Same", 110, "dirty", 0.8, True),
        ("Mixed-Rand", 111, "clean", 0.7, False),
        ("Mixed-Next", 112, "clean", 0.9, False),
        ("Only-BG", 51, "dirty", 0.7, None),
    ]
    assert second.predictions[-1].name == "Mixed-Next"  # its background is not visible


SWAPPED = BackgroundMetrics(
    split="val",
    seed=7,
    original=Accuracy(count=239, total=250),
    original_same_dishes=Accuracy(count=225, total=235),
    mixed_same=Accuracy(count=223, total=235),
    mixed_rand=Accuracy(count=212, total=235),
    mixed_next=Accuracy(count=204, total=235),
    bg_gap=AccuracyGap(photos=235, gap=0.0468, gap_ci95=(0.013, 0.081)),
    next_gap=AccuracyGap(photos=235, gap=0.081, gap_ci95=(0.043, 0.123)),
    only_bg=OnlyBackground(count=126, total=231, majority_rate=0.684),
    worst_group=WorstGroup(accuracy=None, worst=None, groups=[], kinds=[]),
    worst_table=WorstBackground(count=161, total=235, tables=16),
    ece_original_and_mixed_rand=0.0197,
    left_out=LeftOut(dishes=15, tables=19),
)


def test_report_of_backgrounds_has_all_metrics_and_the_gallery() -> None:
    page = Page(render(replace(FULL, grid=[], mistakes=[], backgrounds=SWAPPED, gallery=ROWS)))
    for fact in (
        SWAPPED.verdict(2),
        "Original 239/250 95.6% 92.3–97.5% all photos, unchanged",
        "Mixed-Same 223/235 94.9%",
        "Mixed-Rand 212/235 90.2%",
        "Mixed-Next 204/235 86.8%",
        "BG-Gap +4.7 points +1.3 to +8.1",
        "to Mixed-Next +8.1 points +4.3 to +12.3",
        "Only-BG 126/231 54.5%",
        "dish removed; majority class 68.4%",
        "worst background 161/235 68.5%",
        "correct on all of 16 backgrounds",
        "calibration error 0.020",
        "15 of 250 dishes",
        "19 of 250 backgrounds",
        "seed 7",
    ):
        assert fact in page.words, fact
    assert "worst group" not in page.words  # none has enough photos
    images = [img["alt"] for img in page.all("img") if "jpeg" in img["src"]]
    four = ["Original", "Mixed-Same", "Mixed-Rand", "Mixed-Next"]
    assert images == [*four, "Only-BG", *four]
    assert page.words.index("1.jpg") < page.words.index("2.jpg")
    assert "Other backgrounds" not in full_page().words
