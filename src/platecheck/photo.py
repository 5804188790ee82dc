"""Open one photo safely: the only door through which pixels enter.

Training, evaluation, prediction, serving and batch all call `open_photo`, so a model sees the
same pixels everywhere.
"""

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from operator import index
from pathlib import Path
from typing import IO, Any, Literal, NoReturn, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from platecheck.errors import PhotoError
from platecheck.photo_formats import (
    CUT_SHORT,
    DAMAGED,
    PHOTO_SUFFIXES,
    UNSUPPORTED_SUFFIXES,
    check_scans,
    identify,
    is_cut_short,
    is_photo_name,
)

__all__ = [
    "MAX_BYTES", "MAX_PIXELS", "PHOTO_SUFFIXES", "UNSUPPORTED_SUFFIXES", "Color", "Source",
    "is_photo_name", "open_photo", "photo_name",
]  # fmt: skip

Source = (
    str | os.PathLike[str]
    | bytes | bytearray | memoryview
    | IO[bytes] | Image.Image | NDArray[Any]
)  # fmt: skip
"""One photo: a path, the bytes of a file, an open file, a PIL image, or an array of pixels."""

Color = Literal["rgb", "bgr"]
"""The order of an array's channels; OpenCV's is ``"bgr"``."""

MAX_PIXELS = 2**27
"""Largest photo opened unless told otherwise: 134 megapixels, 400 MB once decoded."""

MAX_BYTES = 2**30
"""Largest file read."""

LONGEST_NAME = 4096  # of a path; what is longer is a photo in base64, say

# Pillow decodes QOI, plain PPM and a few other formats in Python, up to three seconds a megapixel;
# of those it gets this share of the pixels, so that a small file cannot keep a service busy.
_SLOW_SHARE = 1 / 32

# Pixels of a deep photo that are brought to 8 bits at a time.
_PART = 2**20

# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size as long as this many times the wanted sides
# are left.
_DRAFT_FACTOR = 2

# In messages of Pillow and libheif.
_SIGNS_OF_THE_END = ("truncated", "end of file", "not enough")
_SIGNS_OF_NO_DECODER = ("has not been built in", "unsupported")

_NO_PHOTO = (
    "is no photo: give a path, bytes, an open file, a PIL image or a NumPy array"
    " (predict_many takes several; x.permute(1, 2, 0).cpu().numpy() of a tensor;"
    " imread of OpenCV gives None for a file that it cannot read)"
)

# Two threads that load one PIL image at the same time would get in each other's way.
_LOCKS = [threading.Lock() for _ in range(64)]

