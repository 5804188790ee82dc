"""A job's rows are those of predict_many; what was begun is resumed or refused, never mixed."""

import io
import json
import os
import sys
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
from tests.conftest import WriteModel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx", thresholds={"dirty": 0.9})


class Jobs:
    """Jobs in a folder of photos, two of them damaged."""

    def __init__(self, folder: Path, model: Path) -> None:
        self.folder = folder
        self.out = folder / "out.parquet"
        self.photos = folder / "photos"
        self.model = model
        for number in range(12):
            place = self.photos / f"shop {number % 3}" / f"{number:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (9, 7), (number * 20,) * 3).save(place)
        (self.photos / "shop 1" / "empty.jpg").touch()
        torn = (self.photos / "shop 2" / "02.png").read_bytes()[:50]
        (self.photos / "shop 2" / "torn.png").write_bytes(torn)
        self.listed = sorted(str(path) for path in self.photos.rglob("*") if path.is_file())

    def job(self, source: str | Path = "", **options: Any) -> Job:
        options = {"out": str(self.out), "model": self.model, "shard_rows": 4, **options}
        return Job(str(source or self.photos), **options)

    def run(self, source: str | Path = "", **options: Any) -> JobResult:
        self.shown: list[tuple[str, int, int | None]] = []
        job = self.job(source, **options)
        return run(job, lambda *progress: self.shown.append(progress))

    def stop(self, source: str | Path = "", **options: Any) -> str:
        """Interrupt a job when its first shards are done."""

        def on_progress(title: str, _done: int, _total: int | None) -> None:
            if title == "predicting" and any(Path(f"{self.out}.shards").glob("results/*")):
                raise KeyboardInterrupt

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("platecheck.batch.job._PIECE", 1)
            with pytest.raises(StoppedError) as stopped:
                run(self.job(source, **options), on_progress)
        return str(stopped.value)

    def expected(self, paths: list[str]) -> list[dict[str, Any]]:
        """Return the rows that the predictions of predict_many make."""
        classifier = Classifier.load(self.model)
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

    def check(self) -> None:
        """Check that the output is complete and that nothing else is left."""
        assert pq.read_table(self.out).to_pylist() == self.expected(self.listed)
        assert not Path(f"{self.out}.shards").exists()

    def names(self, below: str = "") -> list[str]:
        return sorted(path.name for path in (self.folder / below).iterdir())


@pytest.fixture
def jobs(tmp_path: Path, model: Path) -> Jobs:
    return Jobs(tmp_path, model)


# --- rows


@pytest.mark.parametrize("shard_rows", [1, 3, 14, 5000])
def test_run_of_a_folder_gives_the_rows_of_predict_many(jobs: Jobs, shard_rows: int) -> None:
    result = jobs.run(shard_rows=shard_rows, workers=3)
    jobs.check()
    labels = pq.read_table(jobs.out).column("label").to_pylist()
    assert set(labels) == {"clean", "dirty", "unsure", None}
    assert result.counts.labels == {label: labels.count(label) for label in set(labels) - {None}}
    assert (result.counts.photos, result.counts.errors, result.resumed) == (14, 2, 0)
    assert ("listing", 14, None) in jobs.shown
    assert ("predicting", 0, 14) in jobs.shown
    assert jobs.shown[-1] == ("predicting", 14, 14)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_run_in_another_format_writes_the_same(jobs: Jobs, suffix: str) -> None:
    jobs.run()
    out = jobs.out.with_suffix(suffix)
    jobs.run(out=str(out))
    schema = pq.read_schema(jobs.out)
    if suffix == ".csv":
        options = pa.csv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, quoted_strings_can_be_null=False
        )
        found = pa.csv.read_csv(out, convert_options=options)
    else:
        lines = out.read_text().splitlines()
        found = pa.Table.from_pylist([json.loads(line) for line in lines], schema)
    assert found.equals(pq.read_table(jobs.out))


def test_run_with_parts_writes_a_folder_of_whole_files(jobs: Jobs) -> None:
    jobs.run(one_file=False)
    assert jobs.names("out.parquet") == [f"0000000{part}.parquet" for part in range(4)]
    jobs.check()
    out = jobs.folder / "out.csv"
    jobs.run(out=str(out), one_file=False)
    headers = {path.read_text().splitlines()[0] for path in out.iterdir()}
    assert len(headers) == 1
    assert jobs.names() == ["out.csv", "out.parquet", "photos"]


