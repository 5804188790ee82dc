"""Boxes, icons and labels are drawn inside the picture, whatever the size of the photo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from platecheck.classifier import Prediction
from platecheck.drawing import (
    CLEAN_COLOR,
    LEAST_SIDE,
    MOST_SIDE,
    OTHER_COLOR,
    UNSURE_COLOR,
    _overlap,
    _places,
    draw,
)
from platecheck.inspector import Dish, Inspection
from tests.support.photos import encode

GREY = (128, 128, 128)
COLORS = {"clean": CLEAN_COLOR, "dirty": OTHER_COLOR, "unsure": UNSURE_COLOR}


def inspection(
    width: int, height: int, *dishes: tuple[str, tuple[float, float, float, float]]
) -> Inspection:
    return Inspection(
        "p", width, height,
        tuple(Dish(box, 0.9, Prediction("p", label, 0.98), box) for label, box in dishes),
    )  # fmt: skip


def count(picture: Image.Image, color: tuple[int, int, int]) -> int:
    return int((np.asarray(picture) == color).all(axis=-1).sum())


@pytest.mark.parametrize("label", COLORS)
def test_draw_has_a_box_a_filled_tag_and_an_icon(label: str) -> None:
    photo = np.full((600, 800, 3), GREY, np.uint8)
    picture = draw(photo, inspection(800, 600, (label, (100, 150, 500, 450))))
    assert picture.size == (800, 600)
    pixels = np.asarray(picture)
    assert tuple(pixels[300, 100]) == tuple(pixels[450, 300]) == COLORS[label]  # the frame
    assert tuple(pixels[300, 300]) == GREY  # the dish itself is not covered
    tag = pixels[115:149, 100:200]
    assert (tag == COLORS[label]).all(axis=-1).mean() > 0.4
    ink = (20, 20, 20) if label == "unsure" else (255, 255, 255)
    assert (tag == ink).all(axis=-1).sum() > 50
    for other in COLORS.keys() - {label}:
        assert count(picture, COLORS[other]) == 0


def test_draw_distinguishes_labels_without_color() -> None:
    photo = np.full((600, 800, 3), GREY, np.uint8)
    box = (100.0, 150.0, 500.0, 450.0)
    grey = [
        np.asarray(draw(photo, inspection(800, 600, (label, box))).convert("L")) > 200
        for label in ("clean", "dirty")
    ]
    icons = [each[117:147, 100:125] for each in grey]
    assert (icons[0] != icons[1]).sum() > 20


@pytest.mark.parametrize(("height", "width"), [(1, 1), (40, 30), (2, 3000), (5000, 4000)])
def test_draw_makes_any_photo_readable(height: int, width: int) -> None:
    photo = np.full((height, width, 3), GREY, np.uint8)
    box = (0, 0, float(width), float(height))
    picture = draw(photo, inspection(width, height, ("dirty", box)))
    assert LEAST_SIDE <= max(picture.size) <= MOST_SIDE
    assert count(picture, OTHER_COLOR) > 0


def test_draw_turns_the_photo_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = encode(Image.new("RGB", (800, 600), GREY), "JPEG", exif=exif)
    picture = draw(file, inspection(600, 800, ("clean", (50, 400, 250, 700))))
    assert picture.size == (600, 800)
    assert np.asarray(picture)[550, 50, 2] > 150


def test_tags_of_a_stack_do_not_cover_each_other() -> None:
    """Rims of a stack lie a few pixels apart; what does not fit has the icon alone."""
    photo = np.full((600, 800, 3), GREY, np.uint8)
    stack = [("clean", (200, 100 + 12 * n, 600, 300 + 12 * n)) for n in range(6)]
    alone = count(draw(photo, inspection(800, 600, stack[0])), (255, 255, 255))
    together = count(draw(photo, inspection(800, 600, *stack)), (255, 255, 255))  # type: ignore[arg-type]
    assert together > 4 * alone


@settings(max_examples=80)
@given(
    boxes=st.lists(
        st.tuples(st.sampled_from(list(COLORS)), st.tuples(*[st.floats(-50, 250)] * 4)), max_size=12
    ),
    height=st.integers(1, 200),
    width=st.integers(1, 200),
)
def test_draw_of_any_boxes_succeeds(
    boxes: list[tuple[str, tuple[float, float, float, float]]], height: int, width: int
) -> None:
    dishes = [
        (label, (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])))
        for label, b in boxes
    ]
    picture = draw(np.zeros((height, width, 3), np.uint8), inspection(width, height, *dishes))
    assert max(picture.size) == LEAST_SIDE


@given(
    size=st.tuples(st.integers(1, 300), st.integers(1, 300)),
    box=st.tuples(*[st.integers(-50, 350)] * 4),
    tag=st.tuples(st.integers(1, 90), st.integers(1, 40)),
)
def test_places_of_a_tag_are_inside_the_picture(
    size: tuple[int, int], box: tuple[int, int, int, int], tag: tuple[int, int]
) -> None:
    for x0, y0, x1, y1 in _places(size, box, tag):
        assert 0 <= x0 <= x1 < size[0]
        assert 0 <= y0 <= y1 < size[1]
    assert _overlap((0, 0, 5, 5), (5, 5, 9, 9))
    assert not _overlap((0, 0, 5, 5), (6, 0, 9, 9))
