"""``python -m tests.fuzz.service``: bodies and connections that mean the service no good.

Every answer must be a success or problem details of 4xx or 503, the service must answer a good
photo right after, its memory must stay bounded, and its log must hold nothing of what was sent.
Body number N of a seed is always the same: ``--seed 0 --only N`` sends it alone.
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from platecheck.serving.keys import add_key
from tests.fuzz.damaged_photos import WRONG_TYPES, bombs, mutated
from tests.fuzz.forms import CANARY, content_type, form_of_photos, odd_form, part
from tests.fuzz.malformed_http import Broken, broken_http
from tests.fuzz.slow_clients import ATTACKS, Target, attack_slowly
from tests.support.photos import read_photos
from tests.support.raw_http import NoAnswerError, RawAnswer, RawConnection, request
from tests.support.server import Server, peak_bytes, resident_bytes

# Patience of the service under attack, so that slow clients do not take long.
SECONDS, IDLE_SECONDS = 10, 2
PATIENCE = 30.0
_GOOD_EVERY = 250
_REQUIRED = {"type", "title", "status", "detail"}
_KINDS = {
    "mutated photo": 55,
    "form of mutated photos": 12,
    "odd form": 14,
    "broken HTTP": 14,
    "wrong type": 4,
    "bomb": 1,
}


@dataclass(frozen=True)
class Attack:
    """One of the many, of one of the kinds; and what it is more exactly."""

    kind: str
    what: str
    sent: Broken


@dataclass
class Result:
    """What came of it.

    Attributes:
        faults: by number of the body, or name of the slow attack.
        statuses: how many answers of each kind had which status.
        resident: bytes of memory, first and each time a good photo was sent.
        peak: the most that there were.
        slowest: seconds, kind and what of the body that took longest.
        other_lines: lines of the log that C libraries wrote, as libtiff does.
    """

    faults: dict[str, str] = field(default_factory=dict)
    statuses: Counter[tuple[str, str]] = field(default_factory=Counter)
    resident: list[int] = field(default_factory=list)
    peak: int = 0
    slowest: tuple[float, str] = (0.0, "")
    other_lines: int = 0


class Attacker:
    """Attacks a service and watches over it."""

    def __init__(
        self, server: Server, key: str, good: bytes, failures: Path, patience: float = PATIENCE
    ) -> None:
        """Begin.

        Args:
            good: a photo that it must answer all the while.
            failures: folder for bodies that were answered wrongly.
            patience: seconds after which there must be an answer.
        """
        self.server, self.key, self.patience = server, key, patience
        self.headers = {"Authorization": f"Bearer {key}", "X-Canary": CANARY}
        self.extra = "".join(f"\r\n{name}: {value}" for name, value in self.headers.items())
        self.good = request("POST", "/v1/predict", good, self.headers)
        self.failures = failures
        self.result = Result()
        self._logged = 0
        self.first_answer = self._good_answer()

    def attack(self, numbers: Iterator[int], seed: int) -> None:
        """Send bodies of these numbers."""
        for count, number in enumerate(numbers):
            self.send(number, attack(random.Random(f"{seed}:{number}"), self.extra))
            if count % _GOOD_EVERY == 0:
                self.check(f"after body {number}")
        self.check("at the end")

    def send(self, number: int, attack: Attack) -> None:
        """Send one and judge the answer."""
        start, name = time.monotonic(), f"{number}: {attack.kind}, {attack.what}"
        try:
            status, fault = self._exchange(attack.sent)
        except (NoAnswerError, OSError) as error:
            status, fault = "none", f"{type(error).__name__}: {error}"
        self.result.slowest = max(self.result.slowest, (time.monotonic() - start, name))
        self.result.statuses[attack.kind, status] += 1
        if fault:
            self.result.faults[name] = fault
            self.failures.mkdir(parents=True, exist_ok=True)
            (self.failures / f"{number}.bin").write_bytes(attack.sent.data)
            print(f"FAULT {name}: {fault}", flush=True)

    def attack_slowly(self) -> None:
        """Run the slow attacks, all at once, when no earlier photo is being decoded any more."""
        while self._good_answer() != self.first_answer:
            time.sleep(1)
        target = Target(self.server.address, self.headers, self.good, self.patience)
        self.result.faults |= attack_slowly(target)
        self.check("after the slow attacks")

    def check(self, when: str) -> None:
        """See whether the service is well, and how large it is."""
        self.result.resident.append(resident_bytes(self.server.pid))
        self.result.peak = peak_bytes(self.server.pid)
        try:
            if self._good_answer() != self.first_answer:
                self.result.faults[when] = "a good photo is answered in another way"
        except (NoAnswerError, OSError) as error:
            self.result.faults[when] = f"a good photo is not answered: {error}"

    def check_log(self) -> None:
        """See that what was logged since tells nothing of what was sent, and of no fault."""
        log = self.server.log_file.read_bytes()
        whole, self._logged = log[self._logged : log.rindex(b"\n")], log.rindex(b"\n")
        text = whole.decode()
        if CANARY in text or self.key in text:
            self.result.faults["log"] = "tells what was sent"
        for line in text.splitlines():
            if not line.startswith("{"):
                self.result.other_lines += bool(line)
            elif json.loads(line)["level"] in {"error", "critical"}:
                self.result.faults[f"log, {line[:50]}"] = line[-500:]

    def _exchange(self, sent: Broken) -> tuple[str, str]:
        """Return the status and what is wrong with it."""
        with RawConnection(self.server.address, seconds=self.patience) as connection:
            try:
                for answer in connection.ask_all(sent.data, sent.answers, ends=sent.ends):
                    if fault := fault_of(answer, sent.status):
                        break
            except NoAnswerError as error:
                # The server closes the connection after it has refused malformed HTTP.
                if sent.malformed and "in time" not in str(error):
                    return "closed", ""
                raise
        return str(answer.status), fault

    def _good_answer(self) -> object:
        with RawConnection(self.server.address, seconds=30) as connection:
            answer = connection.ask(self.good)
        return answer.status, json.loads(answer.body).get("photos")


def attack(rng: random.Random, extra: str) -> Attack:
    """Whatever comes to mind; `extra` are headers for every request."""
    kind = rng.choices(list(_KINDS), list(_KINDS.values()))[0]
    if kind == "broken HTTP":
        what, broken = broken_http(rng, extra)
        return Attack(kind, what, broken)
    if kind == "odd form":
        what, content, body = odd_form(rng)
    elif kind == "form of mutated photos":
        what, content, body = form_of_photos(rng)
    else:
        what, body = _body(rng, kind)
        body += CANARY.encode() if kind == "mutated photo" else b""
        content = rng.choice(("image/jpeg", "application/octet-stream", "text/plain"))
        if rng.random() < 0.2:
            content, body = content_type("edge"), part(body) + b"--edge--\r\n"
    path = rng.choice(("/v1/predict", "/v1/predict?evidence=true"))
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1{extra}\r\n"
        f"Content-Type: {content}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return Attack(kind, what, Broken(head.encode("latin-1", "replace") + body))


def _body(rng: random.Random, kind: str) -> tuple[str, bytes]:
    if kind == "mutated photo":
        return mutated(rng)
    choices = WRONG_TYPES if kind == "wrong type" else bombs()
    what = rng.choice(sorted(choices))
    return what, choices[what]


def fault_of(answer: RawAnswer, status: int | None = None) -> str:
    """What is wrong with an answer that may have to have a status; "" where nothing is."""
    if status is not None and answer.status != status:
        return f"status {answer.status} instead of {status}: {answer.body[:200]!r}"
    if answer.status < 400:
        return ""
    if answer.status >= 500 and answer.status != 503:
        return f"status {answer.status}: {answer.body[:200]!r}"
    if answer.body == b"Invalid HTTP request received.":  # uvicorn's own
        return "" if answer.status == 400 else f"status {answer.status}"
    if answer.headers.get("content-type") != "application/problem+json":
        return f"status {answer.status} without problem details: {answer.body[:200]!r}"
    problem = json.loads(answer.body)
    if not problem.keys() >= _REQUIRED or problem["status"] != answer.status:
        return f"problem details are not whole: {answer.body[:200]!r}"
    if answer.status == 503 and not answer.headers.get("retry-after", "").isdecimal():
        return "503 without Retry-After"
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.service")
    parser.add_argument("--bodies", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of bodies")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--failures", type=Path, default=Path("hostile-failures"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keys = Path(folder, "keys.txt")
        key = add_key(keys, "attacker")
        limits = {"request_timeout": SECONDS, "idle_timeout": IDLE_SECONDS}
        with Server("--model", options.model, "--keys", keys, **limits) as server:
            attacker = Attacker(server, key, read_photos()[0], options.failures)
            start = time.monotonic()
            attacker.attack(iter(options.only or range(options.bodies)), options.seed)
            if not options.only:
                for number, (what, content) in enumerate(bombs().items()):
                    sent = Broken(request("POST", "/v1/predict", content, attacker.headers))
                    attacker.send(-1 - number, Attack("bomb", what, sent))
                attacker.attack_slowly()
            attacker.check_log()
            seconds = time.monotonic() - start
            report(attacker.result, seconds)
    raise SystemExit(bool(attacker.result.faults))


def report(result: Result, seconds: float) -> None:
    """Print what came of it."""
    print(f"{os.cpu_count()} cores\n\n| kind | bodies | answers |\n|---|---|---|")
    for kind in _KINDS:
        found = {status: n for (k, status), n in sorted(result.statuses.items()) if k == kind}
        answers = ", ".join(f"{status}: {count}" for status, count in found.items())
        print(f"| {kind} | {sum(found.values())} | {answers} |")
    print(f"\n{len(ATTACKS)} kinds of slow clients; {seconds:.0f} s")
    mb = [size / 2**20 for size in result.resident]
    shown = " ".join(f"{size:.0f}" for size in mb[:: max(1, len(mb) // 12)])
    print(f"memory in MB: {shown}, at the end {mb[-1]:.0f}, at most {result.peak / 2**20:.0f}")
    print(f"lines of the log that are not the service's own: {result.other_lines}")
    print(f"slowest: {result.slowest[0]:.1f} s, {result.slowest[1]}")
    print(f"faults: {len(result.faults)}")
    for where, fault in result.faults.items():
        print(f"  {where}: {fault}")


if __name__ == "__main__":
    main()
