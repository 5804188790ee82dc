"""One HTML page about an audit, with thumbnails; it asks for nothing from outside."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from platecheck.audit.audit import Audit
from platecheck.audit.findings import Finding, Severity
from platecheck.data.backgrounds import extract_background
from platecheck.data.composite import remove_foreground
from platecheck.data.folders import Photo
from platecheck.data.segmentation import MaskCache
from platecheck.errors import PhotoError
from platecheck.evaluation.report import save_page, templates, thumbnail
from platecheck.photo import open_photo

THUMBNAIL = 512  # pixels of the longer side: fills a good part of a screen when enlarged
PICTURES = 12  # of one finding
# Findings of a kind that get thumbnails; the others are named only.
PICTURED = 24
NAMED = 200
# Photos without their dish, of each class, where the table is a shortcut.
EMPTY_TABLES = 6
_OF_TABLES = ("border", "table")

TITLES = {
    "unreadable": "Photos that cannot be opened",
    "contradiction": "One picture, two classes",
    "leak": "One picture, two splits",
    "duplicate": "One picture, twice",
    "wrong_extension": "Files that are not what their names say",
    "label": "Labels that may be wrong",
    "dark": "Dark photos",
    "bright": "Overexposed photos",
    "blurred": "Blurred photos",
    "low_information": "Photos that show next to nothing",
    "odd_shape": "Narrow strips",
    "odd_size": "Much larger or smaller than most",
}

HINTS = {
    "unreadable": "They are left out of everything, training too.",
    "contradiction": "No model can be right about both. Near-identical photos may well show one"
    " dish before and after: look.",
    "leak": "A model that has seen the picture in training knows the answer by heart.",
    "label": "The least likely label first. Clean dishes with a pattern and hardly dirty ones land"
    " here too: look before you move a photo.",
}


@dataclass(frozen=True)
class Picture:
    """A thumbnail: its address, and what it is called."""

    address: str
    name: str


@dataclass(frozen=True)
class Section:
    """Findings of one kind and one severity.

    Attributes:
        title: of the section.
        severity: of all of them.
        hint: what to do about it.
        pictured: what is said of some photos, and their thumbnails.
        named: further findings.
        more: how many are not even named.
    """

    title: str
    severity: Severity
    hint: str
    pictured: Sequence[tuple[Sequence[str], Sequence[Picture]]]
    named: Sequence[Finding]
    more: int


def write_page(
    audit: Audit,
    path: Path,
    *,
    table: Path | None = None,
    on_finding: Callable[[], None] | None = None,
) -> None:
    """Write the page to `path`, whole or not at all.

    Args:
        audit: its photos must still be there.
        path: of the page.
        table: of photos to leave out, where it was written.
        on_finding: called after each finding, for a progress bar.

    Raises:
        DataError: the file cannot be written.
    """
    save_page(render(audit, table=table, on_finding=on_finding), path)


def render(
    audit: Audit, *, table: Path | None = None, on_finding: Callable[[], None] | None = None
) -> str:
    """The page as HTML text."""
    environment = templates("audit")
    environment.filters["percent"] = "{:.1%}".format
    environment.filters["interval"] = lambda ends: f"{100 * ends[0]:.0f}–{ends[1]:.0%}"
    shortcut = any(result.found for result in audit.probes)
    return environment.get_template("audit.html.j2").render(
        audit=audit,
        next_steps=audit.next_steps(table),
        shortcut=shortcut,
        tables=_empty_tables(audit) if shortcut else {},
        sections=_sections(audit, on_finding or (lambda: None)),
    )


def _sections(audit: Audit, on_finding: Callable[[], None]) -> list[Section]:
    paths = {photo.name: photo.path for photo in audit.photos.photos}
    kinds: dict[tuple[Severity, str], list[Finding]] = {}
    said: dict[tuple[str, ...], list[str]] = {}
    for finding in audit.findings:
        if finding.kind not in TITLES:
            continue
        # Copies in two splits and under two classes are shown once, with both sentences.
        if len(finding.photos) > 1 and finding.photos in said:
            said[finding.photos].append(finding.message)
            on_finding()
            continue
        said[finding.photos] = [finding.message]
        kinds.setdefault((finding.severity, finding.kind), []).append(finding)
    sections = []
    for (severity, kind), findings in kinds.items():
        pictured = []
        for at, finding in enumerate(findings):
            if at < PICTURED:
                words = said[finding.photos] if len(finding.photos) > 1 else [finding.message]
                if (more := len(finding.photos) - PICTURES) > 0:
                    words.append(f"{more} more of these photos are not shown.")
                pictured.append((words, _pictures(finding.photos[:PICTURES], paths)))
            on_finding()
        named = findings[PICTURED : PICTURED + NAMED]
        more = len(findings) - len(pictured) - len(named)
        hint = HINTS.get(kind, "")
        sections.append(Section(TITLES[kind], severity, hint, pictured, named, more))
    return sections


def _pictures(names: Sequence[str], paths: dict[str, Path]) -> list[Picture]:
    pictures = []
    for name in names:
        address = ""
        if name in paths:
            with contextlib.suppress(PhotoError):  # gone meanwhile: its name still tells
                address = thumbnail(open_photo(paths[name]), THUMBNAIL)
        pictures.append(Picture(address, name))
    return pictures


def _empty_tables(audit: Audit) -> dict[str, list[Picture]]:
    """By class, photos with their dish taken away: what a shortcut sees."""
    if not any(result.found and result.probe.name in _OF_TABLES for result in audit.probes):
        return {}
    cutouts = MaskCache()
    tables: dict[str, list[Picture]] = {}
    for label, name in enumerate(audit.photos.classes):
        photos = [photo for photo in audit.photos.photos if photo.label == label]
        order = np.random.default_rng(0).permutation(len(photos))
        found = (_empty_table(photos[at], cutouts) for at in order)
        tables[name] = list(islice(filter(None, found), EMPTY_TABLES))
    return tables


def _empty_table(photo: Photo, cutouts: MaskCache) -> Picture | None:
    cutout = cutouts.get(photo)
    if not cutout.good:
        return None
    pixels = open_photo(photo.path, size=THUMBNAIL)
    mask = cutout.mask(THUMBNAIL, THUMBNAIL)
    table = extract_background(pixels, mask, np.random.default_rng(0))
    if table is None:
        return None
    return Picture(thumbnail(remove_foreground(pixels, mask, table), THUMBNAIL), photo.name)
