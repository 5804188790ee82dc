"""Files that are nearly photos, claim to be large ones, or cost more than they weigh."""

import io
import random
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image, features

from platecheck.data.render import render_dish

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "MPO", "PDF", "PNG", "PPM", "TIFF", "WEBP")
_SIDE = 96
_EXTREMES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


@cache
def originals() -> dict[str, bytes]:
    """A rendered dish in every format, and in a few ways to write some of them."""
    dish = Image.fromarray(render_dish(np.random.default_rng(0), size=_SIDE, label="dirty").photo)
    turned = {"save_all": True, "append_images": [dish.rotate(90)]}
    formats = [name for name in FORMATS if name != "AVIF" or features.check("avif")]
    return {name: _saved(dish, name) for name in formats} | {
        "JPEG progressive": _saved(dish, "JPEG", progressive=True),
        "JPEG with EXIF": _saved(dish, "JPEG", exif=_exif()),
        "PNG with alpha": _saved(dish.convert("RGBA"), "PNG"),
        "PNG with palette": _saved(dish.convert("P"), "PNG"),
        "PNG of 16 bits": _saved(dish.convert("I;16"), "PNG"),
        "PNG animated": _saved(dish, "PNG", **turned),
        "GIF animated": _saved(dish, "GIF", **turned),
        "MPO of two photos": _saved(dish, "MPO", **turned),
        "TIFF of floats": _saved(dish.convert("F"), "TIFF"),
        "TIFF LZW": _saved(dish, "TIFF", compression="tiff_lzw"),
        "TIFF JPEG": _saved(dish, "TIFF", compression="jpeg"),
        "TIFF of two pages": _saved(dish, "TIFF", save_all=True, append_images=[dish]),
        "WEBP lossless": _saved(dish, "WEBP", lossless=True),
        "WEBP animated": _saved(dish, "WEBP", **turned),
    }


def mutated(rng: random.Random) -> tuple[str, bytes]:
    """Which of the originals it was, and what became of it."""
    name = rng.choice(sorted(originals()))
    content = bytearray(originals()[name])
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        if content:
            rng.choice(_MUTATIONS)(rng, content)
    return name, bytes(content)


