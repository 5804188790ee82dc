"""Photos to ask with: rendered ones."""

from pathlib import Path

SAMPLES = Path(__file__).parents[2] / "samples"


def read_photos(folder: Path = SAMPLES) -> list[bytes]:
    """The photos of a folder, as files."""
    return [path.read_bytes() for path in sorted(folder.glob("*.jpg"))]


def described(photos: list[bytes]) -> str:
    """How many, and how large."""
    sizes = [len(photo) / 1000 for photo in photos]
    mean = sum(sizes) / len(sizes)
    return (
        f"{len(photos)} photos of {min(sizes):.0f} to {max(sizes):.0f} kB ({mean:.0f} on average)"
    )
