"""Every photo that a person may hand in comes out upright, RGB and 8 bits, or as one clear error.

The pictures are drawn here: a picture with a different colour in every corner, so that no
mirrored, turned or re-coloured result passes for the right one.
"""

import gzip
import io
import os
import signal
import struct
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms, ImageFile, TiffImagePlugin

from platecheck import photo
from platecheck.errors import PhotoError
from platecheck.photo import PHOTO_SUFFIXES, UNSUPPORTED_SUFFIXES, is_photo_name, open_photo
from platecheck.photo_formats import REFUSED_FORMATS


def draw(height: int = 48, width: int = 64, texture: float = 0) -> NDArray[np.uint8]:
    """Red grows to the right, green downwards; blue fills the upper left quarter."""
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([255 * x / width, 255 * y / height, np.zeros_like(x)], axis=-1)
    picture[: height // 2, : width // 2, 2] = 200
    picture += np.random.default_rng(0).normal(0, texture, picture.shape) if texture else 0
    return picture.clip(0, 255).astype(np.uint8)


PICTURE = draw()


def encode(picture: NDArray[Any] | Image.Image, file_format: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def sample(kind: str) -> bytes:
    """Encode the picture as one of `LOSSLESS` or `LOSSY`."""
    return encode(PICTURE, kind.partition(" ")[0], **(LOSSLESS | LOSSY)[kind])


def difference(a: NDArray[np.uint8], b: NDArray[Any]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b).mean())


def reason(source: Any, **options: Any) -> str:
    with pytest.raises(PhotoError) as caught:
        open_photo(source, **options)
    assert str(caught.value) == f"{caught.value.source}: {caught.value.reason}"
    return caught.value.reason


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Raise where the code inside would wait for ever."""

    def stop(*_: object) -> None:
        pytest.fail(f"still running after {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


# --- formats ------------------------------------------------------------------------------------

LOSSLESS = {
    "PNG": {},
    "BMP": {},
    "DIB": {},
    "TIFF": {},
    "TIFF LZW": {"compression": "tiff_lzw"},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "PPM": {},
    "TGA": {},
    "TGA RLE": {"compression": "tga_rle"},
    "WEBP": {"lossless": True},
    "JPEG2000": {},
    "QOI": {},
    "PCX": {},
    "SGI": {},
    "DDS": {},
    "ICO": {"sizes": [(64, 48)]},
}
LOSSY = {
    "JPEG": {"quality": 95},
    "JPEG progressive": {"quality": 95, "progressive": True},
    "JPEG subsampled": {"quality": 95, "subsampling": "4:2:0"},
    "MPO": {"quality": 95},
    "WEBP lossy": {"quality": 95},
    "AVIF": {"quality": 95},
    "TIFF JPEG": {"compression": "jpeg", "quality": 95},
    "JPEG2000 lossy": {"quality_mode": "dB", "quality_layers": [38], "irreversible": True},
    "GIF": {},
}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_formats_come_out_exactly(kind: str) -> None:
    pixels = open_photo(sample(kind))

    np.testing.assert_array_equal(pixels, PICTURE)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_formats_come_out_closely(kind: str) -> None:
    assert difference(open_photo(sample(kind)), PICTURE) < 5


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "AVIF", "PNG", "TIFF", "MPO"])
def test_the_first_frame_counts(file_format: str) -> None:
    red, blue = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))

    pixels = open_photo(encode(red, file_format, save_all=True, append_images=[blue, blue]))

    assert difference(pixels, np.full((24, 32, 3), (255, 0, 0))) < 3


@pytest.mark.parametrize("name", ["dish.jpg", "dish.png", "dish.txt", "dish"])
@pytest.mark.parametrize("file_format", ["TIFF", "WEBP", "BMP"])
def test_the_content_decides_not_the_name(tmp_path: Path, name: str, file_format: str) -> None:
    file = tmp_path / name
    file.write_bytes(encode(PICTURE, file_format, **LOSSLESS[file_format]))

    np.testing.assert_array_equal(open_photo(file), PICTURE)


def test_every_source_gives_the_same_pixels(tmp_path: Path) -> None:
    data = encode(PICTURE, "PNG")
    file = tmp_path / "dish.png"
    file.write_bytes(data)
    at_its_end = io.BytesIO(data)
    at_its_end.read()

    class Socket(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with file.open("rb") as stream:
        for source in (file, str(file), data, stream, at_its_end, Socket(data)):
            np.testing.assert_array_equal(open_photo(source), PICTURE)


def test_a_link_to_a_photo_is_followed(tmp_path: Path) -> None:
    (tmp_path / "dish.png").write_bytes(encode(PICTURE, "PNG"))
    (tmp_path / "link").symlink_to(tmp_path / "dish.png")

    np.testing.assert_array_equal(open_photo(tmp_path / "link"), PICTURE)


@pytest.mark.parametrize("name", ["a.jpg", "b.JPEG", "dir/c.WebP", "d.avif", Path("e.TIF")])
def test_photo_names(name: str) -> None:
    assert is_photo_name(name)


@pytest.mark.parametrize("name", ["a.txt", "jpg", ".jpg", "b.jpg.part", "c.eps", "d.svg", "e.pdf"])
def test_other_names(name: str) -> None:
    assert not is_photo_name(name)


def test_suffixes_are_those_of_formats_that_can_be_opened() -> None:
    Image.init()
    heif = {".heic", ".heics", ".heif", ".heifs", ".hif"}  # which Pillow itself does not know
    formats = {Image.EXTENSION[suffix] for suffix in PHOTO_SUFFIXES - heif}  # no KeyError

    assert heif <= PHOTO_SUFFIXES
    assert formats >= {"JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "JPEG2000"}
    assert not formats & REFUSED_FORMATS
    assert not PHOTO_SUFFIXES & UNSUPPORTED_SUFFIXES
    assert {".cr2", ".nef", ".dng", ".svg", ".pdf", ".jxl", ".mov"} <= UNSUPPORTED_SUFFIXES


# --- modes --------------------------------------------------------------------------------------


def flat(mode: str, colour: Any) -> Image.Image:
    return Image.new(mode, (6, 4), colour)


@pytest.mark.parametrize(
    ("image", "file_format", "expected"),
    [
        (flat("1", 1), "PNG", (255, 255, 255)),
        (flat("1", 0), "TIFF", (0, 0, 0)),
        (flat("L", 77), "PNG", (77, 77, 77)),
        (flat("L", 77), "BMP", (77, 77, 77)),
        (flat("LA", (50, 255)), "PNG", (50, 50, 50)),
        (flat("LA", (50, 0)), "PNG", (255, 255, 255)),
        (flat("LA", (51, 51)), "TIFF", (214, 214, 214)),  # 51 * 0.2 + 255 * 0.8
        (flat("RGB", (1, 2, 3)), "PNG", (1, 2, 3)),
        (flat("RGBX", (1, 2, 3, 4)), "TIFF", (1, 2, 3)),
        (flat("RGBA", (10, 20, 30, 255)), "PNG", (10, 20, 30)),
        (flat("RGBA", (10, 20, 30, 0)), "PNG", (255, 255, 255)),
        (flat("RGBA", (0, 51, 255, 51)), "TIFF", (204, 214, 255)),
        (flat("RGBA", (0, 51, 255, 51)), "TGA", (204, 214, 255)),
        (flat("CMYK", (0, 0, 0, 0)), "TIFF", (255, 255, 255)),
        (flat("CMYK", (255, 0, 0, 0)), "TIFF", (0, 255, 255)),
        (flat("CMYK", (0, 0, 0, 255)), "TIFF", (0, 0, 0)),
        (flat("YCbCr", (255, 128, 128)), "TIFF", (255, 255, 255)),
        (flat("YCbCr", (76, 85, 255)), "TIFF", (254, 0, 0)),  # ITU-R BT.601 red
        (flat("LAB", (0, 128, 128)), "TIFF", (0, 0, 0)),
        (flat("I;16", 65535), "PNG", (255, 255, 255)),
        (flat("I;16", 25700), "PNG", (100, 100, 100)),
        (flat("I;16", 25700), "TIFF", (100, 100, 100)),
        (flat("I;16B", 25700), "TIFF", (100, 100, 100)),
        (flat("I", 200), "TIFF", (200, 200, 200)),
        (flat("I", 25700), "TIFF", (100, 100, 100)),
        (flat("I", 25700), "PPM", (100, 100, 100)),
        (flat("F", 0.2), "TIFF", (51, 51, 51)),
        (flat("F", 200.4), "TIFF", (200, 200, 200)),
        (flat("F", 25700.0), "TIFF", (100, 100, 100)),
        (flat("F", float("nan")), "TIFF", (0, 0, 0)),
    ],
    ids=lambda value: value.mode if isinstance(value, Image.Image) else None,
)
def test_every_mode_becomes_rgb(
    image: Image.Image, file_format: str, expected: tuple[int, int, int]
) -> None:
    data = encode(image, file_format)
    with Image.open(io.BytesIO(data)) as stored:
        kept = stored.mode == image.mode or {stored.mode, image.mode} == {"RGB", "RGBX"}
        assert kept or file_format == "PPM", "the file does not test this mode"

    tolerance = 1 if image.mode == "LAB" else 0  # the colour engine rounds its own way
    np.testing.assert_allclose(open_photo(data), np.full((4, 6, 3), expected), atol=tolerance)


def test_hsv_becomes_rgb() -> None:  # no file Pillow reads comes out as HSV today
    rgb = photo._to_rgb(flat("HSV", (85, 255, 255)))

    assert rgb.getpixel((0, 0)) == (0, 255, 0)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_palettes(file_format: str) -> None:
    image = Image.fromarray(PICTURE).quantize(64)

    pixels = open_photo(encode(image, file_format))

    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_transparent_palette_entries_turn_white(file_format: str) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((2, 1), 1)

    pixels = open_photo(encode(image, file_format, transparency=0))

    assert pixels[1, 2].tolist() == [0, 0, 255]
    assert pixels[0, 0].tolist() == [255, 255, 255]


def test_half_transparent_palette_entries_are_mixed_with_white() -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 255, 0, 255, 0])

    pixels = open_photo(encode(image, "PNG", transparency=bytes([51, 255])))

    assert pixels[0, 0].tolist() == [204, 204, 255]


def test_pa_palette_with_alpha() -> None:
    image = Image.fromarray(np.dstack([PICTURE, np.zeros_like(PICTURE[..., 0])])).convert("PA")

    assert (open_photo(encode(image, "TIFF")) == 255).all()


def test_a_transparent_colour_of_an_rgb_png_turns_white() -> None:
    image = flat("RGB", (9, 9, 9))
    image.putpixel((0, 0), (1, 2, 3))

    pixels = open_photo(encode(image, "PNG", transparency=(1, 2, 3)))

    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [9, 9, 9]


def test_cmyk_jpeg_is_not_inverted() -> None:
    cmyk = Image.fromarray(PICTURE).convert("CMYK")

    assert difference(open_photo(encode(cmyk, "JPEG", quality=95)), PICTURE) < 5


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 256 * 4).astype(np.uint16).reshape(4, 256)

    pixels = open_photo(encode(ramp, "PNG"))

    np.testing.assert_array_equal(pixels[..., 0], np.rint(ramp / 257))
    assert pixels.max() == 255


def test_numbers_beyond_sixteen_bits_are_stretched() -> None:
    heights = np.array([[-50, 0], [50, 205]], np.int32)

    assert open_photo(encode(heights, "TIFF"))[..., 0].tolist() == [[0, 50], [100, 255]]


def test_infinities_take_the_ends_of_the_range() -> None:
    values = np.array([[np.inf, -np.inf], [np.nan, 155], [-100, 0]], np.float32)

    pixels = open_photo(encode(values, "TIFF"))[..., 0]

    assert pixels.tolist() == [[255, 0], [0, 255], [0, 100]]


def test_an_icc_profile_does_not_disturb() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    np.testing.assert_array_equal(open_photo(encode(PICTURE, "PNG", icc_profile=profile)), PICTURE)


# --- EXIF orientation ---------------------------------------------------------------------------

# How a camera stores an upright picture, for each value of the tag (Exif 2.3, tag 0x0112): which
# side of the picture the first row and the first column are.
STORED = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: np.rot90,
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p, -1),
}


def stored(picture: NDArray[np.uint8], orientation: int, file_format: str, **options: Any) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned = np.ascontiguousarray(STORED[orientation](picture))
    return encode(turned, file_format, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "MPO"])
def test_photos_come_out_upright(orientation: int, file_format: str) -> None:
    options = LOSSLESS.get(file_format) or {"quality": 95}

    pixels = open_photo(stored(PICTURE, orientation, file_format, **options))

    assert difference(pixels, PICTURE) < 5


@pytest.mark.parametrize("orientation", STORED)
def test_photos_decoded_at_reduced_scale_come_out_upright(orientation: int) -> None:
    picture = draw(800, 640)

    pixels = open_photo(stored(picture, orientation, "JPEG", quality=95), (50, 80))

    expected = Image.fromarray(picture).resize((80, 50), Image.Resampling.BILINEAR)
    assert difference(pixels, np.asarray(expected)) < 2


def test_the_wanted_size_is_that_of_the_upright_photo() -> None:
    picture = draw(800, 200, texture=40)
    data = stored(picture, 6, "JPEG", quality=95)  # lies on its side: 200 rows, 800 columns

    def decoded_in_full(height: int, width: int) -> bool:
        expected = Image.fromarray(upright).resize((width, height), Image.Resampling.BILINEAR)
        return bool((open_photo(data, (height, width)) == np.asarray(expected)).all())

    upright = open_photo(data)
    assert upright.shape == (800, 200, 3)
    assert not decoded_in_full(100, 25)  # 1/4 of the photo is twice that
    assert decoded_in_full(25, 101)  # 1/2 of the photo is less than twice that


def junk_exif() -> bytes:
    """Return an Exif block whose second entry lies about its length and type."""
    entries = struct.pack("<HHHII", 2, 0x0112, 3, 1, 6)
    return b"Exif\0\0II*\0\x08\0\0\0" + entries + struct.pack("<HHII", 0x011A, 5, 2**31, 2**31)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG"])
def test_damaged_exif_data_are_no_reason_to_refuse(file_format: str) -> None:
    for exif in (junk_exif(), b"Exif\0\0junk", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        options = LOSSLESS.get(file_format) or {"quality": 95}
        data = encode(PICTURE, file_format, exif=exif, **options)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = open_photo(data)

        assert sorted(pixels.shape) == [3, 48, 64]


def test_an_orientation_outside_of_the_standard_changes_nothing() -> None:
    exif = Image.Exif()
    for value in (0, 9, 77):
        exif[ExifTags.Base.Orientation] = value
        np.testing.assert_array_equal(open_photo(encode(PICTURE, "PNG", exif=exif)), PICTURE)


# --- resizing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [288, (128, 128), (37, 91), (200, 10), (1, 1), (700, 900)])
def test_resizing_equals_torchvision_bit_for_bit(size: int | tuple[int, int]) -> None:
    from platecheck.training import torchvision_guard

    torchvision_guard.install()
    import torchvision.transforms.v2 as transforms

    picture = Image.fromarray(draw(300, 400, texture=30))
    expected = transforms.Resize(size if isinstance(size, tuple) else (size, size))(picture)

    pixels = open_photo(encode(picture, "PNG"), size)

    np.testing.assert_array_equal(pixels, np.asarray(expected))
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


def full_decode(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    with Image.open(io.BytesIO(data)) as image:
        rgb = image.convert("RGB")
    return np.asarray(rgb.resize((width, height), Image.Resampling.BILINEAR))


@pytest.mark.parametrize("size", [(101, 150), (100, 151), (300, 20), (600, 900)])
def test_jpegs_less_than_four_times_the_wanted_size_are_decoded_in_full(
    size: tuple[int, int],
) -> None:
    data = encode(draw(400, 600, texture=30), "JPEG", quality=90)

    np.testing.assert_array_equal(open_photo(data, size), full_decode(data, *size))


@pytest.mark.parametrize("size", [(100, 150), (50, 75), (25, 37), (60, 20)])
def test_much_larger_jpegs_are_decoded_at_reduced_scale(size: tuple[int, int]) -> None:
    data = encode(draw(400, 600, texture=30), "JPEG", quality=90)

    pixels = open_photo(data, size)

    expected = full_decode(data, *size)
    assert (pixels != expected).any()  # else the whole photo was decoded
    assert difference(pixels, expected) < 2


def test_stretching_ignores_the_aspect_ratio() -> None:
    pixels = open_photo(encode(draw(30, 90), "PNG"), 40)

    assert difference(pixels, np.asarray(Image.fromarray(draw(40, 40)))) < 6


@pytest.mark.parametrize("size", [0, -1, (0, 5), (5, -5), (2**14, 2**14)])
def test_sizes_that_make_no_sense(size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="size must be"):
        open_photo(encode(PICTURE, "PNG"), size)


@pytest.mark.parametrize("size", [1.5, "288", (3, 4.0), [288, 288]])
def test_sizes_of_the_wrong_type(size: Any) -> None:
    with pytest.raises(TypeError):
        open_photo(encode(PICTURE, "PNG"), size)


def test_numpy_integers_are_sizes() -> None:
    assert open_photo(encode(PICTURE, "PNG"), np.int64(7)).shape == (7, 7, 3)


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
@pytest.mark.parametrize("kind", LOSSLESS | LOSSY)
def test_files_cut_short(kind: str, share: float) -> None:
    data = sample(kind)

    why = reason(data[: int(share * len(data))])

    assert "cut short" in why


@pytest.mark.parametrize("kind", ["JPEG", "JPEG progressive", "PNG", "WEBP", "AVIF", "BMP", "TIFF"])
def test_common_files_cut_short_are_named_so(kind: str) -> None:
    data = sample(kind)

    assert reason(data[: len(data) * 2 // 3]) == "the file is cut short"


def test_a_jpeg_cut_short_is_refused_at_reduced_scale_too() -> None:
    data = encode(draw(800, 800, texture=20), "JPEG")

    assert reason(data[: len(data) // 2], size=50) == "the file is cut short"


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content))
            + kind
            + content
            + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(body))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "bomb",
    [
        png(50_000, 50_000),
        png(11_586, 11_586),  # just above 2**27, where Pillow itself would only warn
        b"BM" + struct.pack("<IHHIIiiHHIIIIII", 54, 0, 0, 54, 40, 60_000, 60_000, 1, 24, *[0] * 6),
        b"P6 99999 99999 255\n",
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(9) + b"\2\0;",
    ],
    ids=["png", "just above", "bmp", "ppm", "gif"],
)
def test_bombs_are_refused_from_their_header(bomb: bytes, recwarn: pytest.WarningsRecorder) -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES

    with at_most(5):
        assert "pixels are more than the limit of 134217728" in reason(bomb)

    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert not recwarn.list


def test_the_limit_is_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(PICTURE, "PNG")  # 48 * 64 = 3072 pixels

    assert open_photo(data, max_pixels=3072).shape == (48, 64, 3)
    assert reason(data, max_pixels=3071) == "64x48 pixels are more than the limit of 3071"
    with pytest.raises(ValueError, match="max_pixels"):
        open_photo(data, max_pixels=0)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # someone else's limit
    assert open_photo(data).shape == (48, 64, 3)


def test_the_limit_counts_before_a_jpeg_is_reduced() -> None:
    data = encode(draw(400, 400), "JPEG")

    assert "limit" in reason(data, size=10, max_pixels=400 * 400 - 1)


def test_an_icon_cannot_hide_a_larger_picture() -> None:
    large = encode(draw(400, 400), "PNG")
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(large), 22)
    icon = struct.pack("<HHH", 0, 1, 1) + entry + large

    assert open_photo(icon).shape == (400, 400, 3)
    assert "limit" in reason(icon, max_pixels=100_000)


def progressive(side: int, scans: int) -> bytes:
    """A grey JPEG that goes over its pixels again and again, each time to change nothing."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content

    def table(kind: int, symbol: int) -> bytes:  # one code of one bit
        return segment(0xC4, bytes([kind, 1, *[0] * 15, symbol]))

    blocks = (side // 8) ** 2
    end_of_many_blocks = bytes([0b00000000, 0b00000001])  # 2**14 blocks and no more
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, bytes([0, *[1] * 64])),
            segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)),
            table(0x00, 0x00) + table(0x10, 0xE0),
            segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(blocks // 8),
            (segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + end_of_many_blocks) * (scans - 1),
            b"\xff\xd9",
        )
    )


