import base64
import io
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from platecheck.errors import DataError
from platecheck.evaluation.evaluate import Evaluation
from platecheck.evaluation.metrics import (
    EvaluationResult,
    UnreadablePhoto,
    evaluate_probabilities,
    mistakes,
)
from platecheck.evaluation.plots import PredictedPhoto
from platecheck.report.page import (
    ReportData,
    RunSummary,
    render,
    write_report,
)

VOID = {"meta", "link", "img", "br", "path", "circle"}


class Page(HTMLParser):
    """The page as a browser would see it: elements with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {key: value or "" for key, value in attrs}))
        self.text += " "
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


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


def photo(name: str, predicted: str, truth: str | None, size: int = 400) -> PredictedPhoto:
    pixels = np.full((size, size // 2, 3), (200, 40, 40), np.uint8)
    return PredictedPhoto(pixels, predicted, 0.876, truth, name)


FACTS = RunSummary(
    seed=4711,
    versions={"platecheck": "0.1.0", "torch": "2.13.0"},
    data_fingerprint="f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
    counts={"train": {"clean": 231, "dirty": 227}, "test": {"clean": 86, "dirty": 165}},
    epochs=2,
    best_epoch=2,
    training_seconds=3725,
    trained={"Recipe": "tiny_vgg (a small network)", "Network": "64 pixels"},
)
FULL = ReportData(
    title="TinyVGG on dishes",
    recipe="network:\n  name: tiny_vgg\n",
    summary=FACTS,
    history=[
        {
            "epoch": epoch,
            "train_loss": 0.5,
            "train_accuracy": 0.8,
            "val_loss": 0.4,
            "val_accuracy": 0.85,
            "learning_rate": 0.01,
        }
        for epoch in (1, 2)
    ],
    evaluations=[evaluation("test"), evaluation("other tables", wrong=100)],
    grid=[photo("a.jpg", "clean", "clean"), photo("b.jpg", "clean", None)],
    mistakes=[photo("c.jpg", "clean", "dirty")],
    commands=["platecheck train tiny_vgg --seed 4711"],
    warnings=["The table may tell the class."],
)


@cache
def full_html() -> str:
    return render(FULL)


def test_the_page_says_what_was_trained_on_what_and_what_it_is_worth() -> None:
    words = Page(full_html()).words
    for fact in [
        "TinyVGG on dishes",
        "The table may tell the class.",
        "name: tiny_vgg",
        "4711",
        "f1d2d2f924e986ac86fdf7b36c94bcdf32beec15",
        "torch 2.13.0",
        "train 231 227 458",
        "test 86 165 251",
        "1 h 2 min",
        "2, best: epoch 2 (lowest validation loss)",
        "Recipe tiny_vgg (a small network) Network 64 pixels Photos train 458, test 251",
        "platecheck train tiny_vgg --seed 4711",
    ]:
        assert fact in words


def test_every_accuracy_stands_with_its_count_and_interval() -> None:
    words = Page(full_html()).words
    assert "235/251 93.6% 89.9–96.0%" in words
    assert "151/251 60.2% 54.0–66.0%" in words
    assert "235 of 251 correct 95% CI 89.9–96.0%" in words


def test_what_was_trained_comes_first_and_the_recipe_last() -> None:
    headings = re.findall(r"<h2[^>]*>([^<]*)", full_html())
    assert headings == [
        "Warnings",
        "Run",
        "Curves",
        "Most confident mistakes",
        "Confusion matrix",
        "Metrics",
        "Calibration",
        "Predictions",
        "Reproduce",
    ]
    words = Page(full_html()).words
    assert words.index("235 of 251 correct") < words.index("Run")
    assert words.endswith("Resolved recipe network: name: tiny_vgg")
    (folded,) = Page(full_html()).all("details")
    assert "open" not in folded


def test_accuracy_stands_beside_that_of_the_majority_class() -> None:
    words = Page(full_html()).words
    assert "95% CI 89.9–96.0% always 'clean': 50.2%" in words
    assert "test: Better than always predicting 'clean': 126/251 = 50.2% (p < 0.001)." in words


def test_photos_are_neither_cropped_nor_stretched() -> None:
    assert "object-fit: contain" in full_html()
    assert "object-fit: cover" not in full_html()


def test_without_mistakes_the_page_says_that_there_are_none() -> None:
    data = replace(FULL, evaluations=[evaluation("test", wrong=0)], mistakes=[])
    assert "None on test: 251 of 251 photos are correct." in Page(render(data)).words


def test_a_run_that_was_stopped_tells_how_many_epochs_were_planned() -> None:
    data = replace(FULL, summary=replace(FACTS, planned_epochs=50))
    assert "Epochs 2 of 50, best: epoch 2" in Page(render(data)).words


def test_the_drawn_intervals_fit_their_scale() -> None:
    html = full_html()
    assert "scale from 50% to 100%" in Page(html).words
    ranges = re.findall(r'class="range" d="M([\d.]+) 7H([\d.]+)"', html)
    points = re.findall(r'class="point" cx="([\d.]+)"', html)
    assert len(ranges) == len(points) == 2
    for (low, high), point in zip(ranges, points, strict=True):
        assert 0 <= float(low) < float(point) < float(high) <= 120
    assert float(points[0]) == pytest.approx(120 * (235 / 251 - 0.5) / 0.5)


def test_the_page_asks_for_nothing_from_outside() -> None:
    html = full_html()
    page = Page(html)
    addresses = [
        value
        for _, attributes in page.elements
        for key, value in attributes.items()
        if key in ("src", "href", "srcset", "action", "data", "poster")
    ]
    assert len(addresses) == 1 + 1 + 2 + 2 + 3  # icon, curves, matrices, diagrams, photos
    assert all(address.startswith("data:") for address in addresses)
    assert not re.search(r"url\(|@import|https?://", re.sub(r"base64,[^\"]*", "", html))
    assert not {"script", "iframe", "object", "embed", "form", "base"} & {
        tag for tag, _ in page.elements
    }
    (policy,) = [m for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policy["content"].startswith("default-src 'none'")


def test_every_picture_can_be_opened_and_photos_are_small() -> None:
    for picture in Page(full_html()).all("img"):
        kind, content = picture["src"].removeprefix("data:").split(";base64,")
        raw = base64.b64decode(content, validate=True)
        if kind == "image/svg+xml":
            assert ElementTree.fromstring(raw).tag.endswith("svg")
        else:
            with Image.open(io.BytesIO(raw)) as opened:
                assert opened.size == (144, 288)
                red, green, blue = opened.convert("RGB").getpixel((70, 140))
                assert (abs(red - 200), abs(green - 40), abs(blue - 40)) < (6, 6, 6)


def test_the_page_can_be_read_without_seeing_it() -> None:
    page = Page(full_html())
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


def test_right_wrong_and_unknown_differ_without_colour() -> None:
    words = Page(full_html()).words
    assert "✓ correct: clean 87.6% a.jpg" in words
    assert "✗ wrong: clean 87.6% true: dirty c.jpg" in words
    assert re.search(r"(?<!: )clean 87\.6% b\.jpg", words)


NASTY = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'onmouseover='alert(1)",
    "</pre></code></style><script>alert(1)</script>",
    "{{ 7 * 7 }}{% include 'x' %}",
    "&lt;b&gt; <!-- $\\frac$",
]


def everything_is_called(name: str) -> Page:
    facts = RunSummary(1, {name: name}, name, {name: {name: 3}}, 2)
    unreadable = [UnreadablePhoto(path=name, reason=name)]
    data = ReportData(
        title=name,
        recipe=name,
        summary=facts,
        evaluations=[evaluation(name, [name, name + "2"], unreadable)],
        grid=[photo(name, name, name)],
        mistakes=[photo(name, name, name + "2")],
        commands=[name],
        warnings=[name],
    )
    return Page(render(data))


@cache
def harmless_page() -> Page:
    return everything_is_called("harmless")


@pytest.mark.parametrize("nasty", NASTY)
def test_names_are_shown_and_never_obeyed(nasty: str) -> None:
    page = everything_is_called(nasty)
    shape = [(tag, sorted(attributes)) for tag, attributes in page.elements]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in harmless_page().elements]
    shown = " ".join(nasty.split())
    assert page.words == harmless_page().words.replace("harmless", shown)
    assert nasty in page.all("img")[0]["alt"]


def test_a_file_name_that_is_no_text_can_be_written(tmp_path: Path) -> None:
    name = b"\xff.jpg".decode("utf-8", "surrogateescape")
    write_report(replace(FULL, grid=[photo(name, "clean", None)]), tmp_path / "report.html")
    assert "?.jpg" in Page((tmp_path / "report.html").read_text("utf-8")).words


def test_what_is_not_given_is_left_out() -> None:
    facts = RunSummary(0, {}, "f1", {}, 0)
    page = Page(render(ReportData("Bare", "", facts)))
    assert not page.all("img")
    assert not page.all("table")
    assert len(page.all("h2")) == 2
    assert "Training time" not in page.words
    assert "best" not in page.words


def test_an_auroc_that_does_not_exist_is_a_dash() -> None:
    probabilities, labels = np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 0])
    metrics = evaluate_probabilities(probabilities, labels, ["clean", "dirty"])
    result = EvaluationResult(**dict(metrics), mistakes=[], unreadable=[])
    words = Page(
        render(replace(FULL, evaluations=[Evaluation("one", result, probabilities, labels, ())]))
    ).words
    assert "1.000 1.000 1.000 – 0.150" in words


def test_a_long_list_of_unreadable_photos_is_cut_and_counted() -> None:
    unreadable = [UnreadablePhoto(path=f"{i}.jpg", reason="truncated") for i in range(50)]
    data = replace(FULL, evaluations=[evaluation("test", unreadable=unreadable)])
    words = Page(render(data)).words
    assert "Unreadable: 50 photos of test" in words
    assert "19.jpg: truncated" in words
    assert "20.jpg: truncated" not in words
    assert "and 30 more" in words


def test_the_same_run_gives_the_same_page() -> None:
    assert render(FULL) == full_html()


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (90, "1 min 30 s"), (7260, "2 h 1 min")],
)
def test_training_time_is_told_as_people_tell_it(seconds: float, shown: str) -> None:
    facts = RunSummary(0, {}, "f1", {}, 0, training_seconds=seconds)
    assert f"Training time {shown} Reproduce" in Page(render(ReportData("Bare", "", facts))).words


def test_the_page_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    write_report(FULL, path)
    assert path.read_text("utf-8") == full_html()

    before = path.read_bytes()
    with pytest.raises(DataError, match="best epoch, 9"):
        write_report(replace(FULL, summary=replace(FACTS, best_epoch=9)), path)
    monkeypatch.setattr(Path, "write_bytes", fail_to_write)
    with pytest.raises(DataError, match=r"report\.html cannot be written: No space left"):
        write_report(FULL, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def fail_to_write(self: Path, content: bytes) -> int:
    raise OSError(28, "No space left on device")
