"""A job's rows are those of predict_many; what was begun is resumed or refused, never mixed."""

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from PIL import Image

from platecheck import Classifier
from platecheck.batch.job import Job, JobResult, StoppedError, run
from platecheck.errors import DataError, PhotoError
from platecheck.files import LOCK

WriteModel = Callable[..., Path]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx", thresholds={"dirty": 0.9})


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Twelve photos of different brightness, and two damaged ones."""
    folder = tmp_path / "photos"
    for number in range(12):
        place = folder / f"shop {number % 3}" / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (9, 7), (number * 20,) * 3).save(place)
    (folder / "shop 1" / "empty.jpg").touch()
    (folder / "shop 2" / "torn.png").write_bytes((folder / "shop 2" / "02.png").read_bytes()[:50])
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out.parquet"


def do(source: str | Path, out: Path, model: Path, **options: Any) -> JobResult:
    return run(Job(str(source), str(out), model=model, **{"part_rows": 4, **options}))


def stop(source: str | Path, out: Path, model: Path, **options: Any) -> str:
    """Interrupt a job when its first shards are done."""

    def on_progress(title: str, _done: int, _total: int | None) -> None:
        if title == "predicting" and any(Path(f"{out}.parts").glob("results/*")):
            raise KeyboardInterrupt

    job = Job(str(source), str(out), model=model, **{"part_rows": 4, **options})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("platecheck.batch.job._PIECE", 1)
        with pytest.raises(StoppedError) as stopped:
            run(job, on_progress)
    return str(stopped.value)


def expected(model: Path, paths: list[str]) -> list[dict[str, Any]]:
    """Return the rows that the predictions of predict_many make."""
    classifier = Classifier.load(model)
    return [
        {
            "path": each.source,
            "label": each.label or None,
            "probability": None if each.error else each.probability,
            **{f"probability_{n}": each.probabilities.get(n) for n in classifier.classes},
            "error": each.error and each.error.reason,
            "model": classifier.id,
        }
        for each in classifier.predict_many(paths)
    ]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def below(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*") if path.is_file())


def check(out: Path, model: Path, photos: Path) -> None:
    """Check that the output is complete and that nothing else is left."""
    assert pq.read_table(out).to_pylist() == expected(model, below(photos))
    assert not Path(f"{out}.parts").exists()


# --- rows


@pytest.mark.parametrize("part_rows", [1, 3, 14, 5000])
def test_run_of_a_folder_gives_the_rows_of_predict_many(
    photos: Path, out: Path, model: Path, part_rows: int
) -> None:
    shown: list[tuple[str, int, int | None]] = []
    job = Job(str(photos), str(out), model=model, part_rows=part_rows, workers=3)
    result = run(job, lambda *progress: shown.append(progress))
    check(out, model, photos)
    labels = pq.read_table(out).column("label").to_pylist()
    assert set(labels) == {"clean", "dirty", "unsure", None}
    assert result.counts.labels == {label: labels.count(label) for label in set(labels) - {None}}
    assert (result.counts.photos, result.counts.errors, result.resumed) == (14, 2, 0)
    assert ("listing", 14, None) in shown
    assert ("predicting", 0, 14) in shown
    assert shown[-1] == ("predicting", 14, 14)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_run_in_another_format_writes_the_same(
    photos: Path, out: Path, model: Path, suffix: str
) -> None:
    do(photos, out, model)
    do(photos, out.with_suffix(suffix), model)
    schema = pq.read_schema(out)
    if suffix == ".csv":
        options = pa.csv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        found = pa.csv.read_csv(out.with_suffix(suffix), convert_options=options)
    else:
        lines = out.with_suffix(suffix).read_text().splitlines()
        found = pa.Table.from_pylist([json.loads(line) for line in lines], schema)
    assert found.equals(pq.read_table(out))


def test_run_with_parts_writes_a_folder_of_whole_files(
    tmp_path: Path, photos: Path, out: Path, model: Path
) -> None:
    do(photos, out, model, one_file=False)
    assert names(out) == [f"0000000{part}.parquet" for part in range(4)]
    check(out, model, photos)
    do(photos, tmp_path / "out.csv", model, one_file=False)
    headers = {path.read_text().splitlines()[0] for path in (tmp_path / "out.csv").iterdir()}
    assert len(headers) == 1
    assert names(tmp_path) == ["out.csv", "out.parquet", "photos"]


def test_run_of_a_manifest_keeps_order_duplicates_columns_and_bad_rows(
    tmp_path: Path, photos: Path, out: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ["shop 0/03.png", "shop 0/00.png", "shop 0/03.png", None, "missing.jpg", "shop 0"]
    table = pa.table({"file": listed, "shop": [5, 6, 7, 8, None, 9]})
    pq.write_table(table, tmp_path / "list.parquet")
    options = {"column": "file", "keep": ["shop"], "part_rows": 2, "root": str(photos)}
    assert do(tmp_path / "list.parquet", out, model, **options).counts.errors == 3
    found = pq.read_table(out)
    assert found.column_names[:3] == ["path", "shop", "label"]
    assert found.column("path").to_pylist() == listed
    assert found.column("shop").to_pylist() == [5, 6, 7, 8, None, 9]
    assert found.column("error").to_pylist() == [
        *[None] * 3,
        "the path is empty in the manifest",
        "there is no such file",
        "it is a folder, not a photo",
    ]
    monkeypatch.chdir(photos)
    assert found.slice(0, 3).drop(["shop"]).to_pylist() == expected(model, listed[:3])


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".txt"])
@pytest.mark.parametrize("one_file", [True, False])
def test_run_of_an_empty_manifest_writes_the_columns(
    tmp_path: Path, out: Path, model: Path, suffix: str, one_file: bool
) -> None:
    place = tmp_path / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), place)
    else:
        place.write_text("path\n" if suffix == ".csv" else "")
    assert do(place, out, model, one_file=one_file).counts.photos == 0
    assert pq.read_table(out).num_rows == 0
    assert pq.read_table(out).column_names[:2] == ["path", "label"]


def test_run_of_several_manifests_joins_them(
    tmp_path: Path, photos: Path, out: Path, model: Path
) -> None:
    for number, path in enumerate(below(photos)):
        (tmp_path / f"list-{number:02}.csv").write_text(f"path\n{path}\n")
    do(f"{tmp_path}/list-*.csv", out, model)
    check(out, model, photos)


def test_run_with_an_error_that_is_not_unicode_escapes_it(
    tmp_path: Path, photos: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise PhotoError("a", "odd \udcff")

    monkeypatch.setattr("platecheck.classifier.open_photo", fail)
    do(photos, tmp_path / "out.csv", model)
    assert "odd \\udcff" in (tmp_path / "out.csv").read_text()


# --- resume


def test_run_after_a_stop_does_only_what_is_missing(
    tmp_path: Path, photos: Path, out: Path, model: Path
) -> None:
    said = stop(photos, out, model, part_rows=1)
    kept = len(names(tmp_path / "out.parquet.parts" / "results"))
    assert said == (
        f"stopped: {kept} of 14 photos are done and saved in {out}.parts;"
        " run the same command to resume"
    )
    assert not out.exists()
    shown: list[tuple[str, int, int | None]] = []
    job = Job(str(photos), str(out), model=model, part_rows=1)
    result = run(job, lambda *progress: shown.append(progress))
    assert shown == [("predicting", done, 14) for done in range(kept, 15)]
    assert (result.resumed, result.counts.photos, result.counts.errors) == (kept, 14, 2)
    check(out, model, photos)


def test_run_after_a_stop_keeps_the_listing(photos: Path, out: Path, model: Path) -> None:
    listed = below(photos)
    stop(photos, out, model, part_rows=1)
    (photos / "a new one.png").write_bytes(Path(listed[0]).read_bytes())
    Path(listed[-2]).unlink()
    do(photos, out, model, part_rows=1)
    found = pq.read_table(out)
    assert found.column("path").to_pylist() == listed
    assert found.column("error").to_pylist()[-2] == "there is no such file"


def test_run_stopped_while_listing_leaves_nothing(
    tmp_path: Path, photos: Path, out: Path, model: Path
) -> None:
    def interrupt(*_progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="stopped: listing was not complete; nothing was"):
        run(Job(str(photos), str(out), model=model), interrupt)
    assert names(tmp_path) == ["photos"]


def test_run_with_a_failing_model_keeps_the_shards(
    photos: Path, out: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = Classifier.predict_pixels
    left = [8]

    def fail(self: Classifier, *arguments: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise RuntimeError("the machine is on fire")
        return predict(self, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "predict_pixels", fail)
        patch.setattr("platecheck.batch.job._PIECE", 1)
        with pytest.raises(RuntimeError, match="on fire"):
            do(photos, out, model, workers=1, part_rows=2)
    assert do(photos, out, model, part_rows=2).resumed >= 6
    check(out, model, photos)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "other"}, r"was started with source .*list\.csv, not .*other"),
        ({"model": "other.onnx"}, r"was started with model tiny-\w+, not tiny-\w+"),
        ({"part_rows": 5}, r"was started with part rows 4, not 5"),
        ({"column": "file"}, r"out\.parquet\.parts was started with column "),
        ({"keep": ["file"]}, r"was started with keep "),
        ({"root": "/"}, r"was started with root "),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])  # which is about OUT alone
def test_run_after_a_stop_with_other_options_is_refused(
    tmp_path: Path, photos: Path, out: Path, model: Path, write_model: WriteModel,
    change: dict[str, Any], message: str, overwrite: bool,
) -> None:  # fmt: skip
    source = tmp_path / "list.csv"
    source.write_text("\n".join(["path,file", *(f"{path},{path}" for path in below(photos))]))
    stop(source, out, model)
    (tmp_path / "other").mkdir()
    write_model(tmp_path / "other.onnx", temperature=2.0)
    absolute = {k: str(tmp_path / v) for k, v in change.items() if k in ("source", "model")}
    asked = {"source": str(source), "model": model, "part_rows": 4, **change, **absolute}
    with pytest.raises(DataError, match=message):
        run(Job(out=str(out), overwrite=overwrite, **asked))
    do(source, out, model)
    check(out, model, photos)


def test_run_after_a_stop_with_a_changed_manifest_is_refused(
    tmp_path: Path, photos: Path, out: Path, model: Path
) -> None:
    place = tmp_path / "list.txt"
    place.write_text("\n".join(below(photos)))
    stop(place, out, model)
    place.write_text("\n".join(reversed(below(photos))))
    os.utime(place, ns=(1, 1))
    with pytest.raises(DataError, match="was started with a manifest that has changed since"):
        do(place, out, model)


def test_run_after_a_stop_compares_standard_input(
    photos: Path, out: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    listed = "\n".join(below(photos))
    give(listed)
    stop("-", out, model, part_rows=1)
    for other in (listed[:-1], listed.rpartition("\n")[0], f"{listed}\nmore.jpg", ""):
        give(other)
        with pytest.raises(DataError, match="was started with another manifest"):
            do("-", out, model, part_rows=1)
    give(listed)
    assert do("-", out, model, part_rows=1).resumed
    check(out, model, photos)


def test_run_while_another_process_runs_is_refused(photos: Path, out: Path, model: Path) -> None:
    with (
        FileLock(Path(f"{out}.parts", LOCK)),
        pytest.raises(DataError, match=r"another process is using .*out\.parquet\.parts; wait"),
    ):
        do(photos, out, model)
    do(photos, out, model)
    check(out, model, photos)


# --- OUT


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("was", ["file", "folder"])
def test_run_replaces_out_only_with_overwrite(
    tmp_path: Path, photos: Path, out: Path, model: Path, was: str, one_file: bool
) -> None:
    old = out if was == "file" else out / "old"
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    with pytest.raises(DataError, match=r"out\.parquet already exists; --overwrite replaces it"):
        do(photos, out, model, one_file=one_file)
    assert old.read_text() == "old"
    assert names(tmp_path) == ["out.parquet", "photos"]
    do(photos, out, model, one_file=one_file, overwrite=True)
    assert out.is_file() is one_file
    check(out, model, photos)


def test_run_keeps_an_out_that_appeared_meanwhile(photos: Path, out: Path, model: Path) -> None:
    stop(photos, out, model)
    out.write_text("someone else's")
    with pytest.raises(DataError, match=r"already exists; --overwrite replaces it"):
        do(photos, out, model)
    assert out.read_text() == "someone else's"
    do(photos, out, model, overwrite=True)
    check(out, model, photos)


def test_run_keeps_a_folder_that_is_not_its_own(
    tmp_path: Path, photos: Path, out: Path, model: Path
) -> None:
    (tmp_path / "out.parquet.parts").mkdir()
    (tmp_path / "out.parquet.parts" / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"out\.parquet\.parts exists but is not a state folder"):
        do(photos, out, model)
    assert "thesis.txt" in names(tmp_path / "out.parquet.parts")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "nowhere"}, "nowhere does not exist"),
        ({"source": "nowhere.csv"}, r"nowhere\.csv does not exist"),
        ({"source": "nothing-*"}, r"nothing-\* contains no photos"),
        ({"source": "nothing-*.csv"}, r"nothing-\*\.csv does not exist"),
        ({"source": "model.onnx"}, r"model\.onnx is not a folder, glob or manifest"),
        ({"source": "empty"}, "empty contains no photos"),
        ({"source": "photos", "column": "path"}, "--column and --keep need a manifest with col"),
        ({"source": "list.txt", "keep": ["a"]}, "--column and --keep need a manifest with col"),
        ({"source": "photos", "root": "/"}, "--root requires a manifest"),
        ({"source": "list.csv", "column": "file"}, r"list\.csv has no column 'file'"),
        ({"source": "list.csv", "keep": ["path"]}, "--keep path: the output already has a column"),
        ({"source": "list.csv", "keep": ["label"]}, "--keep label: the output already has"),
        ({"out": "out.txt"}, r"out\.txt does not end in any of"),
        ({"out": "s3://bucket/out.csv"}, "OUT must be a local path"),
        ({"part_rows": 0}, "--part-rows and --workers must be at least 1"),
        ({"workers": 0}, "--part-rows and --workers must be at least 1"),
        ({"address": "auto"}, "--address requires --engine ray"),
    ],
)
def test_run_with_invalid_options_leaves_nothing(
    tmp_path: Path, photos: Path, write_model: WriteModel, monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any], message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    write_model(Path("model.onnx"))
    Path("empty").mkdir()
    Path("list.csv").write_text("path,label\na.jpg,clean\n")
    Path("list.txt").write_text("a.jpg\n")
    before = names(tmp_path)
    with pytest.raises(DataError, match=message):
        run(Job(**{"source": "photos", "out": "out.csv", "model": "model.onnx", **options}))
    assert names(tmp_path) == before
