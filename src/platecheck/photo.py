"""Decode photos safely, and to the same pixels in training, prediction and everywhere else."""

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import IO, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from platecheck.errors import PhotoError
from platecheck.photo_color import to_rgb
from platecheck.photo_formats import CUT_SHORT, DAMAGED, check_scans, identify, is_cut_short

Source = (
    str | os.PathLike[str]
    | bytes | bytearray | memoryview
    | IO[bytes] | Image.Image | NDArray[Any]
)  # fmt: skip
"""One photo: a path, the bytes of a file, an open file, a PIL image, or an array of pixels."""

Color = Literal["rgb", "bgr"]
"""Channel order of an array; OpenCV uses ``"bgr"``."""

MAX_PIXELS = 2**27
"""Default limit on height × width: 134 megapixels, 400 MB of RGB."""

MAX_BYTES = 2**30
"""Largest file read."""

MAX_NAME_LENGTH = 4096  # a longer string is probably a photo in base64, not a path

# Pillow decodes plain PPM and compressed BMP in Python, up to three seconds a megapixel. A lower
# pixel limit for those keeps a small file from blocking a service.
_SLOW_FORMAT_FACTOR = 1 / 32

# A JPEG is decoded at 1/2, 1/4 or 1/8 scale if that leaves at least this multiple of the wanted
# height and width.
_DRAFT_FACTOR = 2

# Substrings of Pillow's and libheif's messages.
_TRUNCATED_HINTS = ("truncated", "end of file", "not enough")
_NO_DECODER_HINTS = ("has not been built in", "unsupported")

_NOT_A_PHOTO = (
    "is not a photo: pass a path, bytes, an open file, a PIL image or a NumPy array"
    " (predict_many takes several; convert a tensor with x.permute(1, 2, 0).cpu().numpy();"
    " OpenCV's imread returns None for a file that it cannot read)"
)

# Loading one PIL image in two threads at the same time is not safe.
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
    """Decode one photo to RGB, upright and optionally resized.

    The format is detected from the content, not the name. EXIF orientation is applied (after a HEIF
    file's own rotation), transparency is flattened onto white, deeper pixels are converted to 8
    bits, and of several frames or pages the first or primary one is used. Thread-safe; no global
    state changes, such as Pillow's limits or other code's warnings.

    Resizing ignores the aspect ratio and uses Pillow's antialiased bilinear filter, bit for bit
    like torchvision's ``v2.Resize((height, width))``. Only a JPEG much larger than needed is
    decoded at 1/2, 1/4 or 1/8 scale, to at least twice the wanted size: a 12-megapixel photo to
    288×288 then takes 37 ms on one core instead of 185, and differs from the full decode by 0.3 of
    255 levels on average (a factor of one: 30 ms but 1.0 levels; four: 52 ms).

    Args:
        source: a path, encoded bytes, or a binary file (read from its start if seekable); a PIL
            image, whose current frame is loaded but not modified; or an array, uint8 [H, W, 3],
            [H, W, 4] (the last channel is opacity) or grey [H, W].
        size: (height, width), an int for a square, or None for the photo's own size.
        color: channel order of an array: ``"rgb"``, or ``"bgr"`` for OpenCV.
        max_pixels: largest height × width accepted, checked before decoding.
        name: name of the photo in errors; defaults to the path, the file's name or ``<bytes>``.

    Returns:
        uint8 [H, W, 3], RGB, 0 to 255, contiguous and writable.

    Raises:
        PhotoError: the photo cannot be opened, or `source` has an unsupported type.
        ValueError: `size`, `color` or `max_pixels` is invalid.
    """
    wanted = None if size is None else _wanted_size(size, max(max_pixels, MAX_PIXELS))
    draft = wanted and (wanted[0] * _DRAFT_FACTOR, wanted[1] * _DRAFT_FACTOR)
    return _open(source, draft, wanted, color, max_pixels, name).pixels


@dataclass(frozen=True, slots=True)
class ReducedPhoto:
    """A photo, upright, and perhaps smaller than its file says."""

    pixels: NDArray[np.uint8]  # [H, W, 3], RGB
    height: int  # of the whole photo, upright
    width: int


def open_reduced(
    source: Source,
    at_least: int | tuple[int, int],
    *,
    exact: bool = False,
    color: Color = "rgb",
    max_pixels: int = MAX_PIXELS,
    name: str | None = None,
) -> ReducedPhoto:
    """Decode one photo as `open_photo` does before it resizes to `at_least`.

    `resize_photo` of the result equals `open_photo`. A JPEG is decoded at 1/2, 1/4 or 1/8 scale if
    that leaves at least twice the height and width `at_least`; with `exact`, once.
    """
    height, width = _wanted_size(at_least, max(max_pixels, MAX_PIXELS))
    factor = 1 if exact else _DRAFT_FACTOR
    return _open(source, (height * factor, width * factor), None, color, max_pixels, name)


