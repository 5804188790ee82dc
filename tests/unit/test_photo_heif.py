"""HEIF photos of phones come out upright and RGB; damaged ones are one clear error.

The files of ``heif_fixtures`` hold the `PICTURE` of tests.support.photos, encoded by pillow-heif:
pi-heif, which reads them, cannot write.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from platecheck.errors import PhotoError
from platecheck.photo import open_photo
from tests.support.photos import PICTURE, at_most, difference, encode, reason

FIXTURES = Path(__file__).parent / "heif_fixtures"
PLAIN = (FIXTURES / "plain.heic").read_bytes()


ORIENTATIONS = [f"orientation{number}" for number in (2, 3, 5, 6, 8)]


@pytest.mark.parametrize("name", ["plain", *ORIENTATIONS, "thumbnail", "ten_bits", "profile"])
def test_open_photo_heic_is_upright_rgb(name: str) -> None:
    pixels = open_photo(FIXTURES / f"{name}.heic")
    assert difference(pixels, PICTURE) < 3
    assert pixels.flags.writeable


def test_open_photo_heic_without_rotation_ignores_exif_orientation() -> None:
    """As the standard has it: only the file's own rotation counts, and only once."""
    turned = (FIXTURES / "orientation6.heic").read_bytes()
    assert b"irot\x03" in turned
    pixels = open_photo(turned.replace(b"irot\x03", b"irot\x00"))
    assert difference(pixels, np.rot90(PICTURE)) < 3


def test_open_photo_heic_of_other_kinds_is_rgb() -> None:
    pixels = open_photo(FIXTURES / "alpha.heic")
    assert difference(pixels[:, :30], PICTURE[:, :30]) < 4
    assert (pixels[:, 34:] > 250).all()  # transparency lies on white

    grey = np.asarray(Image.fromarray(PICTURE).convert("L").convert("RGB"))
    assert difference(open_photo(FIXTURES / "grey.heic"), grey) < 3

    primary = open_photo(FIXTURES / "primary_is_second.heic")
    assert difference(primary, np.full((24, 32, 3), (0, 0, 255))) < 5


def test_open_photo_reads_heif_and_avif_whatever_their_first_brand() -> None:
    for brand in (b"heic", b"heix", b"mif1", b"msf1", b"miaf", b"MiHE"):
        np.testing.assert_array_equal(open_photo(PLAIN[:8] + brand + PLAIN[12:]), open_photo(PLAIN))
    data = encode(PICTURE, "AVIF", quality=95)
    for brand in (b"avif", b"mif1", b"msf1", b"miaf"):
        assert difference(open_photo(data[:8] + brand + data[12:]), PICTURE) < 5


def test_open_photo_heic_is_resized_and_limited_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "dish.jpg").write_bytes(PLAIN)
    assert open_photo(tmp_path / "dish.jpg", (10, 12)).shape == (10, 12, 3)
    assert reason(PLAIN, max_pixels=3071) == "64x48 pixels are more than the limit of 3071"


@pytest.mark.parametrize("name", ["plain", "thumbnail", "alpha"])
def test_open_photo_truncated_heic_is_an_error(name: str) -> None:
    data = (FIXTURES / f"{name}.heic").read_bytes()
    for percent in range(5, 100, 5):
        with at_most(5):
            assert "cut short" in reason(data[: len(data) * percent // 100])
    assert reason(data[:-200]) == "the file is cut short"


def test_open_photo_heic_with_item_types_that_are_no_text_is_an_error() -> None:
    """The library that reads HEIF would end the whole process."""
    data = (FIXTURES / "orientation6.heic").read_bytes()
    for damaged in (data.replace(b"Exif\0", b"Exi\xff\0"), data.replace(b"hvc1\0", b"hv\xc1\0\0")):
        assert damaged != data
        assert reason(damaged) == "the file is damaged or cut short"


MUTATIONS = st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=6)


@settings(max_examples=100)
@given(file=st.sampled_from(sorted(FIXTURES.iterdir())), mutations=MUTATIONS)
def test_open_photo_damaged_heic_opens_or_is_an_error(
    file: Path, mutations: list[tuple[int, int]]
) -> None:
    data = bytearray(file.read_bytes())
    for place, value in mutations:
        data[place % len(data)] = value
    try:
        pixels = open_photo(bytes(data), 16)
    except PhotoError:
        return
    assert pixels.shape == (16, 16, 3)


def test_open_photo_without_pi_heif_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pi_heif", None)
    assert "HEIF photos need pi-heif" in reason(PLAIN)
    assert reason(PLAIN[:8] + b"mif1" + PLAIN[12:]) == reason(PLAIN)


def test_open_photo_without_a_pillow_decoder_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    avif = encode(PICTURE, "AVIF")
    factory, _ = Image.OPEN["AVIF"]
    monkeypatch.setitem(Image.OPEN, "AVIF", (factory, lambda start: "AVIF is not installed"))
    assert "AVIF photos need a Pillow built with AVIF" in reason(avif)


def test_open_photo_heic_registers_nothing_with_pillow() -> None:
    code = (
        "import sys; from platecheck import open_photo; from PIL import Image;"
        "assert 'pi_heif' not in sys.modules;"
        f"open_photo({str(FIXTURES / 'plain.heic')!r});"
        "assert 'HEIF' not in Image.OPEN and '.heic' not in Image.EXTENSION"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