def test_run_of_a_manifest_keeps_order_duplicates_columns_and_bad_rows(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = ["shop 0/03.png", "shop 0/00.png", "shop 0/03.png", None, "missing.jpg", "shop 0"]
    table = pa.table({"file": listed, "shop": [5, 6, 7, 8, None, 9]})
    pq.write_table(table, jobs.folder / "list.parquet")
    options = {"column": "file", "keep": ["shop"], "shard_rows": 2, "root": str(jobs.photos)}
    assert jobs.run(jobs.folder / "list.parquet", **options).counts.errors == 3
    found = pq.read_table(jobs.out)
    assert found.column_names[:3] == ["path", "shop", "label"]
    assert found.column("path").to_pylist() == listed
    assert found.column("shop").to_pylist() == [5, 6, 7, 8, None, 9]
    assert found.column("error").to_pylist() == [
        *[None] * 3,
        "the path is empty in the manifest",
        "there is no such file",
        "it is a folder, not a photo",
    ]
    monkeypatch.chdir(jobs.photos)
    assert found.slice(0, 3).drop(["shop"]).to_pylist() == jobs.expected(listed[:3])


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".txt"])
@pytest.mark.parametrize("one_file", [True, False])
def test_run_of_an_empty_manifest_writes_the_columns(
    jobs: Jobs, suffix: str, one_file: bool
) -> None:
    place = jobs.folder / f"list{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.table({"path": pa.array([], pa.string())}), place)
    else:
        place.write_text("path\n" if suffix == ".csv" else "")
    assert jobs.run(place, one_file=one_file).counts.photos == 0
    assert pq.read_table(jobs.out).num_rows == 0
    assert pq.read_table(jobs.out).column_names[:2] == ["path", "label"]


def test_run_of_several_manifests_joins_them(jobs: Jobs) -> None:
    for number, path in enumerate(jobs.listed):
        (jobs.folder / f"list-{number:02}.csv").write_text(f"path\n{path}\n")
    jobs.run(f"{jobs.folder}/list-*.csv")
    jobs.check()


def test_run_with_an_error_that_is_not_unicode_escapes_it(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise PhotoError("a", "odd \udcff")

    monkeypatch.setattr("platecheck.classifier.open_reduced", fail)
    jobs.run(out=str(jobs.folder / "out.csv"))
    assert "odd \\udcff" in (jobs.folder / "out.csv").read_text()


# --- resume


def test_run_after_a_stop_does_only_what_is_missing(jobs: Jobs) -> None:
    said = jobs.stop(shard_rows=1)
    kept = len(jobs.names("out.parquet.shards/results"))
    assert said == (
        f"stopped: {kept} of 14 photos are done and saved in {jobs.out}.shards;"
        " run the same command to resume"
    )
    assert not jobs.out.exists()
    result = jobs.run(shard_rows=1)
    assert jobs.shown == [("predicting", done, 14) for done in range(kept, 15)]
    assert (result.resumed, result.counts.photos, result.counts.errors) == (kept, 14, 2)
    jobs.check()


def test_run_after_a_stop_keeps_the_listing(jobs: Jobs) -> None:
    jobs.stop(shard_rows=1)
    (jobs.photos / "a new one.png").write_bytes(Path(jobs.listed[0]).read_bytes())
    Path(jobs.listed[-2]).unlink()
    jobs.run(shard_rows=1)
    found = pq.read_table(jobs.out)
    assert found.column("path").to_pylist() == jobs.listed
    assert found.column("error").to_pylist()[-2] == "there is no such file"


def test_run_stopped_while_listing_leaves_nothing(jobs: Jobs) -> None:
    def interrupt(*_progress: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="stopped: listing was not complete; nothing was"):
        run(jobs.job(), interrupt)
    assert jobs.names() == ["photos"]


def test_run_with_a_failing_model_keeps_the_shards(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
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
            jobs.run(workers=1, shard_rows=2)
    assert jobs.run(shard_rows=2).resumed >= 6
    jobs.check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "other"}, r"was started with source .*list\.csv, not .*other"),
        ({"model": "other.onnx"}, r"was started with model tiny-\w+, not tiny-\w+"),
        ({"shard_rows": 5}, r"was started with shard rows 4, not 5"),
        ({"column": "file"}, r"out\.parquet\.shards was started with column "),
        ({"keep": ["file"]}, r"was started with keep "),
        ({"root": "/"}, r"was started with root "),
    ],
)
@pytest.mark.parametrize("overwrite", [False, True])  # which is about OUT alone
def test_run_after_a_stop_with_other_options_is_refused(
    jobs: Jobs, write_model: WriteModel, change: dict[str, Any], message: str, overwrite: bool
) -> None:
    source = jobs.folder / "list.csv"
    source.write_text("\n".join(["path,file", *(f"{path},{path}" for path in jobs.listed)]))
    jobs.stop(source)
    (jobs.folder / "other").mkdir()
    write_model(jobs.folder / "other.onnx", temperature=2.0)
    absolute = {k: str(jobs.folder / v) for k, v in change.items() if k in ("source", "model")}
    asked = {"source": source, **change, **absolute}
    with pytest.raises(DataError, match=message):
        jobs.run(overwrite=overwrite, **asked)
    jobs.run(source)
    jobs.check()


