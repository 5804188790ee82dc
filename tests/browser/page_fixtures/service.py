"""A real ``platecheck serve`` in a process of its own."""

import os
import re
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Self

from tests.support.writing import write_detector


@cache
def whole_detector() -> str:
    """A detector that takes all that is bright in a photo for one dish."""
    return str(write_detector(Path(tempfile.mkdtemp()) / "whole.onnx", grid=1))


class Service:
    """A service on a free port; it can be stopped and started again on the same one.

    It takes a photo for one dish, unless its options name a detector or another model.

    Attributes:
        url: where it listens.
    """

    def __init__(self, *options: str, program: tuple[str, ...] = ("-m", "platecheck")) -> None:
        """Start the service.

        Args:
            options: of ``platecheck serve``.
            program: Python arguments that start another version of platecheck.
        """
        named = "--detector" in options or "--model" in options
        self._options = options if named else (*options, "--detector", whole_detector())
        self._program = program
        self._process: subprocess.Popen[str] | None = None
        self._port = "0"
        self.url = ""
        self.start()

    def start(self) -> None:
        """Start the service unless it runs, and wait until it listens."""
        if self._process:
            return
        command = [sys.executable, *self._program, "serve", "--port", self._port, *self._options]
        env = {**os.environ, "PLATECHECK_LOG_LEVEL": "error"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert self._process.stdout
        for line in self._process.stdout:
            if found := re.search(r"https?://[\w.:]+", line):
                self.url = found[0]
                self._port = self.url.rpartition(":")[2]
                return
        raise AssertionError("the service has not started")

    def stop(self) -> None:
        """Stop the service with SIGTERM."""
        if self._process:
            self._process.terminate()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def make_key(file: Path) -> str:
    """Create an API key, whose hash is written to the file."""
    command = [sys.executable, "-m", "platecheck", "apikey", "create", "kitchen", "--file", file]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