def resize_photo(pixels: NDArray[np.uint8], size: int | tuple[int, int]) -> NDArray[np.uint8]:
    """Resize a photo [H, W, 3] to (height, width), as `open_photo` does."""
    height, width = size if isinstance(size, tuple) else (size, size)
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR))


def read_photo(source: Source, name: str | None = None) -> Source:
    """Return the bytes of a file, to decode it more than once; images and arrays as they are.

    Raises:
        PhotoError: the file cannot be read, or `source` has an unsupported type.
    """
    if isinstance(source, Image.Image | np.ndarray):
        return source
    return _read(source, name or photo_name(source))


def _open(
    source: Source,
    draft: tuple[int, int] | None,
    wanted: tuple[int, int] | None,
    color: Color,
    max_pixels: int,
    name: str | None,
) -> ReducedPhoto:
    """Decode to at least `draft` pixels, and resize to `wanted`, both (height, width)."""
    if color not in get_args(Color):
        raise ValueError(f'color must be "rgb" or "bgr", not {color!r}')
    max_pixels = index(max_pixels)
    if max_pixels < 1:
        raise ValueError(f"max_pixels must be at least 1, not {max_pixels}")
    name = name or photo_name(source)
    data = b"" if isinstance(source, Image.Image | np.ndarray) else _read(source, name)
    with _without_pillow_warnings():
        try:
            if isinstance(source, Image.Image):
                _check_pixels(source, max_pixels, name)
                with _LOCKS[id(source) // 16 % len(_LOCKS)]:
                    return _decode(source, None, wanted, max_pixels, name)
            if isinstance(source, np.ndarray):
                image, whole = _from_array(source, color, max_pixels, name), None
            else:
                image, whole = _from_file(data, draft, max_pixels, name)
            return _decode(image, whole, wanted, max_pixels, name)
        except PhotoError:
            raise
        except Exception as error:  # damaged files make Pillow raise nearly anything
            raise PhotoError(name, _reason(error, data)) from error


def _wanted_size(size: int | tuple[int, int], most: int) -> tuple[int, int]:
    height, width = map(index, size if isinstance(size, tuple) else (size, size))
    if height < 1 or width < 1 or height * width > most:
        what = f"{height}x{width}"
        raise ValueError(f"size must be at least 1 and at most {most} pixels, not {what}")
    return height, width


def _from_file(
    data: bytes, draft: tuple[int, int] | None, max_pixels: int, name: str
) -> tuple[Image.Image, tuple[int, int]]:
    """Return a file that is not loaded yet, and the width and height of the whole photo."""
    file = identify(data, name)
    _check_pixels(file, max_pixels, name)
    check_scans(file, data, name)
    whole = file.size
    if draft:  # lets a JPEG be decoded at a fraction of its size
        height, width = reversed(draft) if _orientation(file) >= 5 else draft
        file.draft(None, (width, height))
    return file, whole


def photo_name(source: Source) -> str:
    """Return a photo's name for messages: its path, file name, or type, such as ``<bytes>``."""
    if isinstance(source, str | os.PathLike):
        path = os.fsdecode(source)
        return path if len(path) <= MAX_NAME_LENGTH else f"{path[:MAX_NAME_LENGTH]}…"
    name = getattr(source, "filename" if isinstance(source, Image.Image) else "name", None)
    if name and isinstance(name, str):
        return name
    if isinstance(source, bytes | bytearray | memoryview):
        return "<bytes>"
    if isinstance(source, Image.Image | np.ndarray):
        return "<image>" if isinstance(source, Image.Image) else "<array>"
    return "<stream>" if hasattr(source, "read") else f"<{type(source).__name__}>"


def _read(source: Any, name: str) -> bytes:
    try:
        if isinstance(source, bytes | bytearray | memoryview):
            data = bytes(source)
        elif isinstance(source, str | os.PathLike):
            data = _read_file(Path(os.fsdecode(source)), name)
        elif hasattr(source, "read"):
            data = _read_stream(source, name)
        else:
            raise PhotoError(name, f"{type(source).__name__} {_NOT_A_PHOTO}")
    except PhotoError:
        raise
    except FileNotFoundError:
        raise PhotoError(name, "there is no such file") from None
    except PermissionError:
        raise PhotoError(name, "no permission to read it") from None
    except Exception as error:  # a caller's own file object can raise anything
        message = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise PhotoError(name, f"reading failed ({message or type(error).__name__})") from None
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
    while missing > 0 and (part := file.read(missing)):  # raw files may return less than asked for
        if not isinstance(part, bytes):
            raise PhotoError(name, "its read() does not return bytes; open it in binary mode")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _read_file(path: Path, name: str) -> bytes:
    try:
        mode = path.stat().st_mode
    except ValueError:  # a null character
        raise PhotoError(name, "this cannot be a file's name") from None
    if stat.S_ISDIR(mode):
        raise PhotoError(name, "it is a folder, not a photo")
    if not stat.S_ISREG(mode):  # reading a pipe or a device might never end
        raise PhotoError(name, "it is not a regular file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


class _ThreadLocalMeta(type):
    state = threading.local()

    def __subclasscheck__(cls, subclass: type) -> bool:
        return getattr(cls.state, "active", False)


class _PillowWarning(Warning, metaclass=_ThreadLocalMeta):
    """Matches every warning, but only in a thread that is opening a photo."""


@contextmanager
def _without_pillow_warnings() -> Iterator[None]:
    """Ignore Pillow's warnings about malformed headers, in this thread only.

    `warnings.catch_warnings` is not thread-safe. This filter matches nothing outside of the block.
    """
    if not warnings.filters or warnings.filters[0][2] is not _PillowWarning:
        warnings.simplefilter("ignore", _PillowWarning)
    _ThreadLocalMeta.state.active = True
    try:
        yield
    finally:
        _ThreadLocalMeta.state.active = False


def _check_pixels(image: Image.Image, max_pixels: int, name: str) -> None:
    if any(tile[0] in Image.DECODERS for tile in getattr(image, "tile", [])):
        max_pixels = int(max_pixels * _SLOW_FORMAT_FACTOR)
    _check_size(image.width, image.height, max_pixels, name)


def _check_size(width: int, height: int, max_pixels: int, name: str) -> None:
    if width * height > max_pixels:
        raise PhotoError(name, f"{width}x{height} pixels are more than the limit of {max_pixels}")
    if width * height == 0:
        raise PhotoError(name, "it has no pixels")


def _decode(
    image: Image.Image,
    whole: tuple[int, int] | None,
    wanted: tuple[int, int] | None,
    max_pixels: int,
    name: str,
) -> ReducedPhoto:
    image.load()
    _check_pixels(image, max_pixels, name)  # only now is the size of a caller's icon known
    width, height = whole or image.size
    upright = image
    if (orientation := _orientation(image)) in _TRANSPOSITIONS:
        upright = image.transpose(_TRANSPOSITIONS[orientation])
        width, height = (height, width) if orientation >= 5 else (width, height)
    rgb = to_rgb(upright)
    if wanted:
        rgb = rgb.resize((wanted[1], wanted[0]), Image.Resampling.BILINEAR)
    return ReducedPhoto(np.array(rgb), height, width)


def _from_array(array: NDArray[Any], color: Color, max_pixels: int, name: str) -> Image.Image:
    channels = array.shape[2] if array.ndim == 3 else 1
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise PhotoError(name, _array_error(array))
    height, width = array.shape[:2]
    _check_size(width, height, max_pixels, name)
    if channels == 1:
        array = array.reshape(height, width)
    elif color == "bgr":
        array = array[..., [2, 1, 0, 3][:channels]]
    return Image.fromarray(np.ascontiguousarray(array))


def _array_error(array: NDArray[Any]) -> str:
    shape, hint = array.shape, ""
    if array.ndim == 3 and shape[0] in (1, 3, 4) and shape[2] not in (1, 3, 4):
        hint = "; use np.moveaxis(x, 0, -1) to move channels to the end"
    elif array.ndim == 4:
        hint = "; use predict_many for several photos"
    elif array.ndim == 1:
        hint = "; for the bytes of a file, pass x.tobytes()"
    if array.dtype.kind in "biuf" and array.dtype != np.uint8:
        factor = " * 255" if array.max(initial=0) <= 1 else " / 257" if array.dtype == "u2" else ""
        hint += f'; convert it with (x{factor}).clip(0, 255).astype("uint8")'
    described = f"{array.dtype} [{', '.join(map(str, shape))}]"
    return f"an array must be uint8 [H, W, 3], [H, W, 4] or [H, W], not {described}{hint}"


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8.

    `PIL.ImageOps.exif_transpose` would also rewrite the EXIF data, and fails if they are damaged.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
        return orientation if orientation in _TRANSPOSITIONS else 1
    except Exception:  # do not refuse a photo for its damaged EXIF data
        return 1


def _reason(error: Exception, data: bytes) -> str:
    message = " ".join(str(error).split())
    if isinstance(error, Image.DecompressionBombError):
        return "it claims to have more pixels than can be decoded"
    if isinstance(error, MemoryError):
        return "there is not enough memory to decode it"
    if is_cut_short(data) or any(hint in message.lower() for hint in _TRUNCATED_HINTS):
        return CUT_SHORT
    if any(hint in message.lower() for hint in _NO_DECODER_HINTS):
        return f"it needs a decoder that is not installed ({message}); save it as JPEG"
    if message and not data:  # a caller's image, such as one that was closed
        return f"reading failed ({message})"
    if message and isinstance(error, OSError):  # Pillow's own message, not Python's
        return f"{DAMAGED} ({message})"
    return DAMAGED
