"""``python -m benchmarks.serving.load``: twice as many photos as the service can answer.

First its capacity, with clients that ask again as soon as they have an answer (a closed loop); then
requests at twice that rate, whether or not there are answers (an open loop), at random moments
(Poisson). Seconds count from when a request was due, not from when the client came to send it. The
client runs on the same cores; what it takes is counted.

The promise: 99 in 100 of the photos that are taken are answered within the seconds that a request
may wait (``PLATECHECK_MAX_QUEUE_DELAY``), and the 99th percentile of a photo that
has the service for itself. Both are known before the load begins. Where it is broken, or there is
any answer but 200 and 503, or where the service does not end well, the exit code is 1.
"""

import argparse
import asyncio
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import uvloop

from platecheck.serving.settings import Settings
from tests.support.load_client import Answer, Connection, connect, form, keep_asking
from tests.support.photos import described, read_photos
from tests.support.server import (
    Server,
    busy_seconds,
    cpu_seconds,
    peak_bytes,
    resident_bytes,
)

OVERLOAD = 2.0
# Connections that the closed loop keeps busy, and most that the open loop opens.
CLOSED_CONNECTIONS, MOST_CONNECTIONS = 8, 512
CAPACITY_SECONDS = 20.0


@dataclass
class Overload:
    """What came of the open loop.

    Attributes:
        accepted: seconds of each answer of 200.
        refused: seconds of each answer of 503.
        late: seconds that the client was late with each request.
        others: answers that are neither, or are wrong, by what they are.
        not_sent: requests for which there was no connection left.
        done: when each accepted request was answered, from the beginning.
        resident: bytes of memory of the service, each second.
        connections: that were open at the end.
        seconds: from the first request to the last answer.
        service_cpu: CPU seconds of the service.
        client_cpu: CPU seconds of the client.
        machine_cpu: CPU seconds of all that the machine does.
    """

    accepted: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    others: Counter[str] = field(default_factory=Counter)
    not_sent: int = 0
    done: list[float] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    connections: int = 0
    seconds: float = 0
    service_cpu: float = 0
    client_cpu: float = 0
    machine_cpu: float = 0


