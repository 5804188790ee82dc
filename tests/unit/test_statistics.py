"""Channel statistics, compared with their definition."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from platecheck.data.folders import list_photos
from platecheck.data.statistics import channel_statistics
from platecheck.errors import PhotoError


def write(folder: Path, photos: list[np.ndarray]) -> list[Path]:
    paths = [folder / f"{i}.png" for i in range(len(photos))]
    for path, pixels in zip(paths, photos, strict=True):
        Image.fromarray(pixels).save(path)
    return paths


@given(seed=st.integers(0, 2**32), count=st.integers(1, 6), size=st.integers(2, 9))
def test_channel_statistics_match_their_definition(
    tmp_path_factory: pytest.TempPathFactory, seed: int, count: int, size: int
) -> None:
    rng = np.random.default_rng(seed)
    photos = []
    for _ in range(count):
        low, high = sorted(rng.integers(0, 256, 2))
        photos.append(rng.integers(low, high + 1, (size, size, 3)).astype(np.uint8))
    counted: list[None] = []
    found = channel_statistics(
        iter(write(tmp_path_factory.mktemp("p"), photos)),
        size=size,
        on_photo=lambda: counted.append(None),
    )
    values = np.stack(photos).reshape(count, -1, 3) / 255  # all photos have the same size
    assert found.mean == pytest.approx(values.mean(axis=(0, 1)))
    assert found.std == pytest.approx(values.std(axis=1, ddof=1).mean(axis=0))
    assert found.pooled_std == pytest.approx(values.reshape(-1, 3).std(axis=0, ddof=1))
    assert found.photos == len(counted) == count


def test_channel_statistics_weigh_photos_of_any_shape_alike(tmp_path: Path) -> None:
    black, white = np.zeros((40, 6, 3), np.uint8), np.full((3, 90, 3), 255, np.uint8)
    found = channel_statistics(write(tmp_path, [black, white]), size=8)
    assert found.mean == pytest.approx((0.5, 0.5, 0.5))


def test_channel_statistics_without_readable_photos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotoError, match=r"gone\.png: there is no such file"):
        channel_statistics([tmp_path / "gone.png"], size=4)
    with pytest.raises(ValueError, match="no photos"):
        channel_statistics([], size=4)


@pytest.mark.real_photos
def test_channel_statistics_match_the_published_values(real_photos: Path) -> None:
    """The reference publishes mean and std truncated to three digits: 0.519, 0.175 and so on."""
    train = list_photos(real_photos).split("train")
    found = channel_statistics([photo.path for photo in train], size=128)
    assert [round(value, 4) for value in found.mean] == [0.5195, 0.4997, 0.4699]
    assert [round(value, 4) for value in found.std] == [0.1759, 0.1831, 0.1978]
    assert [round(value, 3) for value in found.pooled_std] == [0.215, 0.214, 0.227]
    assert found.photos == 458
