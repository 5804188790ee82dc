"""Every photo comes out upright, RGB and 8 bits."""

import io
import struct
import threading
import tracemalloc
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageCms

from platecheck import photo
from platecheck.photo import open_photo
from platecheck.photo_formats import PHOTO_SUFFIXES, UNSUPPORTED_SUFFIXES, is_photo_name
from tests.support.photos import LOSSLESS, LOSSY, PICTURE, difference, draw, encode, reason, sample


@pytest.mark.parametrize("kind", LOSSLESS)
def test_open_photo_of_a_lossless_format_is_exact(kind: str) -> None:
    pixels = open_photo(sample(kind))
    np.testing.assert_array_equal(pixels, PICTURE)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("kind", LOSSY)
def test_open_photo_of_a_lossy_format_is_close(kind: str) -> None:
    assert difference(open_photo(sample(kind)), PICTURE) < 5


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "AVIF", "PNG", "TIFF", "MPO"])
def test_open_photo_of_several_frames_takes_the_first(file_format: str) -> None:
    red, blue = (Image.new("RGB", (32, 24), colour) for colour in ("red", "blue"))
    pixels = open_photo(encode(red, file_format, save_all=True, append_images=[blue, blue]))
    assert difference(pixels, np.full((24, 32, 3), (255, 0, 0))) < 3


