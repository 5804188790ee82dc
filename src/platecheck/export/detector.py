"""Export the run of a detector as one self-contained ONNX file."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from platecheck.data.boxes import BoxedPhotoSet, with_boxes
from platecheck.detector import Detector
from platecheck.errors import ModelError
from platecheck.evaluation.detection import choose_threshold, evaluate_detector, search
from platecheck.export.calibration import batches
from platecheck.export.onnx import quantize, write_metadata
from platecheck.files import replacing
from platecheck.model_info import DetectorInfo
from platecheck.training.detection.datamodule import LetterboxedDataset, SceneDataset
from platecheck.training.detection.network import DishDetector, build_detector
from platecheck.training.networks import NETWORKS
from platecheck.training.onnx_graph import write_onnx
from platecheck.training.pretrained import read_state
from platecheck.training.recipe import Normalization, Recipe
from platecheck.training.run import Run

TOLERANCE = 1e-3  # largest accepted difference between a score of the run and of its float32 file
CALIBRATION_PHOTOS = 100
COMPARED = 16  # validation photos on which run and file are compared
SILENT = 0.95  # share of the validation photos without a dish in which none may be found


class DetectionModel(nn.Module):
    """The exported module, from uint8 photos [N, S, S, 3] to boxes and scores.

    The network's attributes `score` and `distances` name the nodes that stay in float32.
    """

    def __init__(self, network: DishDetector, normalization: Normalization) -> None:
        super().__init__()
        self.network = network
        std = torch.tensor(normalization.std).view(1, 3, 1, 1)
        mean = torch.tensor(normalization.mean).view(1, 3, 1, 1)
        self.scale = nn.Buffer(1 / (255 * std))
        self.shift = nn.Buffer(-mean / std)

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes [N, A, 4] in pixels and scores [N, A]."""
        inputs = photos.permute(0, 3, 1, 2).float() * self.scale + self.shift
        logits, boxes = self.network(inputs)
        return boxes, torch.sigmoid(logits)


@dataclass(frozen=True)
class DetectorReport:
    """Result of an export."""

    path: Path
    epoch: int
    bytes: int
    max_difference: float  # of a score, between run and file
    info: DetectorInfo


def export_detector(
    run: Run,
    path: Path,
    *,
    int8: bool = False,
    epoch: int | None = None,
    threshold: float | None = None,
    size: int | None = None,
    measure: bool = True,
) -> DetectorReport:
    """Write a detector as an ONNX file, choose its threshold on the validation photos, measure it.

    The file maps uint8 photos [N, size, size, 3], letterboxed by `platecheck.detector.letterbox`,
    to boxes [N, A, 4] and scores [N, A]; its metadata hold `platecheck.model_info.DetectorInfo`.

    Args:
        run: a run with at least one finished epoch.
        path: output file.
        int8: quantize statically all but the first convolutions, scores and boxes.
        epoch: counted from 1 [default: the best one].
        threshold: minimum score of a dish [default: the best F0.5 on validation photos, but so
            high that nothing is found in `SILENT` of those without a dish].
        size: side of the input, a multiple of 32 [default: the recipe's]. More pixels find smaller
            dishes, in more time.
        measure: evaluate the file on validation and test photos, for its metadata.

    Raises:
        DataError: the run's photos are gone or have changed.
        ModelError: the run has no finished epoch, the size is not a multiple of 32, or the float32
            file's scores differ by more than `TOLERANCE`.
    """
    chosen = epoch or run.best_epoch
    recipe = _without_weights(run.recipe, size or run.recipe.input.size)
    network = build_detector(recipe)
    network.load_state_dict(read_state(run.weights(chosen)))
    module = DetectionModel(network, run.facts.normalization).eval()
    data, size = with_boxes(run.photos, run.facts.fingerprint), recipe.input.size
    assert recipe.detection is not None
    info = DetectorInfo(
        platecheck=run.facts.platecheck,
        recipe=run.recipe.name,
        network=run.recipe.network.name,
        size=size,
        precision="int8" if int8 else "float32",
        threshold=0.5 if threshold is None else threshold,
        nms_iou=recipe.detection.nms_iou,
        epoch=chosen,
        seed=run.facts.seed,
        data_fingerprint=run.facts.fingerprint,
        metrics={},
    )
    with replacing(Path(path)) as temporary:
        example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
        write_onnx(module, example, temporary, inputs=["photos"], outputs=["boxes", "scores"])
        if int8:
            drawn = batches(_drawn(recipe, data))
            quantize(temporary, "photos", drawn, _FloatNodes(run.recipe.network.name))
        write_metadata(temporary, info)
        detector = Detector.load(temporary)
        difference = _compare(module, detector, data, size)
        if not int8 and difference > TOLERANCE:
            raise ModelError(f"the exported scores differ by {difference:.2g} from the run's")
        if threshold is None:
            val = [search(detector, p, data.boxes[p.name]) for p in data.photos.split("val")]
            info = info.model_copy(update={"threshold": choose_threshold(val, silent=SILENT)})
            write_metadata(temporary, info)
            detector = Detector.load(temporary)
        if measure:
            info = info.model_copy(update={"metrics": _metrics(detector, data)})
        write_metadata(temporary, info)
    return DetectorReport(Path(path), chosen, Path(path).stat().st_size, difference, info)


def _without_weights(recipe: Recipe, size: int) -> Recipe:
    """Return a recipe for photos of another size, without initial weights, which may be gone."""
    if size % 32:
        raise ModelError(f"the size must be a multiple of 32, not {size}")
    network = recipe.network.model_copy(update={"weights": None})
    return recipe.model_copy(
        update={"network": network, "input": recipe.input.model_copy(update={"size": size})}
    )


def _drawn(recipe: Recipe, data: BoxedPhotoSet) -> Iterator[NDArray[np.uint8]]:
    """Yield photos as training draws them."""
    scenes = SceneDataset(data, recipe, None)
    for index in range(CALIBRATION_PHOTOS):
        yield scenes[index, index, 0][0].numpy()


def _compare(module: DetectionModel, detector: Detector, data: BoxedPhotoSet, size: int) -> float:
    photos = LetterboxedDataset(data.photos.split("val"), data, size)
    difference = 0.0
    for pixels in batches(photos[i][0].numpy() for i in islice(range(len(photos)), COMPARED)):
        with torch.inference_mode():
            ours = module(torch.from_numpy(pixels))[1].numpy()
        theirs = detector.session.run(["scores"], {"photos": pixels})[0]
        difference = max(difference, float(np.abs(ours - theirs).max()))
    return difference


def _metrics(detector: Detector, data: BoxedPhotoSet) -> dict[str, dict[str, object]]:
    return {
        split: evaluate_detector(detector, data, split=split).result.model_dump(mode="json")
        for split in ("val", "test")
        if split in data.photos.splits
    }


@dataclass(frozen=True)
class _FloatNodes:
    """Names the nodes that stay in float32: the first ones, and from the last convolutions on."""

    network: str

    def __call__(self, graph: onnx.GraphProto) -> list[str]:
        convolutions = [i for i, node in enumerate(graph.node) if node.op_type == "Conv"]
        begin = convolutions[NETWORKS[self.network].float_convs]
        tensors: set[str] = set()
        late = []
        for node in graph.node:  # in the order of computation
            last = node.op_type == "Conv" and node.name.split("/")[-2] in ("score", "distances")
            if last or tensors.intersection(node.input):
                late.append(node.name)
                tensors.update(node.output)
        return [node.name for node in graph.node[:begin]] + late
