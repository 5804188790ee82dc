"""Open one photo safely: the only door through which pixels enter.

Training, evaluation, prediction, serving and batch all call `open_photo`, so a model sees the
same pixels everywhere.
"""

import os
import re
import stat
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from operator import index
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from platecheck.errors import PhotoError
from platecheck.photo_formats import PHOTO_SUFFIXES, UNSUPPORTED_SUFFIXES

__all__ = [
    "MAX_BYTES",
    "MAX_PIXELS",
    "PHOTO_SUFFIXES",
    "UNSUPPORTED_SUFFIXES",
    "is_photo_name",
    "open_photo",
    "photo_name",
]

MAX_PIXELS = 2**27
"""Largest photo opened unless told otherwise: 134 megapixels, 400 MB once decoded."""

MAX_BYTES = 2**30
"""Largest file read."""

# EPS and WMF start other programs or draw; BUFR, GRIB and HDF5 call whatever handler was
# registered; IPTC opens what it contains in any format; FITS unpacks without a limit; MPEG has
# no decoder.
_REFUSED_FORMATS = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "IPTC", "FITS", "MPEG"}

# Pillow decodes QOI, plain PPM and a few other formats in Python, up to three seconds a megapixel;
# of those it gets this share of the pixels, so that a small file cannot keep a service busy.
_SLOW_SHARE = 1 / 32

# A progressive JPEG can go over all its pixels again for every hundred bytes, for minutes; cameras
# and editors write about ten such scans, and libtiff has the same limit.
_MAX_SCANS = 100
# In the bytes of a scan, 0xFF is followed by 0 or a restart marker (0xD0 to 0xD7).
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01

# Pixels of a deep photo that are brought to 8 bits at a time.
_PART = 2**20

# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as this many times the wanted sides
# are left.
_DRAFT_FACTOR = 2

_CUT_SHORT = "the file is cut short"
_DAMAGED = "the file is damaged or cut short"
_SIGNS_OF_THE_END = ("truncated", "end of file", "not enough")  # in Pillow's messages

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_photo_name(path: str | os.PathLike[str]) -> bool:
    """Say whether a file's name ends like a photo's (`PHOTO_SUFFIXES`, in any case)."""
    return Path(path).suffix.lower() in PHOTO_SUFFIXES


def open_photo(
    source: str | os.PathLike[str] | bytes | BinaryIO,
    size: int | tuple[int, int] | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> NDArray[np.uint8]:
    """Open one photo as RGB, upright and optionally resized.

    The content alone decides the format, not the name. EXIF orientation is applied, transparency
    is flattened on white, deeper pixels are brought to 8 bits, and of several frames or pages the
    first counts. Nothing global is changed: not Pillow's limits, nor the warnings of others; any
    number of threads may call this at once.

    Resizing stretches to the given size with Pillow's antialiased bilinear filter, bit for bit
    what torchvision's ``v2.Resize((height, width))`` does to the same Pillow image. The one
    exception saves most of the time on phone photos: a JPEG much larger than needed is decoded at
    1/2, 1/4 or 1/8 scale (its 8×8 blocks allow that), with at least twice the wanted height and
    width left for the antialiasing filter. Twice, since a 12-megapixel photo to 288×288 then takes
    37 ms on one core instead of 185, 0.3 of 255 levels away from the full decode on average; once
    would be 30 ms but 1.0 levels, four times 52 ms: reading the compressed bits takes the rest.

    Args:
        source: a path, a photo's bytes, or a binary file (read from its start if it can seek).
        size: (height, width), an int for a square, or None for the photo's own size.
        max_pixels: the largest height × width accepted, looked up before anything is decoded.
        name: what errors call the photo; by default the path, the file's name or ``<bytes>``.

    Returns:
        uint8 [H, W, 3], RGB, 0 to 255, contiguous and writable.

    Raises:
        PhotoError: whatever is wrong with the file.
        ValueError: `size` or `max_pixels` makes no sense.
    """
    max_pixels = index(max_pixels)
    if max_pixels < 1:
        raise ValueError(f"max_pixels must be at least 1, not {max_pixels}")
    wanted = None if size is None else _height_and_width(size, max_pixels)
    name = name or photo_name(source)
    data = _read(source, name)
    with _without_pillow_warnings():
        try:
            image = _identify(data, name)
            _check_pixels(image, max_pixels, name)
            _check_scans(image, data, name)
            return _decode(image, wanted, max_pixels, name)
        except PhotoError:
            raise
        except Exception as error:  # damaged files make Pillow raise nearly anything
            _blame(error, data, name)


def _height_and_width(size: int | tuple[int, int], max_pixels: int) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    height, width = index(height), index(width)
    if height < 1 or width < 1 or height * width > max_pixels:
        raise ValueError(
            f"size must be at least 1 and at most {max_pixels} pixels, not {height}x{width}"
        )
    return height, width


def photo_name(source: str | os.PathLike[str] | bytes | BinaryIO) -> str:
    """What a photo is called: its path, the open file's name, ``<bytes>`` or ``<stream>``."""
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<stream>"


def _read(source: str | os.PathLike[str] | bytes | BinaryIO, name: str) -> bytes:
    """Read the whole file: every kind of source then behaves alike, and no file stays open."""
    try:
        if isinstance(source, bytes):
            data = source
        elif isinstance(source, str | os.PathLike):
            data = _read_file(source, name)
        else:
            if source.seekable():
                source.seek(0)
            data = source.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise PhotoError(name, "there is no such file") from None
    except PermissionError:
        raise PhotoError(name, "no permission to read it") from None
    except OSError as error:
        raise PhotoError(name, f"cannot be read ({error.strerror or error})") from None
    if not data:
        raise PhotoError(name, "the file is empty")
    if len(data) > MAX_BYTES:
        raise PhotoError(name, f"the file is larger than {MAX_BYTES // 2**20} MB")
    return data


def _read_file(path: str | os.PathLike[str], name: str) -> bytes:
    try:
        mode = Path(path).stat().st_mode
    except ValueError:  # a null character
        raise PhotoError(name, "this cannot be a file's name") from None
    if stat.S_ISDIR(mode):
        raise PhotoError(name, "it is a folder, not a photo")
    if not stat.S_ISREG(mode):  # reading a pipe or a device might never end
        raise PhotoError(name, "it is not a regular file")
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES + 1)


