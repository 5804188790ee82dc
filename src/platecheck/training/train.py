"""Set up runs and train their epochs; `platecheck.api.train` is the entry point."""

import logging
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from itertools import count, takewhile
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch

from platecheck.data.boxes import BoxedPhotoSet, Boxes, read_boxed_photos
from platecheck.data.exclusions import read_exclusions, without
from platecheck.data.folders import PhotoSet, read_photos
from platecheck.data.splits import describe_split, with_validation
from platecheck.data.statistics import channel_statistics
from platecheck.errors import DataError, ModelError, RecipeError
from platecheck.files import (
    LOCK,
    OUTPUT_MARKER,
    TEMPORARY,
    check_writable,
    locked,
    mark_output,
    replacing,
)
from platecheck.model_info import first_line
from platecheck.training import torchvision_guard
from platecheck.training.augmentation import IMAGENET
from platecheck.training.recipe import Normalization, Recipe
from platecheck.training.run import Run, RunFacts

torchvision_guard.install()

from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: E402
from lightning.pytorch import Trainer  # noqa: E402
from lightning.pytorch.callbacks import Callback  # noqa: E402
from lightning.pytorch.loggers import TensorBoardLogger  # noqa: E402
from lightning_utilities.core.rank_zero import rank_zero_only  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from platecheck.training.callbacks import OnEpoch, RunCheckpoint  # noqa: E402
from platecheck.training.datamodule import derive_seed  # noqa: E402
from platecheck.training.detection.datamodule import drawn_kinds  # noqa: E402
from platecheck.training.detection.network import DishDetector, build_detector  # noqa: E402
from platecheck.training.memory import keep_freed_memory  # noqa: E402
from platecheck.training.modules import build_modules  # noqa: E402
from platecheck.training.plate_net import PlateNet, build_network  # noqa: E402
from platecheck.training.pretrained import load_pretrained, read_state  # noqa: E402
from platecheck.training.teacher import TeacherModel  # noqa: E402

# Distinct from the seeds of epochs and steps.
SEED_OF_WEIGHTS = 2**32
# Parent of run folders without --out.
RUNS = Path("runs")
# Environment variable that passes the run folder to the processes that Lightning starts.
RUN_FOLDER = "PLATECHECK_RUN_FOLDER"
BUSY = "wait for it to finish, or use another folder with --out"
RECORDED = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow", "onnxruntime")


@dataclass(frozen=True)
class TrainerSettings:
    """Hardware settings for Lightning's ``Trainer``, which are not part of the recipe."""

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    precision: str = "32-true"
    workers: int | None = None


class Interrupted(KeyboardInterrupt):
    """The user pressed Ctrl-C; all finished epochs are saved."""


@dataclass(frozen=True)
class TrainingSetup:
    """A run that is ready to train: photos read, network built, run folder created and locked.

    Attributes:
        checkpoint: the state to resume from.
        note: how the classes of the initial weights were matched; "" if unchanged.
        boxes: those of the photos, by name, for a detector.
        held: holds the lock of the run folder.
    """

    run: Run
    network: PlateNet | DishDetector
    settings: TrainerSettings
    checkpoint: Path | None
    note: str = ""
    boxes: Mapping[str, Boxes] = field(default_factory=dict, repr=False)
    held: ExitStack = field(default_factory=ExitStack, repr=False, compare=False)


