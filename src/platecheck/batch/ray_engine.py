"""Predict on a Ray cluster, which retries the tasks of lost nodes."""

import logging
import os
import secrets
import socket
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayError

from platecheck.batch.engine import Judge, load_judge, predict_tables
from platecheck.cpus import cpu_count
from platecheck.errors import DataError

# Enough tasks for load balancing, each long enough to amortize its startup.
_TASKS_PER_CORE = 16
_LEAST_PHOTOS, _MOST_PHOTOS = 32, 2048
_QUEUED_PER_CORE = 4
_RETRIES = 10


def predict_on_ray(
    files: Sequence[bytes],
    manifest: Callable[[int], Iterable[pa.Table]],
    photos: int,
    schema: pa.Schema,
    root: str,
    workers: int,
    address: str | None,
) -> Generator[pa.Table, None, None]:
    """Yield tables of results, in the order of the manifest.

    Args:
        files: content of the model file and, to inspect, of the detector, sent to every machine.
        manifest: returns tables of at most the given number of rows, read lazily.
        photos: rows of all tables.
        root: base folder or URL of relative paths, on every machine.
        workers: concurrent photos per core.
        address: address of the cluster [default: RAY_ADDRESS, or a cluster on this machine].
    """
    cluster: Any = ray  # whose decorated functions have no types
    is_ours = not cluster.is_initialized()
    if is_ours:
        _connect(address or os.environ.get("RAY_ADDRESS") or "local")
    queue: deque[Any] = deque()
    try:
        predict = cluster.remote(num_cpus=1, max_retries=_RETRIES)(_predict_table)
        # In a tuple, since Ray would dereference a bare ObjectRef for every task.
        carried = tuple(map(cluster.put, files))
        cores = int(cluster.cluster_resources().get("CPU", 1))
        size = min(max(photos // (cores * _TASKS_PER_CORE), _LEAST_PHOTOS), _MOST_PHOTOS)
        for table in manifest(size):
            queue.append(predict.remote(carried, table, schema, root, workers))
            cores = int(cluster.cluster_resources().get("CPU", 1))  # may grow or shrink
            while len(queue) >= cores * _QUEUED_PER_CORE:
                yield cluster.get(queue.popleft())
        while queue:
            yield cluster.get(queue.popleft())
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]  # after the remote traceback
        raise DataError(f"the Ray cluster cannot continue: {reason}") from error
    finally:
        if is_ours:
            cluster.shutdown()
        else:
            for task in queue:
                cluster.cancel(task)


def _connect(address: str) -> None:
    if "://" in address:
        raise DataError(
            f"{address} is a Ray Client address; run this command on a cluster node, with"
            " --address auto"
        )
    host, _, port = address.rpartition(":")
    if port.isdecimal():
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except OSError as error:
            reason = error.strerror or error
            raise DataError(f"no Ray cluster at {address} ({reason})") from error
    local = address == "local"
    if local:  # otherwise Ray keeps a token in the home folder, and needs one
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    cluster: Any = ray
    cluster.init(
        address,
        num_cpus=cpu_count() if local else None,
        include_dashboard=False if local else None,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )


def _predict_table(
    files: tuple[Any, ...], table: pa.Table, schema: pa.Schema, root: str, workers: int
) -> pa.Table:
    """Predict the photos of one task, on any machine."""
    return next(predict_tables(_load(files), [table], schema, root, workers))


@lru_cache(maxsize=1)  # once per process
def _load(files: tuple[Any, ...]) -> Judge:
    contents: list[bytes] = [ray.get(file) for file in files]
    detector = contents[1] if len(contents) > 1 else None
    return load_judge(contents[0], detector, inspect=detector is not None)