def test_a_jpeg_that_never_comes_to_an_end_is_refused() -> None:
    assert open_photo(progressive(1024, 100)).shape == (1024, 1024, 3)
    with at_most(5):
        assert "more than 100 scans" in reason(progressive(1024, 200_000))
    # What looks like scans, in the data of a camera, are none.
    many = encode(PICTURE, "JPEG", progressive=True, comment=b"\xff\xda" * 200)
    np.testing.assert_array_equal(
        open_photo(many), open_photo(encode(PICTURE, "JPEG", progressive=True))
    )


def test_deep_photos_are_scaled_by_all_their_numbers() -> None:
    """They are brought to 8 bits in parts; the range is that of the whole."""
    heights = np.zeros((3, 2**20), np.int32)
    heights[0, 0], heights[2, -1] = -50, 205

    grey = open_photo(encode(heights, "TIFF"))[..., 0]

    assert (grey[0, 0], grey[1, 7], grey[2, -1]) == (0, 50, 255)


def test_a_deep_photo_takes_little_more_memory_than_its_pixels() -> None:
    numbers = encode(np.zeros((4096, 4096), np.float32), "TIFF", compression="tiff_adobe_deflate")
    tracemalloc.start()
    try:
        open_photo(numbers, 16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 4096**2 < 12


def test_formats_decoded_in_python_get_a_lower_limit() -> None:
    claims = b"qoif" + struct.pack(">IIBB", 4096, 4096, 3, 0) + bytes(100)

    assert reason(claims) == "4096x4096 pixels are more than the limit of 4194304"


@pytest.mark.parametrize(
    "data",
    [
        b"\0",
        b"hello, world\n" * 50,
        bytes(range(256)) * 20,
        bytes(10_000),
    ],
)
def test_what_is_not_a_photo(data: bytes) -> None:
    assert reason(data) == "it is not a photo in a format that can be read"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.7\n" + bytes(2000), "a PDF or PostScript file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG drawing"),
        (b"<?xml version='1.0'?>\n<!-- x -->\n<SVG/>", "an SVG drawing"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (b"\xff\x0a" + bytes(50), "a JPEG XL or JPEG XR file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL or JPEG XR file"),
        (b"\0\0\0\x18ftypmp42" + bytes(50), "a video"),
        (b"\0\0\0\x14ftypqt  " + bytes(50), "a video"),
        (b"\x1aE\xdf\xa3" + bytes(50), "a video"),
        (b"RIFF\0\0\0\0AVI LIST", "a video"),
        (b"\0\0\0\x18ftypcrx " + bytes(50), "a camera raw file"),
        (b"FUJIFILMCCD-RAW " + bytes(50), "a camera raw file"),
        (b"PK\3\4" + bytes(50), "a ZIP archive"),
        (gzip.compress(PICTURE.tobytes(), mtime=0), "a compressed file (gzip, bzip2, xz or zstd)"),
        (b"gimp xcf v011" + bytes(50), "an image editor's file"),
    ],
)
def test_open_photo_names_known_files_that_are_no_photos(data: bytes, kind: str) -> None:
    assert reason(data) == f"it is {kind}; save the picture as JPEG or PNG"


