"""Import torchvision even if its compiled operators cannot load (CUDA build with a CPU torch).

``import torchvision`` then fails with *operator torchvision::nms does not exist*, although
transforms and classification networks never call it. Declaring the operators, without implementing
them, is enough. Call `install` before torchvision, timm, torchmetrics or lightning is imported.
"""

import re
import sys

import torch

import platecheck.data.cache  # noqa: F401 (sets matplotlib's cache folder; torchmetrics imports it)
from platecheck.errors import PlatecheckError

OPERATORS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING = re.compile(r"operator torchvision::(?:nms|qnms) does not exist")

# The declarations live as long as this object.
_library: torch.library.Library | None = None


def install() -> bool:
    """Import torchvision; declare the missing operators if that fails.

    Returns whether operators had to be declared, now or in an earlier call.

    Raises:
        ModuleNotFoundError: torchvision is not installed.
        PlatecheckError: torchvision cannot be imported.
    """
    try:
        import torchvision
    except Exception as error:  # a broken build fails with any type
        if isinstance(error, ModuleNotFoundError) and error.name == "torchvision":
            raise
        if not _MISSING.search(str(error)):
            raise _broken(error) from error
        _declare_missing()
        # Modules left over from the failed import would not become attributes of the next one.
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        try:
            import torchvision  # noqa: F401
        except Exception as again:
            raise _broken(again) from again
    return _library is not None


def _declare_missing() -> None:
    global _library  # noqa: PLW0603 -- the declarations must outlive the call, once per process
    if _library is None:
        _library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name, schema in OPERATORS.items():
        if not hasattr(torch.ops.torchvision, name):
            _library.define(schema)  # type: ignore[no-untyped-call]


def _broken(error: Exception) -> PlatecheckError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return PlatecheckError(
        f"torchvision cannot be imported beside torch {torch.__version__}: {reason}; install"
        " versions that belong together (https://github.com/pytorch/vision#installation)"
    )
