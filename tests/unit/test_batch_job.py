"""A job's rows are those of predict_many, and what was begun is finished or refused, not mixed."""

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from platecheck import Classifier
from platecheck.batch import job as jobs
from platecheck.batch.job import Done, Job, StoppedError, run
from platecheck.errors import DataError, PhotoError
from platecheck.files import locked

WriteModel = Callable[..., Path]


class Seen:
    """Notes what a progress bar would show."""

    def __init__(self) -> None:
        self.listed = self.answered = self.photos = self.before = 0
        self.stop_at: int | None = None

    def listing(self) -> None: ...

    def answering(self, photos: int, done: int) -> None:
        self.listed, self.answered = self.answered, 0
        self.photos, self.before = photos, done

    def advance(self, photos: int) -> None:
        self.answered += photos
        if self.photos and self.stop_at is not None and self.answered >= self.stop_at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx", thresholds={"dirty": 0.9})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos, each of its own brightness, and two that are none."""
    folder = tmp_path / "photos"
    for number in range(12):
        place = folder / f"shop {number % 3}" / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7), (number * 20,) * 3).save(place)
    (folder / "shop 1" / "empty.jpg").touch()
    (folder / "shop 2" / "torn.png").write_bytes((folder / "shop 2" / "02.png").read_bytes()[:50])
    return folder


def do(source: str | Path, out: Path, model: Path, seen: Seen | None = None, **more: Any) -> Done:
    return run(Job(str(source), str(out), model=model, **{"part_rows": 4, **more}), seen or Seen())


def expected(model: Path, paths: list[str]) -> list[dict[str, Any]]:
    """What predict_many says of these photos."""
    classifier = Classifier.load(model)
    return [
        {
            "path": answer.source,
            "label": answer.label or None,
            "probability": None if answer.error else answer.probability,
            **{
                f"probability_{name}": (answer.probabilities or {}).get(name)
                for name in classifier.classes
            },
            "error": answer.error and answer.error.reason,
            "model": classifier.id,
        }
        for answer in classifier.predict_many(paths)
    ]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


# --- rows


def test_rows_are_those_of_predict_many(tmp_path: Path, photos: Path, model: Path) -> None:
    seen = Seen()
    done = do(photos, tmp_path / "out.parquet", model, seen)
    rows = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert rows == expected(model, below(photos))
    assert {row["label"] for row in rows} == {"clean", "dirty", "unsure", None}
    assert done.tally.photos == 14
    assert done.tally.errors == 2
    assert done.tally.labels == {
        label: sum(row["label"] == label for row in rows) for label in ("clean", "dirty", "unsure")
    }
    assert (seen.listed, seen.photos, seen.before, seen.answered) == (14, 14, 0, 14)
    assert names(tmp_path) == ["out.parquet", "photos"]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_other_files_hold_the_same(tmp_path: Path, photos: Path, model: Path, suffix: str) -> None:
    import pyarrow.csv
    import pyarrow.json

    do(photos, tmp_path / "out.parquet", model)
    do(photos, tmp_path / f"out{suffix}", model)
    schema = pq.read_schema(tmp_path / "out.parquet")
    if suffix == ".csv":
        found = pyarrow.csv.read_csv(
            tmp_path / "out.csv",
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
            ),
        )
    else:
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        found = pa.Table.from_pylist([json.loads(line) for line in lines], schema)
    assert found.equals(pq.read_table(tmp_path / "out.parquet"))


@pytest.mark.parametrize("part_rows", [1, 3, 14, 5000])
@pytest.mark.parametrize("workers", [1, 3])
def test_neither_parts_nor_threads_change_a_row(
    tmp_path: Path, photos: Path, model: Path, part_rows: int, workers: int
) -> None:
    do(photos, tmp_path / "out.parquet", model, part_rows=part_rows, workers=workers)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected(model, below(photos))