@pytest.mark.parametrize("tags", [{50706: b"\1\4\0\0"}, {254: 1, 330: 8}])
def test_open_photo_camera_raw_is_not_its_tiff_thumbnail(tags: dict[int, Any]) -> None:
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[tag] = value

    raw = encode(PICTURE, "TIFF", tiffinfo=info)

    assert reason(raw) == "it is a camera raw file; save the picture as JPEG or PNG"


def test_open_photo_cr2_is_camera_raw() -> None:
    tiff = encode(PICTURE, "TIFF")  # whose directory, at 8, makes way for the mark of CR2
    moved = tiff[:4] + struct.pack("<I", len(tiff)) + b"CR\2\0" + tiff[12:] + tiff[8:400]
    plain = moved[:8] + bytes(4) + moved[12:]

    np.testing.assert_array_equal(open_photo(plain), PICTURE)
    assert reason(moved) == "it is a camera raw file; save the picture as JPEG or PNG"


def test_open_photo_unknown_content_goes_by_the_name(tmp_path: Path) -> None:
    file = tmp_path / "DISH.PEF"
    file.write_bytes(b"MM\0*" + bytes(100))

    assert reason(file) == ".pef files cannot be read; save the picture as JPEG or PNG"


def test_formats_that_start_other_programs_are_refused(tmp_path: Path) -> None:
    postscript = encode(PICTURE, "EPS")
    file = tmp_path / "dish.jpg"
    file.write_bytes(postscript)

    assert "it is a PDF or PostScript file" in reason(file)


