"""A reduced photo, resized, is the photo that open_photo gives, and knows its whole size."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from platecheck.errors import PhotoError
from platecheck.photo import open_photo, open_reduced, read_photo, resize_photo
from tests.support.photos import LOSSLESS, LOSSY, draw, encode, sample

LARGE = draw(900, 1200, texture=9)


@pytest.mark.parametrize("kind", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("size", [7, (30, 20), 300])
def test_open_reduced_then_resized_equals_open_photo(kind: str, size: Any) -> None:
    file = sample(kind)
    found = open_reduced(file, size)
    assert (found.height, found.width) == (48, 64)
    np.testing.assert_array_equal(resize_photo(found.pixels, size), open_photo(file, size))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(50, 200), (200, 50), 100])
def test_open_reduced_of_a_large_jpeg_is_smaller_but_knows_its_size(
    orientation: int, size: Any
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = encode(LARGE, "JPEG", quality=95, exif=exif)
    found, upright = open_reduced(file, size), open_photo(file)
    assert (found.height, found.width) == upright.shape[:2]
    assert found.pixels.size < upright.size
    wanted = np.array(size if isinstance(size, tuple) else (size, size))
    assert (found.pixels.shape[:2] >= 2 * wanted).all()
    np.testing.assert_array_equal(resize_photo(found.pixels, size), open_photo(file, size))
    exact = open_reduced(file, size, exact=True)
    assert (exact.pixels.shape[:2] >= wanted).all()
    assert exact.pixels.size <= found.pixels.size


@pytest.mark.parametrize("source", [LARGE, Image.fromarray(LARGE)])
def test_open_reduced_of_pixels_keeps_all(source: Any) -> None:
    found = open_reduced(source, 100)
    np.testing.assert_array_equal(found.pixels, LARGE)
    assert (found.height, found.width) == (900, 1200)
    assert read_photo(source) is source


def test_read_photo_reads_a_file_once(tmp_path: Any) -> None:
    (tmp_path / "a.png").write_bytes(sample("PNG"))
    assert read_photo(tmp_path / "a.png") == sample("PNG")
    with pytest.raises(PhotoError, match="there is no such file"):
        read_photo(tmp_path / "gone.png")
    with pytest.raises(PhotoError, match="is not a photo"):
        read_photo(7)  # type: ignore[arg-type]
