"""A real ``platecheck serve`` in a process of its own."""

import re
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self


class Service:
    """A service on a free port; it can be stopped and started again on the same one.

    Attributes:
        url: where it answers.
    """

    def __init__(self, *options: str, program: tuple[str, ...] = ("-m", "platecheck")) -> None:
        """Start it.

        Args:
            options: of ``platecheck serve``.
            program: what to start, instead of platecheck as it is installed.
        """
        self._options = options
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._port = "0"
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start it unless it runs, and wait until it answers."""
        if self._process:
            return
        command = [sys.executable, *self._program, "serve", "--port", self._port, *self._options]
        self._process = subprocess.Popen(
            [*command, "--log-level", "error"], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        for line in self._process.stdout:
            if found := re.search(r"https?://[\w.:]+", line):
                self.url = found[0]
                self._port = self.url.rpartition(":")[2]
                return
        raise AssertionError("the service has not started")

    def stop(self) -> None:
        """Stop it, as Ctrl+C does."""
        if self._process:
            self._process.terminate()
            self._process.wait()
            assert self._process.stdout
            self._process.stdout.close()
            self._process = None

    def __enter__(self) -> Self:
        """It runs already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()


def make_key(file: Path) -> str:
    """Make an API key, whose hash goes into that file."""
    command = [
        sys.executable,
        "-m",
        "platecheck",
        "apikey",
        "create",
        "kitchen",
        "--file",
        str(file),
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
