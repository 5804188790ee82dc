"""What tests of the installed package share: running it away from this repository."""

import os
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[3]
SAMPLES = ROOT / "samples"

Command = Sequence[str | Path]


def right_answers() -> dict[str, str]:
    """What the samples show, by file: their names tell."""
    return {path.name: path.name.partition("-")[0] for path in SAMPLES.glob("*.jpg")}


def clean_environment() -> dict[str, str]:
    """The environment without what would lead Python to this repository or its packages."""
    ours = ("PYTHON", "PLATECHECK", "VIRTUAL_ENV", "COVERAGE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    return kept | {"COLUMNS": "200"}


def run(
    command: Command, cwd: Path, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run to the end, whatever the end is; a service that should not have started is killed."""
    env = clean_environment() if env is None else env
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300
    )


@contextmanager
def serving(
    command: Command, cwd: Path, env: Mapping[str, str] | None = None
) -> Iterator[httpx.Client]:
    """A client of a service that is started, and must end well when it is told to."""
    env = clean_environment() if env is None else env
    log = subprocess.PIPE
    with subprocess.Popen(command, cwd=cwd, env=env, stdout=log, stderr=log, text=True) as process:
        assert process.stdout
        assert process.stderr
        try:
            line = process.stdout.readline()
            address = re.search(r"http://[\d.]+(:\d+)", line)
            assert address, line + process.stderr.read()
            url = f"http://127.0.0.1{address[1]}"
            with httpx.Client(base_url=url, trust_env=False, timeout=60) as client:
                yield client
        finally:
            process.terminate()
            _, said = process.communicate()
    assert process.returncode == 0, said


def answers(client: httpx.Client) -> dict[str, str]:
    """What a service says of the samples, by file."""
    form = [("photos", (name, (SAMPLES / name).read_bytes())) for name in right_answers()]
    response = client.post("/v1/predict", files=form)
    assert response.status_code == 200, response.text
    return {photo["name"]: photo["label"] for photo in response.json()["photos"]}