def test_photos_without_any_pixels() -> None:
    assert reason(png(0, 5)) == "the file is damaged or cut short"


def test_missing_empty_and_odd_files(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)

    with at_most(5):
        assert reason(tmp_path / "none.jpg") == "there is no such file"
        assert reason(empty) == "the file is empty"
        assert reason(b"") == "the file is empty"
        assert reason(io.BytesIO()) == "the file is empty"
        assert reason(tmp_path) == "it is a folder, not a photo"
        assert reason(pipe) == "it is not a regular file"
        assert reason("/dev/zero") == "it is not a regular file"
        assert reason("dish\0.jpg") == "this cannot be a file's name"
        assert "cannot be read" in reason(empty / "dish.jpg")  # a file used as a folder
        assert "cannot be read" in reason("x" * 5000)


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "dish.png"
    file.write_bytes(encode(PICTURE, "PNG"))

    def refuse(*_: object) -> None:  # chmod would not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)

    assert reason(file) == "no permission to read it"


def test_a_stream_that_breaks() -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    assert reason(Broken(b"x")) == "cannot be read (Input/output error)"


def test_files_that_never_end_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MAX_BYTES", 2**20)

    with at_most(5), Path("/dev/zero").open("rb") as endless:
        assert reason(endless) == "the file is larger than 1 MB"