def test_run_after_a_stop_with_a_changed_manifest_is_refused(jobs: Jobs) -> None:
    place = jobs.folder / "list.txt"
    place.write_text("\n".join(jobs.listed))
    jobs.stop(place)
    place.write_text("\n".join(reversed(jobs.listed)))
    os.utime(place, ns=(1, 1))
    with pytest.raises(DataError, match="was started with a manifest that has changed since"):
        jobs.run(place)


def test_run_after_a_stop_compares_standard_input(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    listed = "\n".join(jobs.listed)
    give(listed)
    jobs.stop("-", shard_rows=1)
    for other in (listed[:-1], listed.rpartition("\n")[0], f"{listed}\nmore.jpg", ""):
        give(other)
        with pytest.raises(DataError, match="was started with another manifest"):
            jobs.run("-", shard_rows=1)
    give(listed)
    assert jobs.run("-", shard_rows=1).resumed
    jobs.check()


def test_run_while_another_process_runs_is_refused(jobs: Jobs) -> None:
    with (
        FileLock(Path(f"{jobs.out}.shards", LOCK)),
        pytest.raises(DataError, match=r"another process is using .*out\.parquet\.shards; wait"),
    ):
        jobs.run()
    jobs.run()
    jobs.check()


# --- OUT


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("was", ["file", "folder"])
def test_run_replaces_out_only_with_overwrite(jobs: Jobs, was: str, one_file: bool) -> None:
    old = jobs.out if was == "file" else jobs.out / "old"
    old.parent.mkdir(exist_ok=True)
    old.write_text("old")
    with pytest.raises(DataError, match=r"out\.parquet already exists; --overwrite replaces it"):
        jobs.run(one_file=one_file)
    assert old.read_text() == "old"
    assert jobs.names() == ["out.parquet", "photos"]
    jobs.run(one_file=one_file, overwrite=True)
    assert jobs.out.is_file() is one_file
    jobs.check()


def test_run_keeps_an_out_that_appeared_meanwhile(jobs: Jobs) -> None:
    jobs.stop()
    jobs.out.write_text("someone else's")
    with pytest.raises(DataError, match=r"already exists; --overwrite replaces it"):
        jobs.run()
    assert jobs.out.read_text() == "someone else's"
    jobs.run(overwrite=True)
    jobs.check()


def test_run_keeps_a_folder_that_is_not_its_own(jobs: Jobs) -> None:
    (jobs.folder / "out.parquet.shards").mkdir()
    (jobs.folder / "out.parquet.shards" / "thesis.txt").touch()
    with pytest.raises(DataError, match=r"out\.parquet\.shards exists but is not a state folder"):
        jobs.run()
    assert "thesis.txt" in jobs.names("out.parquet.shards")


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
        ({"shard_rows": 0}, "--shard-rows and --workers must be at least 1"),
        ({"workers": 0}, "--shard-rows and --workers must be at least 1"),
        ({"address": "auto"}, "--address requires --engine ray"),
    ],
)
def test_run_with_invalid_options_leaves_nothing(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(jobs.folder)
    Path("model.onnx").touch()
    Path("empty").mkdir()
    Path("list.csv").write_text("path,label\na.jpg,clean\n")
    Path("list.txt").write_text("a.jpg\n")
    before = jobs.names()
    with pytest.raises(DataError, match=message):
        jobs.run(**options)
    assert jobs.names() == before
