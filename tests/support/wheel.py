"""Environments and wheels of the package, for tests and the benchmark of its size."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What building needs.
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "src")
_NOT_SOURCE = shutil.ignore_patterns("__pycache__", "*.egg-info")


class Environment:
    """An environment of its own, without even pip."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.command = folder / "bin" / "platecheck"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)

    def install(self, *what: str) -> None:
        """Install with this interpreter's pip, in the versions that CI tests."""
        pip = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        options = ["--disable-pip-version-check", "--constraint", str(ROOT / "constraints.txt")]
        subprocess.run([*pip, *options, *what], check=True)

    def packages(self) -> Path:
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found


def copy_sources(to: Path) -> Path:
    """Copy what building needs; it would leave its traces in the original."""
    to.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=_NOT_SOURCE)
        else:
            shutil.copy2(ROOT / name, to / name)
    return to


def build(sources: Path, out: Path, *options: str) -> Path:
    """Build the wheel, from the source distribution where no option says otherwise."""
    command = [sys.executable, "-m", "build", "--quiet", *options]
    subprocess.run([*command, "--outdir", str(out), str(sources)], check=True)
    (wheel,) = out.glob("*.whl")
    return wheel
