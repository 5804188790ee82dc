"""The database: an SQLite file, or PostgreSQL. Writing to it excludes others by name."""

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

# Seconds to wait for a connection, or for others who write: less than a request may take.
PATIENCE = 10
_KINDS = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
# An option of connections that will write.
_WRITES = "platecheck_writes"


class Database:
    """Connections to a database, for any number of threads.

    A transaction that writes is over when the block ends well, and is then on the disk; it has
    changed nothing if the block fails. SQLite lets one write at a time. In PostgreSQL those
    exclude each other that are given the same lock.
    """

    def __init__(self, url: str) -> None:
        """Get ready; nothing is asked of the database yet.

        Raises:
            SettingsError: this is not the URL of such a database.
            MissingExtraError: its driver is missing.
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
        """A transaction that sees what others have committed.

        Raises:
            StorageError: the database does not work.
        """
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, lock: str | None = None) -> Iterator[Connection]:
        """A transaction that writes.

        Args:
            lock: waits until no other transaction has the same one.

        Raises:
            StorageError: the database, or a file that was written in the block, does not work.
        """
        with self._explained(), self._engine.execution_options(**{_WRITES: True}).begin() as made:
            if lock is not None and not self._is_sqlite:
                made.execute(select(func.pg_advisory_xact_lock(_number(lock))))
            yield made

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError) as error:
            reason = str(getattr(error, "orig", None) or error)
            raise StorageError(f"{self.name}: {reason.strip().splitlines()[0]}") from error
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise StorageError(f"{where}{error.strerror or error}") from error


def _parse(url: str) -> URL:
    example = "name a file as sqlite:///feedback.db, or a server as postgresql://user@host/name"
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Without the URL: a password may be in it.
        raise SettingsError(f"that is not the URL of a database: {example}") from error
    kind = parsed.drivername.partition("+")[0]
    if kind not in _KINDS:
        raise SettingsError(f"feedback is not kept in {kind}: {example}")
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise SettingsError(f"feedback kept in memory would be lost: {example}")
    return parsed.set(drivername=_KINDS[kind])


def _sqlite(url: URL) -> Engine:
    engine = create_engine(url, pool_timeout=PATIENCE, connect_args={"timeout": PATIENCE})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # the driver begins no transactions: below is where
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")  # what is committed is on the disk

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITES)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql(url: URL) -> Engine:
    milliseconds = PATIENCE * 1000
    # A transaction that stops half-way, as its machine does, holds its lock no longer than this.
    options = f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout=60000"
    return create_engine(
        url,
        isolation_level="READ COMMITTED",  # what is read after waiting for a lock is new
        pool_pre_ping=True,
        pool_timeout=PATIENCE,
        connect_args={
            "connect_timeout": PATIENCE,
            "options": f"{options} -c synchronous_commit=on",
        },
    )


def _number(lock: str) -> int:
    digest = hashlib.sha256(f"platecheck {lock}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)
