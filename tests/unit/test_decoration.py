"""Pictures and what is drawn with them, with and without the packages they come from."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platecheck.data import pictures
from platecheck.data.decoration import decorate

CACHED = (pictures.clip_art, pictures.color_font, pictures.color_pictures, pictures.open_drawing)


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for cached in CACHED:
        cached.cache_clear()
    yield
    for cached in CACHED:
        cached.cache_clear()


@pytest.fixture
def clip_art(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library with a green square, off the middle, and two pictures to leave out."""
    drawing = Image.new("RGBA", (200, 100))
    drawing.paste((0, 128, 0, 255), (150, 20, 190, 40))
    for name in [*pictures.SUBJECTS, "people/smilies", "buildings/furniture", "food"]:
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        drawing.save(tmp_path / name / "drawing.png")
    monkeypatch.setattr(pictures, "CLIP_ART", tmp_path)
    return tmp_path


def changed(seed: int) -> bool:
    pixels = np.full((96, 96, 3), 200, np.uint8)
    mask = np.zeros((96, 96), np.uint8)
    mask[20:76, 20:76] = 255
    found = decorate(np.random.default_rng(seed), pixels, mask)
    np.testing.assert_array_equal(found[mask == 0], pixels[mask == 0])
    return bool((found != pixels).any())


def test_clip_art_is_read_by_subject_without_what_is_no_decoration(clip_art: Path) -> None:
    wanted = [(clip_art / subject / "drawing.png",) for subject in pictures.SUBJECTS]
    assert list(pictures.clip_art()) == wanted


def test_drawing_is_cropped_to_a_square(clip_art: Path) -> None:
    drawing = pictures.open_drawing(clip_art / "plants" / "drawing.png")
    assert drawing.size == (pictures.DRAWING_SIDE,) * 2
    left, top, right, bottom = drawing.getchannel("A").point(
        lambda a: 255 * (a > 127)
    ).getbbox() or (0, 0, 0, 0)
    assert right - left == pictures.DRAWING_SIDE  # it was 40 × 20 pixels
    assert bottom - top == pytest.approx(pictures.DRAWING_SIDE / 2, abs=4)


def test_incomplete_clip_art_is_not_used(clip_art: Path) -> None:
    (clip_art / "plants" / "drawing.png").unlink()
    assert pictures.clip_art() == ()


@pytest.mark.usefixtures("clip_art")
def test_decorations_stay_on_the_dish() -> None:
    assert sum(changed(seed) for seed in range(40)) > 30


def test_decorations_are_drawn_without_clip_art_and_fonts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "CLIP_ART", tmp_path)
    monkeypatch.setattr(pictures, "COLOR_FONT", "no such font")
    assert not pictures.clip_art()
    assert not pictures.color_pictures()
    assert sum(changed(seed) for seed in range(40)) > 30
