"""Many photos: all classified, sorted, filtered, exported, stopped."""

import csv
import io
from pathlib import Path

import pytest
from page_fixtures.dishes import UNSURE_FROM_AFAR, dish, far_dish, jpeg
from page_fixtures.visits import (
    Screenshot,
    answered,
    choose,
    give,
    groups,
    photo,
    progress,
    requests,
    rows,
    verdict,
)
from playwright.sync_api import Page, Route, expect

from platecheck import Classifier

DISHES = [photo(f"{number}.jpg", jpeg(dish(number))) for number in range(12)]
BROKEN = photo("broken.jpg", jpeg(dish(2))[:900])
FAR = photo("far.jpg", jpeg(far_dish(UNSURE_FROM_AFAR)))
CUT = "No result the file is cut short"


class Gate:
    """Holds requests for predictions until it is told to let them pass."""

    def __init__(self, page: Page) -> None:
        self.held: list[Route] = []
        self._page = page
        self._is_open = False
        page.route("**/v1/inspect*", self._take)

    def wait(self, count: int) -> None:
        """Wait until so many requests are held."""
        while len(self.held) < count:
            self._page.wait_for_timeout(20)

    def let_one(self) -> None:
        self.wait(1)
        self.held.pop(0).continue_()

    def open(self) -> None:
        self._is_open = True
        for route in self.held:
            route.continue_()

    def _take(self, route: Route) -> None:
        if self._is_open:
            route.continue_()
        else:
            self.held.append(route)


def done(page: Page, count: int, *, failed: int = 0) -> None:
    """Wait until so many photos of the batch are classified, and so many others have failed."""
    progress(page, f"{count} photos checked" + (f", {failed} failed" if failed else ""))


def test_batch_is_classified_as_by_the_model_sorted_and_filtered(
    page: Page, screenshot: Screenshot
) -> None:
    asked = requests(page)
    choose(page, *DISHES, BROKEN, FAR)
    done(page, 13, failed=1)
    assert len(asked) == 2  # eight photos at a time

    def column(index: int) -> list[str]:
        return [row[index] for row in rows(page)]

    classifier = Classifier.load()
    labels = [classifier.predict(each["buffer"]).label.capitalize() for each in DISHES]
    assert column(1) == ["Dirty"] * labels.count("Dirty") + ["Unsure", CUT] + ["Clean"] * 6
    counts = {label: labels.count(label) for label in ("Clean", "Dirty")}
    assert groups(page) == {"All": 14, **counts, "No result": 1, "Unsure": 1}
    screenshot(page, "batch")

    header = page.locator("#session th")
    page.get_by_role("button", name="Photo", exact=True).click()
    names = [*(f"{number}.jpg" for number in range(12)), "broken.jpg", "far.jpg"]
    assert column(0) == names  # 2 goes before 10
    expect(header.nth(0)).to_have_attribute("aria-sort", "ascending")
    page.get_by_role("button", name="Photo", exact=True).click()
    assert column(0) == names[::-1]
    expect(header.nth(0)).to_have_attribute("aria-sort", "descending")

    page.get_by_role("button", name="Result", exact=True).click()
    assert column(1) == sorted(column(1))
    expect(header.nth(0)).not_to_have_attribute("aria-sort", "descending")
    page.get_by_role("button", name="Confidence").click()
    sure = [text.removeprefix("over ").rstrip("%") for text in column(2)]
    assert sure[:2] == ["–", "–"]
    assert [float(text) for text in sure[2:]] == sorted(float(text) for text in sure[2:])

    dirty = page.get_by_role("group", name="Filter by result").get_by_text("Dirty")
    dirty.click()
    assert set(column(1)) == {"Dirty"}
    expect(dirty).to_have_attribute("aria-pressed", "true")
    expect(dirty).to_be_focused()
    page.get_by_role("button", name="No result").click()
    assert rows(page) == [["broken.jpg", CUT, "–"]]
    page.get_by_role("button", name="All").click()
    page.get_by_role("button", name="Show 3.jpg").click()
    assert answered(page) == "Dirty"
    expect(page.locator("#boxes img")).to_be_visible()
    expect(page.locator("#photo-name")).to_have_text("3.jpg")
    expect(page.locator("tr[aria-current=true] .name")).to_have_text("3.jpg")
    assert len(rows(page)) == 14


