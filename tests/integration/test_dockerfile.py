"""The steps of deploy/Dockerfile, followed without Docker.

Each path of the image is a path below a temporary folder, and its Python is the one that runs the
tests. What it makes is then run as the image would be: as its user, without rights, on a file
system that is read-only but for /tmp.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from packaging_fixtures import (
    ROOT,
    SAMPLES,
    answers,
    clean_environment,
    right_answers,
    run,
    serving,
)

from tests.dockerfile import Instruction, read_dockerfile

pytestmark = pytest.mark.slow

# A path that begins a word: not the one of a URL.
ABSOLUTE = re.compile(r"(?:(?<=[\s=:])|^)/(?=\w)")
# Everything is read-only but for /tmp, and nobody is root: as Docker does it with --read-only
# --cap-drop ALL, but without asking for any right.
CONFINED = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
mount -o remount,bind,ro /
mount -t tmpfs tmpfs "$1/tmp"
cd "$2"
user=$3
shift 3
exec unshare --user --map-user="${user%:*}" --map-group="${user#*:}" -- "$@"
"""


@dataclass
class Image:
    """What a Dockerfile makes.

    Attributes:
        root: stands for its /.
        python: a folder with a program of this name, for want of a base image.
        said: its instructions that only say something, by name.
    """

    root: Path
    context: Path
    python: Path
    env: dict[str, str] = field(default_factory=dict)
    said: dict[str, Instruction] = field(default_factory=dict)
    workdir: Path = Path("/")

    def follow(self, instruction: Instruction) -> None:
        match instruction.name:
            case "FROM":
                if self.root.exists():
                    self.root.rename(self.root.with_name("earlier"))
                (self.root / "tmp").mkdir(parents=True)
                self.env = {"PATH": f"{self.python}:{os.defpath}"}
                self.workdir = self.root
            case "WORKDIR":
                self.workdir = self.root / instruction.rest.lstrip("/")
                self.workdir.mkdir(parents=True)
            case "COPY":
                self._copy(*instruction.words(), earlier="--from" in instruction.options)
            case "RUN":
                command = ABSOLUTE.sub(f"{self.root}/", instruction.rest)
                env = clean_environment() | self.env
                subprocess.run(["sh", "-euc", command], cwd=self.workdir, env=env, check=True)
            case "ENV":
                name, _, value = ABSOLUTE.sub(f"{self.root}/", instruction.rest).partition("=")
                self.env[name] = value.replace(f"${name}", self.env.get(name, ""))
            case "LABEL" | "USER" | "EXPOSE" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
                self.said[instruction.name] = instruction
            case other:
                raise AssertionError(f"this test does not know {other}")

    def _copy(self, *paths: str, earlier: bool) -> None:
        *sources, to = paths
        if earlier:
            # Programs of a virtual environment hold its path.
            assert sources == [to]
            (self.root / to.lstrip("/")).parent.mkdir(parents=True)
            stage_before = self.root.with_name("earlier")
            (stage_before / to.lstrip("/")).rename(self.root / to.lstrip("/"))
            shutil.rmtree(stage_before)
            return
        for source in sources:
            if (self.context / source).is_dir():
                shutil.copytree(self.context / source, self.workdir / to)
            else:
                shutil.copy(self.context / source, self.workdir / to)

    def command(self, *more: str) -> list[str]:
        return [*self.said["ENTRYPOINT"].words(), *self.said["CMD"].words(), *more]

    def healthcheck(self) -> list[str]:
        kind, _, command = self.said["HEALTHCHECK"].rest.partition(" ")
        assert kind == "CMD"
        found: list[str] = json.loads(command)
        return found

    def confined(self, *command: str) -> list[str]:
        """A command as the image's container would run it."""
        user = self.said["USER"].rest
        shell = ["sh", "-euc", CONFINED, "sh", str(self.root), str(self.workdir), user]
        return ["unshare", "--user", "--map-root-user", "--mount", *shell, *command]


