"""Errors for people: each message is one line that says what is wrong and what to do."""

import json
import os
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


class PlatecheckError(Exception):
    """Base of all errors a user can cause; the command line shows it and exits with 2."""


class PhotoError(PlatecheckError):
    """A photo could not be opened.

    Attributes:
        source: the file's name as the user knows it, or ``<bytes>``.
        reason: why, in plain words.
    """

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type["PhotoError"], tuple[str, str]]:
        """Survive the trip between worker processes."""
        return PhotoError, (self.source, self.reason)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PhotoError) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)


class DataError(PlatecheckError):
    """A folder of photos, or a download, is not what was expected."""


class RecipeError(PlatecheckError):
    """A recipe is not valid."""


class ModelError(PlatecheckError):
    """A model file or a run folder cannot be used."""


class SettingsError(PlatecheckError):
    """A service was told something that makes no sense."""


class OutputError(PlatecheckError, OSError):
    """A file or a folder cannot be written; an ``OSError`` too, so that it is handled as one."""

    def __init__(self, path: str | os.PathLike[str], error: OSError, advice: str = "") -> None:
        super().__init__(error.errno, error.strerror or str(error))
        self.path = os.fspath(path)
        self.advice = advice

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path} cannot be written: {self.strerror}{advice}"


class MissingExtraError(PlatecheckError):
    """A part of platecheck needs packages that are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs more packages: {how_to_install(extra)}")


def how_to_install(extra: str) -> str:
    """The pip command that adds an extra to this installation; platecheck may be on no index.

    It names the clone, the archive or the repository that platecheck was installed from (PEP 610),
    or, where that is unknown or gone, the packages that the extra stands for.
    """
    sources = Path(__file__).absolute().parents[2]
    if (sources / "pyproject.toml").is_file():  # run from a clone, as an editable install is
        return f"pip install -e {shlex.quote(f'{sources}[{extra}]')}"
    try:
        installed = distribution("platecheck")
    except PackageNotFoundError:
        return f"install platecheck with its extra {extra}"
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    url = origin.get("url", "")
    place = Path(url2pathname(urlsplit(url).path))
    if url.startswith("file:") and "dir_info" in origin:
        if (place / "pyproject.toml").is_file():
            return f"pip install {shlex.quote(f'{place}[{extra}]')}"
    elif url and (place.is_file() or not url.startswith("file:")):
        if vcs := origin.get("vcs_info"):
            url = f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
        if folder := origin.get("subdirectory"):
            url += f"#subdirectory={folder}"
        return f"pip install {shlex.quote(f'platecheck[{extra}] @ {url}')}"
    return f"pip install {shlex.join(_packages(installed.requires or [], extra.split(',')))}"


def _packages(required: list[str], extras: list[str]) -> list[str]:
    found: dict[str, None] = {}
    for line in required:
        requirement, _, marker = (part.strip() for part in line.partition(";"))
        if not any(f'extra == "{extra}"' in marker.replace("'", '"') for extra in extras):
            continue
        if requirement.startswith("platecheck["):
            others = requirement.partition("[")[2].partition("]")[0].split(",")
            found |= dict.fromkeys(_packages(required, others))
        else:
            found[requirement] = None
    return list(found)
