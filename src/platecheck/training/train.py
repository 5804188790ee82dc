"""Train a recipe on a folder of photos: :func:`prepare`, then :func:`fit`."""

import logging
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from platecheck.data.exclusions import read_exclusions, without
from platecheck.data.folders import PhotoSet, read_photos
from platecheck.data.splits import division_of, with_validation
from platecheck.data.statistics import channel_statistics
from platecheck.errors import DataError, ModelError, RecipeError
from platecheck.files import PART, replacing
from platecheck.training import torchvision_guard
from platecheck.training.augmentation import IMAGENET
from platecheck.training.recipe import Normalization, Recipe, load_recipe
from platecheck.training.run import Run, RunFacts

torchvision_guard.install()

from lightning.fabric.utilities.exceptions import MisconfigurationException  # noqa: E402
from lightning.pytorch import Trainer  # noqa: E402
from lightning.pytorch.callbacks import Callback  # noqa: E402
from lightning.pytorch.loggers import TensorBoardLogger  # noqa: E402
from lightning_utilities.core.rank_zero import rank_zero_only  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from platecheck.training.calibrate import calibrate  # noqa: E402
from platecheck.training.datamodule import PlateDataModule, dirty_class, mix  # noqa: E402
from platecheck.training.export import export  # noqa: E402
from platecheck.training.keeper import OnEpoch, RunKeeper  # noqa: E402
from platecheck.training.module import PlateModule  # noqa: E402
from platecheck.training.networks import PlateNet, build_network  # noqa: E402
from platecheck.training.pretrained import load_pretrained, read_state  # noqa: E402
from platecheck.training.teacher import Teacher  # noqa: E402

# Apart from the seeds that epochs and steps are given.
SEED_OF_WEIGHTS = 2**32
RECORDED = ("torch", "torchvision", "timm", "lightning", "numpy", "pillow", "onnxruntime")


@dataclass(frozen=True)
class Settings:
    """How to run, none of which belongs to the recipe; handed to Lightning's ``Trainer``."""

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    precision: str = "32-true"
    workers: int | None = None


