"""Watch a dish on camera and report when the answer changes: python examples/camera.py [SOURCE]

SOURCE is a device number [default: 0], a video file or an RTSP URL.
"""

import sys
from collections import Counter, deque
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from platecheck import Classifier

WINDOW = (
    5  # frames; the most frequent label among them counts, so that single frames do not flicker
)


def frames(source: str) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        sys.exit(f"{source} cannot be opened: neither a camera nor a video")
    while (read := capture.read())[0]:
        yield read[1]
    capture.release()


def changes(labels: Iterator[str]) -> Iterator[tuple[int, str]]:
    """Yield frame number and label whenever the most frequent of the last labels changes."""
    recent: deque[str] = deque(maxlen=WINDOW)
    shown = ""
    for number, label in enumerate(labels):
        recent.append(label)
        winner, votes = Counter(recent).most_common(1)[0]
        if votes > WINDOW // 2 and winner != shown:
            shown = winner
            yield number, winner


if __name__ == "__main__":
    source = sys.argv[1] if len(sys.argv) > 1 else "0"
    classifier = Classifier.load()
    labels = (classifier.predict(frame, color="bgr").label for frame in frames(source))
    for number, label in changes(labels):
        print(f"frame {number}: {label}", flush=True)
