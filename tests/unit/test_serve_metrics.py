"""Figures of several workers."""

from pathlib import Path

import pytest

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
