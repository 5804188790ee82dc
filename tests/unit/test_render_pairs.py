"""Rendered pairs: equal except for the dirt, rendered once, rendered again if damaged."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from platecheck.data.render import pairs as module
from platecheck.data.render.pairs import RenderedPair, RenderedPairs

SIZE, COUNT = 48, 3
PARTS = ("clean", "dirty", "dish", "dirt")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> RenderedPairs:
    return RenderedPairs(COUNT, SIZE, seed=1, folder=tmp_path_factory.mktemp("pairs"))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Indices of the pairs that were rendered; cheap ones that contain their seed and index."""
    indices: list[int] = []

    def render(index: int, *, seed: int, size: int) -> np.ndarray:
        indices.append(index)
        return np.full((size, size, 8), 10 * seed + index, np.uint8)

    monkeypatch.setattr(module, "_render", render)
    return indices


def same(ours: RenderedPair, theirs: RenderedPair) -> bool:
    return all(np.array_equal(getattr(ours, part), getattr(theirs, part)) for part in PARTS)


def test_rendered_pair_differs_only_where_the_dirt_is(pairs: RenderedPairs) -> None:
    assert len(pairs) == COUNT
    for pair in (pairs[index] for index in range(COUNT)):
        for part in PARTS:
            array = getattr(pair, part)
            assert array.shape == ((SIZE, SIZE, 3) if part in PARTS[:2] else (SIZE, SIZE))
            assert array.dtype == np.uint8
            assert array.flags.c_contiguous
            assert array.flags.writeable
        assert set(np.unique(pair.dish)) == set(np.unique(pair.dirt)) == {0, 255}
        difference = np.abs(pair.clean.astype(int) - pair.dirty).max(axis=2)
        assert difference[pair.dirt > 0].mean() > 12
        near = cv2.dilate(pair.dirt, np.ones((7, 7), np.uint8)) > 0
        # The background is the same; on the dish there may be a shadow or gloss of the dirt.
        assert difference[~near & (pair.dish == 0)].max() <= 4
        assert difference[~near].mean() < 2.5
        assert not pair.dirt[cv2.dilate(pair.dish, np.ones((3, 3), np.uint8)) == 0].any()


def test_rendered_pairs_depend_on_seed_and_index_alone(
    pairs: RenderedPairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not same(pairs[0], pairs[1])
    assert not same(RenderedPairs(1, SIZE, seed=2, folder=tmp_path)[0], pairs[0])
    monkeypatch.setattr(module, "FEWEST_FOR_WORKERS", 1)
    fewer = RenderedPairs(2, SIZE, seed=1, workers=2, folder=tmp_path)
    assert all(same(fewer[index], pairs[index]) for index in range(2))


@pytest.mark.parametrize("in_default_folder", [False, True])
def test_rendered_pairs_are_rendered_once(
    calls: list[int], tmp_path: Path, in_default_folder: bool
) -> None:
    for count, size, seed in ((3, 32, 0), (4, 32, 0), (3, 48, 0), (3, 32, 1)):
        calls.clear()
        for _ in range(2):
            folder = None if in_default_folder else tmp_path
            found = RenderedPairs(count, size, seed=seed, folder=folder)
            assert calls == list(range(count))
            assert found[2].clean.shape == (size, size, 3)
            assert found[2].clean.max() == 10 * seed + 2
    assert len(list(tmp_path.glob("*.npy"))) == 4 * (not in_default_folder)


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[:5],
        lambda content: content[:70],
        lambda content: content[:-1],
        lambda content: b"PK\x03\x04" + content[4:],
        lambda content: b"\x80\x04K\x01.",
        lambda content: content.replace(b"|u1", b"<f4"),
        lambda content: content.replace(b"(2, 48,", b"(2, 47,"),
        lambda content: content.replace(b"'fortran_order'", b"'fortran_ordeR'"),
        lambda content: content[:10] + b"\xff" * 20 + content[30:],
    ],
)
def test_rendered_pairs_damaged_file_is_rendered_again(
    damage: Callable[[bytes], bytes], calls: list[int], tmp_path: Path
) -> None:
    RenderedPairs(2, SIZE, seed=0, folder=tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    assert damage(whole) != whole
    path.write_bytes(damage(whole))
    calls.clear()
    assert RenderedPairs(2, SIZE, seed=0, folder=tmp_path)[1].dirty.max() == 1
    assert calls == [0, 1]
    assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [whole]


def test_rendered_pairs_interrupted_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def stop(index: int, *, seed: int, size: int) -> np.ndarray:
        if index == 2:
            raise KeyboardInterrupt
        return np.zeros((size, size, 8), np.uint8)

    monkeypatch.setattr(module, "_render", stop)
    with pytest.raises(KeyboardInterrupt):
        RenderedPairs(4, SIZE, seed=0, folder=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_rendered_pairs_in_an_unusable_folder_stay_in_memory(
    pairs: RenderedPairs, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    found = RenderedPairs(2, SIZE, seed=1, folder=tmp_path / "file" / "pairs")
    assert all(same(found[index], pairs[index]) for index in range(2))
