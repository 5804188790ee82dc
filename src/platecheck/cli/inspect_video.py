"""``platecheck inspect`` of a video, a camera or a stream."""

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from platecheck.cli.photos import free_path, short
from platecheck.cli.progress import progress_bar
from platecheck.cli.terminal import console, escape
from platecheck.errors import DataError
from platecheck.files import mark_output, replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from platecheck.inspector import Inspector
    from platecheck.tracking import TrackReport
    from platecheck.video import Video
    from platecheck.webhook import Webhook

WebhookOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Video: post each dish as JSON, with retries."),
]
FpsOption = Annotated[
    float, typer.Option(min=0.1, max=240, help="Video: most frames to inspect per second.")
]


def only_video(
    arguments: Sequence[str], *, webhook: str | None, as_csv: bool, allow_private: bool
) -> str | None:
    """Return the video, camera or stream among the arguments, or None if all are photos.

    Raises:
        DataError: it is not the only argument, or an option does not fit.
    """
    from platecheck.video import is_video

    video = next((each for each in arguments if is_video(each, ask=allow_private)), None)
    if video is None and webhook:
        raise DataError("--webhook is for a video, a camera or a stream; give one")
    if video is not None and len(arguments) > 1:
        raise DataError("give one video, camera or stream at a time, and no photos beside it")
    if video is not None and as_csv:
        raise DataError("the dishes of a video are printed as lines of JSON; leave out --csv")
    return video


def inspect_video(
    source: str,
    inspector: "Inspector",
    *,
    save: Path | None = None,
    webhook: str | None = None,
    fps: float = 10.0,
) -> None:
    """Print each dish of a video once, as a line of JSON; Ctrl-C ends it.

    Args:
        source: see `platecheck.video.Video`.
        inspector: finds and judges the dishes in a frame.
        save: folder for the best frame of each dish; new, empty or platecheck's own.
        webhook: URL to which each line is posted as well.
        fps: most frames inspected per second.
    """
    from platecheck.tracking import Tracker
    from platecheck.video import Video
    from platecheck.webhook import FILE_TIMEOUT, TIMEOUT, Webhook

    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # its messages may contain passwords
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    tracker, frames = Tracker(), 0
    hook = Webhook(webhook, on_note=_note) if webhook else None
    with Video(source, fps=fps, on_note=_note) as video, _ended_by_signals(video):
        output = _Output(video, save, hook, sys.stdout)
        with progress_bar("inspecting frames") as bar:
            bar.start(video.frames)
            last = -1
            for frame in video:
                dishes = inspector.inspect(frame.pixels).dishes
                kept = (frame.received, frame.pixels if save else None)
                output.write(tracker.update(frame.time, dishes, frame.pixels.shape[:2], kept))
                bar.advance(frame.number - last)
                last, frames = frame.number, frames + 1
            output.write(tracker.finish())
    if hook:
        hook.close(TIMEOUT if video.live else FILE_TIMEOUT)
    output.summarize(frames)


@dataclass
class _Output:
    video: "Video"
    save: Path | None
    hook: "Webhook | None"
    stdout: TextIO
    counts: Counter[str] = field(default_factory=Counter)

    def write(self, reports: "Iterable[TrackReport]") -> None:
        for report in reports:
            self.counts[report.label] += 1
            received, pixels = report.frame
            line = {
                "source": self.video.name,
                "time": round(report.time, 3),
                "received": received and received.isoformat(timespec="milliseconds"),
                "track": report.track,
                "label": report.label,
                "probability": round(report.probability, 6),
                "box": [round(side, 1) for side in report.box],
                "frames": report.frames,
                "first": round(report.first, 3),
                "last": round(report.last, 3),
                "photo": self._save(report, received, pixels) if self.save else None,
            }
            # rich puts a stand-in in place of a terminal's stdout while it shows a bar.
            target = sys.stdout if self.stdout.isatty() else self.stdout
            print(json.dumps(line, ensure_ascii=False), file=target, flush=True)
            if self.hook:
                self.hook.send(line)

    def _save(self, report: "TrackReport", received: Any, pixels: "NDArray[np.uint8]") -> str:
        from PIL import Image

        assert self.save
        mark_output(self.save)
        name = f"{received:%Y%m%dT%H%M%SZ}" if received else Path(self.video.name).stem
        path = free_path(self.save / f"{short(name)}-{report.track:04d}-{report.label}.jpg")
        with replacing(path) as temporary:
            Image.fromarray(pixels).save(temporary, quality=90)
        return str(path)

    def summarize(self, frames: int) -> None:
        number = sum(self.counts.values())
        parts = [f"{self.counts[label]} {label}" for label in ("clean", "dirty", "unsure")]
        parts += [f"{n} {label}" for label, n in self.counts.items() if f"{n} {label}" not in parts]
        line = f"{number} {'dish' if number == 1 else 'dishes'}: {', '.join(parts)}"
        line += f"; {frames} {'frame' if frames == 1 else 'frames'} inspected"
        if self.video.skipped:
            line += f", {self.video.skipped} skipped"
        if self.hook:
            lost = self.hook.sent - self.hook.delivered
            line += f"; webhook: {self.hook.delivered} delivered, {lost} dropped"
        console(stderr=True).print(escape(line))


def _note(text: str) -> None:
    console(stderr=True).print(f"[yellow]note:[/] {escape(text)}")


@contextmanager
def _ended_by_signals(video: "Video") -> Iterator[None]:
    """End the video on Ctrl-C or SIGTERM, which stops services; a second one interrupts."""

    def restore(*_: object) -> None:
        video.close()
        for number, handler in before.items():
            signal.signal(number, handler)

    before = {number: signal.signal(number, restore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        restore()
