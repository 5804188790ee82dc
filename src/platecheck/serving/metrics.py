"""What Prometheus reads at ``/metrics``.

With several worker processes their numbers meet in the files of `PROMETHEUS_MULTIPROC_DIR`, which
must be set before this module is imported.
"""

import os
import struct
import time
from pathlib import Path

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the text

REQUESTS = Counter("platecheck_requests", "Requests answered.", ["method", "path", "status"])
SECONDS = Histogram(
    "platecheck_request_seconds",
    "Seconds from a request's headers to the end of its answer.",
    ["path"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PHOTOS = Counter("platecheck_photos", "Photos answered, by answer.", ["answer"])
REJECTED = Counter("platecheck_rejected_requests", "Requests refused, by reason.", ["reason"])
FEEDBACK = Counter(
    "platecheck_feedback",
    "Feedback stored, refused, not stored because of a fault (failed), deleted, or expired.",
    ["outcome"],
)
QUEUE = Gauge(
    "platecheck_queue_photos", "Photos waiting or under way.", multiprocess_mode="livesum"
)
QUEUE_LIMIT = Gauge(
    "platecheck_queue_limit_photos", "Most photos in the queue.", multiprocess_mode="livesum"
)
WAIT = Gauge(
    "platecheck_wait_seconds",
    "Seconds that a request which comes now would wait, at the slowest pace of late; of the worker"
    " where it is longest.",
    multiprocess_mode="livemax",
)
WAIT_LIMIT = Gauge(
    "platecheck_wait_limit_seconds",
    "Most seconds that a request waits; what would wait longer is refused.",
    multiprocess_mode="livemax",
)
DRIFT = Gauge(
    "platecheck_drift",
    "Population stability index of the last answers against the validation photos, of the worker"
    " that is farthest; above 0.25, look at the photos.",
    ["of"],
    multiprocess_mode="livemax",
)
MODEL = Gauge(
    "platecheck_model_info",
    "1; the labels say which model.",
    ["model", "recipe", "precision"],
    multiprocess_mode="livemax",
)


def exposition() -> bytes:
    """Return the metrics of all workers in the Prometheus text format."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(REGISTRY)
    _forget_dead(Path(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    try:
        return generate_latest(registry)
    except struct.error:  # a worker that starts has created its file, but not filled it yet
        time.sleep(0.1)
        return generate_latest(registry)


def _forget_dead(folder: Path) -> None:
    """Leave out the queues of workers that were killed; what they counted stays."""
    for file in folder.glob("gauge_live*.db"):
        if not _is_running(int(file.stem.rpartition("_")[2])):
            file.unlink(missing_ok=True)  # whoever reads at the same time may be first


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