class Interrupted(Exception):  # noqa: N818 -- it is no error
    """The user pressed Ctrl-C; everything up to the last finished epoch is saved."""


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to train: photos read, network built, run folder begun."""

    run: Run
    network: PlateNet
    settings: Settings
    checkpoint: Path | None


def prepare(
    recipe: Recipe,
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    split_seed: int = 0,
    resume: bool = False,
    strict: bool = False,
    exclude: Path | None = None,
    settings: Settings | None = None,
    on_photo: Callable[[], None] | None = None,
) -> Prepared:
    """Read the photos, build the network and begin the run folder.

    Args:
        recipe: the experiment.
        data: folder of photos.
        out: the run folder; must not hold a run unless `resume`.
        seed: decides first weights, order, augmentation and dropout.
        split_seed: decides the division where there are no validation photos; apart from `seed`,
            so that runs with several seeds are judged on the same photos.
        resume: go on where a killed run stopped; ends with the weights of an unbroken one.
        strict: refuse unreadable photos instead of leaving them out.
        exclude: table of photos to leave out, which ``platecheck audit`` proposes; applied after
            the division, so that the other photos stay in their splits.
        settings: device, precision, processes.
        on_photo: called for each photo that is read.

    Raises:
        DataError: the photos are not as expected, or not those that the resumed run saw.
        ModelError: the weights to start from, the teacher, or the run to resume, cannot be used.
        RecipeError: the resumed run was started with another recipe.
    """
    settings = settings or Settings()
    out = Path(out)
    resumed = _to_resume(out, recipe, seed) if resume else None
    if not resume and first_process() and out.exists() and any(out.iterdir()):
        raise DataError(f"{out} exists and is not empty; add --resume or choose another --out")

    photos = read_photos(data, strict=strict, on_photo=on_photo)
    divided = with_validation(photos, seed=split_seed, learnt=recipe.learn_from_val)
    if exclude is not None:
        divided = without(divided, read_exclusions(exclude))
    facts = _facts(recipe, photos, divided, seed, split_seed, settings)
    if resumed and resumed.facts.fingerprint != facts.fingerprint:
        raise DataError(
            f"{data} no longer holds the photos that {out} was started with, or they are divided"
            " in another way"
        )
    _check_teacher(recipe, facts)
    return _ready(Run(out, recipe, facts, divided), settings, resumed=resumed is not None)


def _ready(run: Run, settings: Settings, *, resumed: bool) -> Prepared:
    """Build the network, and begin the run folder or clear what a kill has left in it."""
    recipe = run.recipe
    torch.manual_seed(mix(run.facts.seed, SEED_OF_WEIGHTS))
    network = build_network(recipe.network, classes=len(run.facts.classes), size=recipe.input.size)
    if resumed and network.frozen:
        network.backbone.load_state_dict(read_state(run.frozen_weights))
    else:
        load_pretrained(network, recipe.network)
    if first_process():
        for leftover in run.folder.rglob(f"{PART}*"):
            leftover.unlink()
        if network.frozen and not resumed:
            _save_frozen(run, network)
        run.save()
    checkpoint = run.checkpoint if resumed and run.checkpoint.is_file() else None
    return Prepared(run, network, settings, checkpoint)


def _check_teacher(recipe: Recipe, facts: RunFacts) -> None:
    """Mistakes first, before anything is trained.

    Raises:
        ModelError, DataError: as :meth:`Teacher.check`.
        RecipeError: the teacher's recipe cannot be used.
    """
    wanted = recipe.teacher
    if wanted and wanted.model:
        Teacher(wanted.model).check(facts.classes, facts.division)
    elif wanted and wanted.recipe:
        theirs = load_recipe(wanted.recipe)
        if theirs.teacher:
            raise RecipeError(f"the teacher's recipe, {wanted.recipe}, has a teacher itself")
        if theirs.learn_from_val != recipe.learn_from_val:
            raise RecipeError(
                f"learn_from_val is {recipe.learn_from_val}, but {theirs.learn_from_val} in the"
                f" teacher's recipe, {wanted.recipe}: it would see what judges its student"
            )


def fit(
    prepared: Prepared,
    *,
    on_epoch: OnEpoch | None = None,
    on_teacher: Callable[[Run], None] | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Train what :func:`prepare` prepared, and keep everything in the run folder.

    Args:
        prepared: the run.
        on_epoch: called in the first process after every epoch, with the run that it belongs to.
        on_teacher: called before a teacher is trained, with its run.
        callbacks: more of Lightning's, a progress bar say.

    Returns:
        The finished run.

    Raises:
        Interrupted: Ctrl-C.
        ModelError: the accelerator, devices or precision are not to be had here.
    """
    _quieten()
    teacher = _teacher(prepared, on_epoch, on_teacher, callbacks)
    trainer = _learn(prepared, teacher, on_epoch, callbacks)
    if prepared.run.recipe.calibrate and trainer.is_global_zero:
        calibrate(Run.load(prepared.run.folder))
    trainer.strategy.barrier()
    return Run.load(prepared.run.folder)


def _teacher(
    prepared: Prepared,
    on_epoch: OnEpoch | None,
    on_teacher: Callable[[Run], None] | None,
    callbacks: Sequence[Callback],
) -> Teacher | None:
    """The recipe's teacher; trained now, or from where it was stopped, if it has to be."""
    wanted, run = prepared.run.recipe.teacher, prepared.run
    if wanted is None or wanted.recipe is None:
        return Teacher(str(wanted.model), flips=wanted.flips) if wanted else None
    file = run.teacher / "model.onnx"
    if not file.is_file():
        recipe = load_recipe(wanted.recipe)
        facts = run.facts.model_copy(update={"normalization": _normalization(recipe, run.photos)})
        theirs = Run(run.teacher, recipe, facts, run.photos)
        ready = _ready(theirs, prepared.settings, resumed=Run.is_run(run.teacher))
        if on_teacher:
            on_teacher(theirs)
        trainer = _learn(ready, None, on_epoch, callbacks)
        if trainer.is_global_zero:
            if recipe.calibrate:
                calibrate(Run.load(run.teacher))
            # It is asked for every photo of every epoch: int8 is several times faster.
            export(Run.load(run.teacher), file, int8=True)
        trainer.strategy.barrier()
    return Teacher(str(file), flips=wanted.flips)


