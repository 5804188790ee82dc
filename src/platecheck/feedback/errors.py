"""Errors of the feedback store."""

from platecheck.errors import PlatecheckError


class StorageError(PlatecheckError):
    """The database or the photo folder is unavailable."""
