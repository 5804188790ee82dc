import errno
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file, save_file
from training_fixtures import SETTINGS, Cli, gentle, options, train

from platecheck.errors import DataError, ModelError, OutputError
from platecheck.evaluation import plots
from platecheck.export.pipeline import train_run
from platecheck.files import LOCK, OUTPUT_MARKER, is_output, locked
from platecheck.training import callbacks
from platecheck.training.callbacks import DivergedError
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor
from platecheck.training.train import TrainerSettings, build_run

pytest_plugins = ["training_fixtures.fixtures"]


class TestLock:
    @pytest.mark.slow
    def test_default_folders_are_numbered(
        self, dishes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        begun = [build_run(gentle(), dishes, None, settings=SETTINGS) for _ in range(3)]
        names = [str(each.run.folder) for each in begun]
        assert names == ["runs/tiny_vgg", "runs/tiny_vgg-2", "runs/tiny_vgg-3"]
        assert all(is_output(each.run.folder) for each in begun)

    def test_folder_in_use_is_refused_with_its_process(self, dishes: Path, tmp_path: Path) -> None:
        out = tmp_path / "run"
        begun = build_run(gentle(), dishes, out)
        with pytest.raises(DataError):
            build_run(gentle(), dishes, out)
        with pytest.raises(DataError) as caught:
            build_run(gentle(), dishes, out, resume=True)
        assert f"another process ({os.getpid()} on " in str(caught.value)
        assert f"is using {out}; wait for it to finish, or" in str(caught.value)
        assert Run.load(out).recipe == gentle()  # to read it is allowed
        del begun
        assert not (out / LOCK).exists()
        build_run(gentle(), dishes, out, resume=True)

    def test_lock_of_a_killed_process_is_released(self, tmp_path: Path) -> None:
        script = (
            "import os, sys, time; from pathlib import Path\n"
            "from platecheck.files import locked\n"
            "with locked(Path(sys.argv[1])):\n"
            "    ends = os.pipe()\n"
            "    if os.fork() == 0: os.write(ends[1], b'!'); time.sleep(60); os._exit(0)\n"
            "    os.read(ends[0], 1)\n"
            "    os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
        assert (tmp_path / LOCK).exists()
        with locked(tmp_path):  # though a child of it lives on
            pass

    @pytest.mark.parametrize("left", [(), (OUTPUT_MARKER,), (OUTPUT_MARKER, LOCK)])
    @pytest.mark.parametrize("resume", [False, True])
    def test_folder_with_only_lock_and_marker_can_be_used(
        self, left: tuple[str, ...], resume: bool, dishes: Path, tmp_path: Path
    ) -> None:
        for name in left:
            (tmp_path / name).touch()
        assert build_run(gentle(), dishes, tmp_path, resume=resume).checkpoint is None


class TestEarlyChecks:
    @pytest.mark.parametrize(
        "options", [{"precision": "17"}, {"accelerator": "abacus"}, {"devices": 0}]
    )
    def test_settings_are_checked_before_photos_are_read(
        self, options: dict[str, Any], tmp_path: Path
    ) -> None:
        settings = TrainerSettings(**{"accelerator": "cpu", **options})
        out = tmp_path / "run"
        with pytest.raises(ModelError, match=f"--precision {settings.precision}: "):
            build_run(gentle(), tmp_path / "no photos here", out, settings=settings)
        assert not out.exists()

    def test_out_is_checked_before_photos_are_read(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        for out in (tmp_path / "file" / "run", Path("/proc/nowhere/run")):
            with pytest.raises(OutputError, match=r"cannot be written: .*; choose another"):
                build_run(gentle(), tmp_path / "no photos here", out)
        with pytest.raises(DataError, match="is not a folder"):
            build_run(gentle(), tmp_path / "no photos here", tmp_path / "file")

    @pytest.mark.parametrize(
        "command",
        [
            ["export", "RUN", "-o", "FILE/x.onnx"],
            ["report", "RUN", "-o", "FILE/x.html"],
            ["audit", "PHOTOS", "--report", "FILE/x.html"],
            ["audit", "PHOTOS", "--write-exclusions", "FILE/x.csv"],
            ["predict", "PHOTOS", "--heatmap", "FILE/x"],
            ["data", "render", "FILE/x"],
        ],
    )
    def test_output_is_checked_first(self, command: list[str], cli: Cli, tmp_path: Path) -> None:
        (tmp_path / "FILE").touch()
        # Neither the run nor the photos exist: that would be said next.
        answer = cli(*(str(tmp_path / part) if "FILE" in part else part for part in command))
        assert answer.code == 2
        assert "cannot be written: Not a directory" in answer.err


class TestFullDisk:
    @pytest.mark.slow
    def test_full_disk_names_the_file_and_the_run_resumes(
        self, cli: Cli, dishes: Path, small_disk: Path, tmp_path: Path
    ) -> None:
        out, ballast = small_disk / "run", small_disk / "ballast"
        command = ("train", "tiny_vgg", "--data", dishes, "--out", out, *options(epochs=1))
        for left in (150, 550):  # 1: the weights do not fit, 2: nor does the checkpoint
            shutil.rmtree(out, ignore_errors=True)
            ballast.write_bytes(bytes(shutil.disk_usage(small_disk).total - left * 1024))
            answer = cli(*command)
            assert answer.code == 2
            (line,) = answer.err.splitlines()
            assert line.startswith(f"error: {out}")
            assert "cannot be written: No space left on device; free some space, then use" in line
            ballast.unlink()
        assert cli(*command, "--resume").code == 0
        assert Run.load(out).finished
        with suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass
        answer = cli("export", out, "-o", small_disk / "m.onnx")
        assert answer.code == 2
        assert f"{small_disk / 'm.onnx'} cannot be written: No space left" in answer.err

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
    def test_full_disk_met_by_a_library_is_an_output_error(
        self, number: int, dishes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: Any, **__: Any) -> None:
            raise RuntimeError(f"I/O error: (os error {number})")

        monkeypatch.setattr(callbacks, "save_file", full)
        out = tmp_path / "run"
        with pytest.raises(OutputError) as caught:
            train(gentle(epochs=1), dishes, out)
        wanted = f"{out / 'weights/epoch-001.safetensors'} cannot be written: {os.strerror(number)}"
        assert str(caught.value).startswith(wanted)
        monkeypatch.undo()
        assert train(gentle(epochs=1), dishes, out, resume=True).finished


class TestDivergence:
    def test_divergence_keeps_and_calibrates_earlier_epochs(
        self, dishes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "run"
        begun = build_run(gentle(epochs=5), dishes, out, settings=SETTINGS)

        def spoil(*_: object) -> None:
            if len(Run.load(out).history) == 2:
                with torch.no_grad():
                    begun.network.head[0].weight.fill_(torch.nan)

        monkeypatch.setattr(plots, "save", spoil)
        with pytest.raises(
            DivergedError, match=r"diverged in epoch 3: .* the 2 before it are kept"
        ):
            train_run(begun, Console(quiet=True))
        run = Run.load(out)
        assert [row["epoch"] for row in run.history] == [1, 2]
        assert run.calibration.is_file()
        assert TorchPredictor(run).epoch == run.best_epoch
        assert not run.weights(3).exists()

    def test_divergence_in_the_first_epoch_exports_nothing(
        self, cli: Cli, dishes: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "run"
        how = options("optimizer={name: sgd, lr: 1.0e30}", epochs=3)
        answer = cli("train", "tiny_vgg", "--data", dishes, "--out", out, *how)
        assert answer.code == 2
        assert "the training diverged in epoch 1: " in answer.err
        assert "--set optimizer.lr=" in answer.err
        assert cli("export", out, "-o", tmp_path / "m.onnx").code == 2
        assert not (tmp_path / "m.onnx").exists()

    def test_weights_that_are_not_finite_are_refused(self, trained: Run, tmp_path: Path) -> None:
        run = Run.load(Path(shutil.copytree(trained.folder, tmp_path / "run")))
        state = {key: tensor * torch.nan for key, tensor in load_file(run.weights(2)).items()}
        save_file(state, run.weights(2))
        with pytest.raises(ModelError, match=r"weights of epoch 2 .* are not finite"):
            TorchPredictor(run, epoch=2)


def test_data_option_finds_moved_photos(
    cli: Cli, trained: Run, dishes: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained.folder, tmp_path / "run"))
    facts = (run / "run.json").read_text()
    (run / "run.json").write_text(facts.replace(str(dishes), str(tmp_path / "gone")))
    command = ("export", run, "-o", tmp_path / "m.onnx")
    answer = cli(*command)
    assert answer.code == 2
    assert "pass their location with --data" in answer.err
    answer = cli(*command, "--data", dishes)
    assert answer.code == 0, answer.err


@pytest.mark.parametrize("layout", ["train and val", "no splits", "odd names"])
def test_printed_next_command_works(
    layout: str, cli: Cli, dishes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, out = Path("photos"), Path("run")
    if layout == "odd names":
        data, out = Path("it's [red] photos"), Path("-run $HOME")
    if layout == "no splits":
        shutil.copytree(dishes / "train", data)
    else:
        shutil.copytree(dishes, data)
    if layout == "train and val":
        (data / "test").rename(data / "val")
    answer = cli("train", "tiny_vgg", f"--data={data}", f"--out={out}", *options(epochs=1))
    assert answer.code == 0, answer.err
    (line,) = [line for line in answer.out.splitlines() if line.startswith("next: ")]
    command, *typed = shlex.split(line.removeprefix("next: "))
    assert command == "platecheck"
    answer = cli(*typed)
    assert answer.code == 0, answer.err