class _InThisThread(type):
    opening = threading.local()

    def __subclasscheck__(cls, subclass: type) -> bool:
        return getattr(cls.opening, "now", False)


class _PillowWarning(Warning, metaclass=_InThisThread):
    """Counts as the base class of every warning, but only in a thread that opens a photo."""


@contextmanager
def _without_pillow_warnings() -> Iterator[None]:
    """Ignore the warnings about odd headers that Pillow raises in this thread.

    `warnings.catch_warnings` would be simpler, but it mixes up the filters of other threads.
    The one filter used here stays in place and matches nothing outside of this block.
    """
    if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
        warnings.simplefilter("ignore", _PillowWarning)
    _InThisThread.opening.now = True
    try:
        yield
    finally:
        _InThisThread.opening.now = False


def _identify(data: bytes, name: str) -> ImageFile.ImageFile:
    """Find the format and read the header.

    As `PIL.Image.open`, less its global pixel limit and the refused formats.
    """
    Image.init()
    looks_like_one = False
    for format_name in Image.ID:
        if format_name in _REFUSED_FORMATS:
            continue
        factory, accept = Image.OPEN[format_name]
        accepted = False
        try:
            if accept:
                accepted = accept(data[:16]) is True  # else False, or a text: no decoder built in
            if accepted or not accept:
                return factory(BytesIO(data), "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            looks_like_one |= accepted  # but is not, or not wholly
    if looks_like_one:
        raise PhotoError(name, _CUT_SHORT if _is_cut_short(data) else _DAMAGED)
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1"):
        raise PhotoError(name, "HEIC photos cannot be read; save it as JPEG")
    raise PhotoError(name, "it is not a photo in a format that can be read")


def _check_pixels(image: Image.Image, max_pixels: int, name: str) -> None:
    tiles = getattr(image, "tile", [])
    if any(tile[0] in Image.DECODERS for tile in tiles):
        max_pixels = int(max_pixels * _SLOW_SHARE)
    if image.width * image.height > max_pixels:
        raise PhotoError(
            name,
            f"{image.width}x{image.height} pixels are more than the limit of {max_pixels}",
        )


def _check_scans(image: Image.Image, data: bytes, name: str) -> None:
    if image.info.get("progressive") and _scans(data) > _MAX_SCANS:
        raise PhotoError(name, f"a JPEG with more than {_MAX_SCANS} scans takes too long to decode")


def _scans(jpeg: bytes) -> int:
    """How often the first picture of a JPEG goes over its pixels."""
    scans = at = 0
    while scans <= _MAX_SCANS and (found := _MARKER.search(jpeg, at)):
        at, marker = found.end(), found[1][0]
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker not in (_START_OF_IMAGE, _TEMPORARY):
            at += int.from_bytes(jpeg[at : at + 2])
    return scans


def _decode(
    image: ImageFile.ImageFile, wanted: tuple[int, int] | None, max_pixels: int, name: str
) -> NDArray[np.uint8]:
    if wanted:
        height, width = wanted
        if _orientation(image) >= 5:  # lies on its side
            height, width = width, height
        image.draft(None, (width * _DRAFT_FACTOR, height * _DRAFT_FACTOR))
    image.load()
    _check_pixels(image, max_pixels, name)  # an icon's size is not known earlier
    upright: Image.Image = image
    if (orientation := _orientation(image)) in _TRANSPOSITIONS:
        upright = image.transpose(_TRANSPOSITIONS[orientation])
    rgb = _to_rgb(upright)
    if wanted:
        rgb = rgb.resize((wanted[1], wanted[0]), Image.Resampling.BILINEAR)
    return np.array(rgb)


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8.

    `PIL.ImageOps.exif_transpose` would also write the EXIF data anew, and fails on photos whose
    EXIF data are damaged.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return orientation if orientation in _TRANSPOSITIONS else 1
    except Exception:  # a damaged EXIF block is no reason to refuse the photo
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return _grey(np.asarray(image), lambda numbers: numbers / np.float32(257))
    if image.mode in ("I", "F"):
        values = np.asarray(image)
        return _grey(values, _scale_of(values))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _grey(
    values: NDArray[Any], scale: Callable[[NDArray[Any]], NDArray[np.floating]]
) -> Image.Image:
    """Bring numbers, [H, W], to 0 to 255."""
    grey = np.empty(values.size, np.uint8)
    numbers = values.reshape(-1)
    for part in _parts(values.size):
        grey[part] = np.rint(scale(numbers[part]))
    return Image.fromarray(grey.reshape(values.shape)).convert("RGB")


def _scale_of(
    values: NDArray[np.int32] | NDArray[np.float32],
) -> Callable[[NDArray[Any]], NDArray[np.float64]]:
    """What brings numbers of unknown range, [H, W], to 0 to 255.

    The range is the smallest of 0 to 1 (floats only), 0 to 255 and 0 to 65535 that holds them
    all; other numbers are stretched from their lowest to their highest.
    """
    numbers = values.reshape(-1)
    finite = (part[np.isfinite(part)] for part in map(numbers.__getitem__, _parts(values.size)))
    ranges = [(float(part.min()), float(part.max())) for part in finite if part.size]
    low = min((lowest for lowest, _ in ranges), default=0.0)
    high = max((highest for _, highest in ranges), default=0.0)
    if low < 0 or high > 65535:
        start, span = low, high - low or 1
    else:
        unit = high <= 1 and values.dtype.kind == "f"
        start, span = 0.0, 1 if unit else 255 if high <= 255 else 65535

    def scale(part: NDArray[Any]) -> NDArray[np.float64]:
        known = np.nan_to_num(part.astype(np.float64), nan=low, posinf=high, neginf=low)
        return (known - start) * (255 / span)

    return scale


def _parts(size: int) -> Iterator[slice]:
    """Parts of a large photo: float64 copies of all of it would take gigabytes."""
    return (slice(at, at + _PART) for at in range(0, size, _PART))


def _blame(error: Exception, data: bytes, name: str) -> NoReturn:
    """Turn whatever Pillow raised into a `PhotoError` in plain words."""
    words = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError):
        reason = "it claims to have more pixels than can be decoded"
    elif isinstance(error, MemoryError):
        reason = "there is not enough memory to decode it"
    elif _is_cut_short(data) or any(sign in words.lower() for sign in _SIGNS_OF_THE_END):
        reason = _CUT_SHORT
    elif words and isinstance(error, OSError):  # Pillow's own words; others are Python's
        reason = f"{_DAMAGED} ({words})"
    else:
        reason = _DAMAGED
    raise PhotoError(name, reason) from error


def _is_cut_short(data: bytes) -> bool:
    """Say whether a WebP file is shorter than its header claims: Pillow does not tell."""
    return data[:4] == b"RIFF" and len(data) < 8 + int.from_bytes(data[4:8], "little")
