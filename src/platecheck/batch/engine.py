"""Map manifest tables to result tables; every engine calls `predict_tables`."""

from collections.abc import Generator, Iterable, Sequence
from itertools import islice, tee
from typing import Any

import pyarrow as pa

from platecheck.batch.manifests import PATH
from platecheck.batch.storage import photo_at
from platecheck.classifier import Classifier
from platecheck.errors import DataError, PhotoError
from platecheck.inspector import Inspection, Inspector
from platecheck.model_file import ModelSource

LABEL, ERROR = "label", "error"
Judge = Classifier | Inspector

_PROBABILITY = pa.float32()
_BOX = ("x0", "y0", "x1", "y1")


def load_judge(model: ModelSource | None, detector: ModelSource | None, *, inspect: bool) -> Judge:
    """Load a classifier or, with `inspect`, an inspector."""
    return Inspector.load(model, detector) if inspect else Classifier.load(model)


def judge_id(judge: Judge) -> str:
    """Return what identifies the models of a job."""
    if isinstance(judge, Classifier):
        return judge.id
    return f"{judge.classifier.id}+{judge.detector.id}"


def result_schema(kept: pa.Schema, judge: Judge) -> pa.Schema:
    """Return the columns of the output; raise DataError if two would have the same name."""
    inspects = isinstance(judge, Inspector)
    classes = (judge.classifier if isinstance(judge, Inspector) else judge).classes
    dish = [
        ("verdict", pa.string()),
        ("dish", pa.int32()),  # its number in the photo, from 1
        *((side, pa.float32()) for side in _BOX),
        ("score", _PROBABILITY),
    ]
    schema = pa.schema(
        [
            (PATH, pa.string()),
            *kept,
            *(dish if inspects else ()),
            (LABEL, pa.string()),
            ("probability", _PROBABILITY),
            *((f"probability_{name}", _PROBABILITY) for name in classes),
            *([("quality", pa.string())] if inspects else ()),
            (ERROR, pa.string()),
            ("model", pa.string()),
        ]
    )
    for name in kept.names:
        if schema.names.count(name) > 1:
            raise DataError(f"--keep {name}: the output already has a column of this name")
    return schema


def predict_tables(
    judge: Judge,
    manifest: Iterable[pa.Table],
    schema: pa.Schema,
    root: str,
    workers: int | None,
) -> Generator[pa.Table, None, None]:
    """Yield a table of results for each table of a manifest, read as needed.

    Relative paths start from the folder or URL `root`.
    """
    ahead, tables = tee(manifest)
    photos = (photo_at(path, root) for table in ahead for path in table.column(PATH).to_pylist())
    if isinstance(judge, Inspector):
        inspections = judge.inspect_many(photos, workers)
        for table in tables:
            yield _dish_rows(judge, table, list(islice(inspections, table.num_rows)), schema)
        return
    # One photo at a time, so that a result does not depend on the photos in the same batch, and a
    # job that was resumed or distributed has the same rows. On a CPU it is also faster.
    predictions = judge.predict_many(photos, 1, workers)
    for table in tables:
        found = list(islice(predictions, table.num_rows))
        columns = [
            *table.columns,
            [None if p.error else p.label for p in found],
            [None if p.error else p.probability for p in found],
            *([p.probabilities.get(name) for p in found] for name in judge.classes),
            [_reason(p.error) for p in found],
            [judge.id] * len(found),
        ]
        yield pa.table(columns, schema=schema)


def _dish_rows(
    inspector: Inspector, table: pa.Table, found: Sequence[Inspection], schema: pa.Schema
) -> pa.Table:
    """Return a row for each dish, and one for each photo without a dish."""
    photos: list[int] = []
    rows: list[tuple[Any, ...]] = []
    classes = inspector.classifier.classes
    for photo, each in enumerate(found):
        last = (_reason(each.error), judge_id(inspector))
        photos += [photo] * (len(each.dishes) or 1)
        if not each.dishes:
            nothing = [None] * (len(_BOX) + 2)  # the number, the box and the score of a dish
            label, empty = each.verdict or None, [None] * (len(classes) + 1)
            rows.append((label, *nothing, label, *empty, each.quality or None, *last))
        for number, dish in enumerate(each.dishes, 1):
            probabilities = (dish.prediction.probabilities[name] for name in classes)
            where = (each.verdict, number, *dish.box, dish.score)
            what = (dish.label, dish.prediction.probability, *probabilities, dish.quality)
            rows.append((*where, *what, *last))
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema.names)
    return pa.table([*table.take(photos).columns, *map(list, columns)], schema=schema)


def _reason(error: PhotoError | None) -> str | None:
    return error.reason.encode(errors="backslashreplace").decode() if error else None
