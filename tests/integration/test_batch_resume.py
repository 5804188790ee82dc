"""Whenever a job is killed, or the disk is full, the same command ends with the right rows."""

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from platecheck import Classifier

WriteModel = Callable[..., Path]

PHOTOS = 12
ROWS = 360


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list that takes a few seconds to answer: large photos, one after the other, repeated."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(PHOTOS):
        Image.new("RGB", (900, 900), (number * 20,) * 3).save(folder / f"{number}.png")
    (folder / "11.png").write_bytes(b"torn")
    paths = [str(folder / f"{number % PHOTOS}.png") for number in range(ROWS)]
    (folder / "list.txt").write_text("\n".join(paths))
    return folder / "list.txt"


def expected(model: Path, listed: Path) -> list[tuple[Any, ...]]:
    """What predict_many says of these photos."""
    classifier = Classifier.load(model)
    paths = listed.read_text().splitlines()
    once = {answer.source: answer for answer in classifier.predict_many(sorted(set(paths)))}
    return [
        (path, once[path].label or None, *(once[path].probabilities or {}).values())
        for path in paths
    ]


def rows(out: Path) -> list[tuple[Any, ...]]:
    found = pq.read_table(out)
    numbers = [name for name in found.column_names if name.startswith("probability_")]
    return [
        (row["path"], row["label"], *(row[name] for name in numbers if row[name] is not None))
        for row in found.to_pylist()
    ]


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "platecheck", "batch", *map(str, arguments)]


def slowly(listed: Path, out: Path, model: Path) -> list[str]:
    """A command that takes long enough to be stopped, on a machine of any number of cores."""
    return command(listed, out, "--model", model, "--part-rows", "20", "--workers", "1")


def answered(out: Path) -> set[str]:
    return {path.name for path in Path(f"{out}.parts", "results").glob("[0-9]*")}


def signalled(arguments: list[str], out: Path, parts: int, number: int) -> tuple[int, str]:
    """Start a command, send it a signal once it has answered so many parts; how it ended."""
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        while len(answered(out)) < parts:
            assert process.poll() is None, "it was faster than the test"
            time.sleep(0.002)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    return process.returncode, said


def test_killed_twice_and_gone_on(tmp_path: Path, model: Path, listed: Path) -> None:
    out = tmp_path / "out.parquet"
    asked = [*slowly(listed, out, model), "--json"]
    seen: set[str] = set()
    for parts in (3, 8):
        code, _ = signalled(asked, out, parts, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not out.exists()
        assert seen < answered(out)  # what was answered stays
        assert len(answered(out)) < ROWS // 20
        seen = answered(out)
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    summary = json.loads(done.stdout)
    assert summary["resumed"] == len(seen) * 20
    assert summary["errors"] == ROWS // PHOTOS  # of all three runs
    assert sum(summary["labels"].values()) + summary["errors"] == summary["photos"] == ROWS
    assert rows(out) == expected(model, listed)
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_ctrl_c_says_how_to_go_on(tmp_path: Path, model: Path, listed: Path) -> None:
    out = tmp_path / "out.parquet"
    asked = slowly(listed, out, model)
    code, said = signalled(asked, out, 2, signal.SIGINT)
    assert code == 130
    assert said == (
        f"stopped: {len(answered(out)) * 20} of {ROWS} photos are done and kept in"
        f" {out}.parts; run the same command to resume\n"
    )
    assert subprocess.run(asked, check=False, capture_output=True).returncode == 1
    assert rows(out) == expected(model, listed)


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
folder, model, one_file, overwrite = sys.argv[1:]
out = Path(folder, "out.parquet")
parts = Path(folder, "out.parquet.parts")
job = Job(f"{folder}/photos", str(out), model=model, part_rows=2, workers=1,
          one_file=one_file == "True", overwrite=overwrite == "True")


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
    was_complete = out.exists() and not job.overwrite and not (parts / "job.json").exists()
    again = child()
    # Who is killed at the very end has finished: then OUT is there, and is not made again.
    assert again == (2 if was_complete else 0), (number, again)
    assert not parts.exists(), (number, os.listdir(parts))
    out.rename(Path(folder, "results", f"{number}.parquet"))
print("killed", number - 1)
"""


@pytest.mark.parametrize(("one_file", "overwrite"), [(True, False), (False, False), (False, True)])
def test_killed_before_each_change_of_a_file(
    tmp_path: Path, model: Path, one_file: bool, overwrite: bool
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "results").mkdir()
    for number in range(3):
        Image.new("RGB", (9, 7), (number * 99,) * 3).save(tmp_path / f"photos/{number}.png")
    done = subprocess.run(
        [sys.executable, "-c", KILL_AT_EACH, tmp_path, model, str(one_file), str(overwrite)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    results = list((tmp_path / "results").iterdir())
    assert f"killed {len(results)}" in done.stdout
    assert len(results) > 40
    (tmp_path / "list.txt").write_text(
        "\n".join(str(tmp_path / f"photos/{number}.png") for number in range(3))
    )
    right = expected(model, tmp_path / "list.txt")
    for result in results:
        assert rows(result) == right, result.name


# --- no room

FORMATS = (".parquet", ".csv", ".jsonl")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small photos")
    for number in range(ROWS):
        Image.new("RGB", (9, 7), (number % 256,) * 3).save(folder / f"{number:03}.png")
    return folder


def out_of_room(
    model: Path, photos: Path, out: Path, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a job that cannot write all it should, and see what it leaves."""
    done = subprocess.run(
        command(photos, out, "--model", model, "--part-rows", "20", "--json"),
        check=False,
        capture_output=True,
        text=True,
        **options,
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "error: " in done.stderr
    assert (
        f"{len(answered(out)) * 20} of {ROWS} photos are done and kept in {out}.parts;"
        " run the same command to resume\n"
    ) in done.stderr
    assert not out.exists()
    assert not list(out.parent.rglob(".part-*")), "what is half written is removed"
    return done


def goes_on(model: Path, photos: Path, out: Path) -> None:
    before = len(answered(out))
    assert before
    done = subprocess.run(
        command(photos, out, "--model", model, "--part-rows", "20", "--json"),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["resumed"] == before * 20
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounting = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    if mounting.returncode:
        pytest.skip(
            f"a full disk needs the right to mount one: {mounting.stderr.strip()};"
            " test_a_file_that_may_not_grow stands in for it"
        )
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk(model: Path, photos: Path, small_disk: Path, suffix: str) -> None:
    out = small_disk / "folder" / f"out{suffix}"
    out.parent.mkdir()
    ballast = small_disk / "ballast"
    # Room for the listing, 18 files of a page each, and for a few answers.
    ballast.write_bytes(bytes(2**20 - 4096 * 40))
    said = out_of_room(model, photos, out).stderr
    assert "No space left on device" in said
    ballast.unlink()
    goes_on(model, photos, out)


@pytest.mark.parametrize(
    ("suffix", "most"), [(".parquet", 4500), (".csv", 15_000), (".jsonl", 15_000)]
)
def test_a_file_that_may_not_grow(
    tmp_path: Path, model: Path, photos: Path, suffix: str, most: int
) -> None:
    """The file of all answers is the first one that is larger than allowed."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    out = tmp_path / "folder" / f"out{suffix}"
    said = out_of_room(model, photos, out, preexec_fn=limit).stderr
    assert "File too large" in said
    assert len(answered(out)) == ROWS // 20
    goes_on(model, photos, out)
