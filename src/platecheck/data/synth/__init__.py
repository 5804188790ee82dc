"""Artificial photos of clean and dirty dishes, rendered from numbers: no real photo is needed."""

from platecheck.errors import MissingExtraError

try:
    import cv2  # noqa: F401
except ImportError as error:
    raise MissingExtraError("Rendering artificial dishes", "data") from error

from platecheck.data.synth.dataset import SynthSummary, write_dataset
from platecheck.data.synth.samples import write_samples
from platecheck.data.synth.scene import LABELS, RenderedDish, render_dish
from platecheck.data.synth.shapes import KINDS, RARE_KINDS
from platecheck.data.synth.tables import TABLES

__all__ = [
    "KINDS",
    "LABELS",
    "RARE_KINDS",
    "TABLES",
    "RenderedDish",
    "SynthSummary",
    "render_dish",
    "write_dataset",
    "write_samples",
]
