"""Whatever happens to a file on its way, it is opened or refused: never a crash, never a hang."""

import faulthandler
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from platecheck.errors import PhotoError
from platecheck.photo import open_photo
from tests.support.photos import LOSSLESS, LOSSY, PICTURE, at_most, draw, encode, sample

MAX_PIXELS = 2**18  # damaged headers claim anything; small pictures keep these tests short


def with_exif(file_format: str) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "camera"
    exif[ExifTags.Base.XResolution] = 72.0
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExposureTime] = 0.01
    return encode(PICTURE, file_format, exif=exif)


def as_mode(mode: str, file_format: str, **options: Any) -> bytes:
    return encode(Image.fromarray(PICTURE).convert(mode), file_format, **options)


ANIMATED = {"save_all": True, "append_images": [Image.new("RGB", (64, 48), "blue")]}
FILES = [
    *(sample(kind) for kind in LOSSLESS | LOSSY),
    *(with_exif(kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")),
    *(encode(PICTURE, f, **ANIMATED) for f in ("GIF", "PNG", "WEBP", "AVIF", "TIFF", "MPO")),
    *(as_mode(mode, "TIFF") for mode in ("I;16", "F", "LAB")),
    *(as_mode(mode, "PNG") for mode in ("LA", "I;16")),
    as_mode("CMYK", "JPEG"),
    as_mode("P", "BMP"),
    as_mode("P", "PNG", transparency=3),
    as_mode("1", "TIFF", compression="group4"),
    b"P3 2 2 255 " + b"1 2 3 " * 4,
]


@st.composite
def positions(draw_from: st.DrawFn, length: int) -> int:
    """Any place in a file, half of the time in its header."""
    last = length if draw_from(st.booleans()) else min(length, 200)
    return draw_from(st.integers(0, last))


@st.composite
def damaged_files(draw_from: st.DrawFn) -> bytes:
    """Draw a photo with bytes overwritten, excluded, put in or moved, and perhaps cut short."""
    data = bytearray(draw_from(st.sampled_from(FILES)))
    for _ in range(draw_from(st.integers(0, 5))):
        place = draw_from(positions(len(data)))
        match draw_from(st.sampled_from(["overwrite", "leave out", "put in", "move", "cut"])):
            case "overwrite":
                news = draw_from(st.binary(min_size=1, max_size=4))
                data[place : place + len(news)] = news
            case "leave out":
                del data[place : place + draw_from(st.integers(1, 64))]
            case "put in":
                data[place:place] = draw_from(st.binary(min_size=1, max_size=64))
            case "move":
                origin = draw_from(positions(len(data)))
                news = data[origin : origin + draw_from(st.integers(1, 64))]
                data[place : place + len(news)] = news
            case "cut":
                del data[place:]
    return bytes(data)


sizes = st.none() | st.integers(1, 40) | st.tuples(st.integers(1, 40), st.integers(1, 40))


SIGNATURES = [data[:n] for data in FILES for n in (2, 4, 12, 40)]
TRUNCATED = st.builds(
    lambda data, share: data[: int(share * len(data))], st.sampled_from(FILES), st.floats(0, 1)
)
NOISE = st.builds(bytes.__add__, st.sampled_from([b"", *SIGNATURES]), st.binary(max_size=300))


@settings(max_examples=600)
@given(damaged_files() | TRUNCATED | NOISE, sizes)
def test_open_photo_of_a_damaged_file_opens_or_refuses(
    data: bytes, size: int | tuple[int, int] | None
) -> None:
    """Fail on any error but `PhotoError`, any warning, any odd array, any hang."""
    refusal = None
    faulthandler.dump_traceback_later(60, exit=True)  # for a hang inside of compiled code
    try:
        with warnings.catch_warnings(), at_most(20):
            warnings.simplefilter("error")
            pixels = open_photo(data, size, max_pixels=MAX_PIXELS)
    except PhotoError as refused:
        refusal = refused
    finally:
        faulthandler.cancel_dump_traceback_later()
    if refusal:
        assert refusal.source == "<bytes>"
        assert len(str(refusal).splitlines()) == 1
        return
    height, width = (size, size) if isinstance(size, int) else size or pixels.shape[:2]
    assert pixels.shape == (height, width, 3)
    assert pixels.dtype == np.uint8
    assert 0 < pixels.shape[0] * pixels.shape[1] <= MAX_PIXELS


@settings(max_examples=100)
@given(st.integers(1, 90), st.integers(1, 90), st.sampled_from(["PNG", "JPEG", "WEBP"]), sizes)
def test_open_photo_of_any_shape_gives_any_size(
    height: int, width: int, file_format: str, size: int | tuple[int, int] | None
) -> None:
    pixels = open_photo(encode(draw(height, width), file_format), size)
    assert pixels.shape[:2] == ((size, size) if isinstance(size, int) else size or (height, width))


@pytest.mark.parametrize("file", FILES, ids=range(len(FILES)))
def test_open_photo_of_the_undamaged_file_opens(file: bytes) -> None:
    assert open_photo(file).size
