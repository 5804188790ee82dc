"""Progress bars, on stderr so that stdout stays clean, and only where a person looks."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

# Fewer steps are over before a bar could be read.
WORTH_A_BAR = 50


class Bar:
    """One progress bar; the number of steps may be told later."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, visible=False)

    def start(self, steps: int) -> None:
        """Tell how many steps there are, and begin anew."""
        self._progress.reset(self._task, total=steps, visible=steps >= WORTH_A_BAR)

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)


@contextmanager
def progress_bar(title: str, steps: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs, from :data:`WORTH_A_BAR` steps up."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = Bar(progress, title)
        if steps is not None:
            bar.start(steps)
        yield bar
