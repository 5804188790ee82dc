"""``platecheck batch`` as people use it: what it prints, how it ends, what it needs."""

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
from typer.testing import CliRunner

from platecheck.cli import app
from platecheck.errors import how_to_install

WriteModel = Callable[..., Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (9, 7), (number * 50,) * 3).save(folder / f"{number}.png")
    return folder


def program(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "platecheck", *map(str, arguments)]


def command(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        program("batch", *arguments),
        check=False,
        **{"capture_output": True, "text": True, **options},
    )


def test_all_answered(tmp_path: Path, photos: Path, model: Path) -> None:
    done = command(photos, tmp_path / "out.csv", "--model", model)
    assert done.returncode == 0
    assert done.stdout == f"6 photos in {tmp_path}/out.csv: clean 3, dirty 3\n"
    assert done.stderr == ""


def test_some_could_not_be_opened(tmp_path: Path, photos: Path, model: Path) -> None:
    for number in (2, 3):
        (photos / f"{number}.png").write_bytes(b"no photo")
    done = command(photos, tmp_path / "out.parquet", "--model", model)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1].endswith("clean 2, dirty 2, could not be opened 2")
    assert pq.read_table(tmp_path / "out.parquet").column("error").null_count == 4


def test_a_mistake(tmp_path: Path, photos: Path, model: Path) -> None:
    done = command(tmp_path / "nowhere", tmp_path / "out.csv", "--model", model)
    assert done.returncode == 2
    assert done.stderr == f"error: there is no {tmp_path}/nowhere\n"
    assert done.stdout == ""


def test_a_summary_for_machines(tmp_path: Path, photos: Path, model: Path) -> None:
    (photos / "5.png").write_bytes(b"no photo")
    done = command(photos, tmp_path / "out.jsonl", "--model", model, "--json")
    summary = json.loads(done.stdout)
    assert summary.pop("seconds") > 0
    assert summary.pop("model").startswith("tiny-")
    assert summary == {
        "out": f"{tmp_path}/out.jsonl",
        "photos": 6,
        "labels": {"clean": 3, "dirty": 2},
        "errors": 1,
        "resumed": 0,
    }


def test_options_reach_the_job(tmp_path: Path, photos: Path, model: Path) -> None:
    (tmp_path / "list.csv").write_text("file,shop,day\n1.png,north,monday\n4.png,south,friday\n")
    done = command(
        *(tmp_path / "list.csv", tmp_path / "out.parquet", "--model", model, "--column", "file"),
        *("--keep", "day", "--keep", "shop", "--root", photos, "--part-rows", "1", "--parts"),
        *("--workers", "1"),
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out.parquet").iterdir())) == 2
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.select(["path", "day", "shop", "label"]).to_pylist() == [
        {"path": "1.png", "day": "monday", "shop": "north", "label": "clean"},
        {"path": "4.png", "day": "friday", "shop": "south", "label": "dirty"},
    ]
    assert command(photos, tmp_path / "out.parquet", "--model", model).returncode == 2
    assert command(photos, tmp_path / "out.parquet", "--model", model, "--overwrite").stdout


def test_a_list_from_a_pipe(tmp_path: Path, photos: Path, model: Path) -> None:
    odd = photos / os.fsdecode(b"new\nline \xff.png")
    (photos / "0.png").rename(odd)
    found = subprocess.run(
        ["find", photos, "-type", "f", "-print0"], check=True, capture_output=True
    )
    out = tmp_path / "out.parquet"
    done = command("-", out, "--model", model, input=found.stdout, text=False)
    assert done.returncode == 0, done.stderr
    assert f"file://{photos}/new%0Aline%20%FF.png" in pq.read_table(out).column("path").to_pylist()


def test_a_person_sees_how_far_it_is_how_fast_and_how_long(
    tmp_path: Path, model: Path, photos: Path
) -> None:
    (tmp_path / "list.txt").write_text(f"{photos}/1.png\n" * 2000)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        program("batch", tmp_path / "list.txt", tmp_path / "out.csv", "--model", model),
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={**os.environ, "COLUMNS": "120", "TERM": "xterm"},
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while piece := os.read(ours, 2**16):
                shown += piece
        except OSError:  # so ends a terminal whose other side is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "answering" in text
    assert re.search(r"100% 2000/2000 [0-9,]+ photos/s \d:\d\d:\d\d", text)


@pytest.mark.parametrize(
    ("missing", "arguments", "what"),
    [("pyarrow", [], "platecheck batch"), ("ray", ["--engine", "ray"], "--engine ray")],
)
def test_what_is_not_installed_is_named(
    tmp_path: Path, photos: Path, model: Path, missing: str, arguments: list[str], what: str
) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from platecheck.cli import main; main()"
    asked = ["batch", photos, tmp_path / "out.csv", "--model", model, *arguments]
    done = subprocess.run(
        [sys.executable, "-c", code, *asked],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr == f"error: {what} needs more packages: {how_to_install('batch')}\n"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_models_are_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "third.onnx").touch()
    environment = {
        "_PLATECHECK_COMPLETE": "complete_bash",
        "COMP_WORDS": "platecheck batch photos out.csv --model t",
        "COMP_CWORD": "5",
    }
    completed = CliRunner().invoke(app, [], prog_name="platecheck", env=environment)
    assert completed.stdout.split() == ["tiny", "third.onnx"]


def test_help_says_what_stands_for_what() -> None:
    text = CliRunner().invoke(app, ["batch", "--help"], env={"COLUMNS": "200"}).stdout
    for words in (
        "holds the paths [default: path]",
        "[default: 1000]",
        "local|ray",
        "s3://bucket/folder",
    ):
        assert words in text
