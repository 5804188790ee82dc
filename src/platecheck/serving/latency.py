"""How long photos take: somewhat longer than in the slowest stretch of late."""

from collections import deque

# Photos of a stretch, and stretches that count. Machines are slow, and slow photos come, for a
# while at a time: the slowest stretch tells what to expect better than a mean of all.
PHOTOS, STRETCHES = 32, 32
# Seconds that a photo is taken to need until the first has been answered: a slow core's.
GUESS = 0.05
# What comes next may be slower than all of them.
MARGIN = 1.25


class LatencyEstimator:
    """Seconds that a photo takes on a thread: a quarter more than in the slowest stretch of late.

    A stretch is 32 photos, and the last 32 stretches count. The one that has just begun counts
    with what its photos have taken so far, as if the others took none: so it is noticed at once
    when photos get slow, but one slow photo alone does not look like many.

    Attributes:
        seconds: a photo.
    """

    def __init__(self) -> None:
        self._means = deque([GUESS], maxlen=STRETCHES)
        self._sum = 0.0
        self._photos = 0
        self.seconds = MARGIN * GUESS

    def add(self, seconds: float, photos: int = 1) -> None:
        """Note what photos have taken, together."""
        self._sum += seconds
        self._photos += photos
        if self._photos >= PHOTOS:
            self._means.append(self._sum / self._photos)
            self._sum, self._photos = 0.0, 0
        self.seconds = MARGIN * max(*self._means, self._sum / PHOTOS)
