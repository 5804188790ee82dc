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
from platecheck.feedback.store import open_store

# Fresh processes that need not import everything anew.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["__main__", "platecheck.feedback.store", "psycopg"])

Said = tuple[str, str]
"""What a process has done ("added", "deleting", "deleted") with which id."""
Pipe = Connection


def start(work: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Pipe]:
    """Run a function in a process of its own; it is given a connection first."""
    ours, theirs = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=work, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def received(connection: Pipe) -> Iterator[Any]:
    """Yield what a process sends until it ends or is killed."""
    while True:
        try:
            yield connection.recv()
        except (EOFError, ConnectionResetError):
            return


def add_and_delete(pipe: Pipe, place: Place, first: str, die_at: int) -> None:
    """Add a photo that is there already and one that is not; delete the first and the new one.

    Args:
        pipe: gets what is done as soon as it is acknowledged.
        place: the database.
        first: id of an entry with photo 0, reviewed by Ann.
        die_at: number of the database operation at which the process is killed.
    """
    with place.store() as store, dying(die_at):
        pipe.send(("added", store.add(photo(0), "dirty", ANSWER).id))
        new = store.add(photo(1), "dirty", ANSWER)
        pipe.send(("added", new.id))
        assert store.decide(new.photo, "Ann", "clean")
        for each in (first, new.id):
            pipe.send(("deleting", each))
            store.delete(each)
            pipe.send(("deleted", each))


def open_and_import(_pipe: Pipe, url: str, folder: Path, die_at: int) -> None:
    """Import the photos of a database of version 0.1."""
    with dying(die_at):
        open_store(url, folder).close()


def add_and_delete_randomly(
    pipe: Pipe, place: Place, seed: int, photos: Sequence[int], steps: int
) -> None:
    """Add and delete these photos; send what is done."""
    chance = random.Random(seed)
    mine: list[str] = []
    with place.store() as store:
        for _ in range(steps):
            if mine and chance.random() < 0.45:
                gone = mine.pop(chance.randrange(len(mine)))
                pipe.send(("deleting", gone))
                assert store.delete(gone)
                pipe.send(("deleted", gone))
            else:
                mine.append(store.add(photo(chance.choice(photos)), "dirty", ANSWER).id)
                pipe.send(("added", mine[-1]))


@contextmanager
def dying(die_at: int) -> Iterator[None]:
    """Kill this process before one of the calls that change the database or files."""
    steps = 0

    def around(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal steps
            steps += 1
            if steps == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return work(*arguments, **named)

        return call

    changed = [
        (DefaultDialect, "do_execute"),
        (DefaultDialect, "do_commit"),
        (Path, "unlink"),
        (Path, "rmdir"),
    ]
    before = [(owner, name, getattr(owner, name)) for owner, name in changed]
    for owner, name, work in before:
        setattr(owner, name, around(work))
    try:
        yield
    finally:
        for owner, name, work in before:
            setattr(owner, name, work)
