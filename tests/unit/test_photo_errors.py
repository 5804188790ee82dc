"""What cannot be a photo is refused, in one line that says why."""

import gzip
import io
import os
import struct
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageFile

from platecheck import photo
from platecheck.errors import PhotoError
from platecheck.photo import open_photo
from tests.fuzz.damaged_photos import bmp, jpeg_of_many_scans, png
from tests.support.photos import LOSSLESS, LOSSY, PICTURE, at_most, draw, encode, reason, sample


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
        assert "reading failed" in reason(empty / "dish.jpg")  # a file used as a folder
        assert "reading failed" in reason("x" * 5000)


def test_open_photo_of_an_endless_file_or_without_permission_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photo, "MAX_BYTES", 2**20)
    with at_most(5), Path("/dev/zero").open("rb") as endless:
        assert reason(endless) == "the file is larger than 1 MB"

    # chmod would not stop root.
    refused = PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "open", Mock(side_effect=refused))
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
    monkeypatch.setattr(ImageFile.ImageFile, "load", Mock(side_effect=error))
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
