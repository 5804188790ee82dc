import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platecheck.auditing.audit import Audit
from platecheck.auditing.findings import Finding, Severity
from platecheck.auditing.shortcuts import PROBES, ProbeResult, score
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import read_photos
from platecheck.errors import DataError
from platecheck.report.audit import MAX_NAMED, MAX_PICTURED, MAX_THUMBNAILS, render, write_page

LABELS = np.arange(100) % 2


@pytest.fixture(scope="module")
def make(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Audit]:
    """An audit of rendered dishes that says what it is told to."""
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


def test_the_page_asks_for_nothing_from_outside(make: Callable[..., Audit]) -> None:
    page = render(make(Finding("leak", Severity.ERROR, "x", ("train/clean/0001.jpg",))))
    assert "default-src 'none'" in page
    for address in re.findall(r"""(?:src|href)=["']([^"']*)""", page):
        assert address.startswith("data:")
    assert "<script" not in page.replace("&lt;script", "")


def test_odd_names_are_shown_and_not_obeyed(make: Callable[..., Audit]) -> None:
    name = "train/clean/<script>alert('x')</script>/a&b.jpg"
    page = render(make(Finding("label", Severity.WARNING, "It's <odd>.", (name,))))
    assert name in unescape(page)
    assert "Audit of my <b>dishes" in text(page)
    assert "<b>dishes" not in page
    assert "It's <odd>." in text(page)


def test_each_photo_of_a_finding_is_pictured(make: Callable[..., Audit]) -> None:
    names = ("train/clean/0001.jpg", "test/dirty/0001.jpg")
    page = render(make(Finding("leak", Severity.ERROR, "Twice.", names)))
    assert page.count("data:image/jpeg;base64,") == 2
    assert "Duplicates in two splits: 1 error" in text(page)


def test_photos_print_and_are_enlarged_with_mouse_or_keyboard(make: Callable[..., Audit]) -> None:
    names = ("train/clean/0001.jpg", "test/dirty/0001.jpg")
    page = render(make(Finding("leak", Severity.ERROR, "Twice.", names)))
    assert "loading=" not in page
    # <summary> takes the focus and answers to Enter, without a script.
    enlarged = re.findall(r"<details [^>]*><summary [^>]*><img [^>]*></summary></details>", page)
    assert len(enlarged) == page.count("<img ") == 2


def test_the_same_copies_are_shown_once_with_all_that_is_wrong_with_them(
    make: Callable[..., Audit],
) -> None:
    names = ("test/dirty/0001.jpg", "train/clean/0001.jpg")
    page = render(
        make(
            Finding("leak", Severity.ERROR, "In two splits.", names),
            Finding("contradiction", Severity.ERROR, "Of two classes.", names),
        )
    )
    assert page.count("data:image/jpeg;base64,") == 2
    assert "In two splits. Of two classes." in text(page)
    assert "Duplicates in two classes" not in text(page)


def test_of_many_copies_a_dozen_are_pictured(make: Callable[..., Audit]) -> None:
    names = tuple(f"train/clean/{at:04}.jpg" for at in range(MAX_THUMBNAILS + 5))
    shown = text(render(make(Finding("duplicate", Severity.NOTE, "Many.", names))))
    assert f"{MAX_THUMBNAILS - 1:04}.jpg" in shown
    assert f"{MAX_THUMBNAILS:04}.jpg" not in shown
    assert "Many. 5 more of these photos are not shown." in shown


def test_the_next_commands_can_be_pasted_into_a_shell(
    make: Callable[..., Audit], tmp_path: Path
) -> None:
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


def test_where_the_table_tells_the_class_the_next_training_exchanges_tables(
    make: Callable[..., Audit],
) -> None:
    (command,) = make(shortcut=True).next_steps()
    assert "exchanges backgrounds in training" in text(render(make(shortcut=True)))
    assert "platecheck train plate --data" in command


def test_an_unreadable_photo_is_named(make: Callable[..., Audit]) -> None:
    finding = Finding("unreadable", Severity.ERROR, "Cut short.", ("train/clean/broken.jpg",))
    page = render(make(finding))
    assert "data:image/jpeg" not in page
    assert "train/clean/broken.jpg" in text(page)
    assert "Cut short." in text(page)


def test_many_findings_are_pictured_then_named_then_counted(make: Callable[..., Audit]) -> None:
    count = MAX_PICTURED + MAX_NAMED + 7
    findings = [
        Finding("blurred", Severity.WARNING, "Blurred.", (f"gone/{at:04}.jpg",))
        for at in range(count)
    ]
    steps: list[None] = []
    page = render(make(*findings), on_finding=lambda: steps.append(None))
    shown = text(page)
    assert f"Blurred photos: {count} warning" in shown
    assert shown.count("Blurred.") == MAX_PICTURED
    assert f"gone/{MAX_PICTURED + MAX_NAMED - 1:04}.jpg" in shown
    assert f"gone/{MAX_PICTURED + MAX_NAMED:04}.jpg" not in shown
    assert "and 7 more" in shown
    assert len(steps) == count


def test_a_shortcut_is_told_first_with_tables_of_each_class(make: Callable[..., Audit]) -> None:
    page = render(make(shortcut=True))
    shown = text(page)
    assert shown.index("alone gives an accuracy of 100% on 'test' and 'val'") < 300
    assert "Photos without their dish" in shown
    assert 'class="verdict bad"' in page
    assert page.count("data:image/jpeg") >= 2


def test_a_set_without_a_shortcut_says_so(make: Callable[..., Audit]) -> None:
    page = render(make())
    assert "No shortcut was found" in text(page)
    assert 'class="verdict"' in page
    assert "Photos without their dish" not in page


def test_too_few_photos_are_said_to_be_too_few(make: Callable[..., Audit]) -> None:
    shown = text(render(make(probes=())))
    assert "Too few photos to say" in shown


def test_what_had_better_be_left_out_is_listed(make: Callable[..., Audit]) -> None:
    gone = (Exclusion("", "train/clean/0003.jpg", "leak"),)
    assert "train/clean/0003.jpg leak" in text(render(make(exclusions=gone)))


def test_the_table_has_both_figures_and_their_intervals(make: Callable[..., Audit]) -> None:
    shown = text(render(make(shortcut=True)))
    assert shown.count("100.0% 96–100%") == 2
    assert "100/100, most frequent class 50.0%" in shown


def test_a_page_that_cannot_be_written_is_one_clear_error(
    make: Callable[..., Audit], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot be written"):
        write_page(make(), tmp_path / "file" / "audit.html")


def test_photos_keep_their_shape(make: Callable[..., Audit]) -> None:
    audit = make(Finding("label", Severity.WARNING, "x", ("train/clean/wide.png",)))
    path = audit.photos.folder / "train/clean/wide.png"
    Image.new("RGB", (400, 100)).save(path)
    page = render(replace(audit, photos=read_photos(audit.photos.folder)))
    path.unlink()
    assert page.count("data:image/jpeg") == 1
