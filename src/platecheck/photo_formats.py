"""Detect photo formats by file name and by content, and read image headers."""

import os
import re
import struct
from io import BytesIO
from pathlib import Path
from typing import IO

from PIL import Image, ImageFile

from platecheck.errors import PhotoError

PHOTO_SUFFIXES = frozenset(
    ".apng .avif .avifs .bmp .gif .heic .heics .heif .heifs .hif .j2c .j2k .jfif .jp2 .jpc .jpe"  # noqa: SIM905
    " .jpeg .jpf .jpg .jpx .mpo .pbm .pgm .png .pnm .ppm .tif .tiff .webp".split()
)
"""Lower-case file name suffixes of photos. `open_photo` itself only considers the content."""

UNSUPPORTED_SUFFIXES = frozenset(
    ".3fr .3g2 .3gp .ai .arw .avi .cr2 .cr3 .crw .dcr .dib .dng .emf .eps .erf .exr .fff .flv .hdp"  # noqa: SIM905
    " .hdr .ico .iiq .jxl .jxr .kdc .kra .livp .m2ts .m4v .mef .mkv .mos .mov .mp4 .mpeg .mpg .mrw"
    " .mts .nef .nrw .orf .pcx .pdf .pef .ps .psb .psd .qoi .raf .raw .rw2 .rwl .sr2 .srf .srw .svg"
    " .svgz .tga .wdp .webm .wmf .wmv .x3f .xcf".split()
)
"""Lower-case suffixes of images and videos that `open_photo` does not support."""

# Signatures of unsupported files, as regular expressions.
_RAW = "a camera raw file"
_UNSUPPORTED_SIGNATURES = {
    _RAW: rb".{4}ftypcrx |FUJIFILMCCD-RAW|IIR[OS]|MMOR|IIU\0|FOVb|\0MRM|II\x1a\0.{4}HEAP",
    "a video": rb".{4}(ftyp|moov|mdat|wide)|\x1aE\xdf\xa3|RIFF.{4}AVI |FLV\x01|\0\0\x01[\xb3\xba]",
    "a PDF or PostScript file": rb"%PDF|%!PS|\xc5\xd0\xd3\xc6",
    "an SVG drawing": rb"(\xef\xbb\xbf)?\s*(<[?!][^>]*>\s*)*<svg",
    "a Windows metafile": rb"\xd7\xcd\xc6\x9a|\x01\0{3}.{36} EMF",
    "a JPEG XL or JPEG XR file": rb"\xff\x0a|\0\0\0\x0cJXL |II\xbc",
    "an image editor's file": rb"8BPS\0[\x01\x02]|gimp xcf|v/1\x01|#\?RADIANCE",
    "a web page": rb"\s*<(!doctype )?html",
    "a ZIP archive": rb"PK\x03\x04",
    "a compressed file (gzip, bzip2, xz or zstd)": rb"\x1f\x8b|BZh\d|\xfd7zXZ|\x28\xb5\x2f\xfd",
}
_ADVICE = "save the picture as JPEG or PNG"

# The only formats that are opened, whatever else is registered with Pillow: an MPO is opened as
# JPEG, and HEIF by this module. Decoders of rare formats are slow (written in Python) or seldom
# checked; some even start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP", "PPM", "JPEG2000")

CUT_SHORT = "the file is cut short"
DAMAGED = "the file is damaged or cut short"

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"miaf"}
_SUBFILE_TYPE, _SUBIFDS, _DNG_VERSION = 254, 330, 50706  # TIFF tags

# Each scan of a progressive JPEG, as small as a hundred bytes, decodes all pixels again: a small
# file can take minutes. Cameras and editors write about ten scans; libtiff has the same limit.
_MAX_SCANS = 100
# Inside scan data, 0xFF is followed by 0 or a restart marker (0xD0 to 0xD7).
_MARKER = re.compile(rb"\xff+([\x01-\xcf\xd8-\xfe])")
_START_OF_IMAGE, _END_OF_IMAGE, _START_OF_SCAN, _TEMPORARY = 0xD8, 0xD9, 0xDA, 0x01


NOT_DOWNLOADED = (".icloud", ".cloud", ".nextcloud", ".owncloud")
"""Suffixes of the placeholders that cloud clients keep for files not downloaded yet."""


def is_photo_name(path: str | os.PathLike[str]) -> bool:
    """Return whether a file name has one of `PHOTO_SUFFIXES`, in any case."""
    return Path(path).suffix.lower() in PHOTO_SUFFIXES


