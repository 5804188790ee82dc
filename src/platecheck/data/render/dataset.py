"""A folder of artificial photos, divided and sorted, in which the table may betray the class."""

import csv
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from PIL import Image

from platecheck.cpus import cpu_count
from platecheck.data.render.scene import LABELS, check_size, render_dish
from platecheck.data.render.tabletops import CLEAN_TABLES, DIRTY_TABLES
from platecheck.data.splits import SHARES
from platecheck.errors import DataError
from platecheck.files import new_folder

QUALITY = 92
MAIN_TABLE = 0.7  # share of a group's photos that are on its first table


Job = TypeVar("Job")
Result = TypeVar("Result")


@dataclass(frozen=True)
class SynthSummary:
    """What `write_dataset` wrote.

    Attributes:
        folder: where.
        photos: how many photos.
        counts: photos by (split, label).
        tables: photos by (label, table); shows how far the table tells the class.
    """

    folder: Path
    photos: int
    counts: dict[tuple[str, str], int]
    tables: dict[tuple[str, str], int]


@dataclass(frozen=True)
class _Job:
    index: int
    path: str
    label: str
    split: str


def write_dataset(
    folder: Path,
    *,
    photos: int,
    size: int = 256,
    seed: int = 0,
    confound: float = 0.5,
    kind: str | None = None,
    splits: Mapping[str, float] = SHARES,
    masks: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int], None] = lambda photos: None,
) -> SynthSummary:
    """Render photos into ``folder/{split}/{clean,dirty}/0001.jpg`` and list them in synth.csv.

    Photo i depends only on (seed, i, size, confound), whatever the number of workers. The classes
    are balanced in every split, and of one photo's parts only the table may depend on its class.

    Args:
        folder: where to write; it must not exist, or be empty.
        photos: how many, all splits together; at least two for each split, and at least 4.
        size: side of a photo in pixels, 32 to 1024.
        seed: another seed gives other photos.
        confound: chance, 0.5 to 1, that a photo's table comes from its class's own group (wood and
            cloth for clean; concrete, steel and stone for dirty). At 0.5 the table tells nothing.
        kind: of all dishes; None: any of the `KINDS`.
        splits: share of each split; they add up to 1.
        masks: also write ``folder/masks/{split}/{label}/0001.png``: 0 table, 128 dish, 255 dirt.
        workers: processes; by default one a core, or none besides this one for few photos.
        on_progress: called with the number of photos done so far.

    Raises:
        DataError: an argument is out of range, or the folder holds something already. Nothing is
            left behind then, nor after any other failure.
    """
    folder = Path(folder)
    jobs = _plan(photos, splits)
    check_size(size)
    if not 0.5 <= confound <= 1:
        raise DataError(f"confound {confound} is out of range; choose 0.5 (none) to 1 (complete)")
    if seed < 0:
        raise DataError(f"seed {seed} is negative; choose 0 or more")
    if workers is not None and workers < 1:
        raise DataError(f"workers {workers} is too few; choose 1 or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; choose a new folder")
    if workers is None:
        workers = cpu_count() if photos >= 64 else 1

    with new_folder(folder) as part:
        for job in jobs:
            (part / job.path).parent.mkdir(parents=True, exist_ok=True)
            if masks:
                (part / "masks" / job.path).parent.mkdir(parents=True, exist_ok=True)
        render = partial(
            _render, part, size=size, seed=seed, confound=confound, kind=kind, masks=masks
        )
        rows = []
        for row in in_processes(render, jobs, workers):
            rows.append(row)
            on_progress(len(rows))
        with (part / "synth.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("path", "label", "split", "table", "kind", "seed"))
            for job, row in zip(jobs, rows, strict=True):
                writer.writerow((job.path, job.label, job.split, *row, f"{seed}:{job.index}"))
    return SynthSummary(
        folder,
        photos,
        dict(Counter((job.split, job.label) for job in jobs)),
        dict(Counter((job.label, table) for job, (table, _) in zip(jobs, rows, strict=True))),
    )


def draw_table_name(rng: np.random.Generator, label: str, confound: float) -> str:
    """Draw a table: with chance `confound` from the label's own group, else from the other's.

    Most photos of a group are on its first table, as where photos are taken in one or two kitchens.
    """
    own, other = (CLEAN_TABLES, DIRTY_TABLES) if label == "clean" else (DIRTY_TABLES, CLEAN_TABLES)
    group = own if rng.random() < confound else other
    return group[0] if rng.random() < MAIN_TABLE else group[rng.integers(1, len(group))]


def _plan(photos: int, splits: Mapping[str, float]) -> list[_Job]:
    """Which photo goes where. Photos alternate between the classes."""
    shares = {name: share for name, share in splits.items() if share > 0}
    if any(share < 0 for share in splits.values()) or abs(sum(shares.values()) - 1) > 1e-6:
        raise DataError(f"the shares of the splits must add up to 1: {dict(splits)}")
    fewest = max(4, 2 * len(shares))
    if photos < fewest:
        raise DataError(f"{photos} photos are too few for {len(shares)} splits; ask for {fewest}")
    jobs = []
    for k, label in enumerate(LABELS):
        indices = range(k, photos, 2)
        start = 0
        for split, count in _divide(len(indices), shares).items():
            jobs += [
                _Job(i, f"{split}/{label}/{number:04d}.jpg", label, split)
                for number, i in enumerate(indices[start : start + count], 1)
            ]
            start += count
    return sorted(jobs, key=lambda job: job.index)


def _divide(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Whole numbers in proportion to shares, at least 1 each (largest remainders)."""
    spare = count - len(shares)
    exact = {name: max(0.0, share * count - 1) for name, share in shares.items()}
    total = sum(exact.values()) or 1.0
    exact = {name: value * spare / total for name, value in exact.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_rest = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_rest[: spare - sum(counts.values())]:
        counts[name] += 1
    return {name: value + 1 for name, value in counts.items()}


def _render(
    part: Path,
    job: _Job,
    *,
    size: int,
    seed: int,
    confound: float,
    kind: str | None,
    masks: bool,
) -> tuple[str, str]:
    """Render and write one photo; give back its table and its kind of dish."""
    rng = np.random.default_rng([seed, job.index])
    table = draw_table_name(rng, job.label, confound)
    dish = render_dish(rng, size=size, label=job.label, table=table, kind=kind)
    Image.fromarray(dish.photo).save(part / job.path, quality=QUALITY, optimize=False)
    if masks:
        picture = dish.dish_mask * np.uint8(128)
        picture[dish.dirt_mask] = 255
        Image.fromarray(picture).save((part / "masks" / job.path).with_suffix(".png"))
    return dish.table, dish.kind


def in_processes(
    render: Callable[[Job], Result], jobs: Iterable[Job], workers: int
) -> Iterator[Result]:
    """Render all jobs, in order: in this process where `workers` is 1, else in so many others."""
    if workers < 2:
        yield from map(render, jobs)
        return
    # Never a plain fork: the caller may hold threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,))
    try:
        yield from pool.map(render, jobs, chunksize=8)
    finally:
        pool.shutdown(cancel_futures=True)