_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def open_photo(
    source: Source,
    size: int | tuple[int, int] | None = None,
    *,
    color: Color = "rgb",
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> NDArray[np.uint8]:
    """Open one photo as RGB, upright and optionally resized.

    The content alone decides the format, not the name. EXIF orientation is applied (a HEIF file's
    own rotation goes before it), transparency is flattened on white, deeper pixels are brought to 8
    bits, and of several frames or pages the first or primary one counts. Nothing global is changed:
    not Pillow's limits and formats, nor the warnings of others; any number of threads may call this
    at once.

    Resizing stretches to the given size with Pillow's antialiased bilinear filter, bit for bit
    what torchvision's ``v2.Resize((height, width))`` does to the same Pillow image. The one
    exception saves most of the time on phone photos: a JPEG much larger than needed is decoded at
    1/2, 1/4 or 1/8 scale (its 8×8 blocks allow that), with at least twice the wanted height and
    width left for the antialiasing filter. Twice, since a 12-megapixel photo to 288×288 then takes
    37 ms on one core instead of 185, 0.3 of 255 levels away from the full decode on average; once
    would be 30 ms but 1.0 levels, four times 52 ms: reading the compressed bits takes the rest.

    Args:
        source: a path, a photo's bytes, or a binary file (read from its start if it can seek); a
            PIL image, whose current frame is loaded and otherwise left as it is; or an array, uint8
            [H, W, 3], [H, W, 4] (the last channel is opacity) or grey [H, W].
        size: (height, width), an int for a square, or None for the photo's own size.
        color: the order of an array's channels: ``"rgb"``, or ``"bgr"`` for an image of OpenCV.
            Everything else says itself what its channels are.
        max_pixels: the largest height × width accepted, looked up before anything is decoded.
        name: what errors call the photo; by default the path, the file's name or ``<bytes>``.

    Returns:
        uint8 [H, W, 3], RGB, 0 to 255, contiguous and writable.

    Raises:
        PhotoError: whatever is wrong with the photo, also where it is of a type that is not read.
        ValueError: `size`, `color` or `max_pixels` makes no sense.
    """
    if color not in get_args(Color):
        raise ValueError(f'color must be "rgb" or "bgr", not {color!r}')
    max_pixels = index(max_pixels)
    if max_pixels < 1:
        raise ValueError(f"max_pixels must be at least 1, not {max_pixels}")
    wanted = None if size is None else _height_and_width(size, max_pixels)
    name = name or photo_name(source)
    data = b"" if isinstance(source, Image.Image | np.ndarray) else _read(source, name)
    with _without_pillow_warnings():
        try:
            if isinstance(source, Image.Image):
                _check_pixels(source, max_pixels, name)
                with _LOCKS[id(source) // 16 % len(_LOCKS)]:
                    return _decode(source, wanted, max_pixels, name)
            if isinstance(source, np.ndarray):
                pixels = _from_array(source, color, max_pixels, name)
                return _decode(pixels, wanted, max_pixels, name)
            file = identify(data, name)
            _check_pixels(file, max_pixels, name)
            check_scans(file, data, name)
            if wanted:  # a JPEG is then decoded at a fraction of its size
                height, width = reversed(wanted) if _orientation(file) >= 5 else wanted
                file.draft(None, (width * _DRAFT_FACTOR, height * _DRAFT_FACTOR))
            return _decode(file, wanted, max_pixels, name)
        except PhotoError:
            raise
        except Exception as error:  # damaged files make Pillow raise nearly anything
            _blame(error, data, name)


def _height_and_width(size: int | tuple[int, int], max_pixels: int) -> tuple[int, int]:
    height, width = size if isinstance(size, tuple) else (size, size)
    height, width = index(height), index(width)
    most = max(max_pixels, MAX_PIXELS)
    if height < 1 or width < 1 or height * width > most:
        raise ValueError(f"size must be at least 1 and at most {most} pixels, not {height}x{width}")
    return height, width


def photo_name(source: Source) -> str:
    """What a photo is called: its path, the open file's name, or its type, such as ``<bytes>``."""
    if isinstance(source, str | os.PathLike):
        path = os.fsdecode(source)
        return path if len(path) <= LONGEST_NAME else f"{path[:LONGEST_NAME]}…"
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    if name and isinstance(name, str):
        return name
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if isinstance(source, Image.Image | np.ndarray):
        return "<image>" if isinstance(source, Image.Image) else "<array>"
    return "<stream>" if hasattr(source, "read") else f"<{type(source).__name__}>"


def _read(source: Any, name: str) -> bytes:
    """Read the whole file: every kind of source then behaves alike, and no file stays open."""
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif isinstance(source, str | os.PathLike):
            data = _read_file(os.fsdecode(source), name)
        elif hasattr(source, "read"):
            data = _read_stream(source, name)
        else:
            raise PhotoError(name, f"{type(source).__name__} {_NO_PHOTO}")
    except PhotoError:
        raise
    except FileNotFoundError:
        raise PhotoError(name, "there is no such file") from None
    except PermissionError:
        raise PhotoError(name, "no permission to read it") from None
    except Exception as error:  # a file of somebody's own can raise anything
        words = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PhotoError(name, f"cannot be read ({words or type(error).__name__})") from None
    if not data:
        raise PhotoError(name, "the file is empty")
    if len(data) > MAX_BYTES:
        raise PhotoError(name, f"the file is larger than {MAX_BYTES // 2**20} MB")
    return data


def _read_stream(file: Any, name: str) -> bytes:
    if getattr(file, "seekable", bool)():
        file.seek(0)
    parts: list[bytes] = []
    missing = MAX_BYTES + 1
    while missing > 0 and (part := file.read(missing)):  # a raw one gives what it has at the time
        if not isinstance(part, bytes):
            raise PhotoError(name, "its read() does not give bytes: open it in binary mode")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _read_file(path: str, name: str) -> bytes:
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


def _check_pixels(image: Image.Image, max_pixels: int, name: str) -> None:
    tiles = getattr(image, "tile", [])
    if any(tile[0] in Image.DECODERS for tile in tiles):
        max_pixels = int(max_pixels * _SLOW_SHARE)
    _check_size(image.width, image.height, max_pixels, name)


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise PhotoError(name, f"{width}x{height} pixels are more than the limit of {max_pixels}")
    if width * height == 0:
        raise PhotoError(name, "it has no pixels")


def _decode(
    image: Image.Image, wanted: tuple[int, int] | None, max_pixels: int, name: str
) -> NDArray[np.uint8]:
    image.load()
    _check_pixels(image, max_pixels, name)  # an icon's size is not known earlier
    upright = image
    if (orientation := _orientation(image)) in _TRANSPOSITIONS:
        upright = image.transpose(_TRANSPOSITIONS[orientation])
    rgb = _to_rgb(upright)
    if wanted:
        rgb = rgb.resize((wanted[1], wanted[0]), Image.Resampling.BILINEAR)
    return np.array(rgb)


def _from_array(array: NDArray[Any], color: Color, max_pixels: int, name: str) -> Image.Image:
    """Take an array for a picture, if it is uint8 [H, W], [H, W, 1], [H, W, 3] or [H, W, 4]."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise PhotoError(name, _wrong_array(array))
    height, width = array.shape[:2]
    _check_size(width, height, max_pixels, name)
    if channels == 1:
        array = array.reshape(height, width)
    elif color == "bgr":
        array = array[..., [2, 1, 0, 3][:channels]]
    return Image.fromarray(np.ascontiguousarray(array))


def _wrong_array(array: NDArray[Any]) -> str:
    """Say what array is expected and, where that can be guessed, how this one becomes it."""
    shape, hint = array.shape, ""
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        hint = "; np.moveaxis(x, 0, -1) brings channels to the end"
    elif array.ndim == 4:
        hint = "; predict_many takes several photos"
    elif array.ndim == 1:
        hint = "; of the bytes of a file give x.tobytes()"
    if array.dtype.kind in "biuf" and array.dtype != np.uint8:
        factor = " * 255" if array.max(initial=0) <= 1 else " / 257" if array.dtype == "u2" else ""
        hint += f'; (x{factor}).clip(0, 255).astype("uint8") converts'
    described = f"{array.dtype} [{', '.join(map(str, shape))}]"
    return f"an array must be uint8 [H, W, 3], [H, W, 4] or [H, W], not {described}{hint}"


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
    if image.mode.startswith(("I", "F")):
        return _stretched(np.asarray(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretched(values: NDArray[Any]) -> Image.Image:
    """Bring deep numbers, [H, W], to 0 to 255.

    The range is 0 to 65535 for 16 bits. For more, which do not say, it is the smallest of 0 to 1
    (floats only), 0 to 255 and 0 to 65535 that holds them all; other numbers are stretched from
    their lowest to their highest.
    """
    numbers = values.reshape(-1)
    # In parts: float64 copies of all of a large photo would take gigabytes.
    parts = [slice(at, at + _PART) for at in range(0, values.size, _PART)]
    unknown = values.dtype.itemsize > 2
    finite = (numbers[part][np.isfinite(numbers[part])] for part in (parts if unknown else ()))
    ranges = [(float(part.min()), float(part.max())) for part in finite if part.size]
    low = min((lowest for lowest, _ in ranges), default=0.0)
    high = max((highest for _, highest in ranges), default=0.0)
    start, span = 0.0, 65535.0
    if low < 0 or high > 65535:
        start, span = low, high - low or 1
    elif unknown and high <= 255:
        span = 1 if high <= 1 and values.dtype.kind == "f" else 255
    grey = np.empty(values.size, np.uint8)
    for part in parts:
        deep = numbers[part].astype(np.float64)
        known = np.nan_to_num(deep, nan=low, posinf=high, neginf=low)
        grey[part] = np.rint((known - start) * (255 / span))
    return Image.fromarray(grey.reshape(values.shape))


def _blame(error: Exception, data: bytes, name: str) -> NoReturn:
    """Turn whatever Pillow raised into a `PhotoError` in plain words."""
    words = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError):
        reason = "it claims to have more pixels than can be decoded"
    elif isinstance(error, MemoryError):
        reason = "there is not enough memory to decode it"
    elif is_cut_short(data) or any(sign in words.lower() for sign in _SIGNS_OF_THE_END):
        reason = CUT_SHORT
    elif any(sign in words.lower() for sign in _SIGNS_OF_NO_DECODER):
        reason = f"it needs a decoder that is not installed ({words}); save it as JPEG"
    elif words and not data:  # somebody's image, such as one that was closed
        reason = f"cannot be read ({words})"
    elif words and isinstance(error, OSError):  # Pillow's own words; others are Python's
        reason = f"{DAMAGED} ({words})"
    else:
        reason = DAMAGED
    raise PhotoError(name, reason) from error
