"""Render datasets: dishes on backgrounds that can be correlated with the class, and scenes."""

import csv
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from joblib import Parallel, delayed
from PIL import Image

from platecheck.cpus import cpu_count
from platecheck.data.render.scene import LABELS, check_size, render_dish
from platecheck.data.render.scenes import check_scene, render_scene
from platecheck.data.render.tabletops import CLEAN_BACKGROUNDS, DIRTY_BACKGROUNDS
from platecheck.data.splits import SHARES
from platecheck.errors import DataError
from platecheck.files import new_folder

QUALITY = 92
MAIN_SHARE = 0.7  # fraction of a group's photos on its first background


Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class RenderSummary:
    """Photos of a rendered dataset by (split, label) and by (label, background)."""

    folder: Path
    photos: int
    counts: dict[tuple[str, str], int]
    backgrounds: dict[tuple[str, str], int]


class _RenderJob(NamedTuple):
    number: int
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
) -> RenderSummary:
    """Render photos to ``folder/{split}/{clean,dirty}/0001.jpg`` and list them in synth.csv.

    Photo i depends only on (seed, i, size, confound). The classes are balanced in every split, and
    only the background (and dirt) may depend on the class. The folder is written atomically.

    Args:
        photos: total number of photos; at least 4, and at least 2 per split.
        size: side of a photo in pixels, 32 to 1024.
        seed: 0 or more.
        confound: probability, 0.5 to 1, that a photo's background comes from its class's group
            (wood and cloth for clean; concrete, steel and stone for dirty). 0.5: no correlation.
        kind: kind of all dishes; any of `KINDS` by default.
        splits: proportion of each split; they sum to 1.
        masks: also write ``folder/masks/{split}/{label}/0001.png``, 0 on the background, 128 on the
            dish, 255 on dirt.
        workers: number of processes; by default one per core, or only this one for few photos.

    Raises:
        DataError: an argument is out of range, or the folder is not empty.
    """
    folder = Path(folder)
    jobs = _plan(photos, splits)
    check_size(size)
    if not 0.5 <= confound <= 1:
        raise DataError(f"confound {confound} is out of range; choose 0.5 (none) to 1 (full)")
    workers = _check(folder, photos, seed, workers)

    with new_folder(folder) as part:
        for place in {Path(job.path).parent for job in jobs}:
            for root in (part, part / "masks") if masks else (part,):
                (root / place).mkdir(parents=True)
        render = partial(
            _render, part, size=size, seed=seed, confound=confound, kind=kind, masks=masks
        )
        rows = []
        for job, row in zip(jobs, in_processes(render, jobs, workers), strict=True):
            rows.append((job.path, job.label, job.split, *row, f"{seed}:{job.number}"))
            on_progress(len(rows))
        with (part / "synth.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([("path", "label", "split", "table", "kind", "seed"), *rows])
    counts = Counter((split, label) for _, label, split, *_ in rows)
    backgrounds = Counter((label, background) for _, label, _, background, *_ in rows)
    return RenderSummary(folder, photos, dict(counts), dict(backgrounds))


@dataclass(frozen=True)
class SceneSummary:
    """Rendered scenes: where they are, photos by split and by kind, and dishes by label."""

    folder: Path
    photos: int
    splits: dict[str, int]
    kinds: dict[str, int]
    labels: dict[str, int]


def write_scenes(
    folder: Path,
    *,
    photos: int,
    size: int = 640,
    seed: int = 0,
    kind: str | None = None,
    splits: Mapping[str, float] = SHARES,
    masks: bool = False,
    workers: int | None = None,
    on_progress: Callable[[int], None] = lambda photos: None,
) -> SceneSummary:
    """Render scenes of up to twelve dishes, or none, as a dataset in YOLO format.

    Photos go to ``images/{split}/0001.jpg``, their boxes to ``labels/{split}/0001.txt`` (class 0, x
    and y of the middle, width and height, as shares of the photo's), what is known of each dish to
    ``scenes.csv`` (a row without a box for a photo without dishes), the splits to ``data.yaml``.
    Photo i depends only on (seed, i, size, kind). The folder is written atomically.

    Args as for `write_dataset`, but:
        photos: at least one per split.
        size: longer side of a photo in pixels, 160 to 1280.
        kind: kind of all scenes; one of `SCENE_KINDS`, or all of them by default.
        masks: also write ``masks/{split}/0001.png``, n on the n-th dish and 128 + n on its dirt.

    Raises:
        DataError: an argument is out of range, or the folder is not empty.
    """
    folder, shares = Path(folder), _shares(splits)
    if photos < len(shares):
        raise DataError(f"{photos} photos are too few for {len(shares)} splits")
    check_scene(size=size, kind=kind)
    workers = _check(folder, photos, seed, workers)
    counts = _divide(photos, shares)
    names = [f"{split}/{n:04d}" for split, count in counts.items() for n in range(1, count + 1)]
    kinds, labels = Counter[str](), Counter[str]()
    with new_folder(folder) as part:
        for root in ("images", "labels", "masks") if masks else ("images", "labels"):
            for split in counts:
                (part / root / split).mkdir(parents=True)
        render = partial(_render_scene, part, size=size, seed=seed, kind=kind, masks=masks)
        with (part / "scenes.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("photo", "kind", "x0", "y0", "x1", "y1", "label", "visible"))
            for name, drawn, rows in in_processes(render, list(enumerate(names)), workers):
                photo = (f"images/{name}.jpg", drawn)
                writer.writerows([(*photo, *row) for row in rows or [("",) * 6]])
                kinds[drawn] += 1
                labels.update(str(row[4]) for row in rows)
                on_progress(kinds.total())
        lines = [f"{split}: images/{split}\n" for split in counts]
        (part / "data.yaml").write_text("".join(lines) + "names:\n  0: dish\n", encoding="utf-8")
    return SceneSummary(folder, photos, counts, dict(kinds), dict(labels))


def _render_scene(
    part: Path, job: tuple[int, str], *, size: int, seed: int, kind: str | None, masks: bool
) -> tuple[str, str, list[tuple[int | str, ...]]]:
    """Render and write a scene; return its name and kind, and what is known of each dish."""
    number, name = job
    scene = render_scene(np.random.default_rng([seed, number]), size=size, kind=kind)
    height, width = scene.photo.shape[:2]
    photo = part / "images" / f"{name}.jpg"
    Image.fromarray(scene.photo).save(photo, quality=QUALITY, optimize=False)
    low, high = scene.boxes[:, :2], scene.boxes[:, 2:]
    shares = np.concatenate([(low + high) / 2, high - low], 1) / ((width, height) * 2)
    lines = [f"0 {' '.join(f'{share:.6f}' for share in box)}\n" for box in shares]
    (part / "labels" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    if masks:
        numbers = np.arange(1, len(low) + 1, dtype=np.uint8)[:, None, None]
        mask = (scene.masks * numbers + 128 * scene.dirt_masks).sum(0).astype(np.uint8)
        Image.fromarray(mask).save(part / "masks" / f"{name}.png")
    boxes = scene.boxes.astype(int).tolist()
    known = zip(boxes, scene.labels, scene.visible, strict=True)
    return name, scene.kind, [(*box, label, f"{share:.3f}") for box, label, share in known]


def _check(folder: Path, photos: int, seed: int, workers: int | None) -> int:
    """Check arguments of all datasets; return the number of processes."""
    if seed < 0:
        raise DataError(f"seed {seed} is negative; choose 0 or more")
    if workers is not None and workers < 1:
        raise DataError(f"workers must be at least 1, not {workers}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder} is not empty; choose a new folder")
    return workers or (cpu_count() if photos >= 64 else 1)


def draw_background_name(rng: np.random.Generator, label: str, confound: float) -> str:
    """Draw a background, with probability `confound` from the label's own group.

    Most photos of a group have its first background, as if they were taken in one or two kitchens.
    """
    groups = (CLEAN_BACKGROUNDS, DIRTY_BACKGROUNDS)
    own, other = groups if label == "clean" else groups[::-1]
    group = own if rng.random() < confound else other
    return group[0] if rng.random() < MAIN_SHARE else group[rng.integers(1, len(group))]


def _plan(photos: int, splits: Mapping[str, float]) -> list[_RenderJob]:
    """Assign photos to splits and classes; indices alternate between the classes."""
    shares = _shares(splits)
    minimum = max(4, 2 * len(shares))
    if photos < minimum:
        raise DataError(f"{photos} photos are too few for {len(shares)} splits; use {minimum}")
    jobs = []
    for first, label in enumerate(LABELS):
        indices = iter(range(first, photos, 2))
        for split, count in _divide((photos - first + 1) // 2, shares).items():
            for place, number in enumerate(islice(indices, count), 1):
                path = f"{split}/{label}/{place:04d}.jpg"
                jobs.append(_RenderJob(number, path, label, split))
    return sorted(jobs)


def _shares(splits: Mapping[str, float]) -> dict[str, float]:
    """Return the shares of the splits that have any."""
    if any(share < 0 for share in splits.values()) or abs(sum(splits.values()) - 1) > 1e-6:
        raise DataError(f"the shares of the splits must add up to 1: {dict(splits)}")
    return {name: share for name, share in splits.items() if share > 0}


def _divide(count: int, shares: Mapping[str, float]) -> dict[str, int]:
    """Return integers in proportion to shares, at least 1 each (largest remainder method)."""
    spare = count - len(shares)
    exact = {name: max(0.0, share * count - 1) for name, share in shares.items()}
    total = sum(exact.values()) or 1.0
    exact = {name: value * spare / total for name, value in exact.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: spare - sum(counts.values())]:
        counts[name] += 1
    return {name: value + 1 for name, value in counts.items()}


def _render(
    part: Path,
    job: _RenderJob,
    *,
    size: int,
    seed: int,
    confound: float,
    kind: str | None,
    masks: bool,
) -> tuple[str, str]:
    """Render and write one photo; return its background and its kind of dish."""
    rng = np.random.default_rng([seed, job.number])
    background = draw_background_name(rng, job.label, confound)
    dish = render_dish(rng, size=size, label=job.label, background=background, kind=kind)
    Image.fromarray(dish.photo).save(part / job.path, quality=QUALITY, optimize=False)
    if masks:
        mask = dish.dish_mask * np.uint8(128)
        mask[dish.dirt_mask] = 255
        Image.fromarray(mask).save((part / "masks" / job.path).with_suffix(".png"))
    return dish.background, dish.kind


def in_processes(
    render: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[Result]:
    """Map `render` over items, in order, on `workers` processes, or in this one if it is 1.

    Unlike the standard library's pools, joblib's needs no ``if __name__ == "__main__"`` in scripts.
    """
    if workers < 2:
        yield from map(render, items)
        return
    tasks = (delayed(_on_one_thread)(render, item) for item in items)
    results = Parallel(workers, return_as="generator")(tasks)
    try:
        for result in results:  # noqa: UP028 ("yield from" would close it outside "finally")
            yield result
    finally:
        with warnings.catch_warnings(action="ignore"):  # it warns if closed early
            results.close()


def _on_one_thread(render: Callable[[Item], Result], item: Item) -> Result:
    cv2.setNumThreads(1)
    return render(item)
