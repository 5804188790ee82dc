"""Export a run as one self-contained ONNX file."""

import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from platecheck.classifier import Classifier
from platecheck.data.cache import PixelCache
from platecheck.data.folders import Photo, sha256_of
from platecheck.errors import DataError, ModelError
from platecheck.evaluation.evaluate import evaluate
from platecheck.export.calibration import batches, calibration_views, fast_device, fit_calibration
from platecheck.export.ood import MahalanobisOOD, OODHead
from platecheck.export.thresholds import choose_thresholds, worst_view
from platecheck.files import replacing
from platecheck.model_info import METADATA_KEY, DetectorInfo, ModelInfo, Reference
from platecheck.training.networks import NETWORKS
from platecheck.training.onnx_graph import write_onnx
from platecheck.training.onnx_import import initial_info
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor

# Largest accepted difference between a probability of the run and of its float32 export.
TOLERANCE = 1e-4
CALIBRATION_PHOTOS = 200
# Training weights clean and dirty cells equally (training/module.py); about 1 in 20 is dirty.
PRIOR_LOG_ODDS = -math.log(19)
# Metrics of a split that are stored in the file.
METRICS = {"photos", "correct", "accuracy", "accuracy_ci95", "precision", "recall", "f1", "ece"}
# Names of outputs are part of the file format.
OOD_OUTPUT = "oddness"


