"""State shared by all requests of a process: model, queue, metrics."""

from platecheck.classifier import Classifier, Prediction
from platecheck.serving import metrics
from platecheck.serving.drift import Drift
from platecheck.serving.pool import PredictionPool
from platecheck.serving.settings import Settings
from platecheck.serving.uploads import MemoryLimiter

# Predictions between two updates of the drift metric.
_DRIFT_INTERVAL = 25


class Service:
    """The model behind its inference pool, with metrics of its predictions."""

    def __init__(self, classifier: Classifier, settings: Settings) -> None:
        self.classifier = classifier
        self.settings = settings
        self.uploads = MemoryLimiter(settings.max_upload_bytes)
        self.pool: PredictionPool
        self.stopping = False
        self._predictions = 0
        self._drift = Drift(classifier.info.reference) if classifier.info.reference else None

    def start(self) -> None:
        settings, info = self.settings, self.classifier.info
        self.pool = PredictionPool(
            self.classifier,
            threads=settings.threads,
            queue=settings.queue,
            max_queue_delay=settings.max_queue_delay,
            batch=settings.batch,
            max_pixels=settings.max_pixels,
            on_prediction=self._record,
            on_change=self._update_queue,
        )
        metrics.MODEL.labels(self.classifier.id, info.recipe, info.precision).set(1)
        metrics.QUEUE_LIMIT.set(settings.queue)
        metrics.WAIT_LIMIT.set(settings.max_queue_delay)
        self._update_queue(0, 0)

    def stop(self) -> None:
        self.stopping = True
        self.pool.close()

    def _update_queue(self, in_flight: int, queue_delay: float) -> None:
        metrics.QUEUE.set(in_flight)
        metrics.WAIT.set(queue_delay)

    def _record(self, prediction: Prediction) -> None:
        metrics.PHOTOS.labels("error" if prediction.error else prediction.label).inc()
        if self._drift is None:
            return
        self._drift.add(prediction)
        self._predictions += 1
        if self._predictions % _DRIFT_INTERVAL == 0:
            distances = {"answers": self._drift.answers(), "features": self._drift.features()}
            for of, distance in distances.items():
                if distance is not None:
                    metrics.DRIFT.labels(of).set(distance)
