"""Logs, Prometheus metrics and drift.

With several workers, metrics are shared through `PROMETHEUS_MULTIPROC_DIR`, which must be set
before this module is imported.
"""

import json
import logging
import os
import struct
import threading
import time
from bisect import bisect_right
from collections import Counter as Counts
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from math import log
from pathlib import Path
from typing import Any, TypeVar

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

from platecheck.classifier import Prediction
from platecheck.model_info import Reference

disable_created_metrics()  # type: ignore[no-untyped-call]  # they double the output

REQUESTS = Counter("platecheck_requests", "Responses.", ["method", "path", "status"])
SECONDS = Histogram(
    "platecheck_request_seconds",
    "Seconds from a request's headers to the end of its response.",
    ["path"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
PHOTOS = Counter("platecheck_photos", "Classified photos, by label or verdict.", ["answer"])
DISHES = Counter("platecheck_dishes", "Dishes in inspected photos, by label.", ["answer"])
REJECTED = Counter("platecheck_rejected_requests", "Rejected requests, by reason.", ["reason"])
FEEDBACK = Counter(
    "platecheck_feedback",
    "Feedback by outcome: stored, refused, failed (not stored because of a server error), deleted"
    " or expired.",
    ["outcome"],
)
QUEUE = Gauge("platecheck_queue_photos", "Photos in flight.", multiprocess_mode="livesum")
QUEUE_LIMIT = Gauge(
    "platecheck_queue_limit_photos", "Maximum photos in flight.", multiprocess_mode="livesum"
)
WAIT = Gauge(
    "platecheck_wait_seconds",
    "Expected queue delay of a request that arrives now (maximum over workers).",
    multiprocess_mode="livemax",
)
WAIT_LIMIT = Gauge(
    "platecheck_wait_limit_seconds",
    "Maximum queue delay; requests that would wait longer are rejected.",
    multiprocess_mode="livemax",
)
DRIFT = Gauge(
    "platecheck_drift",
    "Population stability index of recent predictions against the validation photos (maximum over"
    " workers); above 0.25: significant drift.",
    ["of"],
    multiprocess_mode="livemax",
)
MODEL = Gauge(
    "platecheck_model_info",
    "Always 1; the labels identify the model.",
    ["model", "recipe", "precision"],
    multiprocess_mode="livemax",
)

_FIELDS = "platecheck"  # attribute of a log record

# Window of recent predictions, and the minimum number for a meaningful drift value.
WINDOW, LEAST = 1000, 100

Bin = TypeVar("Bin", str, int)


def exposition() -> bytes:
    """Return the metrics of all workers in the Prometheus text format."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    if not folder:
        return generate_latest(REGISTRY)
    # Forget the gauges of killed workers; their counters stay.
    for file in Path(folder).glob("gauge_live*.db"):
        try:
            os.kill(int(file.stem.rpartition("_")[2]), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)  # a concurrent scrape may be first
        except PermissionError:
            pass
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    try:
        return generate_latest(registry)
    except struct.error:  # a starting worker has created its file, but not filled it yet
        time.sleep(0.1)
        return generate_latest(registry)


class JsonFormatter(logging.Formatter):
    """Format a record as one line of JSON: time, level, event and further fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, _FIELDS, {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class NoWarnings(logging.Filter):
    """Drop uvicorn's warnings about malformed requests, with which clients could flood the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno != logging.WARNING


def log_config(level: str) -> dict[str, Any]:
    """Return a configuration for `logging.config.dictConfig`."""
    ours = {"handlers": ["stderr"], "level": level.upper(), "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": JsonFormatter}},
        "filters": {"no warnings": {"()": NoWarnings}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": "ERROR"},
        "loggers": {
            "platecheck": ours,
            "uvicorn": ours,
            "uvicorn.error": {"filters": ["no warnings"]},
            "uvicorn.access": {"handlers": [], "propagate": False},
            # Responses say what is wrong with a photo.
            "PIL": {"level": "CRITICAL"},
        },
    }


def event(level: int, name: str, *, exc_info: bool = False, **fields: Any) -> None:
    """Log an event with fields and, on request, the current exception."""
    logging.getLogger("platecheck.serving").log(
        level, name, exc_info=exc_info, extra={_FIELDS: fields}
    )


class Drift:
    """Compares the last `WINDOW` predictions with those on the validation photos.

    The distance is the population stability index, the sum of (p - q) ln(p / q) over bins (Siddiqi,
    Credit Risk Scorecards, 2006, chapter 9): of the labels, and of the deciles of the Mahalanobis
    distance of the features. By convention, below 0.1 nothing has changed.
    """

    def __init__(self, reference: Reference) -> None:
        self._reference = reference
        self._labels: deque[str] = deque(maxlen=WINDOW)
        self._deciles: deque[int] = deque(maxlen=WINDOW)
        self._lock = threading.Lock()

    def add(self, prediction: Prediction) -> None:
        """Add a prediction; photos that could not be opened do not count."""
        if prediction.error:
            return
        deciles = self._reference.ood_deciles
        with self._lock:
            self._labels.append(prediction.label)
            if prediction.ood_score is not None and deciles:
                self._deciles.append(bisect_right(deciles, prediction.ood_score))

    def answers(self) -> float | None:
        """Return the distance of the labels; None before there are `LEAST`."""
        with self._lock:
            seen = Counts(self._labels)
        return _distance(seen, self._reference.answers)

    def features(self) -> float | None:
        """Return the distance of the features; None also if the model has no OOD score."""
        with self._lock:
            seen = Counts(self._deciles)
        deciles = range(len(self._reference.ood_deciles) + 1)
        return _distance(seen, dict.fromkeys(deciles, 1))


def population_stability_index(p: Sequence[float], q: Sequence[float]) -> float:
    """Return the population stability index of two distributions without empty bins."""
    return sum((a - b) * log(a / b) for a, b in zip(p, q, strict=True))


def _distance(seen: Mapping[Bin, int], expected: Mapping[Bin, int]) -> float | None:
    if sum(seen.values()) < LEAST:
        return None
    bins = sorted(seen.keys() | expected.keys())
    # Additive smoothing of 0.5 per bin, so that none is empty.
    counts = [[count.get(name, 0) + 0.5 for name in bins] for count in (seen, expected)]
    return population_stability_index(*([n / sum(each) for n in each] for each in counts))