@pytest.mark.parametrize("name", ["dish.jpg", "dish.txt", "dish"])
def test_open_photo_of_a_misnamed_file_goes_by_the_content(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_bytes(encode(PICTURE, "TIFF"))
    (tmp_path / name).symlink_to(tmp_path / "file")

    np.testing.assert_array_equal(open_photo(tmp_path / name), PICTURE)


def test_is_photo_name_goes_by_the_suffix() -> None:
    for name in ("a.jpg", "b.JPEG", "dir/c.WebP", "d.avif", Path("e.TIF"), "f.heic"):
        assert is_photo_name(name)
    for other in ("a.txt", "jpg", ".jpg", "b.jpg.part", "c.eps", "d.svg", "e.pdf", "f.psd"):
        assert not is_photo_name(other)
    assert not PHOTO_SUFFIXES & UNSUPPORTED_SUFFIXES
    assert {".cr2", ".nef", ".dng", ".svg", ".pdf", ".jxl", ".mov", ".qoi"} <= UNSUPPORTED_SUFFIXES


# --- modes


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
def test_open_photo_of_any_mode_is_rgb(
    image: Image.Image, file_format: str, expected: tuple[int, int, int]
) -> None:
    data = encode(image, file_format)
    with Image.open(io.BytesIO(data)) as stored:
        kept = stored.mode == image.mode or {stored.mode, image.mode} == {"RGB", "RGBX"}
        assert kept or file_format == "PPM", "the file does not test this mode"

    tolerance = 1 if image.mode == "LAB" else 0  # the colour engine rounds its own way
    np.testing.assert_allclose(open_photo(data), np.full((4, 6, 3), expected), atol=tolerance)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP", "GIF"])
def test_open_photo_of_a_palette_is_rgb(file_format: str) -> None:
    image = Image.fromarray(PICTURE).quantize(64)
    pixels = open_photo(encode(image, file_format))
    np.testing.assert_array_equal(pixels, np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    ("file_format", "transparency", "expected"),
    [
        ("PNG", 0, (255, 255, 255)),
        ("GIF", 0, (255, 255, 255)),
        ("PNG", bytes([51, 255]), (255, 204, 204)),
    ],
)
def test_open_photo_of_a_transparent_palette_is_on_white(
    file_format: str, transparency: Any, expected: tuple[int, int, int]
) -> None:
    image = Image.new("P", (4, 4), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((2, 1), 1)

    pixels = open_photo(encode(image, file_format, transparency=transparency))

    assert tuple(pixels[1, 2]) == (0, 0, 255)
    assert tuple(pixels[0, 0]) == expected


def test_open_photo_of_other_transparency_is_on_white() -> None:
    image = Image.fromarray(np.dstack([PICTURE, np.zeros_like(PICTURE[..., 0])])).convert("PA")
    assert (open_photo(encode(image, "TIFF")) == 255).all()

    image = flat("RGB", (9, 9, 9))
    image.putpixel((0, 0), (1, 2, 3))
    pixels = open_photo(encode(image, "PNG", transparency=(1, 2, 3)))
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 1].tolist() == [9, 9, 9]


def test_open_photo_of_a_cmyk_jpeg_is_not_inverted() -> None:
    cmyk = Image.fromarray(PICTURE).convert("CMYK")
    assert difference(open_photo(encode(cmyk, "JPEG", quality=95)), PICTURE) < 5


def test_open_photo_of_deep_pixels_scales_them_to_8_bits() -> None:
    ramp = np.linspace(0, 65535, 256 * 4).astype(np.uint16).reshape(4, 256)
    np.testing.assert_array_equal(open_photo(encode(ramp, "PNG"))[..., 0], np.rint(ramp / 257))

    beyond = np.array([[-50, 0], [50, 205]], np.int32)
    assert open_photo(encode(beyond, "TIFF"))[..., 0].tolist() == [[0, 50], [100, 255]]

    infinite = np.array([[np.inf, -np.inf], [np.nan, 155], [-100, 0]], np.float32)
    pixels = open_photo(encode(infinite, "TIFF"))[..., 0]
    assert pixels.tolist() == [[255, 0], [0, 255], [0, 100]]

    in_chunks = np.zeros((3, 2**20), np.int32)  # the range is that of all chunks
    in_chunks[0, 0], in_chunks[2, -1] = -50, 205
    pixels = open_photo(encode(in_chunks, "TIFF"))[..., 0]
    assert (pixels[0, 0], pixels[1, 7], pixels[2, -1]) == (0, 50, 255)


def test_open_photo_of_deep_pixels_takes_little_more_memory() -> None:
    numbers = encode(np.zeros((4096, 4096), np.float32), "TIFF", compression="tiff_adobe_deflate")
    tracemalloc.start()
    try:
        open_photo(numbers, 16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak / 4096**2 < 12


def test_open_photo_with_an_icc_profile_ignores_it() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    np.testing.assert_array_equal(open_photo(encode(PICTURE, "PNG", icc_profile=profile)), PICTURE)


# --- EXIF orientation

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
def test_open_photo_with_an_orientation_is_upright(orientation: int, file_format: str) -> None:
    options = LOSSLESS.get(file_format) or {"quality": 95}
    pixels = open_photo(stored(PICTURE, orientation, file_format, **options))
    assert difference(pixels, PICTURE) < 5


def test_open_photo_of_a_turned_jpeg_chooses_the_scale_for_the_upright_one() -> None:
    picture = draw(800, 200, texture=40)
    data = stored(picture, 6, "JPEG", quality=95)  # lies on its side: 200 rows, 800 columns
    upright = open_photo(data)

    def full_decode_differs(height: int, width: int) -> float:
        expected = Image.fromarray(upright).resize((width, height), Image.Resampling.BILINEAR)
        return difference(open_photo(data, (height, width)), np.asarray(expected))

    assert upright.shape == (800, 200, 3)
    assert 0 < full_decode_differs(100, 25) < 5  # 1/4 of the photo is twice that
    assert full_decode_differs(25, 101) == 0  # 1/2 of the photo is less than twice that


def junk_exif() -> bytes:
    """Return an Exif block whose second entry lies about its length and type."""
    entries = struct.pack("<HHHII", 2, 0x0112, 3, 1, 6)
    return b"Exif\0\0II*\0\x08\0\0\0" + entries + struct.pack("<HHII", 0x011A, 5, 2**31, 2**31)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP", "PNG"])
def test_open_photo_with_damaged_exif_data_opens(file_format: str) -> None:
    for exif in (junk_exif(), b"Exif\0\0junk", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"):
        options = LOSSLESS.get(file_format) or {"quality": 95}
        data = encode(PICTURE, file_format, exif=exif, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            pixels = open_photo(data)
        assert sorted(pixels.shape) == [3, 48, 64]


def test_open_photo_with_an_invalid_orientation_ignores_it() -> None:
    exif = Image.Exif()
    for value in (0, 9, 77):
        exif[ExifTags.Base.Orientation] = value
        np.testing.assert_array_equal(open_photo(encode(PICTURE, "PNG", exif=exif)), PICTURE)


# --- resizing


@pytest.mark.parametrize(
    "size", [288, np.int64(40), (128, 128), (37, 91), (200, 10), (1, 1), (700, 900)]
)
def test_open_photo_with_a_size_equals_torchvision(size: int | tuple[int, int]) -> None:
    from platecheck.training import torchvision_guard

    torchvision_guard.install()
    import torchvision.transforms.v2 as transforms

    picture = Image.fromarray(draw(300, 400, texture=30))
    height, width = size if isinstance(size, tuple) else (int(size), int(size))
    expected = transforms.Resize((height, width))(picture)
    pixels = open_photo(encode(picture, "PNG"), size)
    np.testing.assert_array_equal(pixels, np.asarray(expected))
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable


@pytest.mark.parametrize("size", [(101, 150), (100, 151), (600, 900), (100, 150), (25, 37)])
def test_open_photo_of_a_jpeg_four_times_as_large_reduces_the_scale(size: tuple[int, int]) -> None:
    data = encode(draw(400, 600, texture=30), "JPEG", quality=90)
    pixels = open_photo(data, size)
    assert reason(data[: len(data) // 2], size=size) == "the file is cut short"
    full = Image.open(io.BytesIO(data)).resize(size[::-1], Image.Resampling.BILINEAR)
    expected = np.asarray(full)
    reduced = size[0] <= 100 and size[1] <= 150
    assert (pixels != expected).any() == reduced
    assert difference(pixels, expected) < 2


@pytest.mark.parametrize(
    "size", [0, -1, (0, 5), (5, -5), (2**14, 2**14), 1.5, "288", (3, 4.0), [288, 288]]
)
def test_open_photo_with_an_invalid_size_raises(size: Any) -> None:
    with pytest.raises((ValueError, TypeError)):
        open_photo(PICTURE, size)


# --- warnings and threads


def test_open_photo_hides_warnings_of_pillow_and_no_others() -> None:
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


def test_open_photo_in_many_threads_gives_the_same_pixels() -> None:
    photos = [
        stored(PICTURE, orientation, file_format, **LOSSLESS[file_format])
        for orientation in STORED
        for file_format in ("PNG", "WEBP", "TIFF")
    ]
    with ThreadPoolExecutor(8) as pool:
        for pixels in pool.map(open_photo, photos * 8):
            np.testing.assert_array_equal(pixels, PICTURE)


# --- real photos


@pytest.mark.real_photos
def test_open_photo_of_real_photos_equals_pillow(real_photos: Path) -> None:
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
