"""Answering on a cluster: Ray Data divides the listing, and repeats what a lost machine had."""

import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from platecheck.batch import local
from platecheck.batch.formats import read_table
from platecheck.batch.rows import Rows
from platecheck.classifier import Classifier
from platecheck.cpus import cpu_count
from platecheck.errors import DataError

# Photos to a task: enough tasks to keep each core busy to the end, each worth its start.
_TASKS_A_CORE = 16
_LEAST, _MOST = 32, 2048


def answer(
    model: bytes,
    listing: Sequence[tuple[Path, int]],
    rows: Rows,
    root: str,
    workers: int,
    address: str | None,
) -> Generator[pa.Table, None, None]:
    """Rows of answers, in the order of the listing, in pieces.

    Args:
        model: content of its file, which is carried to the other machines.
        listing: files of the listing on this machine, and how many rows each has.
        rows: how answers become rows.
        root: where relative paths begin, on every machine.
        workers: photos at a time, on each core.
        address: of the cluster; that of RAY_ADDRESS, or one on this machine, when absent.
    """
    with _connected(address) as cluster:
        pieces = _pieces(listing, cores=int(cluster.cluster_resources().get("CPU", 1)))
        here = NodeAffinitySchedulingStrategy(
            cluster.get_runtime_context().get_node_id(), soft=False
        )
        lister = cluster.remote(_Lister).options(num_cpus=0, scheduling_strategy=here).remote()
        carried = cluster.put(model)
        work = partial(
            _answered, lister=lister, model=carried, rows=rows, root=root, workers=workers
        )
        dataset = ray.data.from_items(pieces, override_num_blocks=len(pieces)).map_batches(
            work, batch_size=None, batch_format="pyarrow", num_cpus=1
        )
        yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, whose functions have no types; whoever is connected already stays so."""
    cluster: Any = ray
    ours = not cluster.is_initialized()
    if ours:
        address = address or os.environ.get("RAY_ADDRESS") or "local"
        _check_address(address)
        if address == "local":  # else Ray keeps a token in the home folder, and needs one
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
        cluster.init(
            address,
            num_cpus=cpu_count() if address == "local" else None,
            include_dashboard=False if address == "local" else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    try:
        yield cluster
    except RayError as error:
        reason = str(error).strip().splitlines()[-1]  # before it, whose traceback it is
        raise DataError(f"the Ray cluster cannot go on: {reason}") from error
    finally:
        if ours:
            cluster.shutdown()


def _check_address(address: str) -> None:
    if "://" in address:
        raise DataError(
            f"{address} is for Ray's client: give this command on a machine of the cluster,"
            " with --address auto"
        )
    host, _, port = address.rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"no Ray cluster answers at {address} ({reason})") from error


def _pieces(listing: Sequence[tuple[Path, int]], cores: int) -> list[dict[str, Any]]:
    """What each task answers: rows from `start` of a file of the listing."""
    photos = sum(rows for _, rows in listing)
    size = min(max(photos // (cores * _TASKS_A_CORE), _LEAST), _MOST)
    return [
        {"file": str(file.absolute()), "start": start, "rows": min(size, rows - start)}
        for file, rows in listing
        for start in range(0, rows, size)
    ]


class _Lister:
    """Reads the listing for all machines, on the one where it is."""

    def __init__(self) -> None:
        self._read = lru_cache(maxsize=4)(read_table)  # a file's pieces are asked for in turn

    def rows(self, file: str, start: int, rows: int) -> pa.Table:
        return self._read(Path(file)).slice(start, rows)


def _answered(
    pieces: pa.Table, *, lister: Any, model: Any, rows: Rows, root: str, workers: int
) -> pa.Table:
    """Rows of answers of the pieces of a task, which is one as a rule; `model` is as Ray has it."""
    listed = (ray.get(lister.rows.remote(**piece)) for piece in pieces.to_pylist())
    return pa.concat_tables(local.answer(_classifier(model), listed, rows, root, workers))


@lru_cache(maxsize=1)  # for all tasks of a process
def _classifier(model: Any) -> Classifier:
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(ray.get(model))
        file.flush()
        return Classifier.load(file.name)
