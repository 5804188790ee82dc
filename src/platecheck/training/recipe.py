"""A recipe is a whole experiment: one YAML file, checked, nothing hidden in code."""

import contextlib
import difflib
import typing
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platecheck.errors import RecipeError


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Network(_Part):
    """Which network, how it starts and what of it learns."""

    name: Literal["tiny_vgg", "efficientnet_b2", "efficientnet_lite2"]
    dropout: float = Field(0.0, ge=0, lt=1, description="in every block of tiny_vgg")
    head: int = Field(ge=1, description="units of the hidden layer of the classifier")
    head_dropout: float = Field(0.5, ge=0, lt=1)
    weights: str | None = Field(
        None,
        description="'imagenet', a path to a .pth or .safetensors file, or nothing: random",
    )
    frozen: bool = Field(False, description="the backbone keeps its weights; the head learns")


class Normalization(_Part):
    """Channel mean and standard deviation, of pixel values in [0, 1]."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


class Input(_Part):
    """What the network sees."""

    size: int = Field(ge=32, le=1024, description="photos are resized to size × size pixels")
    normalize: Literal["training_photos", "imagenet"] | Normalization = Field(
        description="'training_photos' measures them at the start"
    )


class ColorJitter(_Part):
    """Ranges of torchvision's ``ColorJitter``."""

    brightness: float = Field(0.0, ge=0)
    contrast: float = Field(0.0, ge=0)
    saturation: float = Field(0.0, ge=0)
    hue: float = Field(0.0, ge=0, le=0.5)


class Augmentation(_Part):
    """Random changes of training photos, in this order."""

    horizontal_flip: bool = False
    vertical_flip: bool = False
    rotation: float = Field(0.0, ge=0, le=180, description="degrees to either side")
    color_jitter: ColorJitter | None = None
    trivial_augment_bins: int | None = Field(None, ge=2, description="TrivialAugmentWide")

    @property
    def finite(self) -> bool:
        """Whether a photo has only a few augmented versions, so that all can be computed once."""
        return not (self.rotation or self.color_jitter or self.trivial_augment_bins)


class Optimizer(_Part):
    """How weights are updated."""

    name: Literal["radam", "adamw", "sgd"]
    lr: float = Field(gt=0)
    weight_decay: float = Field(0.0, ge=0)


class Schedule(_Part):
    """How the learning rate changes: ``ReduceLROnPlateau`` on the validation loss, or not."""

    name: Literal["reduce_on_plateau", "constant"]
    factor: float = Field(0.9, gt=0, lt=1)
    patience: int = Field(0, ge=0)


class Recipe(_Part):
    """A whole experiment, apart from the photos and the seed."""

    name: str
    summary: str
    network: Network
    input: Input
    augmentation: Augmentation
    optimizer: Optimizer
    schedule: Schedule
    epochs: int = Field(ge=1)
    batch_size: int = Field(ge=1)
    calibrate: bool = Field(False, description="fit a temperature on validation photos")

    def to_yaml(self) -> str:
        """The recipe as YAML, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def shipped_recipes() -> dict[str, Path]:
    """Names and files of the recipes that come with platecheck."""
    folder = files("platecheck") / "recipes"
    paths = [Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    return {path.stem: path for path in sorted(paths)}


def load_recipe(name: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check it.

    Args:
        name: of a shipped recipe, or the path of a YAML file.
        overrides: ``key.subkey=value`` each, the value in YAML.

    Raises:
        RecipeError: no such recipe, not YAML, an unknown key (the nearest right one is named),
            or a value out of range.
    """
    path = _find(str(name))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RecipeError(f"{path} cannot be read as YAML: {_first_line(error)}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} is not a recipe: expected keys such as network: and input:")
    content.setdefault("name", path.stem)
    for override in overrides:
        _override(content, override)
    return parse_recipe(content, where=str(path))


def parse_recipe(content: dict[str, Any], *, where: str) -> Recipe:
    """Check a recipe's content.

    Raises:
        RecipeError: as :func:`load_recipe`; `where` is named in it.
    """
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{where}: {'; '.join(_explain(error))}") from error


def _find(name: str) -> Path:
    shipped = shipped_recipes()
    if name in shipped:
        return shipped[name]
    path = Path(name)
    if path.is_file():
        return path
    near = difflib.get_close_matches(name, shipped, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"the shipped ones: {', '.join(shipped)}"
    raise RecipeError(f"no recipe '{name}', neither shipped nor a file; {hint}")


def _override(content: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    keys = key.strip().split(".")
    if not equals or not all(keys):
        raise RecipeError(f"--set {override}: write it as key.subkey=value")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override}: {_first_line(error)}") from error
    if isinstance(value, str):
        # YAML 1.1 reads 1e-3 as a string; nobody who writes it means one.
        with contextlib.suppress(ValueError):
            value = float(value)
    for part in keys[:-1]:
        inner = content.get(part)
        if inner is None:
            inner = content[part] = {}
        if not isinstance(inner, dict):
            raise RecipeError(f"--set {override}: '{part}' is a value, it has no keys")
        content = inner
    content[keys[-1]] = value


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _explain(error: ValidationError) -> Iterator[str]:
    for problem in error.errors():
        place = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            known = _keys_at(place[:-1])
            near = difflib.get_close_matches(place[-1], known, n=1, cutoff=0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
            yield f"unknown key '{'.'.join(place)}'; {hint}"
        else:
            yield f"'{'.'.join(place)}': {problem['msg'].lower()}"


def _keys_at(place: list[str]) -> list[str]:
    """Right keys of the part of a recipe at `place`."""
    model: type[BaseModel] = Recipe
    for key in place:
        field = model.model_fields.get(key)
        # A place may also name a member of a union, which has the keys of the model it is.
        models = list(_models_in(field.annotation)) if field else []
        model = models[0] if models else model
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if inner := typing.get_args(annotation):
        for part in inner:
            yield from _models_in(part)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
