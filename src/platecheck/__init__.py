"""platecheck tells clean dishes from dirty ones.

>>> from platecheck import Classifier
>>> Classifier.load().predict("plate.jpg").label
'dirty'

A photo is a path, bytes, an open file, a PIL image or a NumPy array; an array of OpenCV needs
``predict(frame, color="bgr")``.
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from platecheck.classifier import Classifier, Prediction
    from platecheck.errors import ModelError, PhotoError, PlatecheckError
    from platecheck.photo import open_photo

    __version__: str

__all__ = [
    "Classifier",
    "ModelError",
    "PhotoError",
    "PlatecheckError",
    "Prediction",
    "__version__",
    "open_photo",
]

# Nothing is reported to anyone. ONNX Runtime and Ray read theirs as they start, here and in every
# process that this one starts, so this is set before either can be imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
if _imported := sys.modules.get("onnxruntime"):
    _imported.disable_telemetry_events()

_HOMES = {
    "Classifier": "platecheck.classifier",
    "ModelError": "platecheck.errors",
    "PhotoError": "platecheck.errors",
    "PlatecheckError": "platecheck.errors",
    "Prediction": "platecheck.classifier",
    "open_photo": "platecheck.photo",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first used: `platecheck --help` need not wait for ONNX Runtime."""
    if name == "__version__":
        from importlib.metadata import version

        return version("platecheck")
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'platecheck' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
