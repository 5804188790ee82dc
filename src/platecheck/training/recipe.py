"""Recipes: YAML files that fully specify an experiment."""

import copy
import difflib
import os
import typing
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from platecheck.errors import RecipeError, warn_renamed
from platecheck.model_info import first_line
from platecheck.training.networks import NETWORKS, find_network


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


_Positive = Annotated[float, Field(gt=0)]
_Share = Annotated[float, Field(ge=0, le=1)]

# Deprecated spellings of keys and shipped recipes, accepted until 0.3.
RENAMED_KEYS = {
    "learn_from_val": "val_to_train",
    "averaging": "ema_decay",
    "schedule.warm_up": "schedule.pct_start",
    "teacher.flips": "teacher.tta_flips",
    "network.evidence": "network.heatmap",
    "augmentation.robust.tables": "augmentation.robust.backgrounds",
    "augmentation.robust.tables_ramp": "augmentation.robust.backgrounds_ramp",
}
RENAMED_RECIPES = {"efficientnet_lite2_letter": "efficientnet_lite2_fullaug"}


class Network(_Part):
    """Architecture, initial weights and what is trained."""

    name: str = Field(description=f"{', '.join(NETWORKS)}, or a network that you registered")
    dropout: float = Field(0.0, ge=0, lt=1, description="in every block of tiny_vgg")
    head: int = Field(
        ge=0, description="units of the head's hidden layer; 0: a single linear layer"
    )
    head_dropout: float = Field(0.5, ge=0, lt=1)
    weights: str | None = Field(
        None,
        description="'imagenet', a .pth or .safetensors file, an exported model (a file or 'plate',"
        " 'mobile', 'tiny', 'default'), or null: random",
    )
    frozen: bool = Field(False, description="train only the head, not the backbone")
    frozen_statistics: bool = Field(False, description="BatchNorm keeps its running statistics")
    dropout_ramp: float = Field(
        0.0, ge=0, le=1, description="share of the epochs over which `dropout` grows from 0"
    )
    heatmap: bool = Field(False, description="a second head predicts where the dirt is")

    @field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        if find_network(name) is None:
            raise ValueError(f"unknown network '{name}'; choose one of {', '.join(NETWORKS)}")
        return name


class Normalization(_Part):
    """Channel mean and standard deviation, of pixel values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[_Positive, _Positive, _Positive]


class Input(_Part):
    """Input of the network."""

    size: int = Field(ge=32, le=1024, description="photos are resized to size × size pixels")
    normalize: Literal["training_photos", "imagenet"] | Normalization = Field(
        description="'training_photos': mean and std of the training photos"
    )


class ColorJitter(_Part):
    """Ranges of torchvision's ``ColorJitter``."""

    brightness: float = Field(0.0, ge=0)
    contrast: float = Field(0.0, ge=0)
    saturation: float = Field(0.0, ge=0)
    hue: float = Field(0.0, ge=0, le=0.5)


class Robust(_Part):
    """Label-preserving augmentation: background swapping, geometry, lighting, patterns and dirt."""

    backgrounds: float = Field(
        ge=0, le=1, description="share of dishes put on another background (Mixed-Rand)"
    )
    backgrounds_ramp: float = Field(
        0.0, ge=0, le=1, description="share of the epochs over which `backgrounds` grows from 0"
    )
    scale: tuple[_Positive, _Positive] = (0.75, 1.25)
    shift: float = Field(0.08, ge=0, le=0.5, description="as a share of the photo's sides")
    tilt: float = Field(0.0, ge=0, lt=90, description="largest tilt of the camera, in degrees")
    glass: float = Field(
        0.1, ge=0, le=1, description="share of dishes on another background made see-through"
    )
    clutter: float = Field(
        0.0, ge=0, le=1, description="share of photos with cutlery, with drops, with a watermark"
    )
    photometric: float = Field(1.0, ge=0, le=1, description="probability of lighting, blur, …")
    patterns: float = Field(0.0, ge=0, le=1, description="share of dishes that get a pattern")
    dirt: float = Field(0.0, ge=0, le=1, description="share of clean dishes made dirty")
    rendered: int = Field(0, ge=0, description="additional rendered dishes per epoch")
    pairs: int = Field(
        400, ge=1, description="rendered dishes that dirt, backgrounds and `rendered` come from"
    )


class Augmentation(_Part):
    """Random augmentation of training photos, in this order."""

    horizontal_flip: bool = False
    vertical_flip: bool = False
    rotation: float = Field(0.0, ge=0, le=180, description="largest angle, in degrees")
    color_jitter: ColorJitter | None = None
    trivial_augment_bins: int | None = Field(None, ge=2, description="TrivialAugmentWide")
    robust: Robust | None = Field(None, description="see docs/looking-at-the-dish.md")

    @property
    def finite(self) -> bool:
        """Whether a photo has so few augmented versions that all can be cached."""
        return not (self.rotation or self.color_jitter or self.trivial_augment_bins or self.robust)


