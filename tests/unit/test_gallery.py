"""The gallery shows what other tables spoil, worst first, and the page shows the gallery."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import FACTS, Page
from test_report import evaluation as evaluation_of

from platecheck.data.folders import Photo
from platecheck.evaluation.background_evaluation import BackgroundEvaluation
from platecheck.evaluation.background_metrics import (
    Accuracy,
    AccuracyGap,
    BackgroundMetrics,
    LeftOut,
    OnlyBackground,
    WorstBackground,
    WorstGroup,
    verdict,
)
from platecheck.report.gallery import gallery
from platecheck.report.page import BackgroundSection, GalleryRow, ReportData, render

CLASSES = ["clean", "dirty"]


@dataclass
class Found:
    photo: Photo


class Pictures:
    """Stands for an exchange: pictures are of one level each, which tells what they show."""

    def __init__(self, labels: list[int], dishes: list[int]) -> None:
        self.photos = [
            Found(Photo(Path(), f"{i}.jpg", label, "val")) for i, label in enumerate(labels)
        ]
        self.dishes = dishes

    def original(self, index: int) -> np.ndarray:
        return np.full((4, 4, 3), index, np.uint8)

    def mixed(self, dish: int, table: int) -> np.ndarray:
        return np.full((4, 4, 3), 100 + 10 * dish + table, np.uint8)

    def only_background(self, index: int) -> np.ndarray:
        return np.full((4, 4, 3), 50 + index, np.uint8)


def measurement(
    labels: list[int], original: list[float], mixed: list[tuple[float, float, float]]
) -> BackgroundEvaluation:
    """From the probability of the true class of each dish; photo 0 is no dish."""
    dishes = list(range(1, len(labels) + 1))
    swap: Any = Pictures([0, *labels], dishes)

    def rows(right: Any) -> np.ndarray:
        found = np.array(
            [
                [p, 1 - p] if label == 0 else [1 - p, p]
                for p, label in zip(right, labels, strict=True)
            ]
        )
        return found.astype(np.float32)

    names = ("mixed_same", "mixed_rand", "mixed_next")
    return BackgroundEvaluation(
        result=BackgroundMetrics.model_construct(),
        swap=swap,
        backgrounds={name: [k] * len(labels) for k, name in enumerate(names)},
        probabilities={"original": rows(original)}
        | {name: rows([row[k] for row in mixed]) for k, name in enumerate(names)},
        only_background={1: np.float32([0.3, 0.7])},
    )


def test_what_other_tables_spoil_comes_first_then_what_falls_most() -> None:
    found = measurement(
        labels=[0, 1, 1, 0, 0, 1],
        original=[0.9, 0.60, 0.99, 0.4, 0.7, 0.8],
        mixed=[
            (0.9, 0.9, 0.4),  # right, then wrong: falls by 0.5
            (0.6, 0.45, 0.6),  # right, then wrong: falls by 0.15
            (0.99, 0.99, 0.55),  # stays right: falls by 0.44
            (0.1, 0.2, 0.1),  # wrong before: falls by 0.3
            (0.8, 0.7, 0.9),  # does not fall
            (0.8, 0.6, 0.7),  # stays right: falls by 0.2
        ],
    )
    assert [row.name for row in gallery(found, CLASSES)] == [
        "1.jpg",
        "2.jpg",
        "3.jpg",
        "4.jpg",
        "6.jpg",
    ]
    assert len(gallery(found, CLASSES, max_rows=2)) == 2


def test_a_row_shows_the_dish_on_each_table_and_the_table_alone() -> None:
    found = measurement([1, 0], [0.9, 0.8], [(0.8, 0.3, 0.1), (0.7, 0.7, 0.7)])
    first, second = gallery(found, CLASSES)
    assert (first.name, first.truth) == ("1.jpg", "dirty")
    shown = [
        (p.name, p.pixels[0, 0, 0], p.predicted, round(p.probability, 2), p.correct)
        for p in first.predictions
    ]
    assert shown == [
        ("Original", 1, "dirty", 0.9, True),
        ("Mixed-Same", 110, "dirty", 0.8, True),
        ("Mixed-Rand", 111, "clean", 0.7, False),
        ("Mixed-Next", 112, "clean", 0.9, False),
        ("Only-BG", 51, "dirty", 0.7, None),
    ]
    assert [p.name for p in second.predictions][-1] == "Mixed-Next"  # its table is not seen


# --- on the page


def share(correct: int, photos: int = 235) -> Accuracy:
    return Accuracy(
        photos=photos, correct=correct, accuracy=correct / photos, accuracy_ci95=(0.875, 0.925)
    )


RESULT = BackgroundMetrics(
    split="val",
    seed=7,
    original=share(239, 250),
    original_same_dishes=share(225),
    mixed_same=share(223),
    mixed_rand=share(212),
    mixed_next=share(204),
    bg_gap=AccuracyGap(photos=235, gap=0.0468, gap_ci95=(0.013, 0.081)),
    next_gap=AccuracyGap(photos=235, gap=0.081, gap_ci95=(0.043, 0.123)),
    only_bg=OnlyBackground(**share(126, 231).model_dump(), majority_rate=0.684),
    worst_group=WorstGroup(accuracy=None, worst=None, groups=[], kinds=[]),
    worst_table=WorstBackground(**share(161).model_dump(), tables=16),
    ece_original_and_mixed_rand=0.0197,
    left_out=LeftOut(dishes=15, tables=19),
)


@pytest.fixture(scope="module")
def page() -> Page:
    found = measurement([1, 0], [0.9, 0.8], [(0.8, 0.3, 0.1), (0.7, 0.7, 0.7)])
    rows = gallery(found, CLASSES)
    data = ReportData("plate", "", FACTS, evaluations=[evaluation_of("val")])
    return Page(render(replace(data, backgrounds=BackgroundSection(RESULT, rows))))


def test_the_page_tells_every_figure_and_what_it_means(page: Page) -> None:
    for fact in (
        verdict(RESULT, 2),
        "Original 239/250 95.6% 87.5–92.5% all photos, unchanged",
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
    assert "worst group" not in page.words  # none holds enough photos


def test_the_page_shows_the_rows_in_their_order(page: Page) -> None:
    pictures = [img["alt"] for img in page.all("img") if "jpeg" in img["src"]]
    four = ["Original", "Mixed-Same", "Mixed-Rand", "Mixed-Next"]
    assert pictures == [*four, "Only-BG", *four]
    assert page.words.index("1.jpg") < page.words.index("2.jpg")


def test_a_page_without_other_tables_says_nothing_of_them() -> None:
    data = ReportData("plate", "", FACTS, evaluations=[evaluation_of("val")])
    assert "Other backgrounds" not in Page(render(data)).words


def test_names_in_the_gallery_are_shown_and_never_obeyed() -> None:
    rows = [GalleryRow("<script>a</script>", "<b>clean", [])]
    data = ReportData("plate", "", FACTS, evaluations=[evaluation_of("val")])
    page = Page(render(replace(data, backgrounds=BackgroundSection(RESULT, rows))))
    assert not page.all("script")
    assert "<script>a</script>" in page.words
    assert "<b>clean" in page.words
