"""SQLite or PostgreSQL database with named locks for writers."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from platecheck.errors import MissingExtraError, SettingsError
from platecheck.feedback.errors import StorageError

# Seconds to wait for a connection or a lock; less than the request timeout.
TIMEOUT = 10
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
# Execution option of connections that will write.
_WRITES = "platecheck_writes"


class Database:
    """Thread-safe connections to a database.

    Write transactions are committed to disk when the block ends, and rolled back if it raises.
    SQLite has one writer at a time; in PostgreSQL, writers with the same lock exclude each other.
    """

    def __init__(self, url: str) -> None:
        """Prepare the engine, without connecting.

        Raises:
            SettingsError: The URL is invalid.
            MissingExtraError: The driver is missing.
        """
        parsed = _parse(url)
        self.name = parsed.render_as_string(hide_password=True)
        self._is_sqlite = parsed.drivername == "sqlite"
        self.file = Path(parsed.database or "") if self._is_sqlite else None
        try:
            self._engine = _sqlite(parsed) if self._is_sqlite else _postgresql(parsed)
        except ModuleNotFoundError as error:
            raise MissingExtraError("A PostgreSQL database", "feedback") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Start a read transaction.

        Raises:
            StorageError: The database is unavailable.
        """
        with self._translate_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, lock: str | None = None) -> Iterator[Connection]:
        """Start a write transaction.

        Args:
            lock: name of a lock to hold during the transaction.

        Raises:
            StorageError: The database is unavailable, or the block raised OSError.
        """
        with (
            self._translate_errors(),
            self._engine.execution_options(**{_WRITES: True}).begin() as made,
        ):
            if lock is not None and not self._is_sqlite:
                made.execute(select(func.pg_advisory_xact_lock(_lock_id(lock))))
            yield made

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            reason = str(getattr(error, "orig", None) or error)
            raise StorageError(f"{self.name}: {reason.strip().splitlines()[0]}") from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise StorageError(f"{where}{error.strerror or error}") from error


def _parse(url: str) -> URL:
    example = "use sqlite:///feedback.db or postgresql://user@host/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Do not print the URL: it may contain a password.
        raise SettingsError(f"not a database URL: {example}") from error
    kind = parsed.drivername.partition("+")[0]
    if kind not in _DRIVERS:
        raise SettingsError(f"{kind} databases are not supported: {example}")
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"in-memory databases are not supported: {example}")
    return parsed.set(drivername=_DRIVERS[kind])


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, pool_timeout=TIMEOUT, connect_args={"timeout": TIMEOUT})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions are begun below
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # commits survive power failures

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    milliseconds = TIMEOUT * 1000
    # Release the locks of transactions whose client has died.
    options = f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000"
    return create_engine(
        url,
        isolation_level="READ COMMITTED",  # read fresh data after waiting for a lock
        pool_pre_ping=True,
        pool_timeout=TIMEOUT,
        connect_args={
            "connect_timeout": TIMEOUT,
            "options": f"{options} -c synchronous_commit=on",
        },
    )


def _lock_id(lock: str) -> int:
    digest = hashlib.sha256(f"platecheck {lock}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
