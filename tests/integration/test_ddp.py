"""Two processes train one network; on the CPU they talk through gloo."""

import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from safetensors.torch import load_file
from training_fixtures import (
    EPOCHS,
    HERE,
    assert_history_is_of_the_weights,
    contents,
    finish,
    gentle,
    options,
    start,
)

from platecheck.training.run import Run
from platecheck.training.train import build_run

pytest_plugins = ["training_fixtures.fixtures"]

# Half of a batch to each process, the same whole as in one.
TWO = ["--set", "batch_size=4", "--devices", "2"]


class Trained(NamedTuple):
    folder: Path
    run: Run
    out: str
    draws: list[list[str]]


@pytest.fixture(scope="module")
def together(dishes: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Train without --out, which both processes have to choose alike."""
    folder, draws = tmp_path_factory.mktemp("ddp"), tmp_path_factory.mktemp("draws")
    command = (sys.executable, HERE / "log_draws.py", "train", "tiny_vgg", "--data", dishes)
    answer = finish(start(*command, *options(), *TWO, cwd=folder, DRAWS=str(draws)))
    assert answer.code == 0, answer.err
    logs = [(draws / rank).read_text().splitlines() for rank in ("0", "1")]
    return Trained(folder, Run.load(folder / "runs" / "tiny_vgg"), answer.out, logs)


@pytest.mark.slow
def test_two_processes_write_one_run_folder_and_print_once(together: Trained) -> None:
    assert [path.name for path in (together.folder / "runs").iterdir()] == ["tiny_vgg"]
    assert [path.name for path in together.folder.iterdir()] == ["runs"]
    assert together.run.finished
    assert len(list((together.run.folder / "tensorboard").glob("events.*"))) == 1
    assert not [path for path in together.run.folder.rglob("*") if "part" in path.name]
    lines = Counter(line for line in together.out.splitlines() if line)
    assert sum("epoch   1/5" in line for line in lines.elements()) == 1
    assert lines.most_common(1)[0][1] == 1, "something was said twice"


@pytest.mark.slow
def test_two_processes_split_every_epoch(together: Trained) -> None:
    everything = sorted(photo.name for photo in together.run.photos.split("train"))
    halves = [np.array(draws).reshape(EPOCHS, 36) for draws in together.draws]
    for first, second in zip(*halves, strict=True):
        assert sorted([*first, *second]) == everything
    # Who gets what changes with the epoch.
    assert {*halves[0][0]} != {*halves[0][1]}


@pytest.mark.slow
def test_two_processes_save_the_validated_weights(together: Trained) -> None:
    # Each process judges all validation photos; their mean is one network's figure.
    assert_history_is_of_the_weights(together.run)
    for epoch in range(1, EPOCHS + 1):
        tensors = load_file(together.run.weights(epoch)).values()
        assert all(tensor.isfinite().all() for tensor in tensors)


@pytest.mark.slow
def test_two_processes_resume_with_identical_weights(
    together: Trained, dishes: Path, tmp_path: Path
) -> None:
    """The first epochs of the run, then the rest by --resume: the same bits."""
    out = tmp_path / "run"
    platecheck = Path(sys.executable).with_name("platecheck")
    command = (platecheck, "train", "tiny_vgg", "--data", dishes, "--out", out)
    for epochs, more in ((2, []), (3, ["--resume"])):
        answer = finish(start(*command, *options(epochs=epochs), *TWO, *more))
        assert answer.code == 0, answer.err
    resumed = Run.load(out)
    assert len(resumed.history) == 3
    for epoch in (1, 2, 3):
        theirs = together.run.weights(epoch).read_bytes()
        assert resumed.weights(epoch).read_bytes() == theirs


def test_another_machine_writes_nothing(
    dishes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    build_run(gentle(), dishes, out)
    before = contents(out)
    monkeypatch.setenv("NODE_RANK", "1")
    # The folder is not empty: the first machine has begun the run.
    build_run(gentle("network.frozen=true"), dishes, out)
    assert contents(out) == before
