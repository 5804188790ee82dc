"""Drift, and metrics of several workers."""

import random
from pathlib import Path

import pytest
from prometheus_client.mmap_dict import MmapedDict, mmap_key

from platecheck.classifier import Prediction
from platecheck.errors import PhotoError
from platecheck.model_info import Reference
from platecheck.serving import observability
from platecheck.serving.observability import LEAST, WINDOW, Drift, population_stability_index

REFERENCE = Reference(
    answers={"clean": 60, "dirty": 120, "unsure": 20},
    ood_deciles=tuple(number / 10 for number in range(1, 10)),
)


def add(drift: Drift, photos: int, *, shift: float = 0, label: str = "") -> None:
    """Add predictions distributed like validation's, apart from a shift or a fixed label."""
    rng = random.Random(0)
    for _ in range(photos):
        drawn = rng.choices(["clean", "dirty", "unsure"], [60, 120, 20])[0]
        drift.add(Prediction("p", label or drawn, ood_score=rng.random() + shift))


def test_population_stability_index_of_known_distributions() -> None:
    # (0.5 - 0.25) ln 2 + (0.5 - 0.75) ln (2/3)
    assert population_stability_index([0.5, 0.5], [0.25, 0.75]) == pytest.approx(0.27465, abs=1e-5)
    assert population_stability_index([0.3, 0.7], [0.3, 0.7]) == 0


def test_drift_of_few_predictions_is_none() -> None:
    drift = Drift(REFERENCE)
    add(drift, LEAST - 1)
    drift.add(Prediction("bad", error=PhotoError("bad", "damaged")))  # does not count
    assert (drift.answers(), drift.features()) == (None, None)
    add(drift, 1)
    assert None not in (drift.answers(), drift.features())


@pytest.mark.parametrize(
    ("changes", "answers_drift", "features_drift"),
    [({}, False, False), ({"shift": 0.5}, False, True), ({"label": "not a dish"}, True, False)],
)
def test_drift_shows_what_has_changed(
    changes: dict[str, float | str], answers_drift: bool, features_drift: bool
) -> None:
    drift = Drift(REFERENCE)
    add(drift, WINDOW, shift=0.2, label="dirty")  # forgotten
    add(drift, WINDOW, **changes)  # type: ignore[arg-type]
    for distance, drifted in ((drift.answers(), answers_drift), (drift.features(), features_drift)):
        assert distance is not None
        assert distance > 0.25 if drifted else distance < 0.05


def test_drift_of_model_without_ood_score_is_of_answers_only() -> None:
    drift = Drift(Reference(answers={"clean": 10, "dirty": 10}))
    add(drift, LEAST, label="clean")
    assert drift.features() is None
    assert (drift.answers() or 0) > 0.25


def test_exposition_forgets_gauges_of_dead_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    dead, counted = tmp_path / "gauge_livesum_7.db", tmp_path / "counter_7.db"
    for file in (dead, counted):
        MmapedDict(str(file)).close()

    def forgotten_by_a_concurrent_scrape(_pid: int, _signal: int) -> None:
        dead.unlink()
        raise ProcessLookupError

    monkeypatch.setattr(observability.os, "kill", forgotten_by_a_concurrent_scrape)
    observability.exposition()
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

    monkeypatch.setattr(observability.time, "sleep", fill)
    assert b"photos_total 3.0" in observability.exposition()