class Optimizer(_Part):
    """Optimizer and its hyperparameters."""

    name: Literal["radam", "adamw", "sgd"]
    lr: float = Field(gt=0)
    head_lr: float | None = Field(None, gt=0, description="learning rate of the head, if different")
    weight_decay: float = Field(0.0, ge=0)
    clip_gradient: float | None = Field(None, gt=0, description="largest gradient norm")


class Distillation(_Part):
    """Knowledge distillation from a teacher model, in addition to the labels."""

    model: str | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="a shipped model's name, or an exported file; a list: an ensemble of one size"
    )
    weight: float = Field(
        0.5, gt=0, le=1, description="weight of its predictions; labels get 1 − weight"
    )
    tta_flips: bool = Field(False, description="average over mirrored versions")


class Schedule(_Part):
    """Learning rate: ``ReduceLROnPlateau`` per epoch, ``OneCycleLR`` per step, or constant."""

    name: Literal["reduce_on_plateau", "one_cycle", "constant"]
    factor: float = Field(0.9, gt=0, lt=1)
    patience: int = Field(0, ge=0)
    pct_start: float = Field(0.2, gt=0, lt=1, description="warm-up share of one_cycle")


class Detection(_Part):
    """Finding dishes instead of classifying photos: `platecheck.data.boxes` has the data."""

    channels: int = Field(64, ge=8, description="of feature pyramid and head")
    frozen_blocks: int = Field(0, ge=0, le=4, description="first blocks that keep their weights")
    photos: int = Field(1000, ge=1, description="training photos drawn per epoch")
    shares: dict[Literal["boxes", "partly", "dishes", "composed", "empty"], _Share] = Field(
        description="how often each kind is drawn; kinds without photos are not"
    )
    patterns: _Share = Field(0.0, description="share of the single dishes that get a pattern")
    scale: tuple[_Positive, _Positive] = Field((0.5, 1.5), description="of the photo, relative")
    stretch: float = Field(1.3, ge=1, description="largest random change of the aspect ratio")
    nms_iou: float = Field(0.55, gt=0, lt=1, description="boxes that overlap more are one dish")