@pytest.mark.parametrize("error", [MemoryError(), OverflowError("x"), KeyError("x"), EOFError()])
def test_whatever_pillow_raises(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)

    why = reason(encode(PICTURE, "PNG"))
    assert "memory" in why if isinstance(error, MemoryError) else "damaged" in why


def test_errors_name_the_photo(tmp_path: Path) -> None:
    def source(of: Any, **options: Any) -> str:
        with pytest.raises(PhotoError) as caught:
            open_photo(of, **options)
        return caught.value.source

    file = tmp_path / "junk.jpg"
    file.write_bytes(b"junk")

    assert source(file) == source(str(file)) == str(file)
    assert source(b"junk") == "<bytes>"
    assert source(io.BytesIO(b"junk")) == "<stream>"
    assert source(b"junk", name="upload 7") == "upload 7"
    with file.open("rb") as stream:
        assert source(stream) == str(file)


def test_errors_stay_on_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("first\nsecond")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)

    assert reason(encode(PICTURE, "PNG")) == "the file is damaged or cut short (first second)"


# --- warnings and threads -----------------------------------------------------------------------


def test_warnings_of_pillow_are_kept_back_and_those_of_others_are_not() -> None:
    exif = encode(PICTURE, "JPEG", exif=junk_exif())
    with warnings.catch_warnings(record=True) as direct:
        warnings.simplefilter("always")
        Image.open(io.BytesIO(exif)).getexif()
    assert direct, "this photo does not make Pillow warn"

    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        open_photo(exif)
        warnings.warn("mine", stacklevel=1)
        with photo._without_pillow_warnings():
            other = threading.Thread(target=warnings.warn, args=("of another thread",))
            other.start()
            other.join()

    assert [str(warning.message) for warning in seen] == ["mine", "of another thread"]


def test_many_threads_at_once() -> None:
    photos = [
        stored(PICTURE, orientation, file_format, **LOSSLESS[file_format])
        for orientation in STORED
        for file_format in ("PNG", "WEBP", "TIFF")
    ]
    wrong: list[Exception | int] = []

    def work() -> None:
        for position, data in enumerate(photos):
            try:
                if not (open_photo(data) == PICTURE).all():
                    wrong.append(position)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong


# --- real photos --------------------------------------------------------------------------------


@pytest.mark.real_photos
def test_real_photos_come_out_as_pillow_reads_them(real_photos: Path) -> None:
    files = sorted(file for file in real_photos.rglob("*") if is_photo_name(file))
    assert files

    for file in files[::25]:
        with Image.open(file) as image:
            plain = image.mode == "RGB" and image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            expected = np.asarray(image) if plain else None
        pixels = open_photo(file)
        if expected is not None:
            np.testing.assert_array_equal(pixels, expected)
        small = Image.fromarray(pixels).resize((128, 128), Image.Resampling.BILINEAR)
        assert difference(open_photo(file, 128), np.asarray(small)) < 2