def identify(data: bytes, name: str) -> ImageFile.ImageFile:
    """Detect the format of a file and read its header.

    `PIL.Image.open` with ``formats=FORMATS`` would apply Pillow's global pixel limit, which is the
    application's, and does not know HEIF.
    """
    Image.init()
    brands = _brands(data)
    openers = [(kind, *Image.OPEN[kind]) for kind in FORMATS]
    if brands & _HEIF_BRANDS and not brands & _AVIF_BRANDS:
        openers.append(("HEIF", _open_heif, lambda start: True))
    # Pillow recognizes AVIF by the first brand only.
    start = data[:8] + b"avif" if brands & _AVIF_BRANDS else data[:16]
    recognized, missing = False, ""
    for kind, factory, accept in openers:
        accepted = accept(start) if accept else True
        if isinstance(accepted, str):  # a reason: Pillow was built without this decoder
            missing = kind
        if accepted is not True:
            continue
        try:
            image = factory(BytesIO(data), "")
        except ImportError:
            missing = kind
        except (SyntaxError, IndexError, TypeError, struct.error):
            recognized = True  # a known signature, but an invalid header
        else:
            if _is_raw(image, data):
                raise PhotoError(name, f"it is {_RAW}; {_ADVICE}")
            return image
    raise PhotoError(name, _reason(data, name, recognized, missing))


def check_scans(image: Image.Image, data: bytes, name: str) -> None:
    """Refuse a JPEG that would take very long to decode."""
    if image.info.get("progressive") and _scans(data) > _MAX_SCANS:
        raise PhotoError(name, f"a JPEG with more than {_MAX_SCANS} scans takes too long to decode")


def _scans(jpeg: bytes) -> int:
    """Count the scans of the first image in a JPEG."""
    scans = at = 0
    while scans <= _MAX_SCANS and (found := _MARKER.search(jpeg, at)):
        at, marker = found.end(), found[1][0]
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker not in (_START_OF_IMAGE, _TEMPORARY):
            at += int.from_bytes(jpeg[at : at + 2])
    return scans


def is_cut_short(data: bytes) -> bool:
    """Return whether a WebP or HEIF file is truncated, which their decoders do not report."""
    at = 0
    while data[4:8] == b"ftyp" and data[at + 4 : at + 8] in (b"ftyp", b"meta", b"mdat"):
        size = int.from_bytes(data[at : at + 4])
        size = int.from_bytes(data[at + 8 : at + 16]) if size == 1 else size
        if size < 8:  # 0: up to the end
            return False
        at += size
        if at > len(data):
            return True
    return data[:4] == b"RIFF" and len(data) < 8 + int.from_bytes(data[4:8], "little")


def _brands(data: bytes) -> set[bytes]:
    """Return the compatible brands of an ISO base media file (MP4, HEIF, AVIF)."""
    if data[4:8] != b"ftyp":
        return set()
    end = min(int.from_bytes(data[:4]), 512)
    return {data[at : at + 4] for at in (8, *range(16, end, 4))}


def _open_heif(file: IO[bytes], name: str | bytes) -> ImageFile.ImageFile:
    """Read the header of a HEIF file without registering the format with Pillow globally."""
    from pi_heif import HeifImageFile  # the import takes 20 ms, and most photos are JPEG

    data = file.read()
    if is_cut_short(data):
        raise SyntaxError(CUT_SHORT)
    _check_item_names(data)
    image: ImageFile.ImageFile = HeifImageFile(file, name)
    return image


def _check_item_names(data: bytes) -> None:
    """Refuse a HEIF file whose item types or names are not UTF-8, on which pi_heif crashes."""
    for entry in re.finditer(rb"infe[\0-\3]", data):
        end = entry.start() - 4 + int.from_bytes(data[entry.start() - 4 : entry.start()])
        try:
            data[entry.end() + (9 if data[entry.end() - 1] == 3 else 7) : end].decode()
        except UnicodeDecodeError:
            raise SyntaxError("an item's name is not UTF-8") from None


def _is_raw(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Return whether a TIFF file is a camera raw file, whose first image is only a thumbnail."""
    tags = getattr(image, "tag_v2", {})
    thumbnail = tags.get(_SUBFILE_TYPE) == 1 and _SUBIFDS in tags
    return thumbnail or _DNG_VERSION in tags or (bool(tags) and data[8:10] == b"CR")


def _reason(data: bytes, name: str, recognized: bool, missing: str) -> str:
    if missing:
        package = "pi-heif" if missing == "HEIF" else f"a Pillow built with {missing}"
        return f"{missing} photos need {package}, which is not installed; or {_ADVICE}"
    flags = re.DOTALL | re.IGNORECASE
    signatures = _UNSUPPORTED_SIGNATURES.items()
    kinds = (kind for kind, start in signatures if re.match(start, data[:1024], flags))
    suffix = Path(name).suffix.lower()
    if not recognized and (kind := next(kinds, None)):
        return f"it is {kind}; {_ADVICE}"
    if suffix in NOT_DOWNLOADED:
        return "it has not been downloaded from the cloud yet"
    if suffix in UNSUPPORTED_SUFFIXES:
        return f"{suffix} files cannot be read; {_ADVICE}"
    if recognized:
        return CUT_SHORT if is_cut_short(data) else DAMAGED
    return "it is not a photo in a format that can be read"
