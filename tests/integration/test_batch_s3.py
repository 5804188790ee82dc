"""Photos and lists in an object store, against a server that speaks S3 on this machine."""

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image
from typer.testing import CliRunner

from platecheck import Classifier
from platecheck.batch import storage
from platecheck.cli import app

WriteModel = Callable[..., Path]

KEYS = ["a/1.png", "a/2 x#?%20.png", "a/deep/3.png", "a/notes.txt", "b/4.png", "b/torn.png"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, write_model: WriteModel) -> Path:
    return write_model(tmp_path_factory.mktemp("model") / "mean.onnx")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def store(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An S3 client, and a bucket called dishes."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    storage._connect.cache_clear()
    client = boto3.client("s3")
    client.create_bucket(Bucket="dishes")
    for number, key in enumerate(KEYS):
        client.put_object(Bucket="dishes", Key=key, Body=png(number * 45))
    client.put_object(Bucket="dishes", Key="b/torn.png", Body=png(200)[:40])
    yield client
    storage._connect.cache_clear()
    for entry in client.list_objects_v2(Bucket="dishes").get("Contents", []):
        client.delete_object(Bucket="dishes", Key=entry["Key"])
    client.delete_bucket(Bucket="dishes")


def png(level: int) -> bytes:
    file = BytesIO()
    Image.new("RGB", (9, 7), (level,) * 3).save(file, "png")
    return file.getvalue()


def batch(*arguments: str | Path) -> dict[str, Any]:
    result = CliRunner().invoke(app, ["batch", *map(str, arguments), "--json"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    summary: dict[str, Any] = json.loads(result.stdout)
    return summary


def test_a_folder_of_a_bucket(tmp_path: Path, model: Path, store: Any) -> None:
    out = tmp_path / "out.parquet"
    summary = batch("s3://dishes", out, "--model", model)
    rows = pq.read_table(out).to_pylist()
    assert [row["path"] for row in rows] == [
        f"s3://dishes/{key}" for key in KEYS if key.endswith(".png")
    ]
    contents = {
        f"s3://dishes/{key}": store.get_object(Bucket="dishes", Key=key)["Body"].read()
        for key in KEYS
    }
    answers = Classifier.load(model).predict_many(contents[row["path"]] for row in rows)
    for row, answer in zip(rows, answers, strict=True):
        assert row["label"] == (answer.label or None)
        assert row["probability_dirty"] == (answer.probabilities or {}).get("dirty")
        assert row["error"] == (answer.error and answer.error.reason)
    assert summary["errors"] == 1


@pytest.mark.parametrize(
    ("pattern", "keys"),
    [("a/*.png", KEYS[:2]), ("**/[34].png", [KEYS[2], KEYS[4]]), ("b", KEYS[4:])],
)
def test_a_glob_or_folder_in_a_bucket(
    tmp_path: Path, model: Path, store: Any, pattern: str, keys: list[str]
) -> None:
    batch(f"s3://dishes/{pattern}", tmp_path / "out.parquet", "--model", model)
    found = pq.read_table(tmp_path / "out.parquet").column("path").to_pylist()
    assert found == [f"s3://dishes/{key}" for key in keys]


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".txt"])
def test_an_inventory_in_a_bucket(tmp_path: Path, model: Path, store: Any, suffix: str) -> None:
    keys = [KEYS[4], KEYS[0], "missing.png", KEYS[0]]
    if suffix == ".parquet":
        file = BytesIO()
        pq.write_table(pa.table({"key": keys}), file)
        body = file.getvalue()
    else:
        body = "\n".join([*(["key"] if suffix == ".csv" else []), *keys]).encode()
    store.put_object(Bucket="dishes", Key=f"inventory/1{suffix}", Body=body)
    options = [] if suffix == ".txt" else ["--column", "key"]
    batch(
        *(f"s3://dishes/inventory/*{suffix}", tmp_path / "out.parquet", "--model", model),
        *("--root", "s3://dishes", *options),
    )
    found = pq.read_table(tmp_path / "out.parquet")
    assert found.column("path").to_pylist() == keys
    assert found.column("error").to_pylist() == [None, None, "there is no such file", None]


def test_a_local_list_of_photos_in_a_bucket(tmp_path: Path, model: Path, store: Any) -> None:
    local = tmp_path / "here.png"
    local.write_bytes(png(90))
    (tmp_path / "list.txt").write_text(f"{local}\ns3://dishes/a/1.png\ns3://elsewhere/1.png\n")
    batch(tmp_path / "list.txt", tmp_path / "out.parquet", "--model", model)
    errors = pq.read_table(tmp_path / "out.parquet").column("error").to_pylist()
    assert errors == [None, None, "there is no such file"]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("s3://dishes/nowhere", "there is no s3://dishes/nowhere"),
        ("s3://dishes/nowhere.csv", r"there is no s3://dishes/nowhere\.csv"),
        ("s3://nowhere/a", "there is no s3://nowhere/a"),
        ("s3://dishes/a/notes.txt/x*", r"s3://dishes/a/notes\.txt cannot be listed"),
        ("s3://dish*/a", "a pattern must begin after the first name of a URL"),
        ("s3://dishes/a/1.png", "is not a folder, glob or manifest"),
    ],
)
def test_what_is_not_there(
    tmp_path: Path, model: Path, store: Any, place: str, message: str
) -> None:
    from platecheck.errors import DataError

    with pytest.raises(DataError, match=message):
        batch(place, tmp_path / "out.parquet", "--model", model)
