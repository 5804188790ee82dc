"""Export a run as one ONNX file that is the whole model."""

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from platecheck.classifier import Classifier
from platecheck.data.cache import PixelCache
from platecheck.data.folders import Photo, sha256_of
from platecheck.errors import DataError, ModelError
from platecheck.export.calibration_set import batches, views
from platecheck.export.onnx_graph import write_onnx
from platecheck.export.thresholds import choose_thresholds, worst_view
from platecheck.files import replacing
from platecheck.model_info import METADATA_KEY, ModelInfo, Reference, match_classes
from platecheck.training.onnx_import import started_from
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor

# Figures by split.
Metrics = dict[str, dict[str, Any]]

ODDNESS = "oddness"

# The largest difference between a probability of the run and of its float32 export.
TOLERANCE = 1e-4
CALIBRATION_PHOTOS = 200

# Convolutions from the start that int8 leaves in float32: stem and first block. Little time is
# spent there, and rounding errors made there go through the whole network.
FIRST_IN_FLOAT = {"tiny_vgg": 1, "efficientnet_b2": 5, "efficientnet_lite2": 3}


@dataclass(frozen=True)
class ExportReport:
    """What an export was checked for.

    Attributes:
        path: the file.
        epoch: whose weights it holds, counted from 1.
        bytes: its size.
        photos: validation photos that run and file both answered.
        max_difference: largest difference of a probability between the two.
        changed: photos whose answer changed.
    """

    path: Path
    epoch: int
    bytes: int
    photos: int
    max_difference: float
    changed: int


def export(
    run: Run,
    path: Path,
    *,
    int8: bool = False,
    epoch: int | None = None,
    judge: Callable[[Classifier], Metrics] | None = None,
    wrong: Mapping[str, float] | None = None,
) -> ExportReport:
    """Write a run's network as an ONNX file and check it on the validation photos.

    The file takes uint8 photos [N, size, size, 3], normalises them, and gives probabilities
    [N, classes]; its metadata hold `platecheck.model_info.ModelInfo`. With `int8`,
    convolutions and linear layers but the first (`FIRST_IN_FLOAT`) and the last are quantised
    statically (QDQ, weights per channel), with ranges seen on training photos.

    Args:
        run: finished or not.
        path: where to.
        int8: quantise.
        epoch: counted from 1; the best one when absent.
        wrong: a promise: by class, the largest share of wrong answers among those of the class.
            Thresholds that keep it are chosen on validation photos; what is below is *unsure*.
            Without a promise a fine-tuned model keeps the thresholds of the one it started from.
        judge: called with the exported model; what it finds, by split, is kept in the file.

    Raises:
        DataError: the run's photos are no longer where they were.
        ModelError: the float32 file's probabilities differ by more than `TOLERANCE`; no
            file is written.
    """
    model = TorchPredictor(run, epoch)
    if run.recipe.calibrate and model.epoch != run.best_epoch:
        model.fit_temperature()
    validation = present(run, "val")
    cache = PixelCache(model.size, validation)
    info = ModelInfo(
        platecheck=run.facts.platecheck,
        recipe=run.recipe.name,
        network=run.recipe.network.name,
        classes=run.facts.classes,
        size=model.size,
        precision="int8" if int8 else "float32",
        temperature=model.module.temperature,
        epoch=model.epoch,
        seed=run.facts.seed,
        data_fingerprint=run.facts.fingerprint,
        split_info=run.facts.split_info,
        metrics={},
        thresholds=_thresholds_before(run),
        ood_threshold=model.familiarity.limit if model.familiarity else None,
    )
    with replacing(Path(path)) as temporary:
        example = torch.zeros(2, model.size, model.size, 3, dtype=torch.uint8)
        write_onnx(model.module, example, temporary, inputs=["pixels"], outputs=_outputs(model))
        if int8:
            seen = batches(map(cache.get, _spread(present(run, "train"), CALIBRATION_PHOTOS)))
            _quantize(temporary, seen, first=FIRST_IN_FLOAT[run.recipe.network.name])
        _write_metadata(temporary, info)
        exported = Classifier.load(temporary)
        difference, changed = _compare(model, exported, validation, cache)
        if not int8 and difference > TOLERANCE:
            raise ModelError(
                f"the exported probabilities differ by {difference:.2g} from the run's"
            )
        if wrong is not None:
            shown = views(run, "val")
            found = [exported.probabilities(batch) for batch in batches(shown.pixels)]
            judged = worst_view(np.concatenate(found), shown.labels, shown.owners)
            thresholds, guarantee = choose_thresholds(*judged, info.classes, wrong)
            info = info.model_copy(update={"thresholds": thresholds, "error_guarantee": guarantee})
            _write_metadata(temporary, info)
            exported = Classifier.load(temporary)
        info = info.model_copy(update={"reference": _reference(exported, validation, cache)})
        if judge:
            info = info.model_copy(update={"metrics": judge(exported)})
        _write_metadata(temporary, info)
    size = Path(path).stat().st_size
    return ExportReport(Path(path), model.epoch, size, len(validation), difference, changed)


