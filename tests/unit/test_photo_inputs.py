"""Whatever a developer holds is a photo (bytes, files, PIL images, arrays) or one clear error."""

import array
import io
import mmap
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageDraw, ImageFile

from platecheck.errors import PhotoError
from platecheck.photo import open_photo, photo_name
from tests.support.photos import PICTURE, draw, encode, reason

PNG = encode(PICTURE, "PNG")


# --- bytes and files


def test_open_photo_of_any_bytes_path_or_file_is_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "dish.png"
    path.write_bytes(PNG)

    class InPieces(io.RawIOBase):
        """Gives less than it is asked for, as sockets and pipes do."""

        rest = PNG

        def read(self, size: int = -1) -> bytes:
            piece, self.rest = self.rest[:100], self.rest[100:]
            return piece

    class OnlyRead:
        def __init__(self) -> None:
            self.read = io.BytesIO(PNG).read

    class BytesPath(os.PathLike[bytes]):
        def __fspath__(self) -> bytes:
            return os.fsencode(path)

    at_its_end = io.BytesIO(PNG)
    at_its_end.read()
    with path.open("rb") as file, path.open("rb", buffering=0) as raw:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        sources: list[Any] = [
            *(path, str(path), BytesPath(), PNG, bytearray(PNG), memoryview(PNG)),
            *(file, raw, mapped, InPieces(), OnlyRead(), io.BytesIO(PNG), at_its_end),
        ]
        for source in sources:
            np.testing.assert_array_equal(open_photo(source), PICTURE)
        mapped.close()


def test_open_photo_of_a_pipe_reads_all_of_it() -> None:
    data = encode(draw(300, 400, texture=30), "PNG")  # more than a pipe holds
    out, into = os.pipe()

    def write() -> None:
        with os.fdopen(into, "wb") as file:
            file.write(data)

    writer = threading.Thread(target=write)
    writer.start()
    with os.fdopen(out, "rb", buffering=0) as file:
        np.testing.assert_array_equal(open_photo(file), open_photo(data))
    writer.join()


def test_open_photo_of_a_closed_or_strange_file_is_an_error(tmp_path: Path) -> None:
    class Raising:
        def read(self, size: int) -> bytes:
            raise KeyError("nothing")

    class Coroutine:
        async def read(self, size: int) -> bytes:
            return b""

    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    closed = io.BytesIO(PNG)
    closed.close()
    assert reason(Broken(b"x")) == "reading failed (Input/output error)"
    assert "closed file" in reason(closed)
    assert "reading failed" in reason(Raising())
    assert "open it in binary mode" in reason(io.StringIO("text"))
    released = memoryview(PNG)
    released.release()
    assert "reading failed" in reason(released)


# --- PIL images


def exif_with(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif


@pytest.mark.parametrize("orientation", [1, 3, 5, 6])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF"])
def test_open_photo_of_a_pil_image_is_upright_as_its_file(
    orientation: int, file_format: str
) -> None:
    data = encode(PICTURE, file_format, exif=exif_with(orientation))
    lazily_opened = Image.open(io.BytesIO(data))
    expected = open_photo(data)
    np.testing.assert_array_equal(open_photo(lazily_opened), expected)
    np.testing.assert_array_equal(open_photo(lazily_opened), expected)  # and again
    if file_format != "TIFF":  # which Pillow turns upright, and then says so
        np.testing.assert_array_equal(open_photo(lazily_opened.convert("RGB")), expected)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "I", "F"]
)
def test_open_photo_of_a_pil_image_of_any_mode_is_rgb(mode: str) -> None:
    image = Image.fromarray(PICTURE)
    image = image.convert("L").convert(mode) if mode == "PA" else image.convert(mode)
    before = image.tobytes()
    pixels = open_photo(image)
    assert pixels.shape == (48, 64, 3)
    assert image.mode == mode
    assert image.tobytes() == before
    if mode in ("RGB", "RGBA", "RGBX"):
        np.testing.assert_array_equal(pixels, PICTURE)


def test_open_photo_of_a_pil_image_does_not_modify_it(tmp_path: Path) -> None:
    path = tmp_path / "dish.gif"
    frames = [Image.new("RGB", (8, 6), color) for color in ("red", "blue")]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with Image.open(path) as image:
        image.seek(1)
        assert tuple(open_photo(image)[0, 0]) == (0, 0, 255)  # the frame that is shown
        assert image.tell() == 1
        image.seek(0)
        assert tuple(open_photo(image)[0, 0]) == (255, 0, 0)
        assert photo_name(image) == str(path)
    drawn = Image.fromarray(PICTURE)
    pixels = open_photo(drawn)
    pixels[:] = 0
    ImageDraw.Draw(drawn).point((0, 0))  # can still be drawn on
    np.testing.assert_array_equal(np.asarray(drawn)[1:], PICTURE[1:])
    assert photo_name(drawn) == "<image>"


def test_open_photo_of_one_lazily_opened_image_in_many_threads() -> None:
    data = encode(draw(400, 500, texture=20), "PNG", exif=exif_with(6))
    image, expected = Image.open(io.BytesIO(data)), open_photo(data)
    with ThreadPoolExecutor(16) as pool:
        for pixels in pool.map(open_photo, [image] * 16):
            np.testing.assert_array_equal(pixels, expected)