def test_batch_file_that_is_no_photo_is_a_row_with_its_reason(page: Page) -> None:
    notes = photo("notes.txt", b"remember the milk", "text/plain")
    give(page, "drop", DISHES[0], notes, photo("empty.jpg", b""))
    progress(page, "1 photo checked, 2 failed")
    assert rows(page)[:2] == [
        ["notes.txt", "No result not a photo in a supported format", "–"],
        ["empty.jpg", "No result the file is empty", "–"],
    ]


def test_batch_shows_progress_stops_and_resumes(page: Page, screenshot: Screenshot) -> None:
    gate = Gate(page)
    choose(page, *(DISHES * 3))
    progress(page, "0 of 36")
    choose(page, *DISHES)  # more, while others are sent
    progress(page, "0 of 48")
    gate.let_one()
    progress(page, "8 of 48")
    bar = page.get_by_role("progressbar")
    expect(bar).to_have_js_property("value", 8)
    expect(bar).to_have_js_property("max", 48)
    gate.wait(2)
    page.clock.run_for(1000)
    assert len(gate.held) == 2  # at most two requests at a time
    assert groups(page) == {"All": 48, "Clean": 4, "Dirty": 4, "Checking …": 16, "Waiting": 24}
    screenshot(page, "batch-progress")

    asked = requests(page)
    page.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    progress(page, "Stopped. 40 photos are not checked yet.")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    assert groups(page)["Not checked"] == 40
    page.clock.run_for(1000)
    assert asked == []
    gate.open()
    page.keyboard.press("Enter")
    done(page, 48)
    assert "Not checked" not in groups(page)


def test_csv_holds_all_results_and_no_formulas(page: Page, tmp_path: Path) -> None:
    names = ["=SUM(A1).jpg", "+1.jpg", "-1.jpg", "@me.jpg", 'a "b", c.jpg', "тарілка.jpg"]
    choose(page, *(photo(name, jpeg(dish(1))) for name in names), BROKEN)
    done(page, 6, failed=1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "platecheck.csv"
    file = tmp_path / "results.csv"
    download.value.save_as(file)
    text = file.read_bytes().decode("utf-8-sig")
    assert text.endswith("\r\n")
    assert text.count("\r\n") == text.count("\n") == 8
    found = list(csv.DictReader(io.StringIO(text)))
    assert list(found[0]) == [
        "photo", "verdict", "dish", "label", "probability", "clean", "dirty", "quality",
        "answered_by", "time", "error",
    ]  # fmt: skip
    harmless = [f"'{name}" if name[0] in "=+-@" else name for name in names]
    assert [row["photo"] for row in found] == [*harmless, "broken.jpg"]
    prediction = Classifier.load().predict(jpeg(dish(1)))
    assert prediction.probabilities
    for row in found[:-1]:
        assert (row["label"], row["answered_by"], row["error"]) == ("dirty", "service", "")
        assert float(row["probability"]) == pytest.approx(prediction.probability, abs=1e-4)
        assert float(row["clean"]) == pytest.approx(prediction.probabilities["clean"], abs=1e-4)
    assert (found[-1]["label"], found[-1]["error"]) == ("", "the file is cut short")


def test_clear_asks_first_and_releases_all_photos(page: Page) -> None:
    page.evaluate(
        """() => {
          window.alive = new Map();
          const [make, drop] = [URL.createObjectURL, URL.revokeObjectURL];
          URL.createObjectURL = (blob) => {
            const url = make.call(URL, blob);
            window.alive.set(url, blob.size);
            return url;
          };
          URL.revokeObjectURL = (url) => {
            window.alive.delete(url);
            drop.call(URL, url);
          };
        }"""
    )
    choose(page, *DISHES)
    done(page, 12)
    page.get_by_role("button", name="Show 1.jpg").click()
    answered(page)
    page.get_by_role("button", name="Show 0.jpg").click()
    expect(verdict(page)).to_have_text("Clean")
    sizes = page.evaluate("[...window.alive.values()]")
    assert len(sizes) == 12 + 1  # thumbnails, and the photo that is shown
    assert sorted(sizes)[-2] < 6000

    clear = page.locator("#clear")
    clear.click()
    question = page.get_by_role("dialog", name="Clear this session?")
    expect(question).to_contain_text("12 results will be removed from this list.")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    assert len(rows(page)) == 12
    expect(clear).to_be_focused()
    clear.click()
    question.get_by_role("button", name="Clear").click()
    expect(page.locator("#session")).to_be_hidden()
    assert page.evaluate("window.alive.size") == 0
    choose(page, DISHES[0])
    answered(page)
    assert page.locator("#session-rows tr").count() == 1
