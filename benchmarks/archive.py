"""``python -m benchmarks.archive``: time and memory of `platecheck batch`.

Photos are rendered dishes, repeated, and so read from the file system cache. Times per core are CPU
time, so that other processes have little influence.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from platecheck.batch.job import Job, run
from platecheck.classifier import BUNDLED_MODELS, Classifier
from platecheck.data.render import write_dataset
from tests.support.server import peak_bytes

RENDERED = 64
SIDES = (256, 512)
PHONE = (4000, 3000)
ROUNDS = 5


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.archive", description=__doc__)
    parts: dict[str, Callable[[Path], None]] = {
        "speed": speed,
        "alike": alike,
        "memory": memory,
        "listing": listing,
        "kills": kills,
        "ray": against_ray,
    }
    parser.add_argument("--only", nargs="*", choices=list(parts))
    chosen = parser.parse_args().only or list(parts)
    with tempfile.TemporaryDirectory() as folder:
        for name in chosen:
            print(f"\n## {name}\n", flush=True)
            parts[name](Path(folder))


# --- photos


def rendered(folder: Path, side: int) -> list[Path]:
    """Render dishes of one size."""
    place = folder / f"rendered-{side}"
    if not place.exists():
        write_dataset(place, photos=RENDERED, size=side)
    return sorted(place.rglob("*.jpg"))


def of_a_phone(folder: Path) -> list[Path]:
    """Render photos of the size of a phone's."""
    place = folder / "phone"
    if not place.exists():
        place.mkdir()
        for photo in rendered(folder, SIDES[-1])[:16]:
            Image.open(photo).resize(PHONE).save(place / photo.name, quality=90)
    return sorted(place.iterdir())


def archive(folder: Path, rows: int) -> Path:
    """Return a folder of that many links to rendered photos, a thousand per subfolder."""
    place = folder / f"archive-{rows}"
    photos = rendered(folder, SIDES[0])
    for number in range(rows if not place.exists() else 0):
        inside = place / f"{number // 1000:04}"
        inside.mkdir(parents=True, exist_ok=True)
        os.link(photos[number % RENDERED], inside / f"{number % 1000:03}.jpg")
    return place


def listed(folder: Path, photos: list[Path], rows: int) -> Path:
    """Write a manifest that repeats photos."""
    place = folder / "list.parquet"
    paths = [str(photos[number % len(photos)]) for number in range(rows)]
    pq.write_table(pa.table({"path": paths}), place)
    return place


# --- the program


@dataclass(frozen=True)
class Ran:
    """Duration and CPU time in seconds, and peak memory, of a process."""

    seconds: float
    busy: float
    megabytes: float


