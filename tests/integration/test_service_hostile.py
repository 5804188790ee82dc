"""Hostile bodies and connections; ``python -m tests.fuzz.service`` sends ten thousand."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving_fixtures import metric, wait_until

from platecheck.serving.keys import add_key
from tests.fuzz.damaged_photos import bombs
from tests.fuzz.forms import ODDITIES
from tests.fuzz.malformed_http import FAULTS, Broken, fault
from tests.fuzz.service import Attack, Attacker
from tests.support.photos import png
from tests.support.raw_http import request
from tests.support.server import Server, peak_bytes

pytest_plugins = ["serving_fixtures.fixtures"]

# Each of these has many ways to be wrong.
VARIED = {
    "a header", "a path", "a length", "a size of a chunk", "a method", "a version", "an upgrade"
}  # fmt: skip


@pytest.fixture(scope="module")
def attacker(bright_is_dirty: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacker]:
    """Who attacks a service that is not patient."""
    folder = tmp_path_factory.mktemp("attacked")
    key = add_key(folder / "keys.txt", "attacker")
    limits = {"keys": folder / "keys.txt", "request_timeout": 5, "idle_timeout": 1}
    with Server("--model", bright_is_dirty, **limits) as server:
        yield Attacker(server, key, png(), folder / "failures", patience=40)


def unharmed(attacker: Attacker) -> None:
    """Nothing was answered wrongly, and the service is as it was."""
    attacker.check("now")
    attacker.check_log()
    faults, attacker.result.faults = attacker.result.faults, {}
    assert not faults


def test_random_attacks_do_no_harm(attacker: Attacker) -> None:
    attacker.attack(iter(range(200)), seed=1)
    assert len(attacker.result.statuses) >= 10
    unharmed(attacker)


def test_odd_forms_do_no_harm(attacker: Attacker) -> None:
    for name, odd in ODDITIES.items():
        for number in range(3):
            content, body = odd(random.Random(number))
            sent = request(
                "POST", "/v1/predict", body, {**attacker.headers, "Content-Type": content}
            )
            attacker.send(number, Attack("odd form", name, Broken(sent)))
    unharmed(attacker)


@pytest.mark.parametrize("name", FAULTS)
def test_malformed_http_does_no_harm(attacker: Attacker, name: str) -> None:
    for number in range(40 if name in VARIED else 2):
        broken = fault(name, random.Random(number), attacker.extra)
        attacker.send(number, Attack("broken HTTP", name, broken))
    unharmed(attacker)


@pytest.mark.slow
def test_bombs_do_no_harm(attacker: Attacker) -> None:
    for number, (name, content) in enumerate(bombs().items()):
        sent = request("POST", "/v1/predict", content, attacker.headers)
        attacker.send(number, Attack("bomb", name, Broken(sent)))
    unharmed(attacker)


@pytest.mark.slow
def test_slow_clients_keep_no_one_out(attacker: Attacker) -> None:
    attacker.attack_slowly()
    server, headers = attacker.server, attacker.headers
    wait_until(lambda: metric(server, "platecheck_queue_photos", **headers) == 0)
    unharmed(attacker)


def test_memory_stays_bounded(attacker: Attacker) -> None:
    """After all of the above, photos of 64 megapixels with transparency among it."""
    assert peak_bytes(attacker.server.pid) < 2 * 2**30