def _learn(
    prepared: Prepared,
    teacher: Teacher | None,
    on_epoch: OnEpoch | None,
    callbacks: Sequence[Callback],
) -> Trainer:
    run, recipe, settings = prepared.run, prepared.run.recipe, prepared.settings
    network = prepared.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    module = PlateModule(
        network,
        recipe,
        classes=len(run.facts.classes),
        seed=run.facts.seed,
        dirty=dirty_class(run.facts.classes),
    )
    datamodule = PlateDataModule(
        run.photos,
        recipe,
        run.facts.normalization,
        seed=run.facts.seed,
        teacher=teacher,
        workers=settings.workers,
    )
    try:
        trainer = Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.nodes,
            precision=settings.precision,  # type: ignore[arg-type]
            max_epochs=recipe.epochs,
            callbacks=[*callbacks, RunKeeper(run, on_epoch)],
            logger=TensorBoardLogger(run.folder, name="", version="tensorboard"),
            default_root_dir=run.folder,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            gradient_clip_val=recipe.optimizer.clip_gradient,
            enable_model_summary=False,
            enable_progress_bar=False,
            deterministic="warn",
        )
    except (MisconfigurationException, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"cannot train with {settings}: {str(error).splitlines()[0]}") from error
    try:
        trainer.fit(module, datamodule, ckpt_path=prepared.checkpoint, weights_only=True)
    except SystemExit as error:  # what Lightning makes of Ctrl-C
        raise Interrupted from error
    return trainer


def _to_resume(out: Path, recipe: Recipe, seed: int) -> Run | None:
    """The run to go on with, or None when it was killed before it wrote anything."""
    if not out.exists():
        raise ModelError(f"nothing to resume: there is no {out}")
    if not Run.is_run(out):
        # What is written before run.json.
        ours = ("weights", "recipe.yaml", "photos.csv", PART)
        if any(not entry.name.startswith(ours) for entry in out.iterdir()):
            raise ModelError(f"{out} is not a run folder, it cannot be resumed")
        return None
    run = Run.load(out)
    if run.recipe.model_copy(update={"epochs": recipe.epochs}) != recipe:
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


def _facts(
    recipe: Recipe,
    photos: PhotoSet,
    divided: PhotoSet,
    seed: int,
    split_seed: int,
    settings: Settings,
) -> RunFacts:
    return RunFacts(
        platecheck=_version("platecheck"),
        seed=seed,
        data=str(photos.folder.resolve()),
        fingerprint=divided.fingerprint(),
        classes=photos.classes,
        division=division_of(photos, seed=split_seed, learnt=recipe.learn_from_val),
        normalization=_normalization(recipe, divided),
        unreadable={error.source: error.reason for error in photos.unreadable},
        settings={**vars(settings), "threads": torch.get_num_threads()},
        versions={"python": platform.python_version()} | {n: _version(n) for n in RECORDED},
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
    )


def _normalization(recipe: Recipe, photos: PhotoSet) -> Normalization:
    wanted = recipe.input.normalize
    if isinstance(wanted, Normalization):
        return wanted
    if wanted == "imagenet":
        return IMAGENET
    paths = [photo.path for photo in photos.split("train")]
    measured = channel_statistics(paths, size=recipe.input.size)
    return Normalization(mean=measured.mean, std=measured.std)


def _save_frozen(run: Run, network: PlateNet) -> None:
    state = {
        key: tensor.clone(memory_format=torch.contiguous_format)
        for key, tensor in network.backbone.state_dict().items()
    }
    with replacing(run.frozen_weights) as temporary:
        save_file(state, temporary)


def first_process() -> bool:
    """Whether this process, of those that train together, is the one that writes and prints."""
    # Before the Trainer exists, Lightning knows of the processes of this machine alone.
    first_machine = os.environ.get("NODE_RANK", "0") == "0"
    return first_machine and getattr(rank_zero_only, "rank", 0) == 0


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _quieten() -> None:
    """Keep Lightning's advice, meant for programmers, out of the user's sight."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("lightning.fabric").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