def build_run(
    recipe: Recipe,
    data: Path,
    out: Path | None = None,
    *,
    seed: int = 0,
    split_seed: int = 0,
    resume: bool = False,
    strict: bool = False,
    exclude: Path | None = None,
    settings: TrainerSettings | None = None,
    on_photo: Callable[[], None] | None = None,
) -> TrainingSetup:
    """Read the photos, build the network and create the run folder; see `platecheck.api.train`."""
    settings = settings or TrainerSettings()
    _quieten()
    _trainer(settings, logger=False, enable_checkpointing=False)  # report mistakes first
    with ExitStack() as held:
        out = _chosen_by_first_process(out, settings)
        resumed = None
        if resume:
            out = out or [RUNS / recipe.name, *takewhile(Path.exists, _numbered(recipe.name))][-1]
            if first_process() and out.is_dir():
                held.enter_context(locked(out, BUSY))
            resumed = _to_resume(out, recipe, seed)
        elif first_process():
            check_writable(out or RUNS, folder=True)
            _check_empty(out)
        boxes: Mapping[str, Boxes] = {}
        if recipe.detection:
            boxed = read_boxed_photos(data, split_seed=split_seed, strict=strict, on_photo=on_photo)
            photos, boxes = boxed.photos, boxed.boxes
        else:
            photos = read_photos(data, strict=strict, on_photo=on_photo)
        split_photos = with_validation(photos, seed=split_seed, val_to_train=recipe.val_to_train)
        if exclude is not None:
            split_photos = without(split_photos, read_exclusions(exclude))
        fingerprint = split_photos.fingerprint()
        if recipe.detection:
            boxed = BoxedPhotoSet(split_photos, boxes)
            drawn_kinds(boxed, recipe)  # reports what is missing
            fingerprint = boxed.fingerprint()
        facts = RunFacts(
            platecheck=_version("platecheck"),
            seed=seed,
            data=str(photos.folder.resolve()),
            fingerprint=fingerprint,
            classes=photos.classes,
            split_info=describe_split(photos, seed=split_seed, val_to_train=recipe.val_to_train),
            normalization=_normalization(recipe, split_photos),
            unreadable={error.source: error.reason for error in photos.unreadable},
            settings={**vars(settings), "threads": torch.get_num_threads()},
            versions={"python": platform.python_version()} | {n: _version(n) for n in RECORDED},
            command=_command(),
        )
        if resumed and resumed.facts.fingerprint != facts.fingerprint:
            raise DataError(
                f"{data} no longer contains the photos that {out} was started with, or they are"
                " split differently"
            )
        if teacher := _teacher(recipe, facts):
            teacher.check(facts.split_info)
        network, note = _network(recipe, facts, resumed)
        if not resume and first_process():
            out = _claim(out, recipe.name, held)
        assert out is not None, "only the first process chooses a folder"
        os.environ[RUN_FOLDER] = str(out)
        run = Run(out, recipe, facts, split_photos)
        checkpoint = _begin(run, network, resumed=resumed is not None)
        return TrainingSetup(run, network, settings, checkpoint, note, boxes, held.pop_all())


def train_epochs(
    setup: TrainingSetup,
    *,
    on_epoch: OnEpoch | None = None,
    callbacks: list[Callback],
) -> Trainer:
    """Train the remaining epochs; `on_epoch` is called in the first process only.

    Raises:
        Interrupted: Ctrl-C.
        DivergedError: loss or weights are not finite; earlier epochs are kept.
    """
    keep_freed_memory()
    run, recipe, settings = setup.run, setup.run.recipe, setup.settings
    teacher = _teacher(recipe, run.facts)
    module, datamodule = build_modules(
        run, setup.network, setup.boxes, teacher=teacher, workers=settings.workers
    )
    trainer = _trainer(
        settings,
        max_epochs=recipe.epochs,
        callbacks=[*callbacks, RunCheckpoint(run, on_epoch)],
        logger=TensorBoardLogger(run.folder, name="", version="tensorboard"),
        default_root_dir=run.folder,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        gradient_clip_val=recipe.optimizer.clip_gradient,
        deterministic="warn",
    )
    try:
        trainer.fit(module, datamodule, ckpt_path=setup.checkpoint, weights_only=True)
    except SystemExit as error:  # raised by Lightning on Ctrl-C
        raise Interrupted from error
    return trainer


def _chosen_by_first_process(out: Path | None, settings: TrainerSettings) -> Path | None:
    """Return the run folder, the same for all processes; None: this process chooses it."""
    if out is None and not first_process() and (chosen := os.environ.get(RUN_FOLDER)):
        return Path(chosen)
    if out is None and (settings.nodes > 1 or not first_process()):
        raise DataError("several machines need a run folder on a shared file system: pass --out")
    return out


def _network(
    recipe: Recipe, facts: RunFacts, resumed: Run | None
) -> tuple[PlateNet | DishDetector, str]:
    """Build the network; return it and a note about its initial weights."""
    torch.manual_seed(derive_seed(facts.seed, SEED_OF_WEIGHTS))
    if recipe.detection:
        return build_detector(recipe), ""
    network = build_network(recipe.network, classes=len(facts.classes), size=recipe.input.size)
    if resumed and network.frozen:
        network.backbone.load_state_dict(read_state(resumed.frozen_weights))
        return network, ""
    return network, load_pretrained(network, recipe.network, facts.classes)


