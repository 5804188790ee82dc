"""Photos for tests: the rendered samples, and a drawn picture in every format."""

import io
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from platecheck.errors import PhotoError
from platecheck.photo import open_photo

SAMPLES = Path(__file__).parents[2] / "samples"


def read_photos(folder: Path = SAMPLES) -> list[bytes]:
    """Return the photos of a folder, as files."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def described(photos: list[bytes]) -> str:
    """Describe their number and sizes."""
    sizes = [len(photo) / 1000 for photo in photos]
    mean = sum(sizes) / len(sizes)
    return (
        f"{len(photos)} photos of {min(sizes):.0f} to {max(sizes):.0f} kB ({mean:.0f} on average)"
    )


def draw(height: int = 48, width: int = 64, texture: float = 0) -> NDArray[np.uint8]:
    """Draw a picture with a different colour in every corner: turned or re-coloured it differs.

    Red grows to the right, green downwards; blue fills the upper left quarter.
    """
    y, x = np.mgrid[0:height, 0:width]
    picture = np.stack([255 * x / width, 255 * y / height, np.zeros_like(x)], axis=-1)
    picture[: height // 2, : width // 2, 2] = 200
    picture += np.random.default_rng(0).normal(0, texture, picture.shape) if texture else 0
    return picture.clip(0, 255).astype(np.uint8)


PICTURE = draw()
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "BMP": {},
    "TIFF": {},
    "TIFF LZW": {"compression": "tiff_lzw"},
    "TIFF deflate": {"compression": "tiff_adobe_deflate"},
    "PPM": {},
    "WEBP": {"lossless": True},
    "JPEG2000": {},
}
LOSSY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95},
    "JPEG progressive": {"quality": 95, "progressive": True},
    "JPEG subsampled": {"quality": 95, "subsampling": "4:2:0"},
    "MPO": {"quality": 95},
    "WEBP lossy": {"quality": 95},
    "AVIF": {"quality": 95},
    "TIFF JPEG": {"compression": "jpeg", "quality": 95},
    "JPEG2000 lossy": {"quality_mode": "dB", "quality_layers": [38], "irreversible": True},
    "GIF": {},
}


def encode(picture: NDArray[Any] | Image.Image, file_format: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def png(level: int = 250, width: int = 20, height: int = 20) -> bytes:
    """A photo of one brightness, which is all that the tiny model sees: bright ones are dirty."""
    return encode(Image.new("RGB", (width, height), (level, level, level)), "PNG")


def sample(kind: str) -> bytes:
    """Encode the picture as one of `LOSSLESS` or `LOSSY`."""
    return encode(PICTURE, kind.partition(" ")[0], **(LOSSLESS | LOSSY)[kind])


def difference(a: NDArray[np.uint8], b: NDArray[Any]) -> float:
    assert a.shape == b.shape
    return float(np.abs(a.astype(float) - b).mean())


def reason(source: Any, **options: Any) -> str:
    """Return why a photo is refused."""
    with pytest.raises(PhotoError) as caught:
        open_photo(source, **options)
    assert str(caught.value) == f"{caught.value.source}: {caught.value.reason}"
    assert len(str(caught.value).splitlines()) == 1
    return caught.value.reason


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Fail where the code inside would hang."""

    def stop(*_: object) -> None:
        pytest.fail(f"still running after {seconds} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def grey(path: Path, level: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(level, 20, 30))
    return path


def dirty(level: float) -> float:
    """Return the tiny model's probability that a photo of this brightness is dirty."""
    return float(1 / (1 + np.exp(-8 * (level / 255 - 0.5))))