def test_open_photo_of_a_bad_pil_image_is_an_error() -> None:
    closed = Image.open(io.BytesIO(PNG))
    closed.close()
    cut = Image.open(io.BytesIO(encode(draw(texture=30), "PNG")[:2000]))
    assert "reading failed" in reason(closed)
    assert "cut short" in reason(cut)
    assert reason(Image.new("RGB", (0, 5))) == "it has no pixels"
    assert "limit of 3071" in reason(Image.fromarray(PICTURE), max_pixels=3071)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


# --- arrays


def test_open_photo_of_an_array_is_its_pixels() -> None:
    pixels = open_photo(PICTURE)
    np.testing.assert_array_equal(pixels, PICTURE)
    assert not np.shares_memory(pixels, PICTURE)
    np.testing.assert_array_equal(open_photo(PICTURE, 20), open_photo(PNG, 20))
    assert photo_name(PICTURE) == "<array>"


def test_open_photo_with_color_bgr_swaps_the_channels_of_arrays() -> None:
    bgr = PICTURE[..., ::-1]
    np.testing.assert_array_equal(open_photo(bgr, color="bgr"), PICTURE)
    np.testing.assert_array_equal(open_photo(bgr.copy(), color="bgr"), PICTURE)
    np.testing.assert_array_equal(open_photo(PNG, color="bgr"), PICTURE)  # a file says itself
    with_alpha = np.dstack([bgr, np.full((48, 64), 255, np.uint8)])
    np.testing.assert_array_equal(open_photo(with_alpha, color="bgr"), PICTURE)
    with pytest.raises(ValueError, match='"rgb" or "bgr"'):
        open_photo(PICTURE, color="BGR")  # type: ignore[arg-type]


def test_open_photo_of_grey_transparent_or_strided_arrays_is_rgb() -> None:
    grey = PICTURE[..., 0]
    for array_ in (grey, grey[..., None]):
        np.testing.assert_array_equal(open_photo(array_), np.dstack([grey] * 3))
    assert (open_photo(np.dstack([PICTURE, np.zeros((48, 64), np.uint8)])) == 255).all()
    read_only = PICTURE.copy()
    read_only.flags.writeable = False
    for view in (
        *(PICTURE[::-1], PICTURE[:, ::-2], np.asfortranarray(PICTURE), PICTURE.transpose(1, 0, 2)),
        *(np.broadcast_to(PICTURE[:1], PICTURE.shape), PICTURE.view(np.ma.MaskedArray), read_only),
    ):
        np.testing.assert_array_equal(open_photo(view), np.array(view))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((3, 8, 9), np.uint8), "not uint8 [3, 8, 9]; use np.moveaxis(x, 0, -1)"),
        (np.zeros((8, 9, 3), np.float32), 'convert it with (x * 255).clip(0, 255).astype("uint8")'),
        (np.full((8, 9, 3), 200.0), 'convert it with (x).clip(0, 255).astype("uint8")'),
        (np.full((8, 9, 3), np.nan), "not float64 [8, 9, 3]"),
        (
            np.full((8, 9, 3), 50000, np.uint16),
            'convert it with (x / 257).clip(0, 255).astype("uint8")',
        ),
        (np.full((8, 9, 3), 200), "not int64 [8, 9, 3]"),
        (np.ones((8, 9), bool), "not bool [8, 9]"),
        (np.zeros((2, 8, 9, 3), np.uint8), "use predict_many for several photos"),
        (np.frombuffer(PNG, np.uint8), "pass x.tobytes()"),
        (np.zeros((8, 9, 2), np.uint8), "not uint8 [8, 9, 2]"),
        (np.array(None), "not object []"),
        (np.array(["a.jpg"]), "an array must be uint8"),
        (np.zeros((0, 9, 3), np.uint8), "it has no pixels"),
        (np.zeros((0, 3), np.float32), "an array must be uint8"),
        (np.broadcast_to(np.uint8(0), (10**6, 10**6, 3)), "more than the limit of 134217728"),
        (None, "NoneType is not a photo"),
        ([PICTURE], "list is not a photo"),
        (7, "int is not a photo"),
        (object(), "object is not a photo"),
        (array.array("B", PNG), "array is not a photo"),
        (Image, "not a photo"),
    ],
)
def test_open_photo_of_what_is_no_photo_says_what_is(wrong: Any, said: str) -> None:
    assert said in reason(wrong)


@settings(max_examples=150)
@given(
    arrays.arrays(
        dtype=arrays.array_dtypes() | arrays.scalar_dtypes(),
        shape=arrays.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=5),
    )
)
def test_open_photo_of_any_array_is_pixels_or_an_error(anything: NDArray[Any]) -> None:
    try:
        pixels = open_photo(anything)
    except PhotoError:
        return
    assert anything.dtype == np.uint8
    assert pixels.shape == (*anything.shape[:2], 3)


@settings(max_examples=100)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([3]))),
    st.sampled_from(["rgb", "bgr"]),
)
def test_open_photo_of_an_array_equals_its_png(pixels: NDArray[np.uint8], color: Any) -> None:
    rgb = np.ascontiguousarray(pixels if color == "rgb" else pixels[..., ::-1])
    np.testing.assert_array_equal(open_photo(pixels, color=color), open_photo(encode(rgb, "PNG")))
