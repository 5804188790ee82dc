"""Options shared by several commands, and shell completion."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def complete_model(incomplete: str) -> list[str]:
    """Complete the names of shipped models, exported files and folders."""
    from platecheck.classifier import BUNDLED_MODELS, DEFAULT

    return _complete_file((*BUNDLED_MODELS, DEFAULT), incomplete)


def complete_any_model(incomplete: str) -> list[str]:
    """Complete the names of shipped models and detectors, exported files and folders."""
    from platecheck.model_file import BUNDLED_DETECTORS, BUNDLED_MODELS, DEFAULT

    return _complete_file((*BUNDLED_MODELS, *BUNDLED_DETECTORS, DEFAULT), incomplete)


def complete_detector(incomplete: str) -> list[str]:
    """Complete the names of shipped detectors, exported files and folders."""
    from platecheck.model_file import BUNDLED_DETECTORS

    return _complete_file(BUNDLED_DETECTORS, incomplete)


def _complete_file(shipped: Sequence[str], incomplete: str) -> list[str]:
    names = [name for name in shipped if name.startswith(incomplete)]
    head, slash, start = incomplete.rpartition("/")
    folder = Path(head + slash) if slash else Path()
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return names
    found = [e for e in entries if e.name.startswith(start) and (start or e.name[0] != ".")]
    folders = [f"{head}{slash}{entry.name}/" for entry in found if entry.is_dir()]
    return names + folders + [f"{head}{slash}{e.name}" for e in found if e.suffix == ".onnx"]


def complete_recipe(incomplete: str) -> list[str]:
    """Complete the names of shipped recipes."""
    from platecheck.training.recipe import bundled_recipes

    return [name for name in bundled_recipes() if name.startswith(incomplete)]


Photos = Annotated[Path, typer.Argument(help="Folder of photos, one subfolder per class.")]
Data = Annotated[
    Path,
    typer.Option(
        help="Folder of photos, one subfolder per class, or a list; of a detector, a folder in YOLO"
        " format or a YAML file."
    ),
]
Moved = Annotated[Path | None, typer.Option(help="The photos' new location, if they were moved.")]
RunFolder = Annotated[Path, typer.Argument(help="Run folder.")]
RecipeName = Annotated[
    str, typer.Argument(help="Name of a recipe, or a YAML file.", autocompletion=complete_recipe)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a value of the recipe."),
]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        help="Exported file, plate, mobile or tiny; default: plate.", autocompletion=complete_model
    ),
]
DetectorOption = Annotated[
    Path | None,
    typer.Option(help="Detector file; default: dishes.", autocompletion=complete_detector),
]
Split = Annotated[
    str | None, typer.Option(help="Split to evaluate; default: test, or the only one.")
]
Backgrounds = Annotated[
    bool, typer.Option("--backgrounds", help="Also evaluate with swapped backgrounds (slow).")
]
Robust = Annotated[
    bool,
    typer.Option("--robustness", help="Also evaluate blurred, dark, decorated … photos (slow)."),
]
Plot = Annotated[Path | None, typer.Option(help="Draw the table of --robustness as .png or .svg.")]
Tables = Annotated[bool, typer.Option("--tables", hidden=True)]
Seed = Annotated[
    int, typer.Option(min=0, help="Seed of swapped backgrounds and of changed photos.")
]
FeedbackUrl = Annotated[str, typer.Argument(help="Database URL of platecheck serve --feedback.")]
FeedbackPhotos = Annotated[
    Path | None, typer.Option(help="Photo folder of a database of version 0.1, to import.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail when a photo cannot be read.")]