def context(to: Path) -> Path:
    """What .dockerignore lets through: nothing, but for these names, but for that in them."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    nothing, *patterns = [line for line in lines if line and line[0] != "#"]
    assert nothing == "*"
    names = [line.removeprefix("!") for line in patterns if line[0] == "!"]
    left_out = [line.removeprefix("**/") for line in patterns if line.startswith("**/")]
    assert len(names) + len(left_out) == len(patterns)
    to.mkdir()
    for name in names:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns(*left_out))
        else:
            shutil.copy(ROOT / name, to / name)
    return to


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """What the Dockerfile makes, in a working folder with the samples."""
    folder = tmp_path_factory.mktemp("docker")
    python = folder / "python" / "python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="ascii")
    python.chmod(0o755)
    made = Image(folder / "root", context(folder / "context"), python.parent)
    for instruction in read_dockerfile(ROOT / "deploy" / "Dockerfile"):
        made.follow(instruction)
    for name in right_answers():
        shutil.copy(SAMPLES / name, made.workdir)
    yield made
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def env(image: Image) -> dict[str, str]:
    """Its environment, to which Docker adds nothing that matters; /tmp is elsewhere here."""
    return image.env | {"TMPDIR": str(image.root / "tmp")}


@pytest.fixture(scope="module")
def confined(image: Image, env: dict[str, str]) -> bool:
    """Whether commands can be confined here; if not, they are run as they are."""
    write = (
        "import os, pathlib, sys\n"
        "assert f'{os.getuid()}:{os.getgid()}' == sys.argv[1]\n"
        "pathlib.Path(os.environ['TMPDIR'], 'new').touch()\n"
        "for folder in sys.argv[2:]:\n"
        "    try:\n"
        "        pathlib.Path(folder, 'new').touch()\n"
        "    except OSError as error:\n"
        "        assert error.errno in {13, 30}, error\n"
        "    else:\n"
        "        sys.exit(f'{folder} can be written to')\n"
    )
    user = image.said["USER"].rest
    places = (image.root, image.workdir, image.root / "opt/platecheck/bin", "/var/tmp")
    unshare = shutil.which("unshare", path=env["PATH"])
    if not unshare or run([unshare, "-rm", "true"], image.root, env).returncode:
        warnings.warn("no user namespaces: the image's file system is writable here", stacklevel=1)
        return False
    found = run(image.confined("python", "-c", write, user, *map(str, places)), image.root, env)
    assert (found.returncode, found.stderr) == (0, "")
    return True


def test_it_holds_what_serving_needs_and_nothing_else(image: Image, env: dict[str, str]) -> None:
    assert {path.name for path in image.root.iterdir()} == {"opt", "tmp", "photos"}
    (packages,) = image.root.glob("opt/platecheck/lib/python*/site-packages")
    infos = (path.stem.partition("-") for path in packages.glob("*.dist-info"))
    versions = {name.replace("_", "-").lower(): version for name, _, version in infos}
    pins = (ROOT / "constraints.txt").read_text("utf-8").replace("_", "-").lower()
    assert {"platecheck", "onnxruntime", "uvicorn", "uvloop"} <= versions.keys()
    unneeded = {"torch", "torchvision", "pip", "setuptools", "opencv-python-headless"}
    assert not unneeded & versions.keys()
    for name, version in versions.items():
        assert f"\n{name}=={version}\n" in pins or name == "platecheck"
    assert run(["python", "-c", "import torch"], image.root, env).returncode == 1


def test_it_does_not_start_without_a_key_unless_told_to(image: Image, env: dict[str, str]) -> None:
    assert image.command() == ["platecheck", "serve", "--host", "0.0.0.0"]
    found = run(image.command(), image.workdir, env)
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert "platecheck apikey create" in line
    assert "--no-auth" in line


def test_it_serves(image: Image, env: dict[str, str], confined: bool) -> None:
    command = image.command("--no-auth", "--port", "0")
    assert image.said["STOPSIGNAL"].rest == "SIGTERM"  # by which serving() stops it
    with serving(image.confined(*command) if confined else command, image.workdir, env) as client:
        assert answers(client) == right_answers()
        assert client.get("/").status_code == 200
        where = env | {"PLATECHECK_PORT": str(client.base_url.port)}
        assert health(image, where) == 0
        # A proxy that the environment names is not asked.
        assert health(image, where | {"http_proxy": "http://127.0.0.1:1"}) == 0
    assert health(image, where) == 1


def health(image: Image, env: dict[str, str]) -> int:
    """How the image's own check ends."""
    return run(image.healthcheck(), image.workdir, env).returncode


def test_it_checks_the_port_that_it_opens(image: Image) -> None:
    assert f"'PLATECHECK_PORT', {image.said['EXPOSE'].rest})" in image.healthcheck()[-1]


def test_it_predicts(image: Image, env: dict[str, str], confined: bool) -> None:
    command = [*image.said["ENTRYPOINT"].words(), "predict", "--json", "."]
    found = run(image.confined(*command) if confined else command, image.workdir, env)
    assert found.returncode == 0, found.stderr
    said = {Path(photo["photo"]).name: photo["label"] for photo in json.loads(found.stdout)}
    assert said == right_answers()
