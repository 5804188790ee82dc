"""The overlay colours what the evidence points at, on the upright photo, and nothing else."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from platecheck.errors import PhotoError
from platecheck.heatmap import COLOR, MAX_SIDE, overlay


def photo(width: int, height: int, **how: object) -> bytes:
    """A grey photo with some noise, so that a change shows."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(90, 130, (height, width, 3)).astype(np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png", **how)
    return file.getvalue()


def pixels(content: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(BytesIO(content)).convert("RGB"))


def evidence(**places: float) -> NDArray[np.float32]:
    """6 × 6 cells, without dirt but for a corner: upper_left, upper_right, lower_left."""
    found = np.zeros((6, 6), np.float32)
    corners = {
        "upper_left": np.s_[:2, :2],
        "upper_right": np.s_[:2, -2:],
        "lower_left": np.s_[-2:, :2],
        "everywhere": np.s_[:],
    }
    for name, value in places.items():
        found[corners[name]] = value
    return found


def changed(picture: Image.Image, content: bytes) -> NDArray[np.bool_]:
    return np.abs(np.asarray(picture).astype(int) - pixels(content)).max(axis=2) > 3


@pytest.mark.parametrize(
    "size", [(64, 48), (1, 1), (1, 300), (333, 17), (MAX_SIDE, 700), (700, MAX_SIDE)]
)
def test_it_is_as_large_as_the_photo(size: tuple[int, int]) -> None:
    for dirt in (evidence(), evidence(upper_left=1), np.ones((1, 1), np.float32)):
        picture = overlay(photo(*size), dirt)
        assert picture.size == size
        assert picture.mode == "RGB"


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((2 * MAX_SIDE, MAX_SIDE), (MAX_SIDE, MAX_SIDE // 2)),
        ((MAX_SIDE // 2, MAX_SIDE + 256), (410, MAX_SIDE)),
        ((3, 4 * MAX_SIDE), (1, MAX_SIDE)),
    ],
)
def test_a_larger_one_is_reduced_and_keeps_its_shape(
    size: tuple[int, int], wanted: tuple[int, int]
) -> None:
    assert overlay(photo(*size), evidence(upper_left=1)).size == wanted


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_without_evidence_no_pixel_changes(level: float) -> None:
    content = photo(90, 60)
    picture = overlay(content, evidence(everywhere=level))
    np.testing.assert_array_equal(np.asarray(picture), pixels(content))


@pytest.mark.parametrize("place", ["upper_left", "upper_right", "lower_left"])
def test_where_the_evidence_is_the_photo_is_coloured(place: str) -> None:
    content = photo(120, 60)
    picture = overlay(content, evidence(**{place: 1.0}))
    there = changed(picture, content)
    wanted = np.zeros((60, 120), bool)
    cells = evidence(**{place: 1.0}) > 0
    wanted[:] = np.kron(cells, np.ones((10, 20), bool))
    assert there[wanted].mean() > 0.8
    # Half a cell of soft edge, no further.
    reach = np.kron(cells, np.ones((10, 20)))
    far = np.ones((60, 120), bool)
    rows, columns = np.nonzero(reach)
    far[
        max(0, rows.min() - 10) : rows.max() + 11, max(0, columns.min() - 20) : columns.max() + 21
    ] = False
    assert not there[far].any()
    middle = np.asarray(picture)[wanted].mean(axis=0)
    assert np.abs(middle - COLOR).sum() < np.abs(pixels(content)[wanted].mean(axis=0) - COLOR).sum()


def test_more_evidence_is_more_colour_and_the_photo_still_shows() -> None:
    content = photo(60, 60)

    def red(level: float) -> float:
        return float(np.asarray(overlay(content, evidence(everywhere=level)))[..., 0].mean())

    found = [red(level) for level in (0.0, 0.3, 0.4, 0.55, 1.0)]
    assert found == sorted(found)
    assert len({round(value) for value in found}) == 5
    strongest = np.asarray(overlay(content, evidence(everywhere=1.0))).astype(float)
    assert strongest[..., 1].std() > 1  # what lies below can be seen


def test_a_photo_that_was_turned_by_its_camera_is_upright() -> None:
    """Evidence is of the upright photo."""
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    content = photo(80, 40, exif=exif)
    plain = overlay(content, evidence())
    assert plain.size == (40, 80)
    np.testing.assert_array_equal(np.asarray(plain), np.rot90(pixels(content), -1))
    marked = np.asarray(overlay(content, evidence(upper_left=1))).astype(int)
    there = np.abs(marked - np.asarray(plain)).max(axis=2) > 3
    rows, columns = np.nonzero(there)
    assert rows.mean() < 20
    assert columns.mean() < 12


def test_a_photo_of_another_mode(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("LA", (30, 20), (120, 255)).save(path)
    picture = overlay(path, evidence(upper_left=1))
    assert (picture.mode, picture.size) == ("RGB", (30, 20))


def test_what_is_no_photo_is_said(tmp_path: Path) -> None:
    with pytest.raises(PhotoError):
        overlay(tmp_path / "gone.png", evidence())
    with pytest.raises(PhotoError):
        overlay(b"no photo", evidence())
