"""Processes that work on a store, and are killed in the middle of it."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from feedback_fixtures.places import ANSWER, Place, photo

# Fresh processes that need not import everything anew.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["__main__", "platecheck.feedback.store", "psycopg"])

Said = tuple[str, str]
"""What a process has done ("added", "deleting", "deleted") with which id."""


def start(work: Callable[..., None], *words: Any) -> tuple[BaseProcess, "Connection[Any, Any]"]:
    """Run a function in a process of its own; it is given a connection first."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(theirs, *words), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def heard(connection: "Connection[Any, Any]") -> Iterator[Any]:
    """What a process says until it ends or is killed."""
    while True:
        try:
            yield connection.recv()
        except (EOFError, ConnectionResetError):
            return


def one_of_each(say: "Connection[Any, Any]", place: Place, first: str, die_at: int) -> None:
    """Add a photo that is there already and one that is not, delete both, and another one.

    Says what is done as soon as it is acknowledged.

    Args:
        say: hears it.
        place: where.
        first: id of what is there: photo 0.
        die_at: how many steps that reach the disk it lives.
    """
    with place.store() as store, dying(die_at):
        shared = store.add(photo(0), "dirty", ANSWER)
        say.send(("added", shared.id))
        new = store.add(photo(1), "dirty", ANSWER)
        say.send(("added", new.id))
        for each in (first, new.id):
            say.send(("deleting", each))
            store.delete(each)
            say.send(("deleted", each))


def many(say: "Connection[Any, Any]", place: Place, seed: int, photos: Sequence[int]) -> None:
    """Add and delete these photos for ever; says what is done."""
    chance = random.Random(seed)
    mine: list[str] = []
    with place.store() as store:
        while True:
            if mine and chance.random() < 0.45:
                gone = mine.pop(chance.randrange(len(mine)))
                say.send(("deleting", gone))
                store.delete(gone)
                say.send(("deleted", gone))
            else:
                given = store.add(photo(chance.choice(photos)), "dirty", ANSWER)
                mine.append(given.id)
                say.send(("added", given.id))


def some(
    say: "Connection[Any, Any]", place: Place, seed: int, photos: Sequence[int], steps: int
) -> None:
    """Add these photos, delete about half of them, and say which ids are left."""
    chance = random.Random(seed)
    mine: list[str] = []
    with place.store() as store:
        for _ in range(steps):
            if mine and chance.random() < 0.5:
                assert store.delete(mine.pop())
            else:
                mine.append(store.add(photo(chance.choice(photos)), "dirty", ANSWER).id)
    say.send(mine)


@contextmanager
def dying(die_at: int) -> Iterator[None]:
    """Kill this process before, or after, one of the calls that reach the disk."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **named: Any) -> Any:
            step()
            result = work(*words, **named)
            step()
            return result

        return call

    changed = [
        (os, "fsync"),
        (Path, "replace"),
        (Path, "unlink"),
        (Path, "mkdir"),
        (DefaultDialect, "do_commit"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in changed]
    for owner, name, work in before:
        setattr(owner, name, around(work))
    try:
        yield
    finally:
        for owner, name, work in before:
            setattr(owner, name, work)