def _begin(run: Run, network: PlateNet | DishDetector, *, resumed: bool) -> Path | None:
    """Create the run folder, or clean up after a kill; return the checkpoint to resume from."""
    if first_process():
        try:
            mark_output(run.folder)
            for leftover in run.folder.rglob(f"{TEMPORARY}*"):
                leftover.unlink()
            if network.frozen and not resumed:
                _save_frozen(run, network)
            run.save()
        except BaseException:
            if not resumed:  # so that the command can be repeated
                rmtree(run.folder, ignore_errors=True)
            raise
    return run.checkpoint if resumed and run.checkpoint.is_file() else None


def _numbered(recipe: str) -> Iterator[Path]:
    yield RUNS / recipe
    for number in count(2):
        yield RUNS / f"{recipe}-{number}"


def _claim(out: Path | None, recipe: str, held: ExitStack) -> Path:
    """Lock and return the run folder; create a new one if none is given."""
    if out is None:
        RUNS.mkdir(exist_ok=True)
        for free in _numbered(recipe):
            with suppress(FileExistsError):
                free.mkdir()
                out = free
                break
    assert out is not None
    held.enter_context(locked(out, BUSY))
    _check_empty(out)
    return out


def _check_empty(out: Path | None) -> None:
    """Raise unless a folder is empty, apart from the lock and marker of an aborted start."""
    ours = (OUTPUT_MARKER, LOCK)
    if out and out.exists() and any(entry.name not in ours for entry in out.iterdir()):
        raise DataError(f"{out} exists and is not empty; add --resume or choose another --out")


def _teacher(recipe: Recipe, facts: RunFacts) -> TeacherModel | None:
    if (teacher := recipe.teacher) is None:
        return None
    models = (teacher.model,) if isinstance(teacher.model, str) else teacher.model
    return TeacherModel(models, facts.classes, teacher.tta_flips)


def _trainer(settings: TrainerSettings, **options: Any) -> Trainer:
    try:
        return Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,  # type: ignore[arg-type]
            enable_model_summary=False,
            enable_progress_bar=False,
            **options,
        )
    except (MisconfigurationException, ImportError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"cannot train with --accelerator {settings.accelerator} --devices {settings.devices}"
            f" --precision {settings.precision}: {first_line(error)}"
        ) from error


def _to_resume(out: Path, recipe: Recipe, seed: int) -> Run | None:
    if not out.exists():
        raise ModelError(f"nothing to resume: there is no {out}")
    if not Run.is_run(out):
        # Files that are written before run.json.
        ours = ("weights", "recipe.yaml", "photos.csv", TEMPORARY, OUTPUT_MARKER, LOCK)
        if any(not entry.name.startswith(ours) for entry in out.iterdir()):
            raise ModelError(f"{out} is not a run folder and cannot be resumed")
        return None
    run = Run.load(out)
    same = {"epochs": recipe.epochs, "summary": recipe.summary}
    if run.recipe.model_copy(update=same) != recipe:
        raise RecipeError(
            f"{out} was started with another recipe; see {out / 'recipe.yaml'}"
            " and give the same --set options"
        )
    if run.facts.seed != seed:
        raise RecipeError(f"{out} was started with --seed {run.facts.seed}")
    if recipe.epochs < len(run.history):
        raise RecipeError(
            f"{out} has {len(run.history)} finished epochs; --epochs {recipe.epochs} would be fewer"
        )
    return run


def _command() -> str:
    name = Path(sys.argv[0]).name
    program = ["python", "-m", "platecheck"] if name == "__main__.py" else [name]
    return shlex.join([*program, *sys.argv[1:]])


def _normalization(recipe: Recipe, photos: PhotoSet) -> Normalization:
    wanted = recipe.input.normalize
    if isinstance(wanted, Normalization):
        return wanted
    if wanted == "imagenet":
        return IMAGENET
    paths = [photo.path for photo in photos.split("train")]
    measured = channel_statistics(paths, size=recipe.input.size)
    return Normalization(mean=measured.mean, std=measured.std)


def _save_frozen(run: Run, network: PlateNet | DishDetector) -> None:
    state = {
        key: tensor.clone(memory_format=torch.contiguous_format)
        for key, tensor in network.backbone.state_dict().items()
    }
    with replacing(run.frozen_weights) as temporary:
        save_file(state, temporary)


def first_process() -> bool:
    """Whether this is the process, of a distributed training, that writes and prints."""
    # Before the Trainer exists, Lightning knows only the processes of this machine.
    first_machine = os.environ.get("NODE_RANK", "0") == "0"
    return first_machine and getattr(rank_zero_only, "rank", 0) == 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _quieten() -> None:
    """Suppress Lightning's tips and warnings."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
