import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from platecheck.auditing.audit import Audit
from platecheck.auditing.findings import Finding, Severity
from platecheck.auditing.shortcuts import PROBES, ProbeResult, score
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import read_photos
from platecheck.report.audit import MAX_NAMED, MAX_PICTURED, MAX_THUMBNAILS, render

LABELS = np.arange(100) % 2

Make = Callable[..., Audit]


@pytest.fixture(scope="module")
def make(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Build an audit of rendered dishes with the given findings."""
    folder = shutil.copytree(rendered, tmp_path_factory.mktemp("page") / "my <b>dishes")
    odd = folder / "train" / "clean" / "<script>alert('x')</script>"
    odd.mkdir(parents=True)
    shutil.copy(folder / "train/clean/0001.jpg", odd / "a&b.jpg")
    photos = read_photos(folder)

    def of(*findings: Finding, shortcut: bool = False, **changes: object) -> Audit:
        told = score(LABELS, LABELS if shortcut else np.zeros(100, int), 2)
        audit = Audit(
            photos=photos,
            findings=findings,
            probes=(ProbeResult(PROBES[0], told, told),),
            learned_from="train",
            tried_on=("test", "val"),
            label_accuracy=0.9,
            label_notes=("Looked into somehow.",),
            exclusions=(),
        )
        return replace(audit, **changes)

    return of


def text(page: str) -> str:
    body = page.split("<body>")[1]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


TWO_NAMES = ("train/clean/0001.jpg", "test/dirty/0001.jpg")
TWO = Finding("leak", Severity.ERROR, "Twice.", TWO_NAMES)


def test_report_loads_nothing_from_outside_and_displays_hostile_names_as_text(make: Make) -> None:
    name = "train/clean/<script>alert('x')</script>/a&b.jpg"
    page = render(make(Finding("leak", Severity.ERROR, "It's <odd>.", (name,))))
    assert "default-src 'none'" in page
    addresses = re.findall(r"""(?:src|href)=["']([^"']*)""", page)
    assert all(address.startswith("data:") for address in addresses)
    assert "<script" not in page
    assert "<b>dishes" not in page
    assert name in unescape(page)
    assert "Audit of my <b>dishes" in text(page)
    assert "It's <odd>." in text(page)


def test_report_has_each_photo_of_a_finding_enlargeable_by_keyboard(make: Make) -> None:
    page = render(make(TWO))
    assert "Duplicates in two splits: 1 error" in text(page)
    assert "loading=" not in page  # lazy images are not printed
    # <summary> takes the focus and responds to Enter, without a script.
    zoom = r"<details [^>]*><summary [^>]*><img src=.data:image/jpeg;[^>]*></summary></details>"
    enlarged = re.findall(zoom, page)
    assert len(enlarged) == page.count("<img ") == 2


def test_report_shows_duplicates_once_with_all_their_messages(make: Make) -> None:
    other = Finding("contradiction", Severity.ERROR, "Of two classes.", TWO_NAMES)
    page = render(make(TWO, other))
    assert page.count("data:image/jpeg;base64,") == 2
    assert "Twice. Of two classes." in text(page)
    assert "Duplicates in two classes" not in text(page)


def test_report_of_many_copies_shows_the_first_ones(make: Make) -> None:
    names = tuple(f"train/clean/{at:04}.jpg" for at in range(MAX_THUMBNAILS + 5))
    shown = text(render(make(Finding("duplicate", Severity.NOTE, "Many.", names))))
    assert f"{MAX_THUMBNAILS - 1:04}.jpg" in shown
    assert f"{MAX_THUMBNAILS:04}.jpg" not in shown
    assert "Many. 5 more of these photos are not shown." in shown


def test_next_steps_are_valid_shell_commands(make: Make, tmp_path: Path) -> None:
    gone = (Exclusion("", "train/clean/0003.jpg", "leak"),)
    audit = make(exclusions=gone)
    folder = audit.photos.folder
    steps = [shlex.split(command) for command in audit.next_steps()]
    assert steps == [
        ["platecheck", "audit", str(folder), "--write-exclusions", "exclude.csv"],
        shlex.split(
            f"platecheck train efficientnet_lite2 --data {shlex.quote(str(folder))}"
            " --exclude exclude.csv"
        ),
    ]
    page = text(render(audit, exclusion_list=tmp_path / "my table.csv"))
    assert f"--exclude '{tmp_path}/my table.csv'" in page
    assert "--write-exclusions" not in page
    assert "train/clean/0003.jpg leak" in page


def test_report_of_many_findings_shows_then_names_then_counts_them(make: Make) -> None:
    count = MAX_PICTURED + MAX_NAMED + 7
    findings = [
        Finding("blurred", Severity.WARNING, "Blurred.", (f"gone/{at:04}.jpg",))
        for at in range(count)
    ]
    steps: list[None] = []
    page = render(make(*findings), on_finding=lambda: steps.append(None))
    shown = text(page)
    assert f"Blurred photos: {count} warning" in shown
    assert "data:image/jpeg" not in page
    assert "? gone/0000.jpg Blurred." in shown
    assert shown.count("Blurred.") == MAX_PICTURED
    assert f"gone/{MAX_PICTURED + MAX_NAMED - 1:04}.jpg" in shown
    assert f"gone/{MAX_PICTURED + MAX_NAMED:04}.jpg" not in shown
    assert "and 7 more" in shown
    assert len(steps) == count


def test_report_of_a_shortcut_starts_with_it_and_shows_backgrounds(make: Make) -> None:
    audit = make(shortcut=True)
    page = render(audit)
    shown = text(page)
    assert shown.index("alone gives an accuracy of 100% on 'test' and 'val'") < 300
    assert shown.count("100.0% 96–100%") == 2
    assert "100/100, most frequent class 50.0%" in shown
    assert "Photos without their dish" in shown
    assert 'class="banner verdict bad"' in page
    assert page.count("data:image/jpeg") >= 2
    assert "exchanges backgrounds in training" in shown
    assert "platecheck train plate --data" in audit.next_steps()[0]


def test_report_without_a_shortcut_says_so(make: Make) -> None:
    page = render(make())
    assert "No shortcut was found" in text(page)
    assert 'class="banner verdict"' in page
    assert "Photos without their dish" not in page
    assert "Too few photos to test" in text(render(make(probes=())))
