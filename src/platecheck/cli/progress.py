"""Progress bars on stderr, shown only on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

MIN_STEPS = 50  # fewer steps finish too quickly to need a bar


class Bar:
    """A progress bar; call it, or `advance`, after each step."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._task = progress.add_task(title, total=None, visible=False)

    def start(self, steps: int | None, title: str | None = None, done: int = 0) -> None:
        """Restart with this number of steps, or with an unknown one."""
        visible = steps is None or steps >= MIN_STEPS
        self._progress.reset(
            self._task, total=steps, completed=done, visible=visible, description=title
        )

    def advance(self, steps: int = 1) -> None:
        self._progress.advance(self._task, steps)

    __call__ = advance

    def update(self, title: str, done: int, steps: int | None) -> None:
        """Show progress of a stage that counts for itself; a new title restarts the bar."""
        if self._progress.tasks[0].description != title or not self._progress.tasks[0].visible:
            self.start(steps, title, done)  # reset, so that resumed photos do not inflate the rate
        else:
            self._progress.update(self._task, completed=done)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} photos/s" if speed else "")


@contextmanager
def progress_bar(title: str, steps: int | None = None) -> Iterator[Bar]:
    """Show a bar while the block runs, if there are at least `MIN_STEPS` steps."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(
        *columns, console=console, disable=not console.is_terminal, speed_estimate_period=60
    ) as progress:
        bar = Bar(progress, title)
        if steps is not None:
            bar.start(steps)
        yield bar