def test_photos_are_given_to_the_model_one_by_one(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no answer depends on which others are asked for with it."""
    given = []
    run_model = Classifier._run

    def note(self: Classifier, pixels: Any, outputs: list[str]) -> Any:
        given.append(len(pixels))
        return run_model(self, pixels, outputs)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "_run", note)
        do(photos, tmp_path / "out.parquet", model)
    assert given == [2, *[1] * 12]  # two as the file is checked


def test_a_folder_of_parts(tmp_path: Path, photos: Path, model: Path) -> None:
    do(photos, tmp_path / "out.parquet", model, one_file=False)
    assert names(tmp_path / "out.parquet") == [f"0000000{part}.parquet" for part in range(4)]
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected(model, below(photos))
    do(photos, tmp_path / "out.csv", model, one_file=False)
    heads = {path.read_text().splitlines()[0] for path in (tmp_path / "out.csv").iterdir()}
    assert len(heads) == 1  # each is a whole file
    assert names(tmp_path) == ["out.csv", "out.parquet", "photos"]


def test_a_list_keeps_its_order_its_doubles_and_its_columns(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos)
    listed = ["shop 0/03.png", "shop 0/00.png", "shop 0/03.png", None, "missing.jpg", "shop 0"]
    table = pa.table({"file": listed, "shop": [5, 6, 7, 8, None, 9]})
    pq.write_table(table, tmp_path / "list.parquet")
    done = do(
        tmp_path / "list.parquet",
        tmp_path / "out.parquet",
        model,
        column="file",
        keep=["shop"],
        part_rows=2,
    )
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column("path").to_pylist() == listed
    assert found.column("shop").to_pylist() == [5, 6, 7, 8, None, 9]
    assert found.column_names[:3] == ["path", "shop", "label"]
    assert found.column("error").to_pylist() == [
        *[None] * 3,
        "the list has no path here",
        "there is no such file",
        "it is a folder, not a photo",
    ]
    assert found.slice(0, 3).drop(["shop"]).to_pylist() == expected(model, listed[:3])
    assert done.tally.errors == 3


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".txt"])
def test_an_empty_list_gives_an_empty_file(tmp_path: Path, model: Path, suffix: str) -> None:
    place = tmp_path / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), place)
    else:
        place.write_text("path\n" if suffix == ".csv" else "")
    for one_file in (True, False):
        out = tmp_path / f"out-{one_file}.parquet"
        assert do(place, out, model, one_file=one_file).tally.photos == 0
        found = pq.read_table(out)
        assert found.num_rows == 0
        assert found.column_names[:2] == ["path", "label"]


def test_several_lists_are_one(tmp_path: Path, photos: Path, model: Path) -> None:
    for number, path in enumerate(below(photos)):
        (tmp_path / f"list-{number:02}.csv").write_text(f"path\n{path}\n")
    do(f"{tmp_path}/list-*.csv", tmp_path / "out.parquet", model)
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected(model, below(photos))


def test_relative_paths_may_begin_elsewhere(tmp_path: Path, photos: Path, model: Path) -> None:
    (tmp_path / "list.txt").write_text("shop 0/00.png\n")
    do(tmp_path / "list.txt", tmp_path / "out.parquet", model, root=str(photos))
    (row,) = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert row["path"] == "shop 0/00.png"
    assert row["error"] is None


# --- going on


def stop(photos: Path, out: Path, model: Path, after: int, **more: Any) -> str:
    seen = Seen()
    seen.stop_at = after
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jobs.local, "_PIECE", 1)
        with pytest.raises(StoppedError) as stopped:
            do(photos, out, model, seen, **more)
    return str(stopped.value)


def test_what_is_stopped_goes_on(tmp_path: Path, photos: Path, model: Path) -> None:
    out = tmp_path / "out.parquet"
    assert stop(photos, out, model, after=9, part_rows=1).startswith("stopped: ")
    kept = len(names(tmp_path / "out.parquet.parts" / "answers"))
    assert not out.exists()
    seen = Seen()
    done = do(photos, out, model, seen, part_rows=1)
    assert done.resumed == seen.before == kept
    assert seen.answered == 14 - kept  # no more than what was missing
    assert done.tally.photos == 14  # and yet all are counted
    assert done.tally.errors == 2
    assert pq.read_table(out).to_pylist() == expected(model, below(photos))
    assert names(tmp_path) == ["out.parquet", "photos"]


def test_photos_that_come_or_go_in_between_do_not_move_the_others(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    out = tmp_path / "out.parquet"
    listed = below(photos)
    stop(photos, out, model, after=1, part_rows=1)
    (photos / "a new one.png").write_bytes(Path(listed[0]).read_bytes())
    Path(listed[-2]).unlink()
    do(photos, out, model, part_rows=1)
    found = pq.read_table(out)
    assert found.column("path").to_pylist() == listed
    assert found.column("error").to_pylist()[-2] == "there is no such file"


def test_stopped_before_the_end_of_the_listing(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_self: Seen, _photos: int) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Seen, "advance", interrupt)
        with pytest.raises(
            StoppedError, match="stopped: not all photos were listed, and nothing is kept"
        ):
            do(photos, tmp_path / "out.parquet", model)
    assert names(tmp_path) == ["photos"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "elsewhere"}, r"was begun with source .*photos, not .*elsewhere"),
        ({"model": "other"}, r"was begun with model tiny-\w+, not tiny-\w+"),
        ({"part_rows": 5}, r"was begun with part rows 4, not 5"),
    ],
)
def test_another_job_is_refused(
    tmp_path: Path,
    photos: Path,
    model: Path,
    write_model: WriteModel,
    change: dict[str, Any],
    message: str,
) -> None:
    out = tmp_path / "out.parquet"
    stop(photos, out, model, after=1)
    if "source" in change:
        (tmp_path / "elsewhere").mkdir()
        change = {"source": str(tmp_path / "elsewhere")}
    if "model" in change:
        change = {"model": write_model(tmp_path / "other.onnx", temperature=2.0)}
    asked = {"source": str(photos), "out": str(out), "model": model, "part_rows": 4, **change}
    for overwrite in (False, True):  # which is about OUT alone
        with pytest.raises(DataError, match=message):
            run(Job(**asked, overwrite=overwrite), Seen())
    do(photos, out, model)
    assert pq.read_table(out).to_pylist() == expected(model, below(photos))


@pytest.mark.parametrize("option", [{"column": "file"}, {"keep": ["file"]}, {"root": "/"}])
def test_a_list_read_otherwise_is_another_job(
    tmp_path: Path, photos: Path, model: Path, option: dict[str, Any]
) -> None:
    lines = [f"{path},{path}" for path in below(photos)]
    (tmp_path / "list.csv").write_text("\n".join(["path,file", *lines]))
    stop(tmp_path / "list.csv", tmp_path / "out.csv", model, after=1)
    with pytest.raises(DataError, match=rf"out\.csv\.parts was begun with {next(iter(option))} "):
        do(tmp_path / "list.csv", tmp_path / "out.csv", model, **option)


def test_a_list_that_has_changed_is_another_one(tmp_path: Path, photos: Path, model: Path) -> None:
    place = tmp_path / "list.txt"
    place.write_text("\n".join(below(photos)))
    stop(place, tmp_path / "out.csv", model, after=1)
    place.write_text("\n".join(reversed(below(photos))))
    os.utime(place, ns=(1, 1))
    with pytest.raises(DataError, match="was begun with a list that has changed since"):
        do(place, tmp_path / "out.csv", model)


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return give


def test_standard_input_goes_on_with_the_same_list_only(
    tmp_path: Path, photos: Path, model: Path, stdin: Callable[[str], None]
) -> None:
    out, listed = tmp_path / "out.parquet", "\n".join(below(photos))
    stdin(listed)
    stop("-", out, model, after=5, part_rows=1)
    for other in (listed[:-1], listed.rpartition("\n")[0], f"{listed}\nmore.jpg", ""):
        stdin(other)
        with pytest.raises(DataError, match="was begun with another list"):
            do("-", out, model, part_rows=1)
    stdin(listed)
    assert do("-", out, model, part_rows=1).resumed
    assert pq.read_table(out).to_pylist() == expected(model, below(photos))


def test_two_at_once_are_refused(tmp_path: Path, photos: Path, model: Path) -> None:
    out = tmp_path / "out.parquet"
    with (
        locked(Path(f"{out}.parts")),
        pytest.raises(DataError, match=r"another process \(\d+ on .* is using"),
    ):
        do(photos, out, model)
    do(photos, out, model)


# --- OUT


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("was", ["file", "folder"])
def test_out_is_replaced_only_when_told(
    tmp_path: Path, photos: Path, model: Path, was: str, one_file: bool
) -> None:
    out = tmp_path / "out.parquet"
    if was == "file":
        out.write_text("old")
    else:
        out.mkdir()
        (out / "old").touch()
    with pytest.raises(DataError, match=r"out\.parquet is there already; --overwrite replaces it"):
        do(photos, out, model, one_file=one_file)
    assert (out.read_text() if was == "file" else names(out)) in ("old", ["old"])
    assert names(tmp_path) == ["out.parquet", "photos"]
    do(photos, out, model, one_file=one_file, overwrite=True)
    assert out.is_file() is one_file
    assert pq.read_table(out).to_pylist() == expected(model, below(photos))
    assert names(tmp_path) == ["out.parquet", "photos"]


def test_what_appears_in_the_meantime_is_not_replaced(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    out = tmp_path / "out.parquet"
    stop(photos, out, model, after=1)
    out.write_text("someone else's")
    with pytest.raises(DataError, match=r"is there already; --overwrite replaces it"):
        do(photos, out, model)
    assert out.read_text() == "someone else's"
    do(photos, out, model, overwrite=True)
    assert pq.read_table(out).to_pylist() == expected(model, below(photos))


def test_a_folder_of_that_name_that_is_not_ours_stays(
    tmp_path: Path, photos: Path, model: Path
) -> None:
    (tmp_path / "out.parquet.parts").mkdir()
    (tmp_path / "out.parquet.parts" / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"out\.parquet\.parts is in the way"):
        do(photos, tmp_path / "out.parquet", model)
    assert names(tmp_path / "out.parquet.parts") == ["thesis.txt"]


# --- mistakes


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"source": "nowhere"}, "there is no nowhere"),
        ({"source": "nowhere.csv"}, r"there is no nowhere\.csv"),
        ({"source": "nothing-*"}, r"nothing-\* holds no photos"),
        ({"source": "nothing-*.csv"}, r"there is no nothing-\*\.csv"),
        ({"source": "model.onnx"}, r"model\.onnx is no folder, glob or list"),
        ({"source": "empty"}, "empty holds no photos"),
        ({"source": "photos", "column": "path"}, "--column and --keep need a list with columns"),
        ({"source": "list.txt", "keep": ["a"]}, "--column and --keep need a list with columns"),
        ({"source": "photos", "root": "/"}, "--root is for lists of photos"),
        ({"source": "list.csv", "column": "file"}, r"list\.csv has no column 'file'"),
        ({"source": "list.csv", "keep": ["path"]}, "--keep path: the answers have a column"),
        ({"source": "list.csv", "keep": ["label"]}, "--keep label: the answers have a column"),
        ({"out": "out.txt"}, r"out\.txt does not end in any of"),
        ({"out": "s3://bucket/out.csv"}, "OUT is a file on this machine"),
        ({"part_rows": 0}, "--part-rows and --workers must be at least 1"),
        ({"workers": 0}, "--part-rows and --workers must be at least 1"),
        ({"address": "auto"}, "--address is for --engine ray"),
    ],
)
def test_a_mistake_is_said_and_leaves_nothing(
    tmp_path: Path,
    photos: Path,
    write_model: WriteModel,
    monkeypatch: pytest.MonkeyPatch,
    asked: dict[str, Any],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_model(Path("model.onnx"))
    Path("empty").mkdir()
    Path("list.csv").write_text("path,label\na.jpg,clean\n")
    Path("list.txt").write_text("a.jpg\n")
    before = names(tmp_path)
    asked = {"source": "photos", "out": "out.csv", "model": "model.onnx", **asked}
    with pytest.raises(DataError, match=message):
        run(Job(**asked), Seen())
    assert names(tmp_path) == before


def test_what_goes_wrong_with_the_model_in_the_middle_keeps_the_parts(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Classifier.predict_pixels
    left = [8]

    def fail(self: Classifier, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the machine is on fire")
        return answer(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "predict_pixels", fail)
        patch.setattr(jobs.local, "_PIECE", 1)
        with pytest.raises(RuntimeError, match="on fire"):
            do(photos, tmp_path / "out.parquet", model, workers=1, part_rows=2)
    assert do(photos, tmp_path / "out.parquet", model, part_rows=2).resumed >= 6
    assert pq.read_table(tmp_path / "out.parquet").to_pylist() == expected(model, below(photos))


def test_a_reason_that_is_no_text_can_be_written(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_more: object) -> None:
        raise PhotoError("a", "odd \udcff")

    monkeypatch.setattr("platecheck.classifier.open_photo", fail)
    do(photos, tmp_path / "out.csv", model)
    assert "odd \\udcff" in (tmp_path / "out.csv").read_text()
