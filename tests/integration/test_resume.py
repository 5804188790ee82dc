"""A run that was stopped and resumed ends with the very bits of one that was not."""

import os
import shlex
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from training_fixtures import (
    HERE,
    Cli,
    contents,
    finish,
    gentle,
    options,
    same_weights,
    start,
    train,
    without_seconds,
)

from platecheck.errors import DataError, ModelError, RecipeError
from platecheck.training.recipe import Recipe
from platecheck.training.run import Run
from platecheck.training.train import build_run
from tests.support.photos import at_most

pytest_plugins = ["training_fixtures.fixtures"]

EPOCHS = 3


@pytest.fixture(scope="module")
def unbroken(dishes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train(gentle(epochs=EPOCHS), dishes, tmp_path_factory.mktemp("unbroken") / "run")


def assert_same(resumed: Run, unbroken: Run) -> None:
    assert same_weights(resumed, unbroken)
    assert without_seconds(resumed.history) == without_seconds(unbroken.history)
    assert resumed.best_epoch == unbroken.best_epoch
    assert resumed.scaling == unbroken.scaling
    assert resumed.finished
    assert [path for path in resumed.folder.rglob("*") if "part" in path.name] == []


@pytest.mark.slow
@pytest.mark.parametrize("epoch", [1, 2])
def test_killed_run_resumes_with_identical_weights(
    epoch: int, unbroken: Run, dishes: Path, tmp_path: Path
) -> None:
    """Killed between an epoch's weights and the state to resume from."""
    out = tmp_path / "run"
    command = (sys.executable, HERE / "stop_at.py", "SIGKILL", str(epoch), "train", "tiny_vgg")
    answer = finish(start(*command, "--data", dishes, "--out", out, *options(epochs=EPOCHS)))
    assert answer.code == -signal.SIGKILL, answer.err
    killed = Run.load(out)
    assert killed.checkpoint.is_file() == (epoch > 1)
    assert killed.weights(epoch).is_file()
    assert not killed.weights(epoch + 1).exists()
    # What a kill may leave while a file is being written.
    for half in (out / ".part-last.ckpt", out / "weights" / ".part-u2k.safetensors"):
        half.write_bytes(b"half of it")
    assert_same(train(gentle(epochs=EPOCHS), dishes, out, resume=True), unbroken)


@pytest.mark.slow
def test_ctrl_c_prints_the_command_to_resume_and_ends_all_processes(
    cli: Cli, unbroken: Run, dishes: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    command = (sys.executable, HERE / "stop_at.py", "SIGINT", "2", "train", "tiny_vgg")
    where = ("--data", dishes, "--out", out, *options(epochs=EPOCHS), "--workers", "2")
    process = start(*command, *where)
    said = finish(process)
    assert said.code == 130, said.err
    assert "Traceback" not in said.out + said.err
    with at_most(60), suppress(ProcessLookupError):
        while True:
            os.killpg(process.pid, 0)
            time.sleep(0.1)
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


class TestFinishedRun:
    def test_resume_changes_nothing(
        self, cli: Cli, finished: Path, unbroken: Run, dishes: Path
    ) -> None:
        where = ("--data", dishes, "--out", finished, "--resume")
        answer = cli("train", "tiny_vgg", *where, *options(epochs=EPOCHS))
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

    @pytest.mark.parametrize(
        ("recipe", "seeds", "said"),
        [
            (gentle(epochs=2), {}, "has 3 finished epochs; --epochs 2 would be fewer"),
            (gentle("optimizer.lr=0.01", epochs=9), {}, "was started with another recipe; see"),
            (gentle(epochs=9), {"seed": 1}, "started with --seed 0"),
            (gentle(epochs=EPOCHS), {"split_seed": 1}, "split differently"),
        ],
    )
    def test_resume_of_another_run_is_refused_and_changes_nothing(
        self, recipe: Recipe, seeds: dict[str, int], said: str, finished: Path, dishes: Path
    ) -> None:
        before = contents(finished)
        with pytest.raises(DataError if "split_seed" in seeds else RecipeError, match=said):
            build_run(recipe, dishes, finished, resume=True, **seeds)
        assert contents(finished) == before

    @pytest.mark.parametrize("moved", [False, True])
    def test_resume_with_other_photos_is_refused_and_changes_nothing(
        self, moved: bool, finished: Path, dishes: Path, tmp_path: Path
    ) -> None:
        data = Path(shutil.copytree(dishes, tmp_path / "other"))
        photo = data / "train" / "dirty" / "001.jpg"
        if moved:
            photo.rename(data / "train" / "clean" / "001.jpg")
        else:
            shutil.copy(photo.with_name("003.jpg"), photo)
        before = contents(finished)
        with pytest.raises(DataError, match="no longer contains the photos"):
            build_run(gentle(epochs=EPOCHS), data, finished, resume=True)
        assert contents(finished) == before

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
        recipe, out = gentle("network.frozen=true"), tmp_path / "run"
        build_run(recipe, dishes, out, seed=1)
        (out / "run.json").unlink()
        begun = build_run(recipe, dishes, out, seed=2, resume=True).run
        fresh = build_run(recipe, dishes, tmp_path / "fresh", seed=2).run
        assert begun.frozen_weights.read_bytes() == fresh.frozen_weights.read_bytes()

    def test_resume_without_a_run_is_refused(self, dishes: Path, tmp_path: Path) -> None:
        (tmp_path / "letter.txt").write_text("dear")
        with pytest.raises(ModelError, match="is not a run folder and cannot be resumed"):
            build_run(gentle(), dishes, tmp_path, resume=True)
        with pytest.raises(ModelError, match="nothing to resume: there is no"):
            build_run(gentle(), dishes, tmp_path / "nowhere", resume=True)