@dataclass(frozen=True)
class Summary:
    """The figures; seconds are `*_ms` where they are short."""

    cores: int
    photos: str
    model: str
    minutes: float
    capacity_before: float
    capacity_after: float
    offered: float
    requests: int
    answered: int
    refused: int
    others: dict[str, int]
    not_sent: int
    connections: int
    throughput: float
    throughput_slowest_10_s: float
    own_p99_ms: float
    wait_ms: float
    promised_ms: float
    accepted_p50_ms: float
    accepted_p99_ms: float
    accepted_max_ms: float
    refused_p50_ms: float
    refused_p99_ms: float
    client_late_p99_ms: float
    client_share_of_cores: float
    service_share_of_cores: float
    others_share_of_cores: float
    resident_first_minute_mb: float
    resident_last_minute_mb: float
    resident_by_minute_mb: list[float]
    peak_mb: float
    exit_code: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving.load")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--model", default="plate")
    parser.add_argument(
        "--wait", type=float, default=Settings.model_fields["max_queue_delay"].default
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of JSON")
    options = parser.parse_args()
    found = uvloop.run(measure(options.model, options.minutes, options.wait, options.seed))
    print(table(found))
    if options.out:
        options.out.write_text(json.dumps(asdict(found), indent=2) + "\n", encoding="utf-8")
    broken = found.accepted_p99_ms > found.promised_ms
    raise SystemExit(bool(found.others or found.exit_code or broken))


async def measure(model: str, minutes: float, wait: float, seed: int) -> Summary:
    """Start a service, its settings the default ones but for these, measure, and stop it."""
    photos = read_photos()
    requests = [form([photo]) for photo in photos]
    with Server("--model", model, max_queue_delay=wait) as server:
        await keep_asking(server.address, islice(cycle(requests), 200), CLOSED_CONNECTIONS)
        alone = await keep_asking(server.address, islice(cycle(requests), 300), 1)
        expected = {
            request: _label(answer)
            for request, answer in zip(requests, alone[: len(requests)], strict=True)
        }
        own = float(np.percentile([answer.seconds for answer in alone if answer], 99))
        before = await capacity(server, requests)
        promised = wait + own
        print(
            f"{before:.0f} photos a second; now {OVERLOAD:g} times as many."
            f" Promised: 99 in 100 within {promised * 1000:.0f} ms",
            flush=True,
        )
        result = await overload(server, expected, before * OVERLOAD, minutes * 60, seed)
        after = await capacity(server, requests)
        peak = peak_bytes(server.pid) / 2**20
        code = server.stop()
    throughput = len(result.accepted) / result.seconds
    slowest = _slowest(result.done, result.seconds)
    cores = os.cpu_count() or 1
    by_minute = _by_minute(result.resident)
    return Summary(
        cores=cores,
        photos=described(photos),
        model=model,
        minutes=minutes,
        capacity_before=before,
        capacity_after=after,
        offered=before * OVERLOAD,
        requests=len(result.late) + result.not_sent,
        answered=len(result.accepted),
        refused=len(result.refused),
        others=dict(result.others),
        not_sent=result.not_sent,
        connections=result.connections,
        throughput=throughput,
        throughput_slowest_10_s=slowest,
        own_p99_ms=own * 1000,
        wait_ms=wait * 1000,
        promised_ms=promised * 1000,
        accepted_p50_ms=_percentile(result.accepted, 50),
        accepted_p99_ms=_percentile(result.accepted, 99),
        accepted_max_ms=_percentile(result.accepted, 100),
        refused_p50_ms=_percentile(result.refused, 50),
        refused_p99_ms=_percentile(result.refused, 99),
        client_late_p99_ms=_percentile(result.late, 99),
        client_share_of_cores=result.client_cpu / (cores * result.seconds),
        service_share_of_cores=result.service_cpu / (cores * result.seconds),
        others_share_of_cores=(result.machine_cpu - result.client_cpu - result.service_cpu)
        / (cores * result.seconds),
        resident_first_minute_mb=by_minute[0],
        resident_last_minute_mb=by_minute[-1],
        resident_by_minute_mb=by_minute,
        peak_mb=peak,
        exit_code=code,
    )


def _by_minute(resident: list[int]) -> list[float]:
    """Return the mean of each minute in MB, of bytes each second."""
    return [
        float(np.mean(resident[at : at + 60])) / 2**20
        for at in range(0, len(resident), 60)
        if len(resident) - at >= 30 or at == 0
    ]


async def capacity(server: Server, requests: list[bytes]) -> float:
    """Photos a second in a closed loop."""
    counts = [0] * CLOSED_CONNECTIONS
    end = time.perf_counter() + CAPACITY_SECONDS

    async def work(number: int) -> None:
        connection = await connect(server.address)
        for request in cycle(requests[number:] + requests[:number]):
            if time.perf_counter() >= end:
                break
            got: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
            connection.ask(request, got.set_result)
            answer = await got
            assert answer
            assert answer.status == 200
            counts[number] += 1
        connection.close()

    start = time.perf_counter()
    await asyncio.gather(*(work(number) for number in range(CLOSED_CONNECTIONS)))
    return sum(counts) / (time.perf_counter() - start)


async def overload(
    server: Server, expected: dict[bytes, bytes], rate: float, seconds: float, seed: int
) -> Overload:
    """Send requests at a rate, at random moments, whatever comes of them."""
    result, rng = Overload(), random.Random(seed)
    requests = list(expected)
    idle: list[Connection] = []
    opened = 0
    under_way: set[int] = set()
    start = time.perf_counter()
    before = _cpu(server.pid)

    def on_answer(
        number: int, connection: Connection, request: bytes
    ) -> Callable[[Answer | None], None]:
        def note(answer: Answer | None) -> None:
            under_way.discard(number)
            _note(result, answer, expected[request], start)
            if not connection.lost:
                idle.append(connection)

        return note

    async def send(number: int, request: bytes, due: float, connection: Connection | None) -> None:
        if connection is None or not connection.kept:
            if connection:
                connection.close()
            connection = await connect(server.address)
        result.late.append(time.perf_counter() - due)
        connection.ask(request, on_answer(number, connection, request), due)

    sampler = asyncio.create_task(_sample(server.pid, result.resident))
    due, number = start, 0
    tasks: set[asyncio.Task[None]] = set()
    while due < start + seconds:
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        if idle or opened < MOST_CONNECTIONS:
            connection = idle.pop() if idle else None
            opened += connection is None
            under_way.add(number)
            task = asyncio.create_task(send(number, rng.choice(requests), due, connection))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        else:
            result.not_sent += 1
        number += 1
        due += rng.expovariate(rate)
    while under_way:
        await asyncio.sleep(0.01)
    sampler.cancel()
    result.seconds = time.perf_counter() - start
    used = [now - then for now, then in zip(_cpu(server.pid), before, strict=True)]
    result.client_cpu, result.service_cpu, result.machine_cpu = used
    result.connections = opened
    for connection in idle:
        connection.close()
    return result


def _note(result: Overload, answer: Answer | None, label: bytes, start: float) -> None:
    if answer is None:
        result.others["connection closed"] += 1
    elif answer.status == 503 and (answer.header("Retry-After") or "").isdecimal():
        result.refused.append(answer.seconds)
    elif answer.status == 200 and label in answer.body:
        result.accepted.append(answer.seconds)
        result.done.append(time.perf_counter() - start)
    else:
        result.others[f"{answer.status}: {answer.body[:80]!r}"] += 1


async def _sample(pid: int, resident: list[int]) -> None:
    while True:
        resident.append(resident_bytes(pid))
        await asyncio.sleep(1)


def _label(answer: Answer | None) -> bytes:
    assert answer
    assert answer.status == 200
    label: str = json.loads(answer.body)["photos"][0]["label"]
    return f'"label":"{label}"'.encode()


def _cpu(service: int) -> tuple[float, float, float]:
    """CPU seconds of the client, the service and the machine."""
    return time.process_time(), cpu_seconds(service), busy_seconds()


def _percentile(seconds: list[float], percent: float) -> float:
    return float(np.percentile(seconds, percent)) * 1000 if seconds else 0.0


def _slowest(done: list[float], seconds: float) -> float:
    """Photos a second in the slowest ten seconds."""
    counts, _ = np.histogram(done, bins=np.arange(0, seconds, 10))
    return float(counts.min()) / 10 if counts.size else len(done) / seconds


def table(found: Summary) -> str:
    """As Markdown."""
    asked = found.requests / (found.minutes * 60)
    rows = [
        ("capacity before and after, photos a second (closed loop)",
         f"{found.capacity_before:.0f}, {found.capacity_after:.0f}"),
        ("asked for, photos a second (open loop)", f"{asked:.0f} for {found.minutes:g} minutes"),
        ("requests", f"{found.requests}"),
        ("answered", f"{found.answered} ({found.answered / found.requests:.1%})"),
        ("refused with 503 and Retry-After",
         f"{found.refused} ({found.refused / found.requests:.1%})"),
        ("anything else", f"{sum(found.others.values())} {found.others or ''}"),
        ("not sent: no connection left", f"{found.not_sent}"),
        ("answered, photos a second", f"{found.throughput:.0f}"
         f" ({found.throughput / found.capacity_before:.0%} of capacity;"
         f" {found.throughput_slowest_10_s:.0f} in the slowest ten seconds)"),
        ("answered after, ms: median, p99, longest",
         f"{found.accepted_p50_ms:.0f}, {found.accepted_p99_ms:.0f}, {found.accepted_max_ms:.0f}"),
        ("promised before, ms: p99", f"{found.promised_ms:.0f} (a wait of {found.wait_ms:.0f}, and"
         f" {found.own_p99_ms:.0f} that a photo takes alone)"),
        ("refused after, ms: median, p99",
         f"{found.refused_p50_ms:.1f}, {found.refused_p99_ms:.1f}"),
        ("sent later than due, ms: p99 (in all of the above)", f"{found.client_late_p99_ms:.1f}"),
        ("share of the cores: service, client, others on this machine",
         f"{found.service_share_of_cores:.0%}, {found.client_share_of_cores:.0%},"
         f" {found.others_share_of_cores:.0%}"),
        ("memory in MB: first minute, last minute, most",
         f"{found.resident_first_minute_mb:.0f}, {found.resident_last_minute_mb:.0f},"
         f" {found.peak_mb:.0f}"),
        ("connections; exit code of the service", f"{found.connections}; {found.exit_code}"),
    ]  # fmt: skip
    lines = [f"{found.model}; {found.photos}; {found.cores} cores, shared with the client", ""]
    lines += [
        "| what | figure |",
        "|---|---|",
        *(f"| {what} | {figure} |" for what, figure in rows),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
