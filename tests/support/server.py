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
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.raw_http import NoAnswerError, RawConnection, request

_ADDRESS = re.compile(r"https?://\S+")
_TICKS = os.sysconf("SC_CLK_TCK")


class NotStartedError(Exception):
    """The service ended before it answered.

    Attributes:
        code: its exit code.
        said: what it wrote to stderr.
    """

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"exit code {code}: {said}")
        self.code = code
        self.said = said


class Server:
    """A service on a free port, stopped at the end of a ``with`` block.

    Attributes:
        url: where it answers.
        log_file: what it writes to stderr.
    """

    def __init__(
        self,
        *options: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        port: int = 0,
        open_files: int | None = None,
    ) -> None:
        """Start it and wait until it answers.

        Args:
            options: of ``platecheck serve``.
            env: more of the environment.
            cwd: its working folder.
            port: 0: any free one.
            open_files: most files and connections that it may have open.

        Raises:
            NotStartedError: it ended instead.
        """
        self._folder = tempfile.TemporaryDirectory(prefix="platecheck-server-")
        self.log_file = Path(self._folder.name) / "stderr"
        command: list[str | Path] = [sys.executable, "-m", "platecheck", "serve"]
        if open_files:
            command = ["sh", "-c", f'ulimit -n {open_files}; exec "$@"', "sh", *command]
        with self.log_file.open("wb") as log:
            self.process = subprocess.Popen(
                [*command, "--port", str(port), *options],
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=cwd,
                env={**os.environ, "COLUMNS": "200", **(env or {})},
            )
        assert self.process.stdout
        found = _ADDRESS.search(self.process.stdout.readline())
        self.url = found[0] if found else ""
        if not found or not self._answers():
            code = self.process.wait()
            said = self.log_file.read_text(encoding="utf-8")
            self.close()
            raise NotStartedError(code, said)

    def _answers(self) -> bool:
        """Wait for the first answer; False where the process ends instead."""
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
        """Of the process that was started; its workers are :meth:`workers`."""
        return self.process.pid

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.url.partition("://")[2].rpartition(":")
        return host, int(port)

    def workers(self) -> list[int]:
        """Process ids of the workers, where there are several."""
        return [pid for pid in children(self.pid) if "spawn_main" in _command(pid)]

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log so far."""
        text = self.log_file.read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines()]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop, wait, and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait()

    def close(self) -> None:
        """Stop it, and forget its log."""
        self.stop()
        if self.process.stdout:
            self.process.stdout.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        """Nothing more to do: it runs."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.close()


def children(pid: int) -> list[int]:
    """Process ids of the children of a process."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    return [int(child) for child in found.split()]


def resident_bytes(pid: int) -> int:
    """Memory of a process that is in RAM."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int) -> int:
    """The most that :func:`resident_bytes` has been."""
    return _status(pid, "VmHWM")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of those that it has started, ended ones left out."""
    return _own_cpu_seconds(pid) + sum(map(cpu_seconds, children(pid)))


def busy_seconds() -> float:
    """CPU time of all that the machine does."""
    first = Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:]
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts = map(int, first[:7])
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS


def _own_cpu_seconds(pid: int) -> float:
    after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / _TICKS


def _status(pid: int, field: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
