"""Nothing is reported to anyone: seen by the files that appear and by the system calls."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

COMMAND = [sys.executable, "-m", "platecheck"]
TOLD = ("ORT_", "RAY_", "HF_", "MPL", "XDG_", "PLATECHECK_")
TINY = ["--epochs=1", "--set=input.size=32", "--workers=0"]


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(TOLD)}
    return {**kept, "HOME": str(home), "COLUMNS": "200"}


class Traced:
    """Runs commands in a home that is empty, under strace."""

    def __init__(self, folder: Path) -> None:
        strace = shutil.which("strace")
        if strace is None:
            pytest.skip("no strace here: what is sent cannot be seen")
        self.home, self.calls = folder / "home", folder / "calls"
        self.home.mkdir()
        self.strace = [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg"]
        self.strace += ["-o", str(self.calls)]

    def run(self, *command: str | Path, seconds: float | None = None) -> None:
        with subprocess.Popen(
            [*self.strace, *COMMAND, *command],
            cwd=self.home.parent,
            env=environment(self.home),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as process:
            assert process.stdout
            assert process.stderr
            if seconds is not None:
                process.stdout.readline()
                with pytest.raises(subprocess.TimeoutExpired):  # telemetry starts later
                    process.wait(seconds)
                os.killpg(process.pid, signal.SIGTERM)
            out, err = process.communicate(timeout=300)
        assert seconds is not None or process.returncode == 0, out + err

    def files(self) -> set[str]:
        """Files that appeared in the home, other than our own cache, which is documented."""
        ours = self.home / ".cache" / "platecheck"
        found = (path for path in self.home.rglob("*") if not path.is_dir())
        return {str(path) for path in found if not path.is_relative_to(ours)}

    def sent(self) -> list[str]:
        """Calls that name an address on a network, by number or by asking for a name."""
        lines = self.calls.read_text(errors="replace").splitlines()
        return [line for line in lines if "AF_INET" in line]


@pytest.fixture
def traced(tmp_path: Path) -> Traced:
    return Traced(tmp_path)


def test_tracer_sees_what_is_sent(traced: Traced) -> None:
    code = "import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.connect(('127.0.0.1', 9))"
    subprocess.run([*traced.strace, sys.executable, "-c", code], check=True)
    assert traced.sent()


def test_commands_send_nothing_and_leave_no_file(traced: Traced, rendered: Path) -> None:
    photos = rendered / "test"
    for command in (
        ["predict", photos],
        ["batch", photos, "answers.csv"],
        ["audit", rendered, "--report=audit.html"],
        ["train", "tiny_vgg", f"--data={rendered}", "--out=run", *TINY],
        ["evaluate", "run", f"--data={rendered}"],
        ["report", "run"],
        ["export", "run", "--out=model.onnx"],
    ):
        traced.run(*command)
        assert traced.files() == set()
        assert traced.sent() == []
    traced.run("serve", "--port=0", "--workers=2", seconds=5)
    assert traced.files() == set()
    assert traced.sent() == []


def test_batch_with_ray_sends_nothing_beyond_this_machine(traced: Traced, rendered: Path) -> None:
    traced.run("batch", rendered / "test", "answers.csv", "--engine=ray")
    assert traced.files() == set()
    # Ray asks the system for this machine's own address by connecting a socket to port 53,
    # through which nothing is sent, and a cloud's link-local address which cloud it is in.
    beyond = [line for line in traced.sent() if "169.254.169.254" not in line]
    assert not [line for line in beyond if re.search(r"htons\((80|443)\)", line)]


def test_commands_with_an_unwritable_home_work(tmp_path: Path, rendered: Path) -> None:
    for command in (
        ["predict", rendered / "test"],
        ["train", "tiny_vgg", f"--data={rendered}", "--out=run", *TINY],
    ):
        options = {"cwd": tmp_path, "env": environment(Path("/dev/null/home")), "text": True}
        found = subprocess.run([*COMMAND, *command], capture_output=True, check=False, **options)
        assert (found.returncode, found.stderr) == (0, "")
