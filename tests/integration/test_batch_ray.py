"""The Ray engine gives the rows of the local one, also on a cluster that loses a node."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from ray.cluster_utils import Cluster

from platecheck.batch.job import Job, run
from platecheck.errors import DataError
from tests.conftest import WriteModel

ROWS = 400
SHARD_ROWS = 20


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Two nodes of one core each, the second one to be killed."""
    soon = {"health_check_period_ms": 1000, "health_check_failure_threshold": 3}
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "_system_config": soon},
    )
    yield cluster
    cluster.shutdown()


def tasks_of(node: Any) -> int:
    """Return how many tasks of the job a node is running."""
    (raylet,) = node.all_processes["raylet"]
    listing = ["ps", "-o", "args=", "--ppid", str(raylet.process.pid)]
    children = subprocess.run(listing, check=False, capture_output=True, text=True)
    return children.stdout.count("ray::_predict_table")


@pytest.mark.slow
def test_run_on_a_cluster_that_loses_a_node_gives_the_rows_of_the_local_engine(
    tmp_path: Path, write_model: WriteModel, cluster: Cluster
) -> None:
    model = write_model(tmp_path / "mean.onnx")
    for number in range(10):
        Image.new("RGB", (1000, 1000), (number * 25,) * 3).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"torn")
    lines = [f"{number % 10}.png,{number}" for number in range(ROWS)]
    (tmp_path / "list.csv").write_text("\n".join(["path,number", *lines]))
    source, local, out = (str(tmp_path / n) for n in ("list.csv", "local.parquet", "out.parquet"))
    options = ["--model", model, "--root", tmp_path, "--keep", "number", "--shard-rows", SHARD_ROWS]
    options += ["--engine", "ray", "--address", cluster.address, "--json"]
    command = [sys.executable, "-m", "platecheck", "batch", source, out, *map(str, options)]

    node = cluster.add_node(num_cpus=1)
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        results = Path(f"{out}.shards", "results")
        while not (results.is_dir() and any(results.iterdir()) and tasks_of(node)):
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        cluster.remove_node(node, allow_graceful=False)  # SIGKILL to all of its processes
        assert len(list(results.iterdir())) < ROWS // SHARD_ROWS
        said, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    assert json.loads(said)["errors"] == ROWS // 10  # and nothing of Ray's

    run(Job(source, local, model=model, root=str(tmp_path), keep=["number"]))
    assert pq.read_table(out).num_rows == ROWS
    assert pq.read_table(out).equals(pq.read_table(local))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", r"no Ray cluster at 127\.0\.0\.1:1 \(Connection refused\)"),
        ("ray://127.0.0.1:10001", r"run this command on a cluster node"),
    ],
)
def test_run_without_a_cluster_names_the_address(
    tmp_path: Path, write_model: WriteModel, address: str, message: str
) -> None:
    Image.new("RGB", (9, 7)).save(tmp_path / "1.png")
    model = write_model(tmp_path / "mean.onnx")
    out = tmp_path / "out.parquet"
    job = Job(str(tmp_path), str(out), model=model, engine="ray", address=address)
    with pytest.raises(DataError, match=message):
        run(job)
