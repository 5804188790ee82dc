"""Progress bars on stderr, shown only on a terminal."""

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

MIN_STEPS = 50  # fewer are done before a bar could be read


class Bar:
    """A progress bar whose number of steps may be set later."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, visible=False)

    def start(self, steps: int) -> None:
        """Set the number of steps and restart."""
        self._progress.reset(self._task, total=steps, visible=steps >= MIN_STEPS)

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)


@contextmanager
def progress_bar(title: str, steps: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs, if there are at least `MIN_STEPS` steps."""
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
