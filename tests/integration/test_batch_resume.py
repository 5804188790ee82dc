"""Whenever a job is killed, or the disk is full, the same command ends with the right rows."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from platecheck.batch.job import Job, run
from tests.support.writing import write_detector

ROWS, PHOTOS, SHARD_ROWS = 360, 12, 20


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A manifest that takes some seconds: large photos, repeated, one of them damaged."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        Image.new("RGB", (800, 800), (number * 20,) * 3).save(folder / f"{number}.png")
    (folder / "11.png").write_bytes(b"torn")
    paths = [str(folder / f"{number % PHOTOS}.png") for number in range(ROWS)]
    (folder / "list.txt").write_text("\n".join(paths))
    return folder / "list.txt"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory, model: Path, listed: Path) -> Any:
    """The rows of a job that was not interrupted."""
    out = tmp_path_factory.mktemp("expected") / "out.parquet"
    run(Job(str(listed), str(out), model=model))
    return pq.read_table(out)


def ran(arguments: Sequence[Any], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(arguments, check=False, capture_output=True, text=True, **options)


def command(source: Path, out: Path, model: Path, *options: str) -> list[str]:
    arguments = [str(source), str(out), "--model", str(model), "--shard-rows", str(SHARD_ROWS)]
    return [sys.executable, "-m", "platecheck", "batch", *arguments, "--json", *options]


def completed(out: Path) -> set[str]:
    return {path.name for path in Path(f"{out}.shards", "results").glob("[0-9]*")}


def signalled(arguments: list[str], out: Path, shards: int, number: int) -> tuple[int, str]:
    """Signal a command after so many shards; return its exit code and stderr."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        while len(completed(out)) < shards:
            assert process.poll() is None, "it was faster than the test"
            time.sleep(0.002)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_batch_killed_twice_and_interrupted_resumes_to_the_same_rows(
    tmp_path: Path, model: Path, listed: Path, expected: Any
) -> None:
    out = tmp_path / "out.parquet"
    asked = command(listed, out, model, "--workers", "1")
    seen: set[str] = set()
    for number in (signal.SIGKILL, signal.SIGKILL, signal.SIGINT):
        code, said = signalled(asked, out, len(seen) + 2, number)
        assert not out.exists()
        assert seen < completed(out)  # what was done stays
        seen = completed(out)
        assert code == (130 if number == signal.SIGINT else -signal.SIGKILL)
    assert said == (
        f"stopped: {len(seen) * SHARD_ROWS} of {ROWS} photos are done and saved in {out}.shards;"
        " run the same command to resume\n"
    )
    done = ran(asked)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert summary["resumed"] == len(seen) * SHARD_ROWS
    assert summary["errors"] == ROWS // PHOTOS  # of all runs
    assert sum(summary["labels"].values()) + summary["errors"] == summary["photos"] == ROWS
    assert pq.read_table(out).equals(expected)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


# --- killed before each change of a file

