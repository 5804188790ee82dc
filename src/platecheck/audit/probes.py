"""What a photo shows that is not the dish: the things that a shortcut may be made of."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from platecheck.audit.looks import Look

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Probe:
    """Something that is not the dish.

    Attributes:
        name: for machines.
        words: what it is, to begin a sentence with.
        sees: what exactly the classifier is given.
        features: numbers of a photo, or None where it cannot be measured.
    """

    name: str
    words: str
    sees: str
    features: Callable[[Look], NDArray[np.floating] | None]


def _file_format(look: Look) -> Floats:
    # A number for each format, the same on every machine.
    return np.array([int.from_bytes(look.file.format.encode()[:6]), look.file.coarseness])


def _image_size(look: Look) -> Floats:
    height, width = look.file.height, look.file.width
    return np.array([height, width, height * width, width / height])


def _file_size(look: Look) -> Floats | None:
    return None if look.table_bytes is None else np.array([look.table_bytes])


PROBES = (
    Probe(
        "border",
        "The table around the dish",
        "the 5 outermost pixels of a thumbnail of 64×64",
        lambda look: look.rim,
    ),
    Probe(
        "table",
        "The table beside the dish",
        "colours and texture of the widest strip beside the dish, where the dish was found well",
        lambda look: look.table,
    ),
    Probe("image_size", "The size of the picture", "height and width in pixels", _image_size),
    Probe(
        "file_size",
        "The size of the file",
        "bytes, less the share that compressing the dish takes",
        _file_size,
    ),
    Probe(
        "file_format",
        "The file format",
        "format and, of a JPEG, how coarsely it was compressed",
        _file_format,
    ),
    Probe(
        "brightness",
        "The brightness of the border",
        "mean and spread of the brightness along the photo's border",
        lambda look: look.light,
    ),
    Probe(
        "sharpness",
        "The sharpness of the border",
        "fine detail along the photo's border",
        lambda look: look.sharpness,
    ),
)
