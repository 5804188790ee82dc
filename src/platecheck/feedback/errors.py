"""What goes wrong with keeping feedback."""

from platecheck.errors import PlatecheckError


class StorageError(PlatecheckError):
    """The database or the folder of photos does not work at this moment."""
