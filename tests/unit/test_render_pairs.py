"""Rendered pairs: equal but for the dirt, rendered once, made anew where the file is damaged."""

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
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With pairs in it; not to be changed."""
    folder = tmp_path_factory.mktemp("pairs")
    RenderedPairs(COUNT, SIZE, seed=1, folder=folder)
    return folder


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pairs that were rendered; cheap ones, that tell their size and number."""
    made: list[int] = []

    def render(index: int, *, seed: int, size: int) -> np.ndarray:
        made.append(index)
        return np.full((size, size, 8), 10 * seed + index, np.uint8)

    monkeypatch.setattr(module, "_render", render)
    return made


def pairs(dishes: RenderedPairs) -> list[RenderedPair]:
    return [dishes[index] for index in range(len(dishes))]


def same(ours: RenderedPair, theirs: RenderedPair) -> bool:
    return all(np.array_equal(getattr(ours, part), getattr(theirs, part)) for part in PARTS)


class TestAPair:
    def test_shapes_and_types(self, folder: Path) -> None:
        found = pairs(RenderedPairs(COUNT, SIZE, seed=1, folder=folder))
        assert len(found) == COUNT
        for pair in found:
            for part in PARTS:
                array = getattr(pair, part)
                assert array.shape == ((SIZE, SIZE, 3) if part in PARTS[:2] else (SIZE, SIZE))
                assert array.dtype == np.uint8
                assert array.flags.c_contiguous
                array[0, 0] = 7  # a copy of what is on disk, that may be written to
            for mask in (pair.dish[1:], pair.dirt[1:]):
                assert set(np.unique(mask)) == {0, 255}

    def test_clean_and_dirty_differ_where_the_dirt_is(self, folder: Path) -> None:
        for pair in pairs(RenderedPairs(COUNT, SIZE, seed=1, folder=folder)):
            difference = np.abs(pair.clean.astype(int) - pair.dirty).max(axis=2)
            assert difference[pair.dirt > 0].mean() > 12
            near = cv2.dilate(pair.dirt, np.ones((7, 7), np.uint8)) > 0
            # The table is the same; on the dish there may be a shadow or gloss of the dirt.
            assert difference[~near & (pair.dish == 0)].max() <= 4
            assert difference[~near].mean() < 2.5
            assert not pair.dirt[cv2.dilate(pair.dish, np.ones((3, 3), np.uint8)) == 0].any()

    def test_seed_index_and_size_decide_the_pair(self, folder: Path, tmp_path: Path) -> None:
        ours = RenderedPairs(COUNT, SIZE, seed=1, folder=folder)
        assert not same(ours[0], ours[1])
        again = RenderedPairs(1, SIZE, seed=1, folder=tmp_path)
        assert same(again[0], ours[0])
        other = RenderedPairs(1, SIZE, seed=2, folder=tmp_path)
        assert not same(other[0], ours[0])


class TestOnDisk:
    def test_a_second_opening_renders_nothing(self, calls: list[int], tmp_path: Path) -> None:
        first = RenderedPairs(4, SIZE, seed=0, folder=tmp_path)
        assert calls == [0, 1, 2, 3]
        second = RenderedPairs(4, SIZE, seed=0, folder=tmp_path)
        assert calls == [0, 1, 2, 3]
        assert all(same(*two) for two in zip(pairs(first), pairs(second), strict=True))
        assert len(list(tmp_path.iterdir())) == 1

    def test_other_pairs_have_a_file_of_their_own(self, calls: list[int], tmp_path: Path) -> None:
        for count, size, seed in ((3, 32, 0), (4, 32, 0), (3, 48, 0), (3, 32, 1)):
            calls.clear()
            found = RenderedPairs(count, size, seed=seed, folder=tmp_path)
            assert len(calls) == len(found) == count
            assert found[2].clean.shape == (size, size, 3)
            assert found[2].clean.max() == 10 * seed + 2
        assert len(list(tmp_path.iterdir())) == 4

    def test_the_users_cache_is_where_they_are_kept(self, calls: list[int]) -> None:
        RenderedPairs(2, SIZE, seed=0)
        RenderedPairs(2, SIZE, seed=0)
        assert calls == [0, 1]

    @pytest.mark.parametrize(
        "damage",
        [
            lambda content: b"",
            lambda content: content[:5],
            lambda content: content[:70],
            lambda content: content[: len(content) // 2],
            lambda content: content[:-1],
            lambda content: b"PK\x03\x04" + content[4:],
            lambda content: b"\x80\x04K\x01.",
            lambda content: b"no array at all" * 100,
            lambda content: content.replace(b"|u1", b"<f4"),
            lambda content: content.replace(b"(2, 48,", b"(2, 47,"),
            lambda content: content.replace(b"'fortran_order'", b"'fortran_ordeR'"),
            lambda content: content[:10] + b"\xff" * 20 + content[30:],
        ],
        ids=[
            "empty", "magic cut", "header cut", "half", "a byte short", "a zip", "a pickle", "text",
            "another type", "another shape", "another header", "garbled header",
        ],
    )  # fmt: skip
    def test_a_damaged_file_is_made_anew(
        self, damage: Callable[[bytes], bytes], calls: list[int], tmp_path: Path
    ) -> None:
        RenderedPairs(2, SIZE, seed=0, folder=tmp_path)
        (path,) = tmp_path.iterdir()
        whole = path.read_bytes()
        assert damage(whole) != whole
        path.write_bytes(damage(whole))
        calls.clear()
        found = RenderedPairs(2, SIZE, seed=0, folder=tmp_path)
        assert calls == [0, 1]
        assert found[1].dirty.max() == 1
        assert [entry.read_bytes() for entry in tmp_path.iterdir()] == [whole]

    def test_what_a_kill_left_behind_is_not_taken_for_a_set(
        self, calls: list[int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        whole = module._render

        def stopped(index: int, *, seed: int, size: int) -> np.ndarray:
            if index == 2:
                raise KeyboardInterrupt
            return np.asarray(whole(index, seed=seed, size=size))

        monkeypatch.setattr(module, "_render", stopped)
        with pytest.raises(KeyboardInterrupt):
            RenderedPairs(4, SIZE, seed=0, folder=tmp_path)
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setattr(module, "_render", whole)
        calls.clear()
        assert RenderedPairs(4, SIZE, seed=0, folder=tmp_path)[3].clean.max() == 3
        assert calls == [0, 1, 2, 3]


def test_two_workers_render_what_one_does(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(module, "FEWEST_FOR_WORKERS", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here: list[int] = []
    render = module._render_all

    def noted(*arguments: int) -> object:
        here.append(arguments[-1])
        return render(*arguments)

    monkeypatch.setattr(module, "_render_all", noted)
    shared = RenderedPairs(COUNT, SIZE, seed=1, workers=2, folder=tmp_path)
    assert here == [2]
    alone = RenderedPairs(COUNT, SIZE, seed=1, workers=1, folder=folder)
    assert here == [2]  # it was there
    assert all(same(*two) for two in zip(pairs(shared), pairs(alone), strict=True))
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_to_changes_nothing(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    ours = pairs(RenderedPairs(COUNT, SIZE, seed=1, folder=blocked / "pairs"))
    theirs = pairs(RenderedPairs(COUNT, SIZE, seed=1, folder=tmp_path / "pairs"))
    assert len(ours) == COUNT
    assert all(same(*both) for both in zip(ours, theirs, strict=True))
