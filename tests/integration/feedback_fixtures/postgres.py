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
from typing import Any, Self

import psycopg


def programs() -> Path | None:
    """Return the folder of the server's programs; None if PostgreSQL is not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    debian = Path("/usr/lib/postgresql").glob("*/bin/initdb")  # not in the path
    return next((path.parent for path in sorted(debian, reverse=True)), None)


class Postgres:
    """A running server, as another user if the tests run as root, which PostgreSQL refuses."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="platecheck-postgres-", dir="/tmp"))
        self._options: dict[str, Any] = {"cwd": "/"}
        if os.geteuid() == 0:
            known = {user.pw_name for user in pwd.getpwall()}
            user = next(name for name in ("postgres", "nobody") if name in known)
            self._options |= {"user": user, "extra_groups": []}
            shutil.chown(self._folder, user)
        initdb = [programs / "initdb", "-D", self._folder / "data", "-A", "trust", "-U", "tests"]
        subprocess.run([*initdb, "-E", "UTF8"], check=True, capture_output=True, **self._options)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._databases = 0
        self.start()

    def start(self) -> None:
        command = [self._programs / "postgres", "-D", self._folder / "data"]
        for option in ("listen_addresses=127.0.0.1", f"port={self._port}"):
            command += ["-c", option]
        command += ["-c", "unix_socket_directories="]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(command, stdout=log, stderr=log, **self._options)
        for _ in range(1200):
            assert self._server.poll() is None, (self._folder / "log").read_text()
            try:
                self._connection = psycopg.connect(self._url("postgres"), autocommit=True)
                return
            except psycopg.OperationalError:
                time.sleep(0.05)
        raise AssertionError("PostgreSQL has not started")

    def stop(self) -> None:
        self._connection.close()
        self._server.send_signal(signal.SIGINT)  # whoever is connected
        self._server.wait()

    def new_database(self) -> str:
        """Create an empty database; return its URL."""
        self._databases += 1
        name = f"feedback{self._databases}"
        self._connection.execute(f'CREATE DATABASE "{name}"')
        return self._url(name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def _url(self, database: str) -> str:
        return f"postgresql://tests@127.0.0.1:{self._port}/{database}"
