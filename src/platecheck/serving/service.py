"""What all requests of a process share: the model, the queue, the figures."""

from platecheck.classifier import Classifier, Prediction
from platecheck.serving import metrics
from platecheck.serving.drift import Drift
from platecheck.serving.pool import PredictionPool
from platecheck.serving.settings import Settings
from platecheck.serving.uploads import MemoryLimiter

# Answers after which the drift is computed again.
_DRIFT_EVERY = 25


class Service:
    """The model with its queue; counts what it answers."""

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        self.classifier = classifier
        self.settings = settings
        self.uploads = MemoryLimiter(settings.max_upload_bytes)
        self.engine: PredictionPool
        self.stopping = False
        self._answers = 0
        self._drift = Drift(classifier.info.reference) if classifier.info.reference else None

    def start(self) -> None:
        settings, info = self.settings, self.classifier.info
        self.engine = PredictionPool(
            self.classifier,
            threads=settings.threads,
            queue=settings.queue,
            wait=settings.max_queue_delay,
            batch=settings.batch,
            pixels=settings.max_pixels,
            on_answer=self._count,
            on_taken=self._count_waiting,
        )
        metrics.MODEL.labels(self.classifier.id, info.recipe, info.precision).set(1)
        metrics.QUEUE_LIMIT.set(settings.queue)
        metrics.WAIT_LIMIT.set(settings.max_queue_delay)
        self._count_waiting(0, 0)

    def stop(self) -> None:
        self.stopping = True
        self.engine.close()

    def _count_waiting(self, photos: int, seconds: float) -> None:
        metrics.QUEUE.set(photos)
        metrics.WAIT.set(seconds)

    def _count(self, prediction: Prediction) -> None:
        metrics.PHOTOS.labels("error" if prediction.error else prediction.label).inc()
        if self._drift is None:
            return
        self._drift.add(prediction)
        self._answers += 1
        if self._answers % _DRIFT_EVERY == 0:
            distances = {"answers": self._drift.answers(), "features": self._drift.features()}
            for of, distance in distances.items():
                if distance is not None:
                    metrics.DRIFT.labels(of).set(distance)
