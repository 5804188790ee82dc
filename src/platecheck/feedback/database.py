"""SQLite or PostgreSQL database."""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from platecheck.errors import MissingExtraError, SettingsError, StorageError

# Seconds to wait for a connection or a lock; less than the request timeout.
TIMEOUT = 10
# Reserved free bytes: on a full disk, SQLite could not delete rows either.
RESERVE = 2**25
_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
}
_WRITES = "platecheck_writes"  # execution option of connections that will write
_LOCK_ID = 0x706C617465636865  # of the advisory lock: "plateche"


class Database:
    """Thread-safe connections to a database; methods raise `StorageError` if it is unavailable."""

    def __init__(self, url: str) -> None:
        """Prepare the engine, without connecting."""
        parsed = _parse(url)
        self.name = parsed.render_as_string(hide_password=True)
        is_sqlite = parsed.drivername == "sqlite"
        self.file = Path(parsed.database or "") if is_sqlite else None
        try:
            self._engine = _sqlite(parsed) if is_sqlite else _postgresql(parsed)
        except ModuleNotFoundError as error:
            raise MissingExtraError("A PostgreSQL database", "feedback") from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Start a read transaction."""
        with self._translate_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, *, exclusive: bool = False) -> Iterator[Connection]:
        """Start a transaction that is committed to disk when the block ends.

        Exclusive ones exclude each other; SQLite has one writer in any case.
        """
        with (
            self._translate_errors(),
            self._engine.execution_options(**{_WRITES: True}).begin() as connection,
        ):
            if exclusive and self.file is None:
                connection.execute(select(func.pg_advisory_xact_lock(_LOCK_ID)))
            yield connection

    def check_space(self) -> None:
        """Raise `StorageError` if there is no room for a photo; only possible for SQLite."""
        if self.file and shutil.disk_usage(self.file.parent).free < RESERVE:
            raise StorageError(f"{self.name}: the disk is full, except for a reserve")

    def run_sqlite_script(self, script: str) -> None:
        """Run maintenance statements outside of a transaction; does nothing in PostgreSQL."""
        if self.file:
            with self._translate_errors(), closing(self._engine.raw_connection()) as connection:
                # Unlike execute, executescript runs incremental_vacuum to its end.
                cast(Any, connection.driver_connection).executescript(script)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _translate_errors(self) -> Iterator[None]:
        try:
            yield
        except (DBAPIError, PoolTimeoutError, sqlite3.Error) as error:
            reason = str(getattr(error, "orig", None) or error)
            raise StorageError(f"{self.name}: {reason.strip().splitlines()[0]}") from error


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
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect in a new file
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
        connect_args={"connect_timeout": TIMEOUT, "options": f"{options} -c synchronous_commit=on"},
    )