class InferenceModel(nn.Module):
    """The exported module, from uint8 photos [N, H, W, 3] to all outputs.

    Its attributes' names are part of the file format.
    """

    def __init__(self, model: TorchPredictor, ood: MahalanobisOOD | None) -> None:
        super().__init__()
        self.network = model.network
        self.scale = nn.Buffer(model.scale)
        self.shift = nn.Buffer(model.shift)
        self.temperature = model.scaling.temperature
        self.bias = nn.Buffer(torch.tensor(model.scaling.bias))
        self.oddness = OODHead(ood) if ood else None

    @property
    def outputs(self) -> list[str]:
        if self.network.evidence is None:
            return ["probabilities"]
        return ["probabilities", "evidence", *([OOD_OUTPUT] if self.oddness else [])]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities [N, classes], heatmap [N, h, w] in [0, 1] and OOD score [N]."""
        inputs = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        if self.network.evidence is None:
            return (self._probabilities(self.network(inputs)),)
        logits, dirt, pooled = self.network.forward_with_heatmap(inputs)
        outputs = (self._probabilities(logits), torch.sigmoid(dirt + PRIOR_LOG_ODDS))
        return outputs if self.oddness is None else (*outputs, self.oddness(pooled))

    def _probabilities(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits / self.temperature + self.bias, dim=1)


@dataclass(frozen=True)
class ExportReport:
    """Result of an export, compared with the run on validation photos."""

    path: Path
    epoch: int
    bytes: int
    photos: int
    max_difference: float  # of a probability
    changed: int  # predictions


def export(
    run: Run,
    path: Path,
    *,
    int8: bool = False,
    epoch: int | None = None,
    wrong: Mapping[str, float] | None = None,
    measure: bool = True,
) -> ExportReport:
    """Write a run's network as an ONNX file and check it on the validation photos.

    The file maps uint8 photos [N, size, size, 3] to probabilities [N, classes]; its metadata hold
    `platecheck.model_info.ModelInfo`.

    Args:
        run: a run with at least one finished epoch.
        path: output file.
        int8: quantize statically (QDQ, weights per channel), with ranges from training photos, all
            but the first convolutions (`register_network`) and the last layer.
        epoch: counted from 1 [default: the best one].
        wrong: error guarantee, the maximum error rate among predictions of each class; predictions
            below thresholds chosen on validation photos are *unsure*. Without one, a fine-tuned
            model keeps the thresholds of the model it started from.
        measure: evaluate the file on validation and test photos, for its metadata.

    Raises:
        DataError: the run's photos are gone or have changed.
        ModelError: the float32 file's probabilities differ by more than `TOLERANCE`; no file is
            written.
    """
    model = TorchPredictor(run, epoch)
    if model.calibrated:
        ood = MahalanobisOOD.load(run.ood_statistics) if run.ood_statistics.is_file() else None
    elif run.recipe.calibrate:  # the run's calibration is of its best epoch
        on_device = TorchPredictor(run, epoch, device=fast_device())
        model.scaling, ood = fit_calibration(on_device, calibration_views(run, "val"))
    else:
        ood = None
    validation = _verified(run, "val")
    cache = PixelCache(model.size, validation)
    info = _model_info(model, ood, int8=int8)
    with replacing(Path(path)) as temporary:
        _write_graph(InferenceModel(model, ood), run, temporary, int8=int8)
        exported = _with_metadata(temporary, info)
        difference, changed = _compare(model, exported, validation, cache)
        if not int8 and difference > TOLERANCE:
            raise ModelError(
                f"the exported probabilities differ by {difference:.2g} from the run's"
            )
        if wrong is not None:
            views = calibration_views(run, "val")
            rows = [exported.probabilities(batch) for batch in batches(views.pixels)]
            worst = worst_view(np.concatenate(rows), views.labels, views.owners)
            thresholds, guarantee = choose_thresholds(*worst, info.classes, wrong)
            info = info.model_copy(update={"thresholds": thresholds, "error_guarantee": guarantee})
            exported = _with_metadata(temporary, info)
        measured = {
            "reference": _reference(exported, validation),
            "metrics": _metrics(exported, run) if measure else {},
        }
        _with_metadata(temporary, info.model_copy(update=measured))
    size = Path(path).stat().st_size
    return ExportReport(Path(path), model.epoch, size, len(validation), difference, changed)


def _model_info(model: TorchPredictor, ood: MahalanobisOOD | None, *, int8: bool) -> ModelInfo:
    """Return the metadata, without what is measured with the exported file."""
    facts, recipe = model.run.facts, model.run.recipe
    return ModelInfo(
        platecheck=facts.platecheck,
        recipe=recipe.name,
        network=recipe.network.name,
        classes=facts.classes,
        size=model.size,
        precision="int8" if int8 else "float32",
        temperature=model.scaling.temperature,
        bias=model.scaling.bias,
        epoch=model.epoch,
        seed=facts.seed,
        data_fingerprint=facts.fingerprint,
        split_info=facts.split_info,
        metrics={},
        thresholds=_initial_thresholds(model.run),
        ood_threshold=ood.limit if ood else None,
    )


def _write_graph(module: InferenceModel, run: Run, path: Path, *, int8: bool) -> None:
    size = run.recipe.input.size
    example = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    write_onnx(module, example, path, inputs=["pixels"], outputs=module.outputs)
    if int8:
        photos = _verified(run, "train")
        count = min(len(photos), CALIBRATION_PHOTOS)
        chosen = [photos[i * len(photos) // count] for i in range(count)]
        float_convs = NETWORKS[run.recipe.network.name].float_convs
        pixels = batches(map(PixelCache(size, chosen).get, chosen))
        quantize(path, "pixels", pixels, partial(_float_nodes, float_convs=float_convs))


def _initial_thresholds(run: Run) -> dict[str, float]:
    """Return the thresholds of the model that was fine-tuned, if it has the same classes."""
    initial = initial_info(run.recipe.network, run.facts.classes)
    if initial is None:
        return {}
    info, there = initial
    named = zip(run.facts.classes, (info.classes[index] for index in there), strict=True)
    return {ours: info.thresholds[name] for ours, name in named if name in info.thresholds}


def _verified(run: Run, split: str) -> tuple[Photo, ...]:
    """Return the photos of a split, all of which must be unchanged."""
    photos = run.photos.split(split)
    for photo in photos:
        there = photo.path.is_file()
        if not there or sha256_of(photo.path) != photo.sha256:
            raise DataError(
                f"{photo.path}, which {run.folder} was trained with,"
                f" {'has changed' if there else 'is gone'}; the export is checked"
                " against these photos; if they were moved, pass their location with --data"
            )
    return photos


def _compare(
    model: TorchPredictor, exported: Classifier, photos: Sequence[Photo], cache: PixelCache
) -> tuple[float, int]:
    """Return the largest difference of a probability and the number of changed predictions."""
    difference, changed = 0.0, 0
    for pixels in batches(map(cache.get, photos)):
        ours, theirs = model.probabilities(pixels), exported.probabilities(pixels)
        difference = max(difference, float(np.abs(ours - theirs).max()))
        changed += int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
    return difference, changed


def _reference(exported: Classifier, photos: Sequence[Photo]) -> Reference:
    predictions = list(exported.predict_many(photo.path for photo in photos))
    scores = [p.ood_score for p in predictions if p.ood_score is not None]
    deciles = np.quantile(scores, np.arange(1, 10) / 10).tolist() if scores else []
    labels = Counter(prediction.label for prediction in predictions)
    return Reference(answers=dict(labels), ood_deciles=tuple(deciles))


def _metrics(exported: Classifier, run: Run) -> dict[str, dict[str, Any]]:
    metrics: dict[str, dict[str, Any]] = {}
    for split in ("val", "test"):
        if split in run.photos.splits:
            found = evaluate(exported, run.data, split=split, split_info=run.facts.split_info)
            metrics[split] = found.result.model_dump(mode="json", include=METRICS)
    return metrics


class _PhotoReader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, name: str, batches: Iterator[NDArray[np.uint8]]) -> None:
        self.name = name
        self.batches = batches

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        pixels = next(self.batches, None)
        return None if pixels is None else {self.name: pixels}


def quantize(
    path: Path,
    name: str,
    photos: Iterator[NDArray[np.uint8]],
    float_nodes: Callable[[onnx.GraphProto], list[str]],
) -> None:
    """Quantize a file statically, with the ranges for batches of the input `name`.

    `float_nodes` returns the names of the nodes that stay in float32.
    """
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _PhotoReader(name, photos),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=float_nodes(onnx.load(prepared).graph),
        )


def _float_nodes(graph: onnx.GraphProto, float_convs: int) -> list[str]:
    """Return the nodes before convolution `float_convs`, from the last linear layer on, and of OOD.

    The last layer is cheap and determines the probabilities. The OOD score must not be clipped for
    inputs outside the calibrated activation ranges.
    """
    kinds = [node.op_type for node in graph.node]
    convolutions = [i for i, kind in enumerate(kinds) if kind == "Conv"]
    begin = convolutions[float_convs] if len(convolutions) > float_convs else len(kinds)
    if "Gemm" not in kinds:
        raise ModelError("int8 export needs a network whose last layer is linear")
    last = len(kinds) - 1 - kinds[::-1].index("Gemm")
    others = [output.name for output in graph.output if output.name != OOD_OUTPUT]
    needed = set().union(*(_ancestors(graph, name) for name in others))
    ood = _ancestors(graph, OOD_OUTPUT) - needed
    return [node.name for i, node in enumerate(graph.node) if i < begin or i >= last or i in ood]


def _ancestors(graph: onnx.GraphProto, output: str) -> set[int]:
    tensors, nodes = {output}, set()
    for index in reversed(range(len(graph.node))):  # nodes are in the order of computation
        if tensors.intersection(graph.node[index].output):
            nodes.add(index)
            tensors.update(graph.node[index].input)
    return nodes


def _with_metadata(path: Path, info: ModelInfo) -> Classifier:
    write_metadata(path, info)
    return Classifier.load(path)


def write_metadata(path: Path, info: ModelInfo | DetectorInfo) -> None:
    """Write the metadata into a file."""
    model = onnx.load(path)
    model.producer_name = "platecheck"
    model.producer_version = info.platecheck
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: info.model_dump_json()})
    onnx.save(model, path)
