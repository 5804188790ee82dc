"""Errors for people: each message is one line that says what is wrong and what to do."""


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

    def __eq__(self, other: object) -> bool:
        """Whether the same is wrong with the same photo."""
        return isinstance(other, PhotoError) and self.args == other.args

    def __hash__(self) -> int:
        """As equality has it."""
        return hash(self.args)


class DataError(PlatecheckError):
    """A folder of photos, or a download, is not what was expected."""


class RecipeError(PlatecheckError):
    """A recipe is not valid."""


class ModelError(PlatecheckError):
    """A model file or a run folder cannot be used."""


class SettingsError(PlatecheckError):
    """A service was told something that makes no sense."""


class MissingExtraError(PlatecheckError):
    """A part of platecheck needs packages that are not installed."""

    def __init__(self, what: str, extra: str) -> None:
        """Say which extra brings the packages that `what` needs."""
        super().__init__(f"{what} needs more packages: pip install 'platecheck[{extra}]'")
