"""Errors for people: each message is one line that says what is wrong and what to do."""

import os


class PlatecheckError(Exception):
    """Base of all errors a user can cause; the command line shows it and exits with 2."""


class PhotoError(PlatecheckError):
    """A photo could not be opened.

    Attributes:
        source: the file's name as the user knows it, or ``<bytes>``.
        reason: why, in plain words.
    """

    def __init__(self, source: str, reason: str) -> None:
        """Name the photo and say why it cannot be opened."""
        super().__init__(f"{source}: {reason}")
        self.source = source
        self.reason = reason

    def __reduce__(self) -> tuple[type["PhotoError"], tuple[str, str]]:
        """Survive the trip between worker processes."""
        return PhotoError, (self.source, self.reason)


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
        """Name what cannot be written, the system's reason and, maybe, what to do about it."""
        super().__init__(error.errno, error.strerror or str(error))
        self.path = os.fspath(path)
        self.advice = advice

    def __str__(self) -> str:
        """The line for people."""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.path} cannot be written: {self.strerror}{advice}"


class MissingExtraError(PlatecheckError):
    """A part of platecheck needs packages that are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        """Say which extra brings the packages that `what` needs."""
        super().__init__(f"{what} needs more packages: pip install 'platecheck[{extra}]'")
