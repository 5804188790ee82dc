"""The overlay colours what the heatmap points at, on the upright photo, and nothing else."""

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from platecheck.errors import PhotoError
from platecheck.heatmap import COLOR, MAX_SIDE, overlay
from tests.support.photos import encode

CORNERS = {
    "upper_left": np.s_[:2, :2],
    "upper_right": np.s_[:2, -2:],
    "lower_left": np.s_[-2:, :2],
    "everywhere": np.s_[:],
}
NOTHING = np.zeros((6, 6), np.float32)


def noise(width: int, height: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(90, 130, (height, width, 3), np.uint8)


def heatmap(place: str, level: float = 1) -> NDArray[np.float32]:
    """6 × 6 cells, without dirt but for one place."""
    cells = NOTHING.copy()
    cells[CORNERS[place]] = level
    return cells


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        *[(size, size) for size in ((64, 48), (1, 1), (1, 300), (MAX_SIDE, 700))],
        ((2 * MAX_SIDE, MAX_SIDE), (MAX_SIDE, MAX_SIDE // 2)),
        ((MAX_SIDE // 2, MAX_SIDE + 256), (410, MAX_SIDE)),
        ((3, 4 * MAX_SIDE), (1, MAX_SIDE)),
    ],
)
def test_overlay_of_a_large_photo_is_reduced(
    size: tuple[int, int], expected: tuple[int, int]
) -> None:
    for cells in (heatmap("upper_left"), np.ones((1, 1), np.float32)):
        assert overlay(noise(*size), cells).size == expected


def test_overlay_without_dirt_changes_no_pixel() -> None:
    photo = noise(90, 60)
    for level in (0.0, 0.1):
        np.testing.assert_array_equal(overlay(photo, heatmap("everywhere", level)), photo)


@pytest.mark.parametrize("place", ["upper_left", "upper_right", "lower_left"])
def test_overlay_colours_the_dirty_cells_only(place: str) -> None:
    photo, cells = noise(120, 60), heatmap(place)
    picture = np.asarray(overlay(photo, cells))
    changed = np.abs(picture.astype(int) - photo).max(axis=2) > 3
    dirty = np.kron(cells, np.ones((10, 20))) > 0
    # Half a cell of soft edge, no further.
    near = np.pad(dirty, ((10, 10), (20, 20)))
    near = np.any([np.roll(near, (y, x), (0, 1)) for y in (-10, 0, 10) for x in (-20, 0, 20)], 0)
    assert changed[dirty].mean() > 0.8
    assert not changed[~near[10:-10, 20:-20]].any()
    distances = [np.abs(each[dirty].mean(axis=0) - COLOR).sum() for each in (picture, photo)]
    assert distances[0] < distances[1]


def test_overlay_of_more_dirt_is_more_opaque_and_the_photo_still_shows() -> None:
    photo, levels = noise(60, 60), (0.0, 0.3, 0.4, 0.55, 1.0)
    found = [np.asarray(overlay(photo, heatmap("everywhere", level))) for level in levels]
    reds = [round(picture[..., 0].mean()) for picture in found]
    assert reds == sorted(set(reds))
    assert found[-1][..., 1].std() > 1


def test_overlay_of_any_source_is_upright_rgb() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    photo, cells = noise(80, 40), heatmap("upper_left")
    turned = encode(photo, "PNG", exif=exif)
    expected = np.rot90(photo, -1)
    np.testing.assert_array_equal(overlay(turned, NOTHING), expected)
    drawn = overlay(expected, cells).tobytes()
    for source in (turned, Image.fromarray(expected), io.BytesIO(turned)):
        assert overlay(source, cells).tobytes() == drawn
    assert overlay(expected[..., ::-1], cells, color="bgr").tobytes() == drawn
    assert overlay(Image.new("LA", (30, 20), (120, 255)), cells).mode == "RGB"


def test_overlay_of_a_photo_that_cannot_be_opened_raises() -> None:
    with pytest.raises(PhotoError, match="not a photo"):
        overlay(b"no photo", NOTHING)
    with pytest.raises(PhotoError, match="limit"):
        overlay(noise(9, 9), NOTHING, max_pixels=10)