def _flip_bits(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice((1, 2, 8, 64))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _flip_bits_of_header(rng: random.Random, content: bytearray) -> None:
    for _ in range(rng.choice((1, 2, 8))):
        content[rng.randrange(min(64, len(content)))] ^= 1 << rng.randrange(8)


def _cut_short(rng: random.Random, content: bytearray) -> None:
    del content[rng.randrange(len(content)) :]


def _cut_out(rng: random.Random, content: bytearray) -> None:
    del content[_stretch(rng, content)]


def _repeat(rng: random.Random, content: bytearray) -> None:
    where = _stretch(rng, content)
    content[where.stop : where.stop] = content[where] * rng.choice((1, 2, 50))


def _swap(rng: random.Random, content: bytearray) -> None:
    first, second = sorted((_stretch(rng, content), _stretch(rng, content)), key=lambda s: s.start)
    if first.stop <= second.start:
        one, other = content[first], content[second]
        content[second], content[first] = one, other


def _fill(rng: random.Random, content: bytearray) -> None:
    where = _stretch(rng, content)
    content[where] = bytes([rng.choice((0, 0xFF))]) * (where.stop - where.start)


def _noise(rng: random.Random, content: bytearray) -> None:
    where = _stretch(rng, content)
    content[where] = rng.randbytes(where.stop - where.start)


def _lie(rng: random.Random, content: bytearray) -> None:
    """Put an extreme number where a size or a place may be written."""
    size = rng.choice((1, 2, 4))
    number = rng.choice(_EXTREMES) & (256**size - 1)
    at = rng.randrange(min(rng.choice((32, 256, 4096)), len(content)))
    content[at : at + size] = number.to_bytes(size, rng.choice(("big", "little")))


def _graft(rng: random.Random, content: bytearray) -> None:
    """Go on with a piece of a photo of another format."""
    other = originals()[rng.choice(sorted(originals()))]
    at = rng.randrange(len(content))
    content[at:] = other[rng.randrange(len(other)) :]


_MUTATIONS: tuple[Callable[[random.Random, bytearray], None], ...] = (
    *(_flip_bits, _flip_bits_of_header, _cut_short, _cut_out, _repeat, _swap, _fill, _noise),
    *(_lie, _lie, _graft),
)


def _stretch(rng: random.Random, content: bytearray) -> slice:
    start = rng.randrange(len(content))
    return slice(start, min(len(content), start + rng.choice((1, 4, 16, 256, 4096))))


@cache
def bombs() -> dict[str, bytes]:
    """Small files that claim, or are, much."""
    side = 60_000
    black, clear = Image.new("L", (8000, 8000)), Image.new("RGBA", (8000, 8000), (1, 2, 3, 4))
    nine = zlib.compress(bytes(9 * 28))  # the pixels of 9x9
    return {
        "PNG of 60000x60000": png(side, side, zlib.compress(bytes(1000))),
        "PNG of 2^31-1 columns": png(2**31 - 1, 1, b""),
        "PNG of 64 megapixels": _saved(black, "PNG", compress_level=1),
        "PNG of 64 megapixels, with alpha": _saved(clear, "PNG", compress_level=1),
        "PNG of 64 megapixels, cut short": _saved(black, "PNG", compress_level=1)[:-100],
        "PNG with a text of 100 MB": png(9, 9, nine, [(b"zTXt", b"a\0\0" + _packed(100))]),
        "PNG with a profile of 100 MB": png(9, 9, nine, [(b"iCCP", b"a\0\0" + _packed(100))]),
        "PNG whose pixels are 100 MB": png(9, 9, _packed(100)),
        "PNG of 100000 chunks": png(9, 9, b"", [(b"aaAa", b"")] * 100_000),
        "GIF of 65535x65535": _gif(65535),
        "GIF with a frame larger than itself": _gif(1),
        "GIF of 64 megapixels": _saved(black.convert("P"), "GIF"),
        "TIFF of 60000x60000": tiff(side, side),
        "TIFF of 64 million floats": _saved(
            Image.new("F", (8000, 8000)), "TIFF", compression="tiff_adobe_deflate"
        ),
        "TIFF whose pages go in a circle": tiff(9, 9, following=8),
        "TIFF with 65535 tags": b"II*\0\x08\0\0\0\xff\xff"
        + struct.pack("<HHII", 256, 4, 1, side) * 65535,
        "TIFF with a tag of 4 GB": tiff(9, 9, more=[(270, 2, 2**32 - 1, 8)]),
        "TIFF whose strip is 4 GB": tiff(9, 9, strip_bytes=2**32 - 1),
        "TIFF of TIFFs": tiff(9, 9, more=[(330, 4, 1, 8), (34665, 4, 1, 8), (34853, 4, 1, 8)]),
        "TIFF of 65535 samples a pixel": tiff(9, 9, samples=65535),
        "BigTIFF": b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 2**63),
        "JPEG of 65500x65500": jpeg(65500, 65500),
        "JPEG of 10000 scans": jpeg_of_many_scans(8000, 10_000),
        "JPEG of 100000 segments": b"\xff\xd8" + b"\xff\xe5\0\x02" * 100_000
        + originals()["JPEG"][2:],
        "JPEG of 64 megapixels": _saved(black, "JPEG"),
        "JPEG of 64 megapixels, progressive": _saved(black, "JPEG", progressive=True),
        "BMP of 60000x60000": bmp(side),
        "BMP upside down": bmp(-(2**31)),
        "WEBP of 16383x16383": b"RIFF\x1e\0\0\0WEBPVP8L\x11\0\0\0/"
        + struct.pack("<I", 16382 | 16382 << 14) + bytes(13),
        "WEBP of 2^24x2^24": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + b"\xff" * 6,
        "JPEG2000 of 2^31x2^31": originals()["JPEG2000"].replace(
            struct.pack(">II", _SIDE, _SIDE), struct.pack(">II", 2**31 - 1, 2**31 - 1)
        ),
        "PPM of 99999x99999": b"P6 99999 99999 255\n",
        "PPM in words": b"P3\n1200 1200\n255\n" + b"1 " * (1200 * 1200 * 3),
        "PPM of one word": b"P3 " + b"9" * 2_000_000,
        "PFM of not a number": b"PF\n9 9\nnan\n" + bytes(9 * 9 * 12),
        "AVIF of noise": originals().get("AVIF", b"")[:300] + random.Random(0).randbytes(5000),
    }  # fmt: skip


