"""Classify photos of dishes as clean or dirty.

>>> from platecheck import Classifier
>>> Classifier.load().predict("plate.jpg").label
'dirty'

`Inspector` finds every dish in a photo and classifies each.

A photo is a path, bytes, an open file, a PIL image or a NumPy array. For OpenCV arrays, pass
``predict(frame, color="bgr")``.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platecheck.api import audit, evaluate, train
    from platecheck.classifier import Classifier, Prediction
    from platecheck.detector import Detector
    from platecheck.errors import ModelError, PhotoError, PlatecheckError
    from platecheck.inspector import Inspection, Inspector
    from platecheck.photo import open_photo

    __version__: str

__all__ = [
    "Classifier",
    "Detector",
    "Inspection",
    "Inspector",
    "ModelError",
    "PhotoError",
    "PlatecheckError",
    "Prediction",
    "__version__",
    "audit",
    "evaluate",
    "open_photo",
    "train",
]

# Disable telemetry. ONNX Runtime and Ray read these variables on import, in child processes too, so
# set them before either can be imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
if _imported := sys.modules.get("onnxruntime"):
    _imported.disable_telemetry_events()

_LAZY_IMPORTS = {
    "Classifier": "platecheck.classifier",
    "Detector": "platecheck.detector",
    "Inspection": "platecheck.inspector",
    "Inspector": "platecheck.inspector",
    "ModelError": "platecheck.errors",
    "PhotoError": "platecheck.errors",
    "PlatecheckError": "platecheck.errors",
    "Prediction": "platecheck.classifier",
    "audit": "platecheck.api",
    "evaluate": "platecheck.api",
    "open_photo": "platecheck.photo",
    "train": "platecheck.api",
}


def __getattr__(name: str) -> Any:
    """Import public names on first use, so that `platecheck --help` need not load ONNX Runtime."""
    if name == "__version__":
        from importlib.metadata import version

        return version("platecheck")
    if name in _LAZY_IMPORTS:
        return getattr(import_module(_LAZY_IMPORTS[name]), name)
    raise AttributeError(f"module 'platecheck' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
