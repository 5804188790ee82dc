"""Many photos: all answered, sorted, filtered, exported, stopped."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import UNSURE_FROM_AFAR, dish, far_dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import (
    Screenshot,
    answered,
    choose,
    give,
    groups,
    photo,
    rows,
    verdict,
    visit,
)
from playwright.sync_api import Browser, Page, Route, expect

from platecheck import Classifier

MANY = 200
BROKEN = photo("broken.jpg", jpeg(dish(2))[:900])
NO_PHOTO = photo("notes.txt", b"remember the milk", "text/plain")
WALL = photo("wall.jpg", jpeg(dish(0)[:8, :8].repeat(30, 0).repeat(40, 1)))
FAR = photo("far.jpg", jpeg(far_dish(UNSURE_FROM_AFAR)))


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    with visit(browser, service.url) as page:
        yield page


@pytest.fixture(scope="module")
def dishes() -> list[dict[str, object]]:
    """Twelve small photos, clean and dirty in turn."""
    return [photo(f"{number}.jpg", jpeg(dish(number))) for number in range(12)]


class Gate:
    """A network that lets questions to the service through when it is told to."""

    def __init__(self, page: Page) -> None:
        self.held: list[Route] = []
        self._page = page
        self._is_open = False
        page.route("**/v1/predict*", self._take)

    def wait(self, count: int) -> None:
        """Until so many questions are held."""
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
    """Wait until so many photos of the batch are answered, and so many others cannot be."""
    said = f"{count} photos checked" + (f", {failed} failed" if failed else "")
    expect(page.locator("#progress-text")).to_have_text(said, timeout=90_000)


def test_two_hundred_photos_are_answered_as_by_the_model(
    page: Page, dishes: list[dict[str, object]], screenshot: Screenshot
) -> None:
    numbers = [number % 12 for number in range(MANY)]
    files = [{**dishes[of], "name": f"IMG_{i:04}.jpg"} for i, of in enumerate(numbers)]
    files[70], files[140] = {**BROKEN, "name": "IMG_0070.jpg"}, FAR
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    choose(page, *files)
    done(page, MANY - 1, failed=1)
    assert len([url for url in asked if "predict" in url]) == MANY / 8

    classifier = Classifier.load()
    labels = [classifier.predict(each["buffer"]).label.capitalize() for each in dishes]
    expected = [labels[of] for of in numbers]
    expected[70], expected[140] = "No result the file is cut short", "Unsure"
    assert [answer for _, answer, _ in rows(page)] == expected
    counts = {label: expected.count(label) for label in set(expected)}
    counts["No result"] = counts.pop("No result the file is cut short")
    assert groups(page) == {"All": MANY, **counts}
    screenshot(page, "batch")


def test_the_table_is_sorted_by_each_of_its_columns(
    page: Page, dishes: list[dict[str, object]]
) -> None:
    choose(page, *dishes, BROKEN, FAR)
    done(page, 13, failed=1)

    def column(index: int) -> list[str]:
        return [row[index] for row in rows(page)]

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


def test_the_table_shows_only_the_answers_that_are_asked_for(
    page: Page, dishes: list[dict[str, object]]
) -> None:
    choose(page, *dishes, BROKEN)
    done(page, 12, failed=1)
    dirty = page.get_by_role("group", name="Filter by result").get_by_text("Dirty")
    dirty.click()
    assert {answer for _, answer, _ in rows(page)} == {"Dirty"}
    expect(dirty).to_have_attribute("aria-pressed", "true")
    expect(dirty).to_be_focused()
    page.get_by_role("button", name="No result").click()
    assert rows(page) == [["broken.jpg", "No result the file is cut short", "–"]]
    page.get_by_role("button", name="All").click()
    assert len(rows(page)) == 13


def test_a_row_opens_its_photo_with_the_evidence(
    page: Page, dishes: list[dict[str, object]]
) -> None:
    choose(page, *dishes[:4])
    done(page, 4)
    page.get_by_role("button", name="Show 3.jpg").click()
    assert answered(page) == "Dirty"
    expect(page.locator("#photo-map")).to_be_visible()
    expect(page.locator("#photo-name")).to_have_text("3.jpg")
    expect(page.locator("tr[aria-current=true] .name")).to_have_text("3.jpg")
    assert len(rows(page)) == 4


def test_what_is_no_photo_is_a_row_with_its_reason(page: Page) -> None:
    give(page, "drop", photo("a.jpg", jpeg(dish(0))), NO_PHOTO, photo("empty.jpg", b""))
    expect(page.locator("#progress-text")).to_have_text("1 photo checked, 2 failed")
    assert rows(page)[1:] == [
        ["notes.txt", "No result not a photo in a supported format", "–"],
        ["empty.jpg", "No result the file is empty", "–"],
    ]


def test_progress_is_shown_while_a_slow_network_goes_on(
    page: Page, dishes: list[dict[str, object]], screenshot: Screenshot
) -> None:
    gate = Gate(page)
    choose(page, *(dishes * 4))
    text, bar = page.locator("#progress-text"), page.get_by_role("progressbar")
    expect(text).to_have_text("0 of 48")
    gate.let_one()
    expect(text).to_have_text("8 of 48")
    expect(bar).to_have_js_property("value", 8)
    expect(bar).to_have_js_property("max", 48)
    gate.wait(2)
    expect(text).to_have_text("8 of 48")
    assert groups(page) == {"All": 48, "Clean": 4, "Dirty": 4, "Checking …": 16, "Waiting": 24}
    screenshot(page, "batch-progress")
    gate.let_one()
    expect(text).to_have_text("16 of 48")
    gate.open()
    done(page, 48)


def test_at_most_two_requests_are_under_way(page: Page, dishes: list[dict[str, object]]) -> None:
    gate = Gate(page)
    choose(page, *(dishes * 4))
    gate.wait(2)
    page.wait_for_timeout(500)
    assert len(gate.held) == 2
    gate.open()
    done(page, 48)


def test_a_batch_can_be_stopped_and_goes_on(page: Page, dishes: list[dict[str, object]]) -> None:
    gate = Gate(page)
    choose(page, *(dishes * 4))
    gate.let_one()
    expect(page.locator("#progress-text")).to_have_text("8 of 48")
    gate.wait(2)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Stop").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#progress-text")).to_have_text("Stopped. 40 photos are not checked yet.")
    go_on = page.get_by_role("button", name="Resume")
    expect(go_on).to_be_focused()
    assert groups(page)["Not checked"] == 40
    page.wait_for_timeout(500)
    assert asked == []  # nothing more was sent
    gate.open()
    page.keyboard.press("Enter")
    done(page, 48)
    assert "Not checked" not in groups(page)


def test_more_photos_can_be_given_while_others_are_asked_about(
    page: Page, dishes: list[dict[str, object]]
) -> None:
    gate = Gate(page)
    choose(page, *dishes)
    expect(page.locator("#progress-text")).to_have_text("0 of 12")
    choose(page, *dishes)
    expect(page.locator("#progress-text")).to_have_text("0 of 24")
    gate.open()
    done(page, 24)


def test_answers_are_saved_as_csv(page: Page, tmp_path: Path) -> None:
    names = ["=SUM(A1).jpg", "+1.jpg", "-1.jpg", "@me.jpg", 'a "b", c.jpg', "тарілка.jpg"]
    choose(page, *(photo(name, jpeg(dish(1))) for name in names), BROKEN)
    done(page, 6, failed=1)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save as CSV").click()
    assert download.value.suggested_filename == "platecheck.csv"
    file = tmp_path / "answers.csv"
    download.value.save_as(file)
    text = file.read_bytes().decode("utf-8-sig")
    assert text.endswith("\r\n")
    assert text.count("\r\n") == text.count("\n") == 8
    found = list(csv.DictReader(io.StringIO(text)))
    assert list(found[0]) == [
        "photo", "label", "probability", "clean", "dirty", "answered_by", "time", "error",
    ]  # fmt: skip
    harmless = [f"'{name}" if name[0] in "=+-@" else name for name in names]
    assert [row["photo"] for row in found] == [*harmless, "broken.jpg"]
    said = Classifier.load().predict(jpeg(dish(1)))
    assert said.probabilities
    for row in found[:-1]:
        assert row["label"] == "dirty"
        assert float(row["probability"]) == pytest.approx(said.probability, abs=1e-4)
        assert float(row["clean"]) == pytest.approx(said.probabilities["clean"], abs=1e-4)
        assert row["answered_by"] == "service"
        assert row["error"] == ""
    assert found[-1]["error"] == "the file is cut short"
    assert found[-1]["label"] == ""


def test_clearing_forgets_everything_after_a_question(
    page: Page, dishes: list[dict[str, object]]
) -> None:
    choose(page, *dishes[:3])
    done(page, 3)
    clear = page.locator("#clear")
    clear.click()
    question = page.get_by_role("dialog", name="Clear this session?")
    expect(question).to_contain_text("3 results will be deleted.")
    expect(question.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    assert len(rows(page)) == 3
    expect(clear).to_be_focused()
    clear.click()
    question.get_by_role("button", name="Clear").click()
    expect(page.locator("#session")).to_be_hidden()
    choose(page, dishes[0])
    answered(page)
    assert page.locator("#session-rows tr").count() == 1


def test_thumbnails_are_small_and_photos_are_let_go(
    page: Page, dishes: list[dict[str, object]]
) -> None:
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
    choose(page, *dishes)
    done(page, 12)
    page.get_by_role("button", name="Show 1.jpg").click()
    answered(page)
    page.get_by_role("button", name="Show 0.jpg").click()
    expect(verdict(page)).to_have_text("Clean")
    sizes = page.evaluate("[...window.alive.values()]")
    assert len(sizes) == 12 + 1  # thumbnails, and the photo that is shown
    assert sorted(sizes)[-2] < 6000
    page.locator("#clear").click()
    page.get_by_role("dialog").get_by_role("button", name="Clear").click()
    expect(page.locator("#session")).to_be_hidden()
    assert page.evaluate("window.alive.size") == 0
