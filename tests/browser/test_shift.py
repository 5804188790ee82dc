"""The record of a shift: on this device only, for some days, erased with one tap."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import jpeg, rack
from page_fixtures.service import Service
from page_fixtures.visits import (
    Screenshot,
    answered,
    check_accessibility,
    choose,
    looks,
    photo,
    visit,
)
from playwright.sync_api import Browser, Page, expect

RACK = photo("rack.jpg", jpeg(rack(8, 2, 1, 4)))
HOUR = 3600 * 1000


@pytest.fixture
def page(browser: Browser, racks: Service) -> Iterator[Page]:
    with visit(browser, racks.url, reduced_motion="reduce") as page:
        yield page


def show_shift(page: Page) -> None:
    page.get_by_role("link", name="Shift").click()


def check_rack(page: Page) -> None:
    page.get_by_role("link", name="Photos").click()
    choose(page, RACK)
    answered(page)


def totals(page: Page, *expected: str) -> None:
    """Wait for the totals of this shift."""
    expect(page.locator("#shift-totals")).to_have_text(" ".join(expected), use_inner_text=True)


def test_record_survives_a_reload_and_a_closed_tab(page: Page, screenshot: Screenshot) -> None:
    check_rack(page)
    show_shift(page)
    totals(page, "3", "Clean", "1", "Dirty", "0", "Unsure")
    page.reload()
    totals(page, "3", "Clean", "1", "Dirty", "0", "Unsure")
    lines = page.locator("#shift-lines li")
    expect(lines).to_have_count(4)
    expect(lines.first).to_contain_text("Dirty")
    expect(lines.first.locator("img")).to_be_visible()
    expect(page.locator("#shift-lines img")).to_have_count(1)  # of clean dishes none is kept
    other = page.context.new_page()
    page.close()
    other.goto(page.url)
    totals(other, "3", "Clean", "1", "Dirty", "0", "Unsure")
    for look in looks(other):
        screenshot(other, f"shift-{look}", full_page=True)
        check_accessibility(other)


def test_record_has_shifts_and_stations(page: Page, tmp_path: Path) -> None:
    show_shift(page)
    page.get_by_label("Station").fill("Pot wash")
    check_rack(page)
    page.clock.fast_forward(6 * HOUR)  # a pause begins a new shift
    check_rack(page)
    show_shift(page)
    totals(page, "3", "Clean", "1", "Dirty", "0", "Unsure")
    earlier = page.locator("#shift-rows tr")
    expect(earlier).to_have_count(1)
    expect(earlier).to_contain_text("Pot wash")
    page.get_by_role("button", name="Start a new shift").click()
    totals(page, "0", "Clean", "0", "Dirty", "0", "Unsure")
    expect(page.locator("#shift-totals [data-kind=dirty]")).to_have_count(0)
    expect(earlier).to_have_count(2)
    with page.expect_download() as download:
        page.locator("#shift-csv").click()
    download.value.save_as(tmp_path / "shifts.csv")
    text = (tmp_path / "shifts.csv").read_bytes().decode("utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text)))
    assert len(found) == 8
    assert len({row["shift"] for row in found}) == 2
    assert {row["station"] for row in found} == {"Pot wash"}


def test_late_record_counts_in_the_shift_of_its_answer(page: Page) -> None:
    """The picture of a dish may take long to cut out, and the record of the next be faster."""
    shifts = page.evaluate("""async () => {
      const { addRecords, readRecords } = await import('/page/records.js');
      const dish = { name: '', label: 'clean', probability: 1, source: 'service' };
      const hours = (count) => new Date(Date.now() + count * 3600 * 1000);
      for (const time of [hours(0), hours(6), hours(1)]) await addRecords([dish], time);
      return (await readRecords()).map(({ shift }) => shift);
    }""")
    assert shifts[0] == shifts[2] < shifts[1]


def test_record_is_erased_with_one_tap_and_expires(page: Page) -> None:
    check_rack(page)
    show_shift(page)
    expect(page.locator("#shift-lines li")).to_have_count(4)
    page.get_by_role("button", name="Erase the record").click()
    expect(page.locator("#shift-lines li")).to_have_count(0)
    expect(page.locator("#announcer")).to_have_text("The record was erased.")
    check_rack(page)
    expect(page.get_by_text("are deleted after 14 days")).to_be_hidden()
    page.clock.fast_forward(15 * 24 * HOUR)
    show_shift(page)
    expect(page.get_by_text("are deleted after 14 days")).to_be_visible()
    expect(page.locator("#shift-empty")).to_be_visible()
    expect(page.locator("#shift-lines li")).to_have_count(0)


def test_record_can_be_switched_off(page: Page) -> None:
    option = page.get_by_label("Keep a record on this device")
    assert option.is_checked()  # before the view is opened, and before any record is read
    show_shift(page)
    option.uncheck()
    check_rack(page)
    page.reload()
    show_shift(page)
    expect(option).not_to_be_checked()
    assert page.evaluate("import('/page/records.js').then((record) => record.readRecords())") == []
