"""HTML report of an audit."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from platecheck.report.render import render_template, save_page, thumbnail

THUMBNAIL = 512  # pixels of the longer side, large enough to be enlarged on screen
MAX_THUMBNAILS = 12  # per finding
# Findings per kind with thumbnails; further ones are only listed by name.
MAX_PICTURED = 24
MAX_NAMED = 200
# Photos per class shown without their dish if the background is a shortcut.
MAX_BACKGROUNDS = 6

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
    "low_information": "Photos with almost no content",
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


# Data URI ("" if the photo is gone) and name of a photo.
Thumbnail = tuple[str, str]


@dataclass
class Section:
    """Findings of one kind and severity.

    The first are pictured, with messages, thumbnails and number of further photos.
    """

    title: str
    severity: Severity
    hint: str
    count: int = 0
    pictured: list[tuple[list[str], list[Thumbnail], int]] = field(default_factory=list)
    named: list[Finding] = field(default_factory=list)


def write_page(
    audit: Audit,
    path: Path,
    *,
    exclusion_list: Path | None = None,
    on_finding: Callable[[], None] | None = None,
) -> None:
    """Write the report atomically; the audited photos must still be there.

    `exclusion_list` is the path of the exclusion list, if it was written; `on_finding` is called
    after each finding.

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
    """Render the report as HTML; see `write_page`."""
    found = {result.probe.name for result in audit.probes if result.found}
    return render_template(
        "audit.html.j2",
        title=f"Audit of {audit.photos.folder.name}",
        decimals=0,
        audit=audit,
        next_steps=audit.next_steps(exclusion_list),
        shortcut=bool(found),
        backgrounds=_backgrounds(audit) if found & {"border", "table"} else {},
        sections=_sections(audit, on_finding or (lambda: None)),
    )


def _sections(audit: Audit, on_finding: Callable[[], None]) -> list[Section]:
    paths = {photo.name: photo.path for photo in audit.photos.photos}
    sections: dict[tuple[Severity, str], Section] = {}
    # Duplicates in two splits and two classes are shown once, with both messages.
    messages: dict[tuple[str, ...], list[str]] = {}
    for finding in audit.findings:
        kind, photos = finding.kind, finding.photos
        if kind not in TITLES:
            continue
        if len(photos) > 1 and photos in messages:
            messages[photos].append(finding.message)
            on_finding()
            continue
        section = sections.setdefault(
            (finding.severity, kind), Section(TITLES[kind], finding.severity, HINTS.get(kind, ""))
        )
        section.count += 1
        messages[photos] = [finding.message]
        if section.count <= MAX_PICTURED:
            shown = list(_thumbnails(photos[:MAX_THUMBNAILS], paths))
            section.pictured.append((messages[photos], shown, len(photos) - len(shown)))
        elif section.count <= MAX_PICTURED + MAX_NAMED:
            section.named.append(finding)
        on_finding()
    return list(sections.values())


def _thumbnails(names: Sequence[str], paths: dict[str, Path]) -> Iterator[Thumbnail]:
    for name in names:
        source = ""
        if name in paths:
            with contextlib.suppress(PhotoError):  # deleted meanwhile: show its name only
                source = thumbnail(open_photo(paths[name]), THUMBNAIL)
        yield source, name


def _backgrounds(audit: Audit) -> dict[str, list[Thumbnail]]:
    """Return some photos without their dish, by class."""
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
    return thumbnail(remove_foreground(pixels, mask, background), THUMBNAIL), photo.name
