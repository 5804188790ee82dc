"""Options shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

from platecheck.cli.models import complete_model

Photos = Annotated[Path, typer.Argument(help="Folder of photos, one subfolder per class.")]
Data = Annotated[Path, typer.Option(help="Folder of photos, one subfolder per class, or a list.")]
Moved = Annotated[Path | None, typer.Option(help="The photos' new location, if they were moved.")]
RunFolder = Annotated[Path, typer.Argument(help="Run folder.")]
ModelOption = Annotated[
    Path | None,
    typer.Option(
        help="Exported file, plate or tiny; default: plate.", autocompletion=complete_model
    ),
]
Split = Annotated[
    str | None, typer.Option(help="Split to evaluate; default: test, or the only one.")
]
Backgrounds = Annotated[
    bool,
    typer.Option("--backgrounds", help="Also evaluate dishes on exchanged backgrounds (slow)."),
]
Tables = Annotated[bool, typer.Option("--tables", hidden=True)]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the exchanged backgrounds.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Strict = Annotated[bool, typer.Option("--strict", help="Fail when a photo cannot be read.")]
