"""Photos and manifests in an object store, against a server that speaks S3 on this machine."""

from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from platecheck import Classifier
from platecheck.batch import storage
from platecheck.batch.job import Job, run
from platecheck.errors import DataError
from tests.support.photos import encode

KEYS = ["a/1.png", "a/2 x#?%20.png", "a/deep/3.png", "a/notes.txt", "b/4.png", "b/torn.png"]
PHOTOS = [key for key in KEYS if key.endswith(".png")]


@pytest.fixture(scope="module")
def store() -> Iterator[Any]:
    """An S3 client, and a bucket called dishes."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }.items():
            patch.setenv(name, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="dishes")
        for number, key in enumerate(KEYS):
            body = encode(Image.new("RGB", (9, 7), (number * 45,) * 3), "PNG")
            body = body[:40] if "torn" in key else body
            client.put_object(Bucket="dishes", Key=key, Body=body)
        yield client
    storage._connect.cache_clear()
    server.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: Callable[..., Path]) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture
def batch(tmp_path: Path, model: Path, store: Any) -> Callable[..., pa.Table]:
    """Run a job and return its rows."""

    def rows(source: str | Path, **options: Any) -> pa.Table:
        out = tmp_path / "out.parquet"
        run(Job(str(source), str(out), model=model, **options))
        return pq.read_table(out)

    return rows


def test_run_of_a_bucket_gives_the_rows_of_predict_many(
    batch: Callable[..., pa.Table], model: Path, store: Any
) -> None:
    rows = batch("s3://dishes").to_pylist()
    assert [row["path"] for row in rows] == [f"s3://dishes/{key}" for key in PHOTOS]
    get = partial(store.get_object, Bucket="dishes")
    contents = (get(Key=key)["Body"].read() for key in PHOTOS)
    for row, prediction in zip(rows, Classifier.load(model).predict_many(contents), strict=True):
        assert row["label"] == (prediction.label or None)
        assert row["probability_dirty"] == prediction.probabilities.get("dirty")
        assert row["error"] == (prediction.error and prediction.error.reason)


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [("a/*.png", KEYS[:2]), ("**/[34].png", [KEYS[2], KEYS[4]]), ("b", KEYS[4:])],
)
def test_run_of_a_glob_or_folder_in_a_bucket(
    batch: Callable[..., pa.Table], pattern: str, keys: list[str]
) -> None:
    found = batch(f"s3://dishes/{pattern}").column("path").to_pylist()
    assert found == [f"s3://dishes/{key}" for key in keys]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".txt"])
def test_run_of_an_inventory_in_a_bucket(
    batch: Callable[..., pa.Table], store: Any, suffix: str
) -> None:
    keys = [KEYS[4], KEYS[0], "missing.png", KEYS[0]]
    if suffix == ".parquet":
        file = BytesIO()
        pq.write_table(pa.table({"key": keys}), file)
        body = file.getvalue()
    else:
        body = "\n".join([*(["key"] if suffix == ".csv" else []), *keys]).encode()
    store.put_object(Bucket="dishes", Key=f"inventory/1{suffix}", Body=body)
    column = None if suffix == ".txt" else "key"
    found = batch(f"s3://dishes/inventory/*{suffix}", root="s3://dishes", column=column)
    store.delete_object(Bucket="dishes", Key=f"inventory/1{suffix}")
    assert found.column("path").to_pylist() == keys
    assert found.column("error").to_pylist() == [None, None, "there is no such file", None]


def test_run_of_a_local_manifest_of_photos_in_buckets(
    tmp_path: Path, batch: Callable[..., pa.Table]
) -> None:
    local = tmp_path / "here.png"
    Image.new("RGB", (9, 7)).save(local)
    (tmp_path / "list.txt").write_text(f"{local}\ns3://dishes/a/1.png\ns3://elsewhere/1.png\n")
    errors = batch(tmp_path / "list.txt").column("error").to_pylist()
    assert errors == [None, None, "there is no such file"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://dishes/nowhere", "s3://dishes/nowhere does not exist"),
        ("s3://dishes/nowhere.csv", r"s3://dishes/nowhere\.csv does not exist"),
        ("s3://nowhere/a", "s3://nowhere/a does not exist"),
        ("s3://dishes/a/notes.txt/x*", r"s3://dishes/a/notes\.txt cannot be listed"),
        ("s3://dish*/a", "a pattern must begin after the first name of a URL"),
        ("s3://dishes/a/1.png", "is not a folder, glob or manifest"),
    ],
)
def test_run_of_a_missing_source_names_it(
    batch: Callable[..., pa.Table], place: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        batch(place)
