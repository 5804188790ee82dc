"""Each test is a process of its own: operators can be declared once and never taken back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

IMPORT_GUARD = "import torch\nfrom platecheck.training import torchvision_guard as guard\n"
USE_TORCHVISION = """
import torchvision
from torchvision.transforms import v2
assert v2.Resize((4, 6))(torch.zeros(3, 8, 8)).shape == (3, 4, 6)
assert torchvision.models.efficientnet_b2(weights=None).classifier[1].in_features == 1408
"""
# What the real package does where its compiled library does not load.
REGISTER = """
import torch
from torchvision import extension
assert extension.loaded is False
@torch.library.register_fake("torchvision::nms")
def nms(dets, scores, iou_threshold):
    return dets
"""


def python(code: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code, with a folder of packages before all others."""
    paths = [str(path or ""), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )


def write_torchvision(folder: Path, code: str) -> Path:
    """A package of that name, and nothing in it that the real one calls its libraries."""
    package = folder / "torchvision"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    (package / "extension.py").write_text("loaded = False\n")
    return folder


def test_install_makes_torchvision_importable() -> None:
    bare = python("import torchvision")
    missing = "operator torchvision::nms does not exist" in bare.stderr
    assert missing or bare.returncode == 0, bare.stderr
    found = python(
        f"{IMPORT_GUARD}first, again = guard.install(), guard.install()\n"
        f"assert first == again == {missing}\n{USE_TORCHVISION}"
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
def test_install_after_a_failed_import_imports_again(tmp_path: Path) -> None:
    path = write_torchvision(tmp_path, REGISTER)
    assert "operator torchvision::nms does not exist" in python("import torchvision", path).stderr
    found = python(
        f"{IMPORT_GUARD}assert guard.install()\nimport torchvision.extension as extension\n"
        "import torchvision\nassert torchvision.extension is extension",
        path,
    )
    assert found.returncode == 0, found.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "code",
    [
        "raise ImportError('libjpeg.so.8: cannot open shared object file')",
        "raise RuntimeError('operator torchvision::other does not exist')",
    ],
)
def test_install_with_a_broken_torchvision_is_an_error(tmp_path: Path, code: str) -> None:
    path = write_torchvision(tmp_path, code)
    export = "import sys; sys.argv[1:] = ['export', 'run']"
    found = python(f"{export}; from platecheck.cli import main; main()", path)
    assert found.returncode == 2
    told = " ".join(found.stderr.split())
    assert told.startswith("error: torchvision cannot be imported beside torch")
    assert "install versions that belong together" in told
    assert "Traceback" not in told