class Recipe(_Part):
    """An experiment, apart from the photos and the seed."""

    name: str
    summary: str
    network: Network
    input: Input
    augmentation: Augmentation
    optimizer: Optimizer
    schedule: Schedule
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    val_to_train: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the validation photos, split off test, that are moved to training",
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ema_decay: float = Field(
        0.0, ge=0, lt=1, description="decay of the moving average of weights; 0: no average"
    )
    teacher: Distillation | None = None
    calibrate: bool = Field(
        False, description="fit a temperature (robust: and a bias) on validation photos"
    )
    detection: Detection | None = Field(None, description="find dishes; see docs/detection.md")

    @model_validator(mode="after")
    def _is_possible(self) -> "Recipe":
        wanted = "predict a heatmap" if self.network.heatmap else self.detection and "detect dishes"
        if wanted and NETWORKS[self.network.name].stages is None:
            able = [name for name, spec in NETWORKS.items() if spec.stages]
            raise ValueError(f"only {', '.join(able)} can {wanted}")
        if self.network.heatmap and self.input.size % 16:
            raise ValueError("with network.heatmap, input.size must be a multiple of 16")
        if self.network.heatmap and self.network.frozen:
            raise ValueError("a frozen network cannot learn to predict a heatmap")
        if self.detection:
            self._can_detect()
        if self.teacher and not self.augmentation.robust:
            raise ValueError("a teacher needs augmentation.robust")
        return self

    def _can_detect(self) -> None:
        if self.input.size % 32:
            raise ValueError("with detection, input.size must be a multiple of 32")
        if self.input.normalize == "training_photos":
            raise ValueError("with detection, input.normalize must be imagenet or mean and std")
        parts = (
            (self.network, ("heatmap", "frozen")),
            (self.augmentation, ("robust",)),
            (self, ("teacher", "calibrate", "label_smoothing", "val_to_train")),
        )
        used = [name for part, names in parts for name in names if getattr(part, name)]
        if used:
            raise ValueError(f"a recipe with detection has no {used[0]}")

    @property
    def soft_targets(self) -> bool:
        """Whether training uses soft targets, which make the network underconfident."""
        return bool(self.label_smoothing or self.teacher)

    def to_yaml(self) -> str:
        """Return the recipe as YAML, with all defaults."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def bundled_recipes() -> dict[str, Path]:
    """Return the names and files of the shipped recipes."""
    folder = files("platecheck") / "recipes"
    paths = [Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return {path.stem: path for path in sorted(paths)}


def load_recipe(name: str | os.PathLike[str], overrides: Sequence[str] = ()) -> Recipe:
    """Read and validate a recipe.

    Deprecated keys and names work, with a DeprecationWarning.

    Args:
        name: name of a shipped recipe, or path of a YAML file.
        overrides: ``key.subkey=value``, with the value in YAML.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key (the closest known one is suggested)
            or a value out of range.
    """
    path = _find(os.fspath(name))
    try:
        content = _parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} cannot be read as YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is not a recipe: expected keys such as network: and input:")
    content.setdefault("name", path.stem)
    renamed = _rename_keys(content)
    for override in overrides:
        renamed += _override(content, override)
    for key in dict.fromkeys(renamed):
        warn_renamed(f"recipe key {key}", RENAMED_KEYS[key])
    return parse_recipe(content, where=str(path))


def parse_recipe(content: dict[str, Any], *, where: str) -> Recipe:
    """Validate a recipe, naming `where` in errors; deprecated keys are accepted."""
    content = copy.deepcopy(content)
    if isinstance(content, dict):
        _rename_keys(content)
        teacher = content.get("teacher")
        if isinstance(teacher, dict) and teacher.get("recipe", "") is None:
            del teacher["recipe"]  # as version 0.2 wrote it
        name = str(content.get("name"))
        if name in RENAMED_RECIPES:
            content["name"] = RENAMED_RECIPES[name]
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {'; '.join(_explain(error))}") from error


def _rename_keys(content: dict[str, Any]) -> list[str]:
    """Rename deprecated keys in place and return them.

    A key that is present in both spellings is left alone, to be refused as unknown.
    """
    found = []
    for old, new in RENAMED_KEYS.items():
        *parents, key = old.split(".")
        part: Any = content
        for parent in parents:
            part = part.get(parent) if isinstance(part, dict) else None
        if isinstance(part, dict) and key in part and _name(new) not in part:
            part[_name(new)] = part.pop(key)
            found.append(old)
    return found


def _find(name: str) -> Path:
    shipped = bundled_recipes()
    if name in RENAMED_RECIPES and not Path(name).is_file():
        warn_renamed(f"recipe {name}", RENAMED_RECIPES[name])
        name = RENAMED_RECIPES[name]
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, shipped, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"bundled recipes: {', '.join(shipped)}"
    raise RecipeError(f"no bundled recipe or file '{name}'; {hint}")


def _override(content: dict[str, Any], override: str) -> list[str]:
    """Set a value in place; return the deprecated keys that `override` uses."""
    key, equals, text = override.partition("=")
    key = key.strip()
    keys = RENAMED_KEYS.get(key, key).split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {override}: write it as key.subkey=value")
    try:
        value = _parse_yaml(text)
    except ValueError as error:
        raise RecipeError(f"--set {override}: {error}") from error
    inner = content
    for name in keys[:-1]:
        if inner.get(name) is None:
            inner[name] = {}
        inner = inner[name]
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {override}: '{name}' is not a mapping")
    inner[keys[-1]] = value
    return [key] * (key in RENAMED_KEYS) + _rename_keys(content)


def _parse_yaml(text: str) -> Any:
    """Parse YAML; 1e-3 stays a string, which pydantic converts to a number."""
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        said = ", ".join(part for part in (error.context, error.problem) if part)
        raise ValueError(said + line) from error
    except Exception as error:  # PyYAML does not wrap all errors, such as those of impossible dates
        raise ValueError(first_line(error)) from error


def _explain(error: ValidationError) -> Iterator[str]:
    names = {_name(key) for key in _keys(Recipe)}
    for problem in error.errors():
        *parents, last = problem["loc"] or ("",)
        unknown = problem["type"] == "extra_forbidden"
        # pydantic adds the names of union types.
        path = [str(part) for part in parents if part in names or isinstance(part, int)]
        path += [str(last)] if last in names or isinstance(last, int) or unknown else []
        key = ".".join(path)
        if unknown:
            yield f"unknown key '{key}'; {_hint(key)}"
        else:
            message = problem["msg"].removeprefix("Value error, ")
            message = message[:1].lower() + message[1:]
            yield f"'{key}': {message}" if key else message


def _hint(key: str) -> str:
    """Suggest the key that was meant: of the same name elsewhere, or of a similar name here."""
    keys = list(_keys(Recipe))
    parent = key.removesuffix(_name(key))
    siblings = [_name(k) for k in keys if k.removesuffix(_name(k)) == parent]
    meant = [k for k in keys if _name(k) == _name(key)]
    meant += [parent + k for k in difflib.get_close_matches(_name(key), siblings, n=1, cutoff=0.5)]
    return f"did you mean '{meant[0]}'?" if meant else f"known: {', '.join(siblings)}"


def _name(key: str) -> str:
    return key.rpartition(".")[2]


def _keys(model: type[BaseModel], parent: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield parent + name
        for part in (field.annotation, *typing.get_args(field.annotation)):
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from _keys(part, f"{parent}{name}.")
