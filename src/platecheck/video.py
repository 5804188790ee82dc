"""Read the frames of video files, cameras and streams with OpenCV."""

import http.client
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from platecheck.errors import DataError, MissingExtraError
from platecheck.glob import is_glob
from platecheck.photo_formats import is_photo_name

VIDEO_SUFFIXES = frozenset(
    ".3g2 .3gp .asf .avi .flv .m2ts .m3u8 .m4v .mjpeg .mjpg .mkv .mov .mp4 .mpeg .mpg .mts .ogv"  # noqa: SIM905
    " .ts .webm .wmv".split()
)
_STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps", "rtp", "srt", "tcp", "udp")

TIMEOUT = 10.0  # seconds without a frame after which a stream counts as lost
FIRST_RETRY, LAST_RETRY = 1.0, 30.0  # seconds; each wait is twice the one before


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a video.

    Attributes:
        pixels: uint8 [H, W, 3], RGB, upright.
        time: seconds since the start of the file, or since the camera was opened.
        number: 0 for the first frame of a file or camera; frames between may have been skipped.
        received: when a camera's frame arrived; None for a file.
    """

    pixels: NDArray[np.uint8]
    time: float
    number: int
    received: datetime | None = None


def is_video(source: str, *, ask: bool = False) -> bool:
    """Return whether an argument names a video file, a camera's number or device, or a stream.

    If an HTTP URL's ending does not tell whether it is a photo or a video, `ask` the server;
    otherwise it is a photo.
    """
    if source.isdecimal():
        return not os.path.exists(source)
    if source.startswith("/dev/video"):
        return not os.path.isfile(source)
    try:
        url = urlsplit(source) if "://" in source else None
    except ValueError:  # an error of the photo that it cannot be either
        return False
    path = Path(url.path if url else source)
    if url is None:
        photos = is_glob(source) or os.path.isdir(source)
        return path.suffix.lower() in VIDEO_SUFFIXES and not photos
    if url.scheme.lower() in _STREAMS:
        return True
    if url.scheme.lower() not in ("http", "https") or is_photo_name(path):
        return False
    if path.suffix.lower() in VIDEO_SUFFIXES or url.username:  # photos have no user
        return True
    if not ask:
        return False
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT) as answer:
            return answer.headers.get_content_maintype() in ("video", "multipart")
    except (OSError, ValueError, http.client.HTTPException):
        return False


def without_secrets(source: str) -> str:
    """Return a source for messages: a URL without user, password and query."""
    if "://" not in source:
        return source
    url = urlsplit(source)
    return url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()


class Video:
    """The frames of a video, at most `fps` a second; a context manager to iterate once.

    A file's frames all wait to be read. A camera or stream does not wait: while a frame is being
    worked on, newer ones replace each other. One that is lost is opened again, first after
    `FIRST_RETRY` seconds, then less and less often.

    Args:
        source: a path, a camera's number, or a URL (RTSP, HTTP and others that FFmpeg reads).
        fps: most frames per second, above 0.
        on_note: called, maybe on another thread, with messages such as that a camera was lost.

    Attributes:
        name: the source without secrets.
        live: whether it is a camera or a stream.
        frames: number of frames in a file; None if it is unknown or `live`.
        skipped: number of frames of a camera that were replaced by newer ones.

    Raises:
        DataError: `fps` is not above 0, the source cannot be opened, or, while iterating, a file
            has no readable frame.
        MissingExtraError: OpenCV is not installed.
    """

    def __init__(
        self, source: str, *, fps: float = 10.0, on_note: Callable[[str], None] = lambda note: None
    ) -> None:
        try:
            import cv2
        except ImportError as error:
            raise MissingExtraError("Reading videos and cameras", "video") from error
        if fps <= 0:
            raise DataError(f"fps must be above 0, not {fps:g}")

        try:
            source.encode()
        except UnicodeEncodeError as error:  # OpenCV would end the process
            raise DataError(f"{source!a}: the name is not UTF-8; rename the file") from error
        self._cv2, self._source, self._step, self._note = cv2, source, 1 / fps, on_note
        self.name = without_secrets(source)
        self._device = int(source) if source.isdecimal() else None
        self._capture = self._open()
        if self._capture is None:
            missing = "://" not in source and self._device is None and not Path(source).exists()
            reason = "there is no such file" if missing else "it is not a video, or not available"
            raise DataError(f"{self.name} cannot be opened: {reason}")
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        stream = "://" in source and not (source.lower().startswith("http") and count > 0)
        self.live = stream or self._device is not None or source.startswith("/dev/")
        self.frames = count if count > 0 and not self.live else None
        self.skipped = 0
        self._closed = False
        self._new = threading.Condition()
        self._latest: tuple[Any, float, int, datetime] | None = None
        # No daemon: Python must not end while OpenCV reads.
        self._thread = threading.Thread(target=self._grab)

    def close(self) -> None:
        """End the iteration after the current frame; may be called by any thread or signal."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        if self._thread.ident:
            self._thread.join()

    def __iter__(self) -> Iterator[Frame]:
        return self._live_frames() if self.live else self._file_frames()

    def _open(self) -> Any:
        """Return an OpenCV capture, or None if the source cannot be opened."""
        cv2 = self._cv2
        if "://" in self._source:
            limit = int(TIMEOUT * 1000)
            limits = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, limit, cv2.CAP_PROP_READ_TIMEOUT_MSEC, limit)
            capture = cv2.VideoCapture(self._source, cv2.CAP_FFMPEG, limits)
        else:
            device = None if self._device is None else min(self._device, 2**31 - 1)
            capture = cv2.VideoCapture(self._source if device is None else device)
        return capture if capture.isOpened() else None

    def _file_frames(self) -> Iterator[Frame]:
        cv2, capture = self._cv2, self._capture
        rate = capture.get(cv2.CAP_PROP_FPS) or 25.0
        number, at, slot = 0, 0.0, -1
        while not self._closed and capture.grab():
            # Some containers have no timestamps.
            at = max(at, capture.get(cv2.CAP_PROP_POS_MSEC) / 1000 or number / rate)
            if int(at / self._step + 0.01) > slot:
                slot = int(at / self._step + 0.01)
                read, pixels = capture.retrieve()
                if read:
                    yield Frame(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), at, number)
            number += 1
        capture.release()
        if number == 0:
            raise DataError(f"{self.name} has no frame that can be read")
        if self.frames and number < 0.9 * self.frames and not self._closed:
            self._note(f"{self.name} is damaged: only {number} of {self.frames} frames can be read")

    def _live_frames(self) -> Iterator[Frame]:
        start = due = time.monotonic()
        self._thread.start()
        while not self._closed:
            with self._new:
                if self._latest is None or time.monotonic() < due:
                    self._new.wait(0.2)
                if self._latest is None or time.monotonic() < due:
                    continue
                pixels, at, number, received = self._latest
                self._latest = None
            due = at + self._step - 0.01  # cameras are not punctual
            rgb = self._cv2.cvtColor(pixels, self._cv2.COLOR_BGR2RGB)
            yield Frame(rgb, at - start, number, received)

    def _grab(self) -> None:
        """Keep the latest frame of a camera, on a thread; open it again whenever it is lost."""
        capture, number, delay, retry = self._capture, 0, FIRST_RETRY, 0.0
        while not self._closed:
            read, pixels = capture.read() if capture else (False, None)
            if read:
                if retry:
                    self._note(f"{self.name} is back")
                delay, retry = FIRST_RETRY, 0.0
                with self._new:
                    self.skipped += self._latest is not None
                    self._latest = (pixels, time.monotonic(), number, datetime.now(UTC))
                    self._new.notify()
                number += 1
            elif not retry:
                if not self._closed:
                    self._note(f"{self.name} was lost; trying to open it again")
                capture = capture.release()
                retry = time.monotonic() + delay
            elif time.monotonic() < retry:
                time.sleep(0.05)
            else:
                capture = self._open()
                delay = min(2 * delay, LAST_RETRY)
                retry = time.monotonic() + delay
        if capture:
            capture.release()
