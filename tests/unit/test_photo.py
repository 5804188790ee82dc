"""Every photo comes out upright, RGB and 8 bits, or as one clear error."""

import gzip
import io
import os
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
from PIL import ExifTags, Image, ImageCms, ImageFile

from platecheck import photo
from platecheck.errors import PhotoError
from platecheck.photo import open_photo
from platecheck.photo_formats import PHOTO_SUFFIXES, UNSUPPORTED_SUFFIXES, is_photo_name
from tests.fuzz.damaged_photos import bmp, jpeg_of_many_scans, png
from tests.support.photos import (
    LOSSLESS,
    LOSSY,
    PICTURE,
    at_most,
    difference,
    draw,
    encode,
    reason,
    sample,
)


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


# --- errors


@pytest.mark.parametrize("share", [0.3, 0.67])
@pytest.mark.parametrize("kind", LOSSLESS | LOSSY)
def test_open_photo_of_a_truncated_file_says_so(kind: str, share: float) -> None:
    data = sample(kind)
    why = reason(data[: int(share * len(data))])
    common = kind in ("JPEG", "JPEG progressive", "PNG", "WEBP", "AVIF", "BMP", "TIFF")
    assert why == "the file is cut short" if common and share > 0.5 else "cut short" in why


@pytest.mark.parametrize(
    "bomb",
    [
        png(50_000, 50_000, b""),
        png(11_586, 11_586, b""),  # just above 2**27, where Pillow itself would only warn
        bmp(60_000),
        b"P6 99999 99999 255\n",
        b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b"," + bytes(9) + b"\2\0;",
    ],
    ids=["png", "just above", "bmp", "ppm", "gif"],
)
def test_open_photo_of_a_bomb_is_refused_by_its_header(
    bomb: bytes, recwarn: pytest.WarningsRecorder
) -> None:
    before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
    with at_most(5):
        assert "pixels are more than the limit of 134217728" in reason(bomb)
    assert before == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
    assert not recwarn.list


def test_open_photo_with_max_pixels_refuses_larger_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode(PICTURE, "PNG")  # 48 * 64 = 3072 pixels

    assert open_photo(data, max_pixels=3072).shape == (48, 64, 3)
    assert reason(data, max_pixels=3071) == "64x48 pixels are more than the limit of 3071"
    with pytest.raises(ValueError, match="max_pixels"):
        open_photo(data, max_pixels=0)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # someone else's limit
    assert open_photo(data).shape == (48, 64, 3)

    jpeg = encode(draw(400, 400), "JPEG")  # the limit holds before the scale is reduced
    assert "limit" in reason(jpeg, size=10, max_pixels=400 * 400 - 1)
    # Formats that are decoded in Python have a lower limit.
    assert reason(b"P3 4096 4096 255 1") == "4096x4096 pixels are more than the limit of 4194304"


def test_open_photo_of_a_jpeg_of_many_scans_is_refused() -> None:
    assert open_photo(jpeg_of_many_scans(1024, 100)).shape == (1024, 1024, 3)
    with at_most(5):
        assert "more than 100 scans" in reason(jpeg_of_many_scans(1024, 200_000))
    # What looks like scans, in the data of a camera, are none.
    many = encode(PICTURE, "JPEG", progressive=True, comment=b"\xff\xda" * 200)
    without = encode(PICTURE, "JPEG", progressive=True)
    np.testing.assert_array_equal(open_photo(many), open_photo(without))


@pytest.mark.parametrize(
    "data",
    [
        *(b"\0", b"hello\n" * 99, bytes(range(256)) * 9, bytes(9999)),
        *(encode(PICTURE, kind) for kind in ("PCX", "QOI", "DDS", "TGA", "SGI", "ICO", "DIB")),
    ],
)
def test_open_photo_of_unknown_content_is_refused(data: bytes) -> None:
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
        (b"\0\0\0\x18ftypcrx " + bytes(50), "a camera raw file"),
        (b"FUJIFILMCCD-RAW " + bytes(50), "a camera raw file"),
        (b"PK\3\4" + bytes(50), "a ZIP archive"),
        (gzip.compress(PICTURE.tobytes(), mtime=0), "a compressed file (gzip, bzip2, xz or zstd)"),
        (b"gimp xcf v011" + bytes(50), "an image editor's file"),
        (b"8BPS\0\1" + bytes(50), "an image editor's file"),
        (encode(PICTURE, "EPS"), "a PDF or PostScript file"),
    ],
)
def test_open_photo_names_known_files_that_are_no_photos(data: bytes, kind: str) -> None:
    assert reason(data) == f"it is {kind}; save the picture as JPEG or PNG"


def test_open_photo_of_camera_raw_is_not_its_tiff_thumbnail() -> None:
    tagged = ({50706: b"\1\4\0\0"}, {254: 1, 330: 8})
    files = [encode(PICTURE, "TIFF", tiffinfo=tags) for tags in tagged]
    tiff = encode(PICTURE, "TIFF")  # whose directory, at 8, makes way for the mark of CR2
    moved = tiff[:4] + struct.pack("<I", len(tiff)) + b"CR\2\0" + tiff[12:] + tiff[8:400]

    np.testing.assert_array_equal(open_photo(moved[:8] + bytes(4) + moved[12:]), PICTURE)
    for raw in (*files, moved):
        assert reason(raw) == "it is a camera raw file; save the picture as JPEG or PNG"


@pytest.mark.parametrize(
    ("name", "data"), [("DISH.PEF", b"MM\0*" + bytes(100)), ("dish.tga", encode(PICTURE, "TGA"))]
)
def test_open_photo_unknown_content_goes_by_the_name(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    said = f"{name[-4:].lower()} files cannot be read; save the picture as JPEG or PNG"
    assert reason(tmp_path / name) == said


def test_open_photo_of_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    empty, pipe = tmp_path / "empty.jpg", tmp_path / "pipe.jpg"
    empty.touch()
    os.mkfifo(pipe)
    assert reason(png(0, 5, b"")) == "the file is damaged or cut short"
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


def test_open_photo_of_an_endless_file_or_without_permission_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photo, "MAX_BYTES", 2**20)
    with at_most(5), Path("/dev/zero").open("rb") as endless:
        assert reason(endless) == "the file is larger than 1 MB"

    def refuse(*_: object) -> None:  # chmod would not stop root
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert reason(__file__) == "no permission to read it"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "there is not enough memory to decode it"),
        (OverflowError("x"), "the file is damaged or cut short"),
        (KeyError("x"), "the file is damaged or cut short"),
        (EOFError(), "the file is damaged or cut short"),
        (OSError("first\nsecond"), "the file is damaged or cut short (first second)"),
    ],
)
def test_open_photo_when_pillow_fails_is_one_error(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert reason(encode(PICTURE, "PNG")) == said


def test_open_photo_error_names_the_photo(tmp_path: Path) -> None:
    file = tmp_path / "junk.jpg"
    file.write_bytes(b"junk")
    with file.open("rb") as stream:
        for source, options, name in (
            (file, {}, str(file)),
            (str(file), {}, str(file)),
            (stream, {}, str(file)),
            (b"junk", {}, "<bytes>"),
            (io.BytesIO(b"junk"), {}, "<stream>"),
            (b"junk", {"name": "upload 7"}, "upload 7"),
        ):
            with pytest.raises(PhotoError) as caught:
                open_photo(source, **options)
            assert caught.value.source == name


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
