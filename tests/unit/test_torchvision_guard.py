"""Each test is a process of its own: operators can be declared once and never taken back."""

import subprocess
import sys

import pytest

DECLARE_BEFOREHAND = """
import torch
library = torch.library.Library("torchvision", "DEF")
library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""
USE_TORCHVISION = """
import torchvision
from torchvision.transforms import v2
assert v2.Resize((4, 6))(torch.zeros(3, 8, 8)).shape == (3, 4, 6)
assert torchvision.models.efficientnet_b2(weights=None).classifier[1].in_features == 1408
"""


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )


def test_without_the_guard_torchvision_does_not_import() -> None:
    bare = python("import torchvision")
    if bare.returncode == 0:
        pytest.skip("torchvision's compiled operators load here, there is nothing to guard against")
    assert "operator torchvision::nms does not exist" in bare.stderr


def test_with_the_guard_torchvision_works_and_a_second_call_is_fine() -> None:
    found = python(
        "import torch\n"
        "from platecheck.training import torchvision_guard as guard\n"
        "first, again = guard.install(), guard.install()\n"
        "assert first == again == (not guard._compiled_operators_load())\n"
        f"{USE_TORCHVISION}"
    )
    assert found.returncode == 0, found.stderr


def test_nothing_is_declared_where_the_compiled_operators_load() -> None:
    found = python(
        "import torch\n"
        "from platecheck.training import torchvision_guard as guard\n"
        "guard._compiled_operators_load = lambda: True\n"
        "assert guard.install() is False\n"
        "assert not hasattr(torch.ops.torchvision, 'nms')\n"
    )
    assert found.returncode == 0, found.stderr


def test_nothing_is_declared_where_other_code_has_declared_it() -> None:
    found = python(
        f"{DECLARE_BEFOREHAND}"
        "from platecheck.training import torchvision_guard as guard\n"
        "assert guard.install() is False\n"
        f"{USE_TORCHVISION}"
    )
    assert found.returncode == 0, found.stderr
