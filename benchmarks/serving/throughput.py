"""``python -m benchmarks.serving.throughput``: the service against the library in its own process.

Both get the same photos from memory and take turns. The client shares the cores with the service,
so what it costs is counted too.
"""

import argparse
import json
import os
import statistics
import time
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import uvloop

from benchmarks.timing import seconds
from platecheck.classifier import BUNDLED_MODELS, Classifier
from tests.support.load_client import form, keep_asking
from tests.support.photos import described, read_photos
from tests.support.server import Server, cpu_seconds

# Connections by photos a request: enough that the service always has something to do.
CONNECTIONS = {1: 8, 8: 4, 32: 2}
GOAL = 0.85


@dataclass(frozen=True)
class Round:
    """Seconds, and seconds of CPU time, for the same photos.

    Attributes:
        library: seconds of `Classifier.predict_many`.
        one_by_one: seconds of the same with batches of one photo, as the service has them.
        service: seconds of the service.
        library_cpu: CPU seconds of the first.
        service_cpu: CPU seconds of the service's processes.
        client_cpu: CPU seconds of whoever asked it.
    """

    library: float
    one_by_one: float
    service: float
    library_cpu: float
    service_cpu: float
    client_cpu: float


@dataclass(frozen=True)
class Row:
    """A line of the table: a model and a size of requests."""

    model: str
    photos_a_request: int
    photos_a_round: int
    rounds: tuple[Round, ...]

    @property
    def ratio(self) -> float:
        """Of photos a second: service / library, the median round's."""
        return statistics.median(each.library / each.service for each in self.rounds)

    @property
    def ratio_one_by_one(self) -> float:
        """As `ratio`, where the library is given batches of one photo."""
        return statistics.median(each.one_by_one / each.service for each in self.rounds)

    @property
    def span(self) -> tuple[float, float]:
        """The least and the greatest round's ratio."""
        ratios = [each.library / each.service for each in self.rounds]
        return min(ratios), max(ratios)

    @property
    def client_share(self) -> float:
        """CPU time of the client in that of all cores, the median round's."""
        cores = os.cpu_count() or 1
        return statistics.median(each.client_cpu / (cores * each.service) for each in self.rounds)

    @property
    def ratio_without_client(self) -> float:
        """The ratio if the client ran elsewhere and the service had all cores."""
        return self.ratio / (1 - self.client_share)

    @property
    def cpu_ratio(self) -> float:
        """CPU time a photo: library / service, the median round's."""
        return statistics.median(each.library_cpu / each.service_cpu for each in self.rounds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.throughput")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--photos", type=int, default=768, help="a round; divisible by 32")
    parser.add_argument("--folder", type=Path, help="of photos, instead of samples/")
    parser.add_argument("--models", nargs="*", default=list(BUNDLED_MODELS))
    parser.add_argument("--serve", default="", help="options of platecheck serve")
    parser.add_argument("--out", type=Path, help="file of JSON")
    options = parser.parse_args()
    files = read_photos(options.folder) if options.folder else read_photos()
    photos = list(islice(cycle(files), options.photos))
    rows = [
        row
        for model in options.models
        for row in measure(model, photos, options.serve.split(), rounds=options.rounds)
    ]
    print(table(rows, described(files)))
    if options.out:
        content = [{**asdict(row), "ratio": row.ratio} for row in rows]
        options.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def measure(model: str, photos: list[bytes], serve: list[str], *, rounds: int) -> list[Row]:
    """Alternate the library and the service, for each size of requests."""
    classifier = Classifier.load(model)
    rows = []
    with Server("--model", model, *serve) as server:
        for size, connections in CONNECTIONS.items():
            requests = [form(photos[at : at + size]) for at in range(0, len(photos), size)]
            one_round(classifier, server, photos, requests, connections)  # to get warm
            found = tuple(
                one_round(classifier, server, photos, requests, connections) for _ in range(rounds)
            )
            rows.append(Row(model, size, len(photos), found))
            print(f"{model}, {size} a request: {rows[-1].ratio:.2f}", flush=True)
    return rows


def one_round(
    classifier: Classifier,
    server: Server,
    photos: list[bytes],
    requests: list[bytes],
    connections: int,
) -> Round:
    """The library, then the service."""
    cpu = time.process_time()
    library = seconds(lambda: list(classifier.predict_many(photos)))
    library_cpu = time.process_time() - cpu
    one_by_one = seconds(lambda: list(classifier.predict_many(photos, batch_size=1)))

    before = cpu_seconds(server.pid)
    cpu, start = time.process_time(), time.perf_counter()
    answers = uvloop.run(keep_asking(server.address, requests, connections))
    service, client_cpu = time.perf_counter() - start, time.process_time() - cpu
    service_cpu = cpu_seconds(server.pid) - before
    if any(answer is None or answer.status != 200 for answer in answers):
        raise RuntimeError("not every request was answered")
    return Round(library, one_by_one, service, library_cpu, service_cpu, client_cpu)


def table(rows: list[Row], photos: str) -> str:
    """As Markdown."""
    lines = [
        f"{photos}; {os.cpu_count()} cores, shared with the client; {len(rows[0].rounds)} rounds"
        f" of {rows[0].photos_a_round} photos each, taking turns; medians.",
        "",
        "| model | photos a request | service / library, photos a second (range) | / library with"
        " batches of 1 | client's share of the cores | ratio without the client"
        " | CPU time: library / service |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        low, high = row.span
        cells = (
            row.model,
            f"{row.photos_a_request}",
            f"{row.ratio:.2f} ({low:.2f}–{high:.2f})",
            f"{row.ratio_one_by_one:.2f}",
            f"{row.client_share:.1%}",
            f"{row.ratio_without_client:.2f}",
            f"{row.cpu_ratio:.2f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
