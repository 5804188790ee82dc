"""A PostgreSQL server of the tests' own: on a free port, in a temporary folder."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import psycopg

# Debian keeps the server's programs out of the path.
DEBIAN = Path("/usr/lib/postgresql")


def programs() -> Path | None:
    """Where the server's programs are; None where PostgreSQL is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return next((path.parent for path in sorted(DEBIAN.glob("*/bin/initdb"), reverse=True)), None)


class Postgres:
    """A server; it refuses to run as root, so then it runs as somebody else."""

    def __init__(self, programs: Path) -> None:
        """Make a folder of data, and start."""
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="platecheck-postgres-", dir="/tmp"))
        self._user = _somebody()
        if self._user:
            shutil.chown(self._folder, self._user)
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "tests", "-E", "UTF8")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._databases = 0
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self._port,
            "unix_socket_directories": "",
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *words],
                stdout=log,
                stderr=log,
                cwd="/",
                user=self._user,
                extra_groups=[] if self._user else None,
            )
        for _ in range(200):
            assert self._server.poll() is None, (self._folder / "log").read_text()
            try:
                self._connection = psycopg.connect(self._address("postgres"), autocommit=True)
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("PostgreSQL has not started")

    def stop(self) -> None:
        """Stop the server, whoever is connected."""
        self._connection.close()
        self._server.send_signal(signal.SIGINT)
        self._server.wait()

    def new_database(self) -> str:
        """URL of a new, empty database."""
        self._databases += 1
        name = f"feedback{self._databases}"
        self._connection.execute(f'CREATE DATABASE "{name}"')
        return self._address(name)

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it, and delete its data."""
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _address(self, database: str) -> str:
        return f"postgresql://tests@127.0.0.1:{self._port}/{database}"

    def _run(self, program: str, *words: str) -> None:
        subprocess.run(
            [self._programs / program, *words],
            check=True,
            capture_output=True,
            cwd="/",
            user=self._user,
            extra_groups=[] if self._user else None,
        )


def _somebody() -> int | None:
    """A user without rights, if these tests run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise AssertionError("no user to run PostgreSQL as")
