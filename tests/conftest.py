"""What tests share: a cache of their own, rendered dishes, the real photos, tiny models."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from platecheck.cli import main
from tests.support import writing

# No test measures time, so a slow machine must not fail one either.
calm = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("platecheck", calm, derandomize=True)  # the same examples in every run
settings.register_profile("quick", calm, derandomize=True, max_examples=20)
settings.register_profile("random", calm)
settings.load_profile("platecheck")

# A shell's background jobs ignore Ctrl-C, and so would the processes that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Set by commands that run inside this process; a test must not hand them to the next one.
SET_BY_COMMANDS = ("PLATECHECK_DEBUG", "PLATECHECK_RUN_FOLDER")

WritePhotos = Callable[[Path, Mapping[str, int]], Path]
WriteModel = Callable[..., Path]


@dataclass(frozen=True)
class Answer:
    """What a command left behind."""

    code: int
    out: str
    err: str


Cli = Callable[..., Answer]


@pytest.fixture(scope="session", autouse=True)
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache of fixtures that live longer than a test."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATECHECK_CACHE", str(folder / "session"))
        yield folder


@pytest.fixture(autouse=True)
def environment(session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test an empty cache, and take back what commands leave in the environment."""
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / uuid.uuid4().hex))
    for name in SET_BY_COMMANDS:
        monkeypatch.setenv(name, "")  # remembers what was there
        monkeypatch.delenv(name)
    # Commands must write in blocks, as in a shell: only then can writing fail at their very end.
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """``platecheck`` in this process, which spares the seconds that its imports take."""
    monkeypatch.setenv("COLUMNS", "200")
    folder = tmp_path_factory.mktemp("terminal")

    def run(*arguments: str | Path) -> Answer:
        monkeypatch.setattr(sys, "argv", ["platecheck", *map(str, arguments)])
        code = 0
        with (
            (folder / "out").open("w") as out,
            (folder / "err").open("w") as err,
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
        return Answer(code, (folder / "out").read_text(), (folder / "err").read_text())

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of three megabytes; the test is skipped where none may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(words, check=False).returncode:
        pytest.skip("a full disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="session")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 rendered dishes of 64 × 64 pixels: train 28, val 6, test 6. Not to be changed."""
    from platecheck.data.render import write_dataset

    folder = tmp_path_factory.mktemp("rendered") / "dishes"
    write_dataset(folder, photos=40, size=64, seed=0, workers=1)
    return folder


@pytest.fixture(scope="session")
def real_photos(pytestconfig: pytest.Config) -> Path:
    """The folder of real photos; the test is skipped where there is none."""
    if told := os.environ.get("PLATECHECK_DATA"):
        assert Path(told).is_dir(), f"PLATECHECK_DATA names {told}, which is not a folder"
        return Path(told)
    folder = pytestconfig.rootpath.parent / "shared" / "dishes"
    if not folder.is_dir():
        pytest.skip("no real photos: neither PLATECHECK_DATA nor ../shared/dishes")
    return folder


@pytest.fixture(scope="session")
def write_photos() -> WritePhotos:
    return writing.write_photos


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    return writing.write_model