def bmp(side: int) -> bytes:
    """The header of a square BMP."""
    numbers = (54, 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHIIiiHHIIIIII", *numbers)


def _gif(side: int) -> bytes:
    """A square GIF, whose frame is of 65535 x 65535 pixels."""
    header = b"GIF89a" + struct.pack("<HHBBB", side, side, 0, 0, 0)
    return header + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x01\x00\x00;"


def png(
    width: int, height: int, packed: bytes, more: list[tuple[bytes, bytes]] | None = None
) -> bytes:
    """A PNG with these pixels, packed by zlib, and more chunks before them."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), *(more or []), (b"IDAT", packed), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def tiff(
    width: int,
    height: int,
    *,
    following: int = 0,
    strip_bytes: int = 243,
    samples: int = 1,
    more: list[tuple[int, int, int, int]] | None = None,
) -> bytes:
    """A grey TIFF whose one strip is the file's end, with more tags."""
    tags = [
        *((256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1)),
        *((262, 3, 1, 1), (273, 4, 1, 200), (277, 3, 1, samples)),
        *((278, 4, 1, height), (279, 4, 1, strip_bytes), *(more or [])),
    ]
    written = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    directory = struct.pack("<H", len(tags)) + written + struct.pack("<I", following)
    return (b"II*\0\x08\0\0\0" + directory).ljust(200, b"\0") + bytes(243)


def jpeg(width: int, height: int) -> bytes:
    """A JPEG that claims to be so large."""
    content = originals()["JPEG"]
    at = content.index(b"\xff\xc0") + 5
    return content[:at] + struct.pack(">HH", height, width) + content[at + 4 :]


def jpeg_of_many_scans(side: int, scans: int) -> bytes:
    """A grey progressive JPEG that goes over its pixels again and again to change nothing."""

    def segment(marker: int, content: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content

    def table(kind: int, symbol: int) -> bytes:  # one code of one bit
        return segment(0xC4, bytes([kind, 1, *[0] * 15, symbol]))

    blocks = ((side + 7) // 8) ** 2
    runs = "".join("0" + "1" * 14 for _ in range(-(-blocks // 2**14)))  # 32767 blocks each
    bits = runs + "1" * (-len(runs) % 8)
    nothing = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0])) + nothing.replace(b"\xff", b"\xff\0")
    return b"".join(
        (
            b"\xff\xd8",
            segment(0xDB, bytes([0, *[1] * 64])),
            segment(0xC2, struct.pack(">BHHBBBB", 8, side, side, 1, 1, 0x11, 0)),
            table(0x00, 0x00) + table(0x10, 0xE0),
            segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(blocks // 8),
            scan * (scans - 1),
            b"\xff\xd9",
        )
    )


WRONG_TYPES = {
    "nothing": b"",
    "a zero": b"\0",
    "text": b"a plate\n" * 500,
    "long text": b"a" * 1_000_000,
    "JSON": b'{"photos": [{"name": "a.jpg"}]}',
    "deep JSON": b"[" * 100_000,
    "HTML": b"<!doctype html><script>alert(1)</script>",
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg'><circle r='9'/></svg>",
    "XML of a billion laughs": b'<!DOCTYPE a [<!ENTITY b "c">'
    + b'<!ENTITY d "&b;&b;">' * 9
    + b"]>",
    "ZIP": b"PK\x03\x04" + bytes(26) + b"a.jpg" + b"PK\x05\x06" + bytes(18),
    "gzip": zlib.compress(bytes(10_000_000), wbits=31),
    "PDF": b"%PDF-1.7\n" + bytes(2000),
    "PostScript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(%pipe%touch x) (w) file\n",
    "a program": b"\x7fELF\x02\x01\x01" + bytes(500),
    "a video": b"\0\0\0\x18ftypmp42" + bytes(500),
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(500),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
    "an ONNX file": b"\x08\x08\x12\x07pytorch" + bytes(500),
    "a form without its type": b'--x\r\nContent-Disposition: form-data; name="photos"\r\n\r\n--x--',
}


def _packed(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


def _exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "a dish"
    return exif


def _saved(image: Image.Image, file_format: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()
