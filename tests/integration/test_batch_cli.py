"""What ``platecheck batch`` prints, its exit codes, and what it needs."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image

from platecheck.errors import how_to_install


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (9, 7), (number * 50,) * 3).save(folder / f"{number}.png")
    return folder


def test_batch_prints_the_counts(tmp_path: Path, photos: Path, model: Path, cli: Any) -> None:
    out = tmp_path / "out.csv"
    done = cli("batch", photos, out, "--model", model)
    assert (done.code, done.err) == (0, "")
    assert done.out == f"6 photos in {out}: clean 3, dirty 3\n"

    (photos / "5.png").write_bytes(b"no photo")
    done = cli("batch", photos, out, "--model", model, "--overwrite")
    assert done.code == 1
    assert done.out.endswith("clean 3, dirty 2, could not be opened 1\n")

    done = cli("batch", photos, out, "--model", model, "--overwrite", "--json")
    summary = json.loads(done.out)
    assert summary.pop("seconds") > 0
    assert summary.pop("model").startswith("tiny-")
    counts = {"photos": 6, "labels": {"clean": 3, "dirty": 2}, "errors": 1, "resumed": 0}
    assert summary == {"out": str(out), **counts}

    done = cli("batch", tmp_path / "nowhere", tmp_path / "new.csv", "--model", model)
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {tmp_path}/nowhere does not exist\n"


def test_batch_passes_its_options_on(tmp_path: Path, photos: Path, model: Path, cli: Any) -> None:
    (tmp_path / "list.csv").write_text("file,shop,day\n1.png,north,monday\n4.png,south,friday\n")
    done = cli(
        *("batch", tmp_path / "list.csv", tmp_path / "out.parquet", "--model", model),
        *("--column", "file", "--keep", "day", "--keep", "shop", "--root", photos),
        *("--shard-rows", "1", "--shards", "--workers", "1"),
    )
    assert done.code == 0, done.err
    assert len(list((tmp_path / "out.parquet").iterdir())) == 2
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(["path", "day", "shop", "label"]).to_pylist() == [
        {"path": "1.png", "day": "monday", "shop": "north", "label": "clean"},
        {"path": "4.png", "day": "friday", "shop": "south", "label": "dirty"},
    ]


def test_batch_accepts_its_old_options(tmp_path: Path, photos: Path, model: Path, cli: Any) -> None:
    out = tmp_path / "out.parquet"
    done = cli("batch", photos, out, "--model", model, "--part-rows", "1", "--parts")
    assert len(list(out.iterdir())) == len(list(photos.iterdir()))
    for old, new in (("--part-rows", "--shard-rows"), ("--parts", "--shards")):
        assert f"{old} is now {new}" in done.err


def test_batch_reads_a_manifest_from_a_pipe(tmp_path: Path, photos: Path, model: Path) -> None:
    odd = photos / os.fsdecode(b"new\nline \xff.png")
    (photos / "0.png").rename(odd)
    found = subprocess.check_output(["find", photos, "-type", "f", "-print0"])
    out = tmp_path / "out.parquet"
    command = [sys.executable, "-m", "platecheck", "batch", "-", out, "--model", model]
    done = subprocess.run(command, check=False, capture_output=True, input=found)
    assert done.returncode == 0, done.stderr
    assert f"file://{photos}/new%0Aline%20%FF.png" in pq.read_table(out).column("path").to_pylist()


def test_batch_on_a_terminal_shows_progress_and_rate(
    tmp_path: Path, model: Path, photos: Path
) -> None:
    (tmp_path / "list.txt").write_text(f"{photos}/1.png\n" * 2000)
    ours, theirs = pty.openpty()
    out = tmp_path / "out.csv"
    with subprocess.Popen(
        [sys.executable, "-m", "platecheck", "batch", tmp_path / "list.txt", out, "--model", model],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 2**16):
                shown += piece
        except OSError:  # the terminal's other side was closed
            pass
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert re.search(r"predicting .*100% 2000/2000 [0-9,]+ photos/s \d:\d\d:\d\d", text)


@pytest.mark.parametrize(
    ("missing", "options", "what"),
    [("pyarrow", [], "platecheck batch"), ("ray", ["--engine", "ray"], "--engine ray")],
)
def test_batch_without_its_extra_names_it(
    tmp_path: Path, photos: Path, model: Path, missing: str, options: list[str], what: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from platecheck.cli import main; main()"
    command = ["batch", photos, tmp_path / "out.csv", "--model", model, *options]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], check=False, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == f"error: {what} needs more packages: {how_to_install('batch')}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
