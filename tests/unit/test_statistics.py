"""Channel statistics, against the definition spelled out pixel by pixel."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from platecheck.data.folders import list_photos
from platecheck.data.statistics import ChannelStatistics, channel_statistics
from platecheck.errors import PhotoError


def write(folder: Path, photos: list[np.ndarray]) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(len(photos))]
    for path, pixels in zip(paths, photos, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


def sample_std(values: list[float]) -> float:
    mean = sum(values) / len(values)
    return (sum((value - mean) ** 2 for value in values) / (len(values) - 1)) ** 0.5


def by_definition(photos: list[np.ndarray]) -> ChannelStatistics:
    mean, std, pooled = [], [], []
    for channel in range(3):
        values = [[value / 255 for value in p[:, :, channel].ravel().tolist()] for p in photos]
        every = [value for one in values for value in one]
        mean.append(sum(every) / len(every))
        std.append(sum(map(sample_std, values)) / len(values))
        pooled.append(sample_std(every))
    return ChannelStatistics(tuple(mean), tuple(std), tuple(pooled), len(photos))


@given(seed=st.integers(0, 2**32), count=st.integers(1, 6), size=st.integers(2, 9))
def test_against_the_definition(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    photos = []
    for _ in range(count):
        low, high = sorted(rng.integers(0, 256, 2))
        photos.append(rng.integers(low, high + 1, (size, size, 3)).astype(np.uint8))
    found = channel_statistics(write(tmp_path_factory.mktemp("p"), photos), size=size)
    expected = by_definition(photos)
    for name in ("mean", "std", "pooled_std"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-9)
    assert found.photos == count


def test_plain_photos_have_no_std_of_their_own_but_differ_from_each_other(tmp_path: Path) -> None:
    plain = [np.full((4, 4, 3), (value, 0, 255), np.uint8) for value in (0, 255)]
    found = channel_statistics(write(tmp_path, plain), size=4)
    assert found.mean == pytest.approx((0.5, 0, 1))
    assert found.std == pytest.approx((0, 0, 0))
    assert found.pooled_std == pytest.approx((0.5 * (32 / 31) ** 0.5, 0, 0))


def test_photos_of_any_shape_count_alike_once_resized(tmp_path: Path) -> None:
    black, white = np.zeros((40, 6, 3), np.uint8), np.full((3, 90, 3), 255, np.uint8)
    found = channel_statistics(write(tmp_path, [black, white]), size=8)
    assert found.mean == pytest.approx((0.5, 0.5, 0.5))


def test_paths_may_come_one_by_one_and_each_is_counted_for_the_bar(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.full((4, 4, 3), value, np.uint8) for value in range(5)])
    counted: list[None] = []
    found = channel_statistics(iter(paths), size=4, on_photo=lambda: counted.append(None))
    assert len(counted) == found.photos == 5


def test_a_photo_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    paths = write(tmp_path, [np.zeros((4, 4, 3), np.uint8)])
    with pytest.raises(PhotoError, match=r"gone\.png: there is no such file"):
        channel_statistics([*paths, tmp_path / "gone.png"], size=4)


def test_no_photos_have_no_statistics() -> None:
    with pytest.raises(ValueError, match="no photos"):
        channel_statistics([], size=4)


@pytest.mark.real_photos
def test_the_published_figures(real_photos: Path) -> None:
    """The reference publishes mean and std truncated to three digits: 0.519, 0.175 and so on."""
    train = list_photos(real_photos).split("train")
    found = channel_statistics([photo.path for photo in train], size=128)
    assert [round(value, 4) for value in found.mean] == [0.5195, 0.4997, 0.4699]
    assert [round(value, 4) for value in found.std] == [0.1759, 0.1831, 0.1978]
    assert [round(value, 3) for value in found.pooled_std] == [0.215, 0.214, 0.227]
    assert found.photos == 458
