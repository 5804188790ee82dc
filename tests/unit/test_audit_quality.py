from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from platecheck.auditing.features import PhotoFeatures, extract_all_features, extract_features
from platecheck.auditing.findings import Severity
from platecheck.auditing.quality import (
    blur_findings,
    extension_findings,
    picture_findings,
    size_findings,
)
from platecheck.data.folders import Photo, read_photos, sha256_of
from platecheck.data.render.scene import render_dish
from platecheck.data.segmentation import MaskCache

Save = Callable[[Mapping[str, Image.Image]], list[PhotoFeatures]]


def features_of(path: Path) -> PhotoFeatures:
    return extract_features(Photo(path, path.name, 0, "all", sha256_of(path)), MaskCache())


@pytest.fixture
def dish() -> Image.Image:
    """A rendered dish, larger than the shared ones: those, enlarged, are blurred."""
    dish = render_dish(np.random.default_rng(0), size=320, label="dirty", background="wood")
    return Image.fromarray(dish.photo).crop((0, 40, 320, 280))


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Save pictures as PNG, and return their features."""

    def save(pictures: Mapping[str, Image.Image]) -> list[PhotoFeatures]:
        for name, picture in pictures.items():
            picture.save(tmp_path / f"{name}.png")
        return [features_of(tmp_path / f"{name}.png") for name in pictures]

    return save


@pytest.mark.parametrize(
    ("name", "saved_as", "lies"),
    [
        ("a.jpg", "TIFF", True),
        ("a.jpeg", "PNG", True),
        ("a.png", "JPEG", True),
        ("a.JPG", "JPEG", False),
        ("a.jpe", "JPEG", False),
        ("a.tif", "TIFF", False),
        ("a.webp", "WEBP", False),
        ("a.jpg", "MPO", False),  # what many phones write
        ("a.dib", "BMP", False),
    ],
)
def test_wrong_suffix_is_found(
    tmp_path: Path, dish: Image.Image, name: str, saved_as: str, lies: bool
) -> None:
    more = {"save_all": True, "append_images": [dish]} if saved_as == "MPO" else {}
    dish.save(tmp_path / name, saved_as, **more)
    found = extension_findings([features_of(tmp_path / name)])
    assert [finding.photos for finding in found] == ([(name,)] if lies else [])
    if lies:
        assert found[0].severity is Severity.WARNING
        assert saved_as in found[0].message


def test_dark_bright_empty_and_narrow_photos_are_found(save: Save, dish: Image.Image) -> None:
    pictures = {
        "good": dish,
        "dark": dish.point(lambda value: value // 8),
        "empty": Image.new("RGB", (320, 240), (120, 110, 100)),
        "white": Image.new("RGB", (320, 240), "white"),
        "strip": dish.crop((0, 100, 320, 150)),
    }
    found = {(each.kind, name) for each in picture_findings(save(pictures)) for name in each.photos}
    assert found == {
        ("dark", "dark.png"),
        ("low_information", "empty.png"),
        ("low_information", "white.png"),
        ("bright", "white.png"),
        ("odd_shape", "strip.png"),
    }


def test_blurred_photos_are_found_at_any_contrast(save: Save, dish: Image.Image) -> None:
    flat = dish.point(lambda value: 100 + value // 4)
    pictures = {
        "good": dish,
        "flat": flat,
        "blurred": dish.filter(ImageFilter.GaussianBlur(4)),
        "flat-blurred": flat.filter(ImageFilter.GaussianBlur(4)),
        "large-blurred": dish.resize((1280, 960)).filter(ImageFilter.GaussianBlur(16)),
        "empty": Image.new("RGB", (320, 240), (120, 110, 100)),
    }
    names = [name for finding in blur_findings(save(pictures)) for name in finding.photos]
    assert names == ["blurred.png", "flat-blurred.png", "large-blurred.png"]


def test_odd_sizes_are_found(save: Save, dish: Image.Image) -> None:
    sizes = [(100, 100)] * 4 + [(101, 100), (99, 130), (201, 201), (49, 49)]
    found = size_findings(save({str(i): dish.resize(size) for i, size in enumerate(sizes)}))
    assert [finding.photos for finding in found] == [("6.png",), ("7.png",)]
    assert "larger" in found[0].message
    assert "smaller" in found[1].message


def test_file_facts_are_upright_size_and_compression(tmp_path: Path, dish: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    dish.save(tmp_path / "fine.jpg", quality=95, exif=exif)
    dish.save(tmp_path / "coarse.jpg", quality=40)
    dish.save(tmp_path / "none.png")
    fine, coarse, none = (
        features_of(tmp_path / n).file for n in ("fine.jpg", "coarse.jpg", "none.png")
    )
    assert (fine.width, fine.height) == (240, 320)
    assert (coarse.width, coarse.height) == (320, 240)
    assert 0 == none.coarseness < fine.coarseness < coarse.coarseness
    assert (fine.format, none.format) == ("JPEG", "PNG")
    assert none.bytes == (tmp_path / "none.png").stat().st_size


def test_features_do_not_depend_on_the_size(save: Save, dish: Image.Image) -> None:
    picture = dish.resize((512, 384))
    small, large = save({"small": picture, "large": picture.resize((2048, 1536))})
    assert (large.file.width, large.file.height) == (2048, 1536)
    assert np.abs(small.rim - large.rim).mean() < 2
    np.testing.assert_allclose(large.light, small.light, atol=2)
    assert (small.phash != large.phash).sum() <= 2


def test_features_of_tiny_photos_are_finite(save: Save) -> None:
    sizes = ((1, 1), (2, 9), (8, 6))
    for item in save({f"{size}": Image.new("RGB", size, "red") for size in sizes}):
        assert np.isfinite(item.dish).all()
        assert np.isfinite(item.sharpness).all()


def test_features_keep_the_order_of_photos(rendered: Path) -> None:
    photos = read_photos(rendered).photos
    done: list[None] = []
    features = extract_all_features(photos, MaskCache(), on_photo=lambda: done.append(None))
    assert [item.photo for item in features] == list(photos)
    assert len(done) == len(photos)
    assert picture_findings(features) == blur_findings(features) == []
    assert size_findings(features) == extension_findings(features) == []
