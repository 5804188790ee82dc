"""Let torchvision's Python parts work where its compiled operators cannot load.

The torchvision wheel on PyPI is built for CUDA. Beside a CPU build of torch its compiled
library does not load, the operators ``torchvision::nms`` and ``torchvision::qnms`` stay
undeclared, and ``import torchvision`` fails with *operator torchvision::nms does not exist*,
although transforms and classification networks never call them. Declaring the two (without
implementing them) is enough.

Call :func:`install` before torchvision, timm, torchmetrics or lightning is imported.
"""

from importlib.machinery import PathFinder
from pathlib import Path

import torch

OPERATORS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# The declarations live as long as this object.
_library: torch.library.Library | None = None


def _compiled_operators_load() -> bool:
    """Try to load torchvision's compiled library, the way torchvision itself does."""
    spec = PathFinder.find_spec("torchvision")
    for folder in (spec and spec.submodule_search_locations) or ():
        for library in sorted(Path(folder).glob("_C.*")):
            try:
                torch.ops.load_library(library)  # type: ignore[no-untyped-call]
            except OSError:
                return False
            return True
    return False


def _declared() -> bool:
    return hasattr(torch.ops.torchvision, "nms")


def install() -> bool:
    """Declare torchvision's missing operators.

    Does nothing where the compiled ones load, or where other code has declared them already.

    Returns:
        True when the operators had to be declared, now or in an earlier call.
    """
    global _library  # noqa: PLW0603 -- the declaration must outlive the call, once per process
    if _library is None and not _compiled_operators_load() and not _declared():
        _library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
        for operator in OPERATORS:
            _library.define(operator)  # type: ignore[no-untyped-call]
    return _library is not None
