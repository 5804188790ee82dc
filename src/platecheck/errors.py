"""Exceptions; each message is one line that states the problem and its solution."""

import json
import os
import shlex
import warnings
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit


class PlatecheckError(Exception):
    """Base class of all errors that a user can cause; the CLI prints it and exits with code 2."""


class PhotoError(PlatecheckError):
    """A photo could not be opened.

    Attributes:
        source: the file name as the user gave it, or ``<bytes>``.
        reason: what is wrong with the photo.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type["PhotoError"], tuple[str, str]]:
        """Support pickling, so that the error can cross worker processes."""
        return PhotoError, (self.source, self.reason)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhotoError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


class DataError(PlatecheckError):
    """A dataset folder, a list of photos or a download is invalid."""


class RecipeError(PlatecheckError):
    """A recipe is invalid."""


class ModelError(PlatecheckError):
    """A model file or run folder cannot be used."""


class SettingsError(PlatecheckError):
    """A setting has an invalid value."""


class StorageError(PlatecheckError):
    """The feedback database is unavailable."""


class OutputError(PlatecheckError, OSError):
    """A file or folder cannot be written; also an ``OSError``, so that callers can catch either."""

    def __init__(self, path: str | os.PathLike[str], error: OSError, advice: str = "") -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.path = os.fspath(path)
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path} cannot be written: {self.strerror}{advice}"


class MissingExtraError(PlatecheckError):
    """A feature needs packages that are not installed."""

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(f"{feature} needs more packages: {how_to_install(extra)}")


class RenamedWarning(DeprecationWarning):
    """A deprecated name was used; the CLI prints it as a note."""


def warn_renamed(old: str, new: str) -> None:
    """Warn that the caller's caller used a deprecated name."""
    message = f"{old} is now {new}; the old name will be removed in platecheck 0.3"
    warnings.warn(message, RenamedWarning, stacklevel=3)


def how_to_install(extra: str) -> str:
    """Return the pip command that adds an extra to this installation.

    It names the clone, archive or repository that platecheck was installed from (PEP 610), as it
    may not be on an index; if that is unknown or gone, the packages of the extra.
    """
    sources = Path(__file__).absolute().parents[2]
    if (sources / "pyproject.toml").is_file():  # a clone, as with an editable install
        return f"pip install -e {shlex.quote(f'{sources}[{extra}]')}"
    try:
        installed = distribution("platecheck")
    except PackageNotFoundError:
        return f"install platecheck with its extra {extra}"
    from urllib.request import url2pathname  # loads ssl and email, which predicting does without

    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    path = Path(url2pathname(urlsplit(url).path))
    if url.startswith("file:") and "dir_info" in origin:
        if (path / "pyproject.toml").is_file():
            return f"pip install {shlex.quote(f'{path}[{extra}]')}"
    elif url and (path.is_file() or not url.startswith("file:")):
        if vcs := origin.get("vcs_info"):
            url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        if folder := origin.get("subdirectory"):
            url += f"#subdirectory={folder}"
        return f"pip install {shlex.quote(f'platecheck[{extra}] @ {url}')}"
    return f"pip install {shlex.join(_packages(installed.requires or [], extra.split(',')))}"


def _packages(required: list[str], extras: list[str]) -> list[str]:
    packages: dict[str, None] = {}
    for line in required:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if not any(f'extra == "{extra}"' in marker.replace("'", '"') for extra in extras):
            continue
        if requirement.startswith("platecheck["):
            others = requirement.partition("[")[2].partition("]")[0].split(",")
            packages |= dict.fromkeys(_packages(required, others))
        else:
            packages[requirement] = None
    return list(packages)