# Starts a job again and again, killed before its first change of a file, its second, and so on;
# then does it once more, and keeps what comes of it.
KILL_AT_EACH = """
import os, shutil, signal, sys
from pathlib import Path
import pyarrow.compute, PIL.Image  # so that not every child has to
from platecheck.batch.job import Job, run
from platecheck.errors import DataError

PIL.Image.init()
folder, model, detector, one_file, overwrite = sys.argv[1:]
out = Path(folder, "out.parquet")
shards = Path(folder, "out.parquet.shards")
job = Job(f"{folder}/photos", str(out), model=model, shard_rows=2, workers=1,
          one_file=one_file == "True", overwrite=overwrite == "True",
          inspect=bool(detector), detector=detector or None)


def child(kill_at=None):
    process = os.fork()
    if process:
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    changes = 0

    def count(event, arguments):
        nonlocal changes
        if event in ("os.remove", "os.rmdir") and arguments[1] != -1:
            pass  # in a folder that is being removed
        elif f"{folder}/out" not in str(arguments[:1]):
            return
        elif event == "open" and "w" not in str(arguments[1]):
            return
        elif event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            return
        changes += 1
        if changes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    try:
        run(job)
        os._exit(0)
    except DataError as error:
        print(error, flush=True)
        os._exit(2)


for number in range(1, 1000):
    if job.overwrite:
        out.write_text("old")
    ended = child(kill_at=number)
    if ended == 0:
        break
    assert ended == -signal.SIGKILL, ended
    was_complete = out.exists() and not job.overwrite and not (shards / "job.json").exists()
    again = child()
    # Who is killed at the very end has finished: then OUT is there, and is not made again.
    assert again == (2 if was_complete else 0), (number, again)
    assert not shards.exists(), (number, os.listdir(shards))
    out.rename(Path(folder, "results", f"{number}.parquet"))
print("killed", number - 1)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one_file", "overwrite", "inspect"),
    [(True, False, False), (False, True, False), (True, False, True)],
)
def test_job_killed_before_each_file_change_resumes_to_the_same_rows(
    tmp_path: Path, model: Path, one_file: bool, overwrite: bool, inspect: bool
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "results").mkdir()
    for number in range(3):  # of no dish, of two, and of one
        pixels = np.zeros((64, 64, 3), np.uint8)
        pixels[4:28, 4 : max(4, 32 * number - 4)] = 250
        Image.fromarray(pixels).save(tmp_path / f"photos/{number}.png")
    detector = write_detector(tmp_path / "d.onnx") if inspect else ""
    options = [model, detector, str(one_file), str(overwrite)]
    done = ran([sys.executable, "-c", KILL_AT_EACH, tmp_path, *options])
    assert done.returncode == 0, done.stdout + done.stderr
    results = list((tmp_path / "results").iterdir())
    assert f"killed {len(results)}" in done.stdout
    assert len(results) > 25
    expected = str(tmp_path / "expected.parquet")
    chosen = {"inspect": inspect, "detector": detector or None}
    run(Job(str(tmp_path / "photos"), expected, model=model, **chosen))
    assert pq.read_table(expected).num_rows == (4 if inspect else 3)
    for result in results:
        assert pq.read_table(result).equals(pq.read_table(tmp_path / "expected.parquet")), result


# --- no room


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small photos")
    for number in range(ROWS):
        Image.new("RGB", (9, 7), (number % 256,) * 3).save(folder / f"{number:03}.png")
    return folder


def fails_then_resumes(
    model: Path, photos: Path, out: Path, reason: str, make_room: Callable[[], None], **options: Any
) -> int:
    """Run a job without enough room, then one with room; return how many shards the first kept."""
    asked = command(photos, out, model)
    # Coverage measurement could not write its own file either.
    env = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    done = ran(asked, env=env, **options)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    kept = len(completed(out))
    assert reason in done.stderr
    assert done.stderr.endswith(
        f"{kept * SHARD_ROWS} of {ROWS} photos are done and saved in {out}.shards;"
        " run the same command to resume\n"
    )
    assert not out.exists()
    assert not list(out.parent.rglob(".part-*")), "what is half written is removed"
    make_room()
    done = ran(asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == kept * SHARD_ROWS
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    return kept


def test_batch_on_a_full_disk_keeps_what_is_done(
    model: Path, photos: Path, small_disk: Path
) -> None:
    out = small_disk / "folder" / "out.parquet"
    out.parent.mkdir()
    ballast = small_disk / "ballast"
    # Room for the manifest, 18 files of a page each, and for a few results.
    ballast.write_bytes(bytes(shutil.disk_usage(small_disk).total - 4096 * 32))
    kept = fails_then_resumes(model, photos, out, "No space left on device", ballast.unlink)
    assert 0 < kept < ROWS // SHARD_ROWS


@pytest.mark.parametrize(
    ("suffix", "most"), [(".parquet", 4500), (".csv", 15_000), (".jsonl", 15_000)]
)
def test_batch_with_an_output_that_may_not_grow_keeps_what_is_done(
    tmp_path: Path, model: Path, photos: Path, suffix: str, most: int
) -> None:
    out = tmp_path / "folder" / f"out{suffix}"  # the first file that is larger than allowed
    limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (most, most))
    kept = fails_then_resumes(model, photos, out, "File too large", lambda: None, preexec_fn=limit)
    assert kept == ROWS // SHARD_ROWS
