"""Metrics of several workers."""

from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from platecheck.serving import metrics


def test_a_dead_workers_queue_may_be_forgotten_by_two_at_the_same_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead, counted = tmp_path / "gauge_livesum_7.db", tmp_path / "counter_7.db"
    dead.touch()
    counted.touch()

    def forgotten_by_another(_pid: int) -> bool:
        dead.unlink()
        return False

    monkeypatch.setattr(metrics, "_is_running", forgotten_by_another)
    metrics._forget_dead(tmp_path)
    assert list(tmp_path.iterdir()) == [counted]


def test_exposition_while_a_worker_creates_its_file_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    file = tmp_path / "counter_7.db"
    file.touch()

    def fill(_seconds: float) -> None:
        values = MmapedDict(str(file))
        values.write_value(mmap_key("photos", "photos_total", [], [], "Photos."), 3.0, 0.0)
        values.close()

    monkeypatch.setattr(metrics.time, "sleep", fill)
    assert b"photos_total 3.0" in metrics.exposition()
