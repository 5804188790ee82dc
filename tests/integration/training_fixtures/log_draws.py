"""The command line, noting in $DRAWS which photos each process trains on.

Lightning starts the other processes with the same words, so each of them notes its own.
"""

import os
from pathlib import Path
from typing import Any

from platecheck.cli import main
from platecheck.training.datamodule import Draw, PhotoDataset

log = Path(os.environ["DRAWS"]) / os.environ.get("LOCAL_RANK", "0")
make_item = PhotoDataset.__getitem__


def noting(dataset: PhotoDataset, draw: int | Draw) -> Any:
    if isinstance(draw, tuple):  # for training; validation photos come by their index alone
        with log.open("a") as file:
            file.write(f"{dataset.photos[draw[0]].name}\n")
    return make_item(dataset, draw)


PhotoDataset.__getitem__ = noting  # type: ignore[method-assign]
main()
