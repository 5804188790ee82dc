"""One look at each photo: all that the audit needs to know of it, so that it is decoded once."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import imagehash
import numpy as np
from cleanvision.issue_managers.image_property import BrightnessProperty, EntropyProperty
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin

from platecheck.audit import descriptors
from platecheck.cpus import in_threads
from platecheck.data.backgrounds import extract_background
from platecheck.data.composite import remove_foreground
from platecheck.data.folders import Photo
from platecheck.data.segmentation import MaskCache
from platecheck.photo import open_photo
from platecheck.photo_formats import identify

# Larger photos are looked at with this as their longer side.
LOOKED_AT = 512
# Side of the grey thumbnail that tells near-identical photos from similar ones.
GREY = 32
_LIES_ON_ITS_SIDE = range(5, 9)


@dataclass(frozen=True)
class FileFacts:
    """What a file is, whatever it shows.

    Attributes:
        format: Pillow's name of it, such as ``JPEG``.
        width: pixels of the upright photo.
        height: pixels of the upright photo.
        bytes: size of the file.
        coarseness: mean of a JPEG's first quantisation table, 1 and up: the higher, the lower
            the quality; 0 in other formats.
    """

    format: str
    width: int
    height: int
    bytes: int
    coarseness: float


@dataclass(frozen=True, eq=False)
class PhotoFeatures:
    """All that the audit knows of a photo.

    Attributes:
        photo: which.
        file: what the file is.
        phash: perceptual hash, bool [64].
        grey: grey thumbnail of mean 0 and length 1, [GREY²]; all 0 for a photo of one colour.
        properties: cleanvision's figures.
        rim: outermost pixels of a thumbnail, [pixels × 3].
        light: of the rim, [2].
        sharpness: of the rim, [2].
        blur: of the whole photo, 0 to 1.
        dish: colours, texture and blemishes of the dish.
        table: colours and texture beside the dish; None where the dish was not found well, or
            leaves too little of the table.
        table_bytes: about how large the file would be without the dish; None as above.
    """

    photo: Photo
    file: FileFacts
    phash: NDArray[np.bool_]
    grey: descriptors.Floats
    properties: dict[str, float]
    rim: descriptors.Floats
    light: descriptors.Floats
    sharpness: descriptors.Floats
    blur: float
    dish: descriptors.Floats
    table: descriptors.Floats | None = None
    table_bytes: float | None = None


def extract_all_features(
    photos: Sequence[Photo], cutouts: MaskCache, *, on_photo: Callable[[], None] | None = None
) -> list[PhotoFeatures]:
    """Look at photos, in order, as many at a time as there are cores.

    Raises:
        PhotoError: one cannot be opened.
    """
    return list(in_threads(partial(extract_features, cutouts=cutouts), photos, on_done=on_photo))


def extract_features(photo: Photo, cutouts: MaskCache) -> PhotoFeatures:
    """Look at one photo.

    Args:
        photo: with its `sha256`.
        cutouts: where the dishes are.

    Raises:
        PhotoError: it cannot be opened.
    """
    facts, saving = _read_header(photo.path)
    width, height = facts.width, facts.height
    share = min(1.0, LOOKED_AT / max(width, height))
    reduced = max(1, round(height * share)), max(1, round(width * share))
    pixels = open_photo(photo.path, size=reduced if share < 1 else None)
    picture = Image.fromarray(pixels)
    properties = {"aspect_ratio": min(width, height) / max(width, height)}
    for of in (BrightnessProperty("dark"), EntropyProperty()):
        properties |= {name: float(value) for name, value in of.calculate(picture).items()}
    cutout = cutouts.get(photo)
    mask = cutout.mask(*pixels.shape[:2]) if cutout.good else None
    return PhotoFeatures(
        photo=photo,
        file=facts,
        phash=np.asarray(imagehash.phash(picture).hash, bool).ravel(),
        grey=_grey(pixels),
        properties=properties,
        rim=descriptors.rim(pixels),
        light=descriptors.rim_light(pixels),
        sharpness=descriptors.rim_sharpness(pixels),
        blur=descriptors.blur(pixels),
        dish=descriptors.dish_features(pixels, mask),
        table=None if mask is None else descriptors.table_features(pixels, mask),
        table_bytes=None if mask is None else _bytes_without_dish(pixels, mask, facts, saving),
    )


def _read_header(path: Path) -> tuple[FileFacts, dict[str, Any]]:
    """What a file says of itself before its pixels, and how Pillow writes such a file again."""
    with identify(path.read_bytes(), str(path)) as image:
        width, height = image.size
        with contextlib.suppress(Exception):  # a damaged EXIF block
            if image.getexif().get(ExifTags.Base.Orientation) in _LIES_ON_ITS_SIDE:
                width, height = height, width
        tables = getattr(image, "quantization", None)
        coarseness = float(np.mean(tables[min(tables)])) if tables else 0.0
        kind = str(image.format)
        saving: dict[str, Any] = {"format": "PNG"}
        if tables:
            sampling = JpegImagePlugin.get_sampling(image)
            saving = {"format": "JPEG", "qtables": tables, "subsampling": max(sampling, 0)}
    facts = FileFacts(kind, width, height, path.stat().st_size, coarseness)
    return facts, saving


def _bytes_without_dish(
    pixels: NDArray[np.uint8], mask: NDArray[np.uint8], facts: FileFacts, saving: dict[str, Any]
) -> float | None:
    """The file's bytes, less the share that its dish takes when it is compressed the same way.

    A dirty dish takes more bytes than a clean one, which is no shortcut.
    """
    table = extract_background(pixels, mask, np.random.default_rng(0))
    if table is None:
        return None
    rest = _saved(remove_foreground(pixels, mask, table), saving)
    return facts.bytes * rest / _saved(pixels, saving)


def _saved(pixels: NDArray[np.uint8], saving: dict[str, Any]) -> int:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, **saving)
    return file.tell()


def _grey(pixels: NDArray[np.uint8]) -> descriptors.Floats:
    small = cv2.resize(pixels, (GREY, GREY), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    grey -= grey.mean()
    length = float(np.linalg.norm(grey))
    return grey / length if length > 1 else np.zeros_like(grey)
