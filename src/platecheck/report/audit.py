"""Write an audit as one self-contained HTML page with thumbnails."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from platecheck.auditing.audit import Audit
from platecheck.auditing.findings import Finding, Severity
from platecheck.data.backgrounds import extract_background
from platecheck.data.composite import remove_foreground
from platecheck.data.folders import Photo
from platecheck.data.segmentation import MaskCache
from platecheck.errors import PhotoError
from platecheck.photo import open_photo
from platecheck.report.page import save_page, templates, thumbnail

THUMBNAIL = 512  # pixels of the longer side, large enough to be enlarged on screen
MAX_THUMBNAILS = 12  # per finding
# Findings per kind with thumbnails; further ones are only listed by name.
MAX_PICTURED = 24
MAX_NAMED = 200
# Photos per class shown without their dish if the background is a shortcut.
MAX_BACKGROUNDS = 6
_BACKGROUND_PROBES = ("border", "table")

TITLES = {
    "unreadable": "Photos that cannot be opened",
    "contradiction": "Duplicates in two classes",
    "leak": "Duplicates in two splits",
    "duplicate": "Duplicates",
    "wrong_extension": "Wrong file name suffixes",
    "label": "Possible label errors",
    "dark": "Dark photos",
    "bright": "Overexposed photos",
    "blurred": "Blurred photos",
    "low_information": "Photos that show next to nothing",
    "odd_shape": "Narrow strips",
    "odd_size": "Much larger or smaller than most",
}

HINTS = {
    "unreadable": "They are ignored everywhere, including training.",
    "contradiction": "At least one label of identical photos is wrong. Near-identical photos may"
    " show one dish before and after washing: check them.",
    "leak": "A model that was trained on a photo may have memorized its label.",
    "label": "Least probable label first. Patterned clean dishes and slightly dirty ones appear"
    " here too: check a photo before you move it.",
}


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail: its data URL ("" if the photo is gone) and the photo's name."""

    address: str
    name: str


@dataclass(frozen=True)
class Section:
    """Findings of one kind and severity.

    Attributes:
        title: heading of the section.
        severity: of all its findings.
        hint: what to do about them.
        pictured: messages and thumbnails of the first findings.
        named: further findings, listed by name.
        more: number of findings not listed.
    """

    title: str
    severity: Severity
    hint: str
    pictured: Sequence[tuple[Sequence[str], Sequence[Thumbnail]]]
    named: Sequence[Finding]
    more: int


def write_page(
    audit: Audit,
    path: Path,
    *,
    exclusion_list: Path | None = None,
    on_finding: Callable[[], None] | None = None,
) -> None:
    """Write the page atomically.

    Args:
        audit: its photos must still be there.
        path: destination.
        exclusion_list: path of the exclusion list, if it was written.
        on_finding: called after each finding, for a progress bar.

    Raises:
        DataError: the file cannot be written.
    """
    save_page(render(audit, exclusion_list=exclusion_list, on_finding=on_finding), path)


def render(
    audit: Audit,
    *,
    exclusion_list: Path | None = None,
    on_finding: Callable[[], None] | None = None,
) -> str:
    """Render the page as HTML; see `write_page`."""
    environment = templates("report")
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["interval"] = lambda ends: f"{100 * ends[0]:.0f}–{ends[1]:.0%}"
    shortcut = any(result.found for result in audit.probes)
    return environment.get_template("audit.html.j2").render(
        audit=audit,
        next_steps=audit.next_steps(exclusion_list),
        shortcut=shortcut,
        backgrounds=_backgrounds(audit) if shortcut else {},
        sections=_sections(audit, on_finding or (lambda: None)),
    )


def _sections(audit: Audit, on_finding: Callable[[], None]) -> list[Section]:
    paths = {photo.name: photo.path for photo in audit.photos.photos}
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    messages: dict[tuple[str, ...], list[str]] = {}
    for finding in audit.findings:
        if finding.kind not in TITLES:
            continue
        # Duplicates in two splits and two classes are shown once, with both messages.
        if len(finding.photos) > 1 and finding.photos in messages:
            messages[finding.photos].append(finding.message)
            on_finding()
            continue
        messages[finding.photos] = [finding.message]
        kinds.setdefault((finding.severity, finding.kind), []).append(finding)
    sections = []
    for (severity, kind), findings in kinds.items():
        pictured = []
        for at, finding in enumerate(findings):
            if at < MAX_PICTURED:
                shared = messages[finding.photos] if len(finding.photos) > 1 else [finding.message]
                if (more := len(finding.photos) - MAX_THUMBNAILS) > 0:
                    shared.append(f"{more} more of these photos are not shown.")
                pictured.append((shared, _thumbnails(finding.photos[:MAX_THUMBNAILS], paths)))
            on_finding()
        named = findings[MAX_PICTURED : MAX_PICTURED + MAX_NAMED]
        more = len(findings) - len(pictured) - len(named)
        hint = HINTS.get(kind, "")
        sections.append(Section(TITLES[kind], severity, hint, pictured, named, more))
    return sections


def _thumbnails(names: Sequence[str], paths: dict[str, Path]) -> list[Thumbnail]:
    thumbnails = []
    for name in names:
        address = ""
        if name in paths:
            with contextlib.suppress(PhotoError):  # deleted meanwhile: show its name only
                address = thumbnail(open_photo(paths[name]), THUMBNAIL)
        thumbnails.append(Thumbnail(address, name))
    return thumbnails


def _backgrounds(audit: Audit) -> dict[str, list[Thumbnail]]:
    """Return photos without their dish by class, if a background shortcut was found."""
    if not any(result.found and result.probe.name in _BACKGROUND_PROBES for result in audit.probes):
        return {}
    masks = MaskCache()
    backgrounds: dict[str, list[Thumbnail]] = {}
    for label, name in enumerate(audit.photos.classes):
        photos = [photo for photo in audit.photos.photos if photo.label == label]
        order = np.random.default_rng(0).permutation(len(photos))
        found = (_without_dish(photos[at], masks) for at in order)
        backgrounds[name] = list(islice(filter(None, found), MAX_BACKGROUNDS))
    return backgrounds


def _without_dish(photo: Photo, masks: MaskCache) -> Thumbnail | None:
    dish_mask = masks.get(photo)
    if not dish_mask.good:
        return None
    pixels = open_photo(photo.path, size=THUMBNAIL)
    mask = dish_mask.mask(THUMBNAIL, THUMBNAIL)
    background = extract_background(pixels, mask, np.random.default_rng(0))
    if background is None:
        return None
    return Thumbnail(thumbnail(remove_foreground(pixels, mask, background), THUMBNAIL), photo.name)
