"""A real ``platecheck serve`` in a process of its own."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Self

from tests.support.raw_http import NoAnswerError, RawConnection, request

_ADDRESS = re.compile(r"https?://\S+")
_TICKS = os.sysconf("SC_CLK_TCK")


class NotStartedError(Exception):
    """The service ended before it answered; it said something on stderr."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"exit code {code}: {said}")
        self.code = code
        self.said = said


class Server:
    """A service on a free port, stopped at the end of a ``with`` block."""

    def __init__(self, *options: str | Path, port: int = 0, **settings: object) -> None:
        """Start it, with settings in environment variables, and wait until it answers."""
        self._folder = tempfile.TemporaryDirectory(prefix="platecheck-server-")
        self.log_file = Path(self._folder.name) / "stderr"
        command = [sys.executable, "-m", "platecheck", "serve", "--port", str(port), *options]
        env = {f"PLATECHECK_{name.upper()}": str(value) for name, value in settings.items()}
        env = {**os.environ, "COLUMNS": "200", **env}
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=log, text=True, env=env
            )
        assert self.process.stdout
        found = _ADDRESS.search(self.process.stdout.readline())
        self.url = found[0] if found else ""
        if not found or not self._answers():
            code = self.process.wait()
            said = self.log_file.read_text(encoding="utf-8")
            self.__exit__()
            raise NotStartedError(code, said)

    def _answers(self) -> bool:
        tls = None
        if self.url.startswith("https"):
            tls = ssl.create_default_context()
            tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        while self.process.poll() is None:
            try:
                with RawConnection(self.address, tls=tls) as connection:
                    return connection.ask(request("GET", "/healthz")).status == 200
            except (OSError, NoAnswerError):
                time.sleep(0.05)
        return False

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def workers(self) -> list[int]:
        """Process ids of the workers, if there are several."""
        return [pid for pid in children(self.pid) if b"spawn_main" in _command(pid)]

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log so far, without one that is being written; each is JSON."""
        written = self.log_file.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in written.splitlines() if " is deprecated; " not in line]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self.process.stdout:
            self.process.stdout.close()
        self._folder.cleanup()


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


def resident_bytes(pid: int) -> int:
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    return _status(pid, "VmHWM")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and its running descendants."""
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    own = (int(after_name[11]) + int(after_name[12])) / _TICKS
    return own + sum(map(cpu_seconds, children(pid)))


def busy_seconds() -> float:
    """CPU time of the whole machine."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts = map(int, first[:7])
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()