def batch(*arguments: str | Path, kill_when: Callable[[], bool] | None = None) -> Ran:
    """Run ``platecheck batch``, or kill it when `kill_when` returns true."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "platecheck", "batch", *map(str, arguments), "--overwrite"],
        stdout=subprocess.DEVNULL,
    )
    ended, peak, killed = 0, 0, False
    while not ended:
        # Not ru_maxrss, which begins with the memory of the process that started it.
        with suppress(ProcessLookupError):  # it has ended, and is still to be waited for
            peak = peak_bytes(process.pid)
        if kill_when and not killed and kill_when():
            process.send_signal(signal.SIGKILL)
            killed = True
        time.sleep(0.01)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == (-signal.SIGKILL if kill_when else 0)
    return Ran(time.perf_counter() - start, used.ru_utime + used.ru_stime, peak / 1e6)


# --- what is measured


def speed(folder: Path) -> None:
    """Measure photos per second and core, by model and photo size."""
    kinds = {f"rendered, {side} × {side}": (rendered(folder, side), 2000) for side in SIDES}
    kinds[f"a phone's, {PHONE[0]} × {PHONE[1]}"] = (of_a_phone(folder), 300)
    print("| photos | model | photos a second and core | core-hours a million |\n|---|---|---|---|")
    for name, (photos, rows) in kinds.items():
        for model in BUNDLED_MODELS:
            # The difference of two runs leaves out what starting takes.
            short, long = (
                batch(listed(folder, photos, count), folder / "out.parquet", "--model", model)
                for count in (rows // 4, rows)
            )
            busy = (long.busy - short.busy) / (rows - rows // 4)
            print(f"| {name} | {model} | {1 / busy:.0f} | {busy * 1e6 / 3600:.2f} |", flush=True)


def alike(folder: Path) -> None:
    """Compare the local engine with `Classifier.predict_many`."""
    for model, times in (("plate", 20), ("tiny", 100)):
        photos = rendered(folder, SIDES[0]) * times
        job = Job(
            str(listed(folder, photos, len(photos))),
            str(folder / "out.parquet"),
            model=model,
            overwrite=True,
        )
        classifier = Classifier.load(model)
        in_turns(
            f"{len(photos)} photos of {SIDES[0]} px, {model}, busy",
            ("batch", lambda job=job: run(job)),
            ("predict_many", lambda c=classifier, p=photos: deque(c.predict_many(p), maxlen=0)),
            time.process_time,
        )


Action = tuple[str, Callable[[], object]]


def in_turns(what: str, ours: Action, theirs: Action, clock: Callable[[], float]) -> None:
    """Print median seconds of two actions that take turns."""

    def seconds(action: Action) -> float:
        start = clock()
        action[1]()
        return clock() - start

    pairs = [(seconds(ours), seconds(theirs)) for _ in range(ROUNDS)]
    first, second = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(one / other for one, other in pairs)
    print(
        f"{what}: {ours[0]} {first:.2f} s, {theirs[0]} {second:.2f} s;"
        f" ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f}–{ratios[-1]:.2f})",
        flush=True,
    )


def memory(folder: Path) -> None:
    """Measure peak memory by number of photos."""
    print("| photos | seconds | MB at most |\n|---|---|---|")
    for rows in (1_000, 10_000, 100_000):
        ran = batch(archive(folder, rows), folder / f"whole-{rows}.parquet", "--model", "tiny")
        print(f"| {rows:,} | {ran.seconds:.0f} | {ran.megabytes:.0f} |", flush=True)


def listing(folder: Path) -> None:
    """Measure listing alone: memory and rows per second of a long manifest."""
    place = folder / "long.parquet"
    rows, piece = 10_000_000, 1_000_000
    with pq.ParquetWriter(place, pa.schema([("path", pa.string())])) as writer:
        for start in range(0, rows, piece):  # of one row group, as some programs write
            names = [f"photos/{number:012}.jpg" for number in range(start, start + piece)]
            writer.write_table(pa.table({"path": names}), row_group_size=rows)
    out = folder / "listed.parquet"
    start = time.perf_counter()
    ran = batch(
        *(place, out, "--model", "tiny", "--shard-rows", "100000"),
        kill_when=lambda: is_listed(Path(f"{out}.shards", "job.json")),
    )
    print(
        f"{rows:,} rows: {rows / (time.perf_counter() - start):,.0f} a second,"
        f" {ran.megabytes:.0f} MB at most"
    )


def is_listed(state: Path) -> bool:
    return state.exists() and json.loads(state.read_bytes())["photos"] is not None


def kills(folder: Path) -> None:
    """Compare a job that is killed twice and resumed with an uninterrupted one."""
    rows = 100_000
    source = archive(folder, rows)
    whole, out = folder / f"whole-{rows}.parquet", folder / "killed.parquet"
    if not whole.exists():
        batch(source, whole, "--model", "tiny")
    results = Path(f"{out}.shards", "results")

    def after(shards: int) -> bool:
        return results.is_dir() and sum(1 for _ in results.iterdir()) >= shards

    for parts in (30, 65):
        batch(source, out, "--model", "tiny", kill_when=lambda parts=parts: after(parts))
        print(f"killed with {sum(1 for _ in results.iterdir())} of {rows // 1000} shards complete")
    batch(source, out, "--model", "tiny")
    found, right = pq.read_table(out), pq.read_table(whole)
    paths = found.column("path").to_pylist()
    print(
        f"{found.num_rows:,} rows, {len(set(paths)):,} photos; identical to an uninterrupted run:"
        f" {'yes' if found.equals(right) else 'NO'}"
    )


def against_ray(folder: Path) -> None:
    """Compare Ray, already started, with the local engine on this machine."""
    import ray

    ray.init(num_cpus=os.cpu_count(), log_to_driver=False)
    for model, times in (("plate", 60), ("tiny", 300)):
        photos = rendered(folder, SIDES[0]) * times
        place = listed(folder, photos, len(photos))
        jobs = {
            engine: Job(
                str(place), str(folder / f"{engine}.parquet"), model, engine=engine, overwrite=True
            )
            for engine in ("ray", "local")
        }
        in_turns(
            f"{len(photos)} photos of {SIDES[0]} px, {model}",
            ("ray", lambda jobs=jobs: run(jobs["ray"])),
            ("local", lambda jobs=jobs: run(jobs["local"])),
            time.perf_counter,
        )
        tables = [pq.read_table(folder / f"{engine}.parquet") for engine in jobs]
        print(f"equal rows: {'yes' if tables[0].equals(tables[1]) else 'NO'}", flush=True)
    ray.shutdown()
    one = listed(folder, rendered(folder, SIDES[0]), 1)
    ran = batch(one, folder / "one.parquet", "--model", "tiny", "--engine", "ray")
    print(f"one photo on a Ray cluster that is yet to be started: {ran.seconds:.1f} s")


if __name__ == "__main__":
    main()
