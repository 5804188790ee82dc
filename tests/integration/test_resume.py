"""A run that was stopped and resumed ends with the very bits of one that was not."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from training_fixtures import (
    HERE,
    Cli,
    finish,
    gentle,
    options,
    same_weights,
    start,
    train,
    without_seconds,
)

from platecheck.errors import DataError, ModelError, RecipeError
from platecheck.training.run import Run
from platecheck.training.train import build_run

pytest_plugins = ["training_fixtures.fixtures"]

EPOCHS = 3


@pytest.fixture(scope="module")
def unbroken(dishes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(gentle(epochs=EPOCHS), dishes, tmp_path_factory.mktemp("unbroken") / "run")


def stopped_at(
    moment: str, epoch: int, name: str, *arguments: str | Path
) -> "subprocess.Popen[str]":
    """The command line in a process of its own, stopped at a moment of an epoch."""
    return start(sys.executable, HERE / "stop_at.py", moment, str(epoch), name, *arguments)


def assert_same(resumed: Run, unbroken: Run) -> None:
    assert same_weights(resumed, unbroken)
    assert without_seconds(resumed.history) == without_seconds(unbroken.history)
    assert resumed.best_epoch == unbroken.best_epoch
    assert resumed.temperature == unbroken.temperature
    assert resumed.finished
    leftovers = [p for p in resumed.folder.rglob("*") if "part" in p.name]
    assert leftovers == []


def wait_for_the_group_to_end(group: int) -> None:
    """Fail if processes of the group are still there when patience ends."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)
    pytest.fail("processes were left behind")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "epoch", "finished"),
    [
        pytest.param("checkpoint", 1, 0, id="between the first epoch's weights and its state"),
        pytest.param("checkpoint", 2, 1, id="between a later epoch's weights and its state"),
    ],
)
def test_killed_run_resumes_with_identical_weights(
    moment: str, epoch: int, finished: int, unbroken: Run, dishes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = stopped_at(
        moment, epoch, "SIGKILL",
        "train", "tiny_vgg", "--data", dishes, "--out", out, *options(epochs=EPOCHS),
    )  # fmt: skip
    answer = finish(process)
    assert answer.code == -signal.SIGKILL, answer.err
    killed = Run.load(out)
    assert killed.checkpoint.is_file() == (finished > 0)
    # The weights of the epoch that was not quite done are there, or there were none yet.
    assert killed.weights(epoch).is_file() == (moment == "checkpoint")
    assert not killed.weights(epoch + 1).exists()
    # What a kill may leave while a file is being written.
    for half in (out / ".part-last.ckpt", out / "weights" / ".part-u2k.safetensors"):
        half.parent.mkdir(exist_ok=True)
        half.write_bytes(b"half of it")
    assert_same(train(gentle(epochs=EPOCHS), dishes, out, resume=True), unbroken)


@pytest.mark.slow
def test_ctrl_c_prints_the_command_to_resume_and_ends_all_processes(
    cli: Cli, unbroken: Run, dishes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    process = stopped_at(
        "batch", 2, "SIGINT", "train", "tiny_vgg", "--data", dishes, "--out", out,
        *options(epochs=EPOCHS), "--workers", "2",
    )  # fmt: skip
    said = finish(process)
    assert said.code == 130, said.err
    assert "Traceback" not in said.out + said.err
    wait_for_the_group_to_end(process.pid)
    assert len(Run.load(out).history) == 1
    # What it says is what to type.
    command, *typed = shlex.split(said.out.splitlines()[-1])
    assert command == "platecheck"
    answer = cli(*typed)
    assert answer.code == 0, answer.err
    assert "epoch   2/3" in answer.out
    assert "epoch   1/3" not in answer.out
    assert_same(Run.load(out), unbroken)


@pytest.fixture
def finished(unbroken: Run, tmp_path: Path) -> Path:
    """A copy of the unbroken run, to be resumed."""
    return Path(shutil.copytree(unbroken.folder, tmp_path / "finished"))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestFinishedRun:
    def test_resume_changes_nothing(
        self, cli: Cli, finished: Path, unbroken: Run, dishes: Path
    ) -> None:
        answer = cli(
            "train", "tiny_vgg", "--data", dishes, "--out", finished, "--resume",
            *options(epochs=EPOCHS),
        )  # fmt: skip
        assert answer.code == 0, answer.err
        assert "best epoch" in answer.out
        run = Run.load(finished)
        assert run.history == unbroken.history
        assert_same(run, unbroken)

    def test_resume_with_more_epochs_continues(
        self, trained: Run, finished: Path, dishes: Path
    ) -> None:
        longer = train(gentle(), dishes, finished, resume=True)
        assert longer.recipe.epochs == 5
        assert_same(longer, trained)

    def test_resumed_schedule_remembers_the_best_loss(
        self, standstill: tuple[str, ...], dishes: Path, tmp_path: Path
    ) -> None:
        # Not in the epoch after it is resumed, nor later, is the loss a better one.
        whole = train(gentle(*standstill, epochs=4), dishes, tmp_path / "whole")
        train(gentle(*standstill, epochs=2), dishes, tmp_path / "parts")
        resumed = train(gentle(*standstill, epochs=4), dishes, tmp_path / "parts", resume=True)
        assert_same(resumed, whole)

    def test_resume_with_fewer_epochs_is_refused_and_changes_nothing(
        self, cli: Cli, finished: Path, dishes: Path
    ) -> None:
        before = contents(finished)
        answer = cli(
            "train", "tiny_vgg", "--data", dishes, "--out", finished, "--resume",
            *options(epochs=2),
        )  # fmt: skip
        assert answer.code == 2
        assert "has 3 finished epochs; --epochs 2 would be fewer" in answer.err
        assert contents(finished) == before

    @pytest.mark.parametrize(("change", "seed"), [("optimizer.lr=0.01", 0), ("batch_size=8", 1)])
    def test_resume_with_another_recipe_or_seed_is_refused_and_changes_nothing(
        self, change: str, seed: int, finished: Path, dishes: Path
    ) -> None:
        before = contents(finished)
        wanted = "started with --seed 0" if seed else "was started with another recipe; see"
        with pytest.raises(RecipeError, match=wanted):
            build_run(gentle(change, epochs=9), dishes, finished, seed=seed, resume=True)
        assert contents(finished) == before

    @pytest.mark.parametrize("change", ["changed", "moved to another class"])
    def test_resume_with_other_photos_is_refused_and_changes_nothing(
        self, change: str, finished: Path, dishes: Path, tmp_path: Path
    ) -> None:
        data = Path(shutil.copytree(dishes, tmp_path / "other"))
        photo = data / "train" / "dirty" / "001.jpg"
        match change:
            case "changed":
                shutil.copy(data / "train" / "dirty" / "003.jpg", photo)
            case _:
                photo.rename(data / "train" / "clean" / "001.jpg")
        before = contents(finished)
        with pytest.raises(DataError, match="no longer contains the photos"):
            build_run(gentle(epochs=EPOCHS), data, finished, resume=True)
        assert contents(finished) == before

    def test_resume_with_another_split_is_refused(self, finished: Path, dishes: Path) -> None:
        with pytest.raises(DataError, match="split differently"):
            build_run(gentle(epochs=EPOCHS), dishes, finished, split_seed=1, resume=True)

    def test_resume_with_moved_photos_records_their_new_folder(
        self, finished: Path, unbroken: Run, dishes: Path, tmp_path: Path
    ) -> None:
        data = Path(shutil.copytree(dishes, tmp_path / "elsewhere"))
        run = build_run(gentle(epochs=EPOCHS), data, finished, resume=True).run
        assert run.facts.fingerprint == unbroken.facts.fingerprint
        assert Run.load(finished).facts.data == str(data)


class TestKilledBeforeRunJson:
    @pytest.mark.parametrize("frozen", [False, True])
    def test_resume_starts_again(self, frozen: bool, dishes: Path, tmp_path: Path) -> None:
        recipe = gentle(f"network.frozen={frozen}", epochs=1)
        out = tmp_path / "run"
        build_run(recipe, dishes, out)
        whole = contents(out)
        (out / "run.json").unlink()
        (out / ".part-8x3k.json").write_text("{")
        assert build_run(recipe, dishes, out, resume=True).checkpoint is None
        assert contents(out) == whole

    def test_frozen_backbone_of_another_seed_is_replaced(
        self, dishes: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        build_run(gentle("network.frozen=true"), dishes, out, seed=1)
        (out / "run.json").unlink()
        begun = build_run(gentle("network.frozen=true"), dishes, out, seed=2, resume=True)
        fresh = build_run(gentle("network.frozen=true"), dishes, tmp_path / "fresh", seed=2)
        assert begun.run.frozen_weights.read_bytes() == fresh.run.frozen_weights.read_bytes()

    def test_resume_without_a_run_is_refused(self, dishes: Path, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(ModelError, match="is not a run folder and cannot be resumed"):
            build_run(gentle(), dishes, tmp_path, resume=True)
        with pytest.raises(ModelError, match="nothing to resume: there is no"):
            build_run(gentle(), dishes, tmp_path / "nowhere", resume=True)