def _thresholds_before(run: Run) -> dict[str, float]:
    """Of the model that training started from, if the classes are still the same ones."""
    start = started_from(run.recipe.network)
    if start is None:
        return {}
    before, classes = Classifier.load(start).info, run.facts.classes
    now = match_classes(before.classes, classes)
    if None in now or len(now) != len(classes):
        return {}  # among other classes, the same probability means something else
    names = {name: classes[index or 0] for name, index in zip(before.classes, now, strict=True)}
    return {names[name]: least for name, least in before.thresholds.items()}


def _outputs(model: TorchPredictor) -> list[str]:
    if model.module.network.evidence is None:
        return ["probabilities"]
    return ["probabilities", "evidence", *([ODDNESS] if model.familiarity else [])]


def present(run: Run, split: str) -> tuple[Photo, ...]:
    """Photos of one of a run's splits, all of which must still be there, and be the same.

    Raises:
        DataError: one is gone or has changed.
    """
    photos = run.photos.split(split)
    for photo in photos:
        if not photo.path.is_file():
            state = "is gone"
        elif sha256_of(photo.path) != photo.sha256:
            state = "has changed"
        else:
            continue
        raise DataError(
            f"{photo.path}, which {run.folder} was trained with, {state}; the export is checked"
            " against these photos: if they were moved, say where they are with --data"
        )
    return photos


def _compare(
    model: TorchPredictor, exported: Classifier, photos: Sequence[Photo], cache: PixelCache
) -> tuple[float, int]:
    """Largest difference of a probability, and the number of answers that differ."""
    difference, changed = 0.0, 0
    for pixels in batches(map(cache.get, photos)):
        ours, theirs = model.probabilities(pixels), exported.probabilities(pixels)
        difference = max(difference, float(np.abs(ours - theirs).max()))
        changed += int((ours.argmax(axis=1) != theirs.argmax(axis=1)).sum())
    return difference, changed


def _reference(exported: Classifier, photos: Sequence[Photo], cache: PixelCache) -> Reference:
    """What the file gives for the validation photos, so that drift shows in production."""
    given = [
        answer
        for pixels in batches(map(cache.get, photos))
        for answer in exported.predict_pixels(pixels, [""] * len(pixels))
    ]
    oddness = [answer.ood_score for answer in given if answer.ood_score is not None]
    deciles = np.quantile(oddness, np.arange(1, 10) / 10).tolist() if oddness else []
    return Reference(
        answers=dict(Counter(answer.label for answer in given)), ood_deciles=tuple(deciles)
    )


def _spread(photos: Sequence[Photo], wanted: int) -> Sequence[Photo]:
    if len(photos) <= wanted:
        return photos
    return [photos[i * len(photos) // wanted] for i in range(wanted)]


class _PhotoReader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, batches: Iterator[NDArray[np.uint8]]) -> None:
        self.batches = batches

    def get_next(self) -> dict[str, NDArray[np.uint8]] | None:
        pixels = next(self.batches, None)
        return None if pixels is None else {"pixels": pixels}


def _quantize(path: Path, seen: Iterator[NDArray[np.uint8]], *, first: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            _PhotoReader(seen),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=_kept_in_float(onnx.load(prepared).graph, first),
        )


def _kept_in_float(graph: onnx.GraphProto, first: int) -> list[str]:
    """All before convolution number `first`, the last linear layer with what follows, and oddness.

    The last layer takes no time, and the probabilities hang on it. Oddness must grow with what is
    unlike everything that the ranges were seen on.
    """
    kinds = [node.op_type for node in graph.node]
    begin = [i for i, kind in enumerate(kinds) if kind == "Conv"][first]
    last = len(kinds) - 1 - kinds[::-1].index("Gemm")
    others = [output.name for output in graph.output if output.name != ODDNESS]
    needed = set().union(*(_needed_for(graph, name) for name in others))
    odd = _needed_for(graph, ODDNESS) - needed
    return [node.name for i, node in enumerate(graph.node) if i < begin or i >= last or i in odd]


def _needed_for(graph: onnx.GraphProto, output: str) -> set[int]:
    tensors, nodes = {output}, set()
    for index in reversed(range(len(graph.node))):  # nodes are in the order of computation
        if tensors.intersection(graph.node[index].output):
            nodes.add(index)
            tensors.update(graph.node[index].input)
    return nodes


def _write_metadata(path: Path, info: ModelInfo) -> None:
    model = onnx.load(path)
    model.producer_name = "platecheck"
    model.producer_version = info.platecheck
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {METADATA_KEY: info.model_dump_json()})
    onnx.save(model, path)
