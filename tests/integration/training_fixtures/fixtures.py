"""A test module takes these with ``pytest_plugins = ["training_fixtures.fixtures"]``."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from platecheck.data.render import render_dish
from platecheck.training.run import Run
from training_fixtures import gentle, train


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The tensors are tiny: two threads would wait for each other more than they compute."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def dishes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 photos to train with and 48 to test with; every clean dish stands on wood."""
    folder = tmp_path_factory.mktemp("data") / "dishes"
    for split, count in (("train", 72), ("test", 48)):
        for i in range(count):
            label, table = (("clean", "wood"), ("dirty", "concrete"))[i % 2]
            rng = np.random.default_rng([i, count])
            photo = render_dish(rng, size=48, label=label, background=table).photo
            path = folder / split / label / f"{i:03d}.jpg"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo).save(path, quality=92)
    return folder


@pytest.fixture(scope="session")
def trained(dishes: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A whole run; tests only read it."""
    return train(gentle(), dishes, tmp_path_factory.mktemp("runs") / "trained")


@pytest.fixture(scope="module")
def one_cache(session_cache: Path) -> Iterator[None]:
    """Where fixtures of robust runs cut out and render dishes, once for all of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLATECHECK_CACHE", str(session_cache / "robust"))
        yield


@pytest.fixture
def kept_cache(environment: None, session_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for tests."""
    monkeypatch.setenv("PLATECHECK_CACHE", str(session_cache / "robust"))


@pytest.fixture
def standstill() -> tuple[str, ...]:
    """Changes to the recipe by which the validation loss stays what it is."""
    return (
        "network.frozen=true",
        "network.head_dropout=0",
        "augmentation={}",
        "optimizer={name: sgd, lr: 1.0e-6}",
    )
