"""Every command in CONTRIBUTING.md works.

The long ones are only prepared here: pytest collects, make prints what it would do. CI runs them.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PROGRAMS = ("make", "python", "pytest", "platecheck", "pre-commit")


def commands() -> list[str]:
    """Return all commands in code spans and blocks, without variables set in front."""
    blocks = re.findall(r"```\n(.*?)```", TEXT, re.S)
    lines = [line for block in blocks for line in block.splitlines()]
    spans = [span.replace("\n", " ") for span in re.findall(r"(?<!`)`([^`]+)`(?!`)", TEXT)]
    bare = [re.sub(r"^[A-Z_]+=\S+ ", "", text) for text in (*lines, *spans)]
    bare = [text.removeprefix(".venv/bin/") for text in bare]
    return sorted({text for text in bare if text.split(" ")[0] in PROGRAMS and " " in text})


def prepared(command: str) -> list[str]:
    """Return a form of the command that fails if it is wrong, and takes seconds."""
    program, *arguments = shlex.split(command)
    if program == "make":
        return ["make", "--dry-run", *arguments]
    if program == "pytest":
        assert all((ROOT / path).exists() for path in arguments if path.startswith("tests"))
        one = [Path(__file__) if path.startswith("tests") else path for path in arguments]
        return [sys.executable, "-m", "pytest", "--collect-only", "-qq", __file__, *map(str, one)]
    if program == "python" and arguments[0] != "-m":
        compile((ROOT / arguments[0]).read_text(encoding="utf-8"), arguments[0], "exec")
        return [sys.executable, "-c", ""]
    if program == "python":
        return [sys.executable, *arguments[:2], "--help"]
    if program == "platecheck":
        words = [word for word in arguments if re.fullmatch(r"[a-z]+", word)]
        return [sys.executable, "-m", "platecheck", *words[:2], "--help"]
    return [sys.executable, "-m", program.replace("-", "_"), *arguments, "--help"]


def test_commands_are_found() -> None:
    assert {"make check", "make test", "pytest tests/unit"} <= set(commands())


@pytest.mark.slow
@pytest.mark.parametrize("command", commands())
def test_command_works(command: str) -> None:
    done = subprocess.run(prepared(command), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
