"""Extract all features that the audit needs, decoding each photo once."""

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from cleanvision.issue_managers.image_property import BrightnessProperty, EntropyProperty
from numpy.typing import NDArray
from PIL import ExifTags, Image, JpegImagePlugin

from platecheck.auditing import descriptors
from platecheck.auditing.findings import Finding, Severity
from platecheck.cpus import in_threads
from platecheck.data.backgrounds import extract_background
from platecheck.data.composite import remove_foreground
from platecheck.data.folders import Photo
from platecheck.data.near_duplicates import fingerprint, reduced_size
from platecheck.data.segmentation import MaskCache
from platecheck.photo import open_photo
from platecheck.photo_formats import identify

_SIDEWAYS = range(5, 9)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class FileFacts:
    """Properties of a file, independent of its content.

    `format` is Pillow's name, such as ``JPEG``; width and height are those of the upright photo.
    `coarseness` is the mean of a JPEG's first quantization table, at least 1; higher means lower
    quality; 0 for other formats.
    """

    format: str
    width: int
    height: int
    bytes: int
    coarseness: float


@dataclass(frozen=True, eq=False)
class PhotoFeatures:
    """Features of one photo.

    Attributes:
        rim, light, sharpness, blur, dish, background: see `descriptors`; the background is None if
            the mask is poor or too little of it is visible.
    """

    photo: Photo
    file: FileFacts
    phash: NDArray[np.bool_]
    grey: descriptors.Floats
    properties: dict[str, float]  # cleanvision's metrics
    rim: descriptors.Floats
    light: descriptors.Floats
    sharpness: descriptors.Floats
    blur: float
    dish: descriptors.Floats
    background: descriptors.Floats | None = None
    background_bytes: float | None = None  # estimated file size without the dish

    def finding(self, kind: str, severity: Severity, message: str, **details: Any) -> Finding:
        return Finding(kind, severity, message, (self.photo.name,), details)


def extract_all_features(
    photos: Sequence[Photo], masks: MaskCache, *, on_photo: Callable[[], None] | None = None
) -> list[PhotoFeatures]:
    """Extract the features of photos, in order, on as many threads as there are cores."""
    return list(in_threads(partial(extract_features, masks=masks), photos, on_done=on_photo))


def extract_features(photo: Photo, masks: MaskCache) -> PhotoFeatures:
    """Extract the features of one photo, which must have its `sha256`."""
    facts, saving = _read_header(photo.path)
    width, height = facts.width, facts.height
    pixels = open_photo(photo.path, size=reduced_size(width, height))
    compared = fingerprint(pixels)
    image = Image.fromarray(pixels)
    properties = {"aspect_ratio": min(width, height) / max(width, height)}
    for metric in (BrightnessProperty("dark"), EntropyProperty()):
        properties |= {name: float(value) for name, value in metric.calculate(image).items()}
    dish_mask = masks.get(photo)
    mask = dish_mask.mask(*pixels.shape[:2]) if dish_mask.good else None
    return PhotoFeatures(
        photo=photo,
        file=facts,
        phash=compared.phash,
        grey=compared.grey,
        properties=properties,
        rim=descriptors.rim(pixels),
        light=descriptors.rim_light(pixels),
        sharpness=descriptors.rim_sharpness(pixels),
        blur=descriptors.blur(pixels),
        dish=descriptors.dish_features(pixels, mask),
        background=None if mask is None else descriptors.background_features(pixels, mask),
        background_bytes=None if mask is None else _bytes_without_dish(pixels, mask, facts, saving),
    )


def _read_header(path: Path) -> tuple[FileFacts, dict[str, Any]]:
    """Return a file's properties and the options with which Pillow saves in the same way."""
    with identify(path.read_bytes(), str(path)) as image:
        width, height = image.size
        with contextlib.suppress(Exception):  # a damaged EXIF block
            if image.getexif().get(ExifTags.Base.Orientation) in _SIDEWAYS:
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
    """Estimate the file size without the dish, by compressing the photo with and without it.

    A dirty dish takes more bytes than a clean one, which is not a shortcut.
    """
    background = extract_background(pixels, mask, np.random.default_rng(0))
    if background is None:
        return None
    sizes = []
    for image in (remove_foreground(pixels, mask, background), pixels):
        file = io.BytesIO()
        Image.fromarray(image).save(file, **saving)
        sizes.append(file.tell())
    return facts.bytes * sizes[0] / sizes[1]
