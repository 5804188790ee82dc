"""Procedural rendering of photos of clean and dirty dishes, alone and in scenes."""

from platecheck.errors import MissingExtraError

try:
    import cv2  # noqa: F401
    import joblib  # noqa: F401
except ImportError as error:
    raise MissingExtraError("Rendering synthetic dishes", "data") from error

from platecheck.data.render.dataset import (
    RenderSummary,
    SceneSummary,
    write_dataset,
    write_scenes,
)
from platecheck.data.render.samples import write_samples
from platecheck.data.render.scene import LABELS, RenderedDish, render_dish
from platecheck.data.render.scenes import SCENE_KINDS, RenderedScene, render_scene
from platecheck.data.render.shapes import KINDS, RARE_KINDS
from platecheck.data.render.tabletops import BACKGROUNDS

__all__ = [
    "BACKGROUNDS",
    "KINDS",
    "LABELS",
    "RARE_KINDS",
    "SCENE_KINDS",
    "RenderSummary",
    "RenderedDish",
    "RenderedScene",
    "SceneSummary",
    "render_dish",
    "render_scene",
    "write_dataset",
    "write_samples",
    "write_scenes",
]
