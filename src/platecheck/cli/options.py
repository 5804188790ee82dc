"""Options that several commands have, each written once."""

from pathlib import Path
from typing import Annotated

import typer

from platecheck.cli.models import complete_model

Photos = Annotated[Path, typer.Argument(help="Photos sorted into folders.")]
Data = Annotated[Path, typer.Option(help="Photos sorted into folders.")]
Moved = Annotated[Path | None, typer.Option(help="Where the photos are, if they were moved.")]
RunFolder = Annotated[Path, typer.Argument(help="A run folder.")]
Model = Annotated[
    Path | None,
    typer.Option(
        help="An exported file, plate or tiny; plate when absent.", autocompletion=complete_model
    ),
]
Split = Annotated[str | None, typer.Option(help="Which split; test by default, or the only one.")]
Json = Annotated[bool, typer.Option("--json", help="For machines.")]
Strict = Annotated[bool, typer.Option("--strict", help="Refuse unreadable photos.")]
