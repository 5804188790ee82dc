"""Photos of many dishes: outlined, counted, explained one by one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import blurred, jpeg, rack
from page_fixtures.service import Service
from page_fixtures.visits import (
    PHONE,
    Screenshot,
    answered,
    check_accessibility,
    choose,
    looks,
    photo,
    rows,
    set_language,
    verdict,
    visit,
)
from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.writing import write_detector

RACK = photo("rack.jpg", jpeg(rack(8, 2, 1, 4, 6, None, None, 3)))
CLEAN = photo("clean.jpg", jpeg(rack(8, 2, 4, 6)))
COUNTS = "6 dishes: 4 clean, 2 dirty"


@pytest.fixture
def page(browser: Browser, racks: Service) -> Iterator[Page]:
    with visit(browser, racks.url, reduced_motion="reduce") as page:
        yield page


def box(page: Page, number: int) -> Locator:
    return page.locator("#boxes button").nth(number - 1)


def test_rack_is_counted_and_its_worst_dish_explained(page: Page, screenshot: Screenshot) -> None:
    choose(page, RACK)
    assert answered(page) == "Dirty: 2 of 6"
    expect(page.locator("#confidence")).to_have_text(COUNTS)
    expect(page.locator("#announcer")).to_have_text(f"rack.jpg: {COUNTS}")
    expect(page.locator("#dish-title")).to_contain_text("Dish 1 of 6: Dirty, ")
    expect(page.locator("#boxes li")).to_have_count(6)
    expect(box(page, 1)).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#boxes img:visible")).to_have_count(1)
    expect(page.locator("#map")).to_be_visible()
    kinds = page.locator("#boxes li").evaluate_all("(all) => all.map((li) => li.dataset.kind)")
    assert kinds == ["dirty"] * 2 + ["clean"] * 4
    set_language(page, "uk")
    expect(page.locator("#confidence")).to_have_text("6 предметів посуду: чисто — 4, брудно — 2")
    screenshot(page, "rack")


def test_photo_with_more_possible_dishes_is_unsure_and_says_why(
    browser: Browser, tmp_path: Path
) -> None:
    dim = rack(8, 2, 4, 6)  # their brightness: 0.97, 0.84, 0.76, 0.71
    detector = write_detector(tmp_path / "strict.onnx", size=128, grid=4, threshold=0.8)
    with Service("--detector", str(detector)) as service, visit(browser, service.url) as page:
        choose(page, photo("dim.jpg", jpeg(dim)))
        assert answered(page) == "Unsure"
        expect(page.locator("#confidence")).to_have_text("2 dishes: 2 clean")
        expect(page.locator("#advice-why")).to_have_text(
            "There may be more dishes than were found."
        )
        box(page, 1).click()
        expect(page.locator("#dish-title")).to_contain_text("Dish 1 of 2: Clean, ")
        expect(page.locator("#advice-list")).to_contain_text("Show fewer dishes at once.")


def test_dish_is_explained_when_tapped_or_focused(page: Page) -> None:
    choose(page, RACK)
    answered(page)
    box(page, 3).click()
    expect(page.locator("#dish-title")).to_contain_text("Dish 3 of 6: Clean, ")
    expect(page.locator("#boxes img:visible")).to_have_count(0)  # it would contradict the label
    expect(page.locator("#map")).to_be_hidden()
    page.keyboard.press("Shift+Tab")
    expect(page.locator("#dish-title")).to_contain_text("Dish 2 of 6: Dirty, ")
    expect(page.locator("#boxes img:visible")).to_have_count(1)
    dirty = page.locator("#bars .bar").last
    expect(dirty).to_have_attribute("data-kind", "dirty")


def test_boxes_lie_on_their_dishes(page: Page) -> None:
    choose(page, photo("two.jpg", jpeg(rack(None, 1, None, None, None, None, 3, None))))
    answered(page)
    whole = page.locator("#photo").bounding_box()
    assert whole
    for locator, column, row in ((box(page, 1), 1, 0), (box(page, 2), 2, 1)):
        place = locator.bounding_box()
        assert place
        cell = whole["width"] / 4
        assert column * cell < place["x"] - whole["x"] + place["width"] / 2 < (column + 1) * cell
        middle = place["y"] - whole["y"] + place["height"] / 2
        assert row * cell < middle < (row + 1) * cell


def test_clean_rack_shows_no_red_and_no_dish_is_selected(page: Page) -> None:
    choose(page, CLEAN)
    assert answered(page) == "Clean: all 4"
    expect(page.locator("#dish-title")).to_be_hidden()
    expect(page.locator("#select-hint")).to_have_text("Tap a dish for details.")
    expect(page.locator("[data-kind=dirty]")).to_have_count(0)


def test_blurred_rack_is_unsure_and_says_what_to_do(page: Page) -> None:
    choose(page, photo("blurred.jpg", jpeg(blurred(rack(8, 2, 4, 6), 4))))
    expect(verdict(page)).not_to_have_text("Checking …")
    assert "Clean" not in answered(page)
    expect(page.locator("#advice")).to_contain_text("too blurred to see dirt")
    expect(page.locator("#advice-list")).to_contain_text("Hold still and wipe the lens.")


def test_single_dish_has_a_calm_outline(page: Page) -> None:
    choose(page, photo("one.jpg", jpeg(rack(None, 1, None, None))))
    assert answered(page) == "Dirty"
    expect(page.locator("#boxes li")).to_have_count(1)
    expect(page.locator("#boxes button, #boxes .tag, #select-hint:visible")).to_have_count(0)
    expect(page.locator("#boxes img")).to_be_visible()


def test_batch_puts_dirty_and_unsure_racks_first(page: Page) -> None:
    choose(page, CLEAN, photo("none.jpg", jpeg(rack(None))), RACK)
    expect(page.locator("#progress-text")).to_have_text("3 photos checked", timeout=30_000)
    assert rows(page) == [
        ["rack.jpg", f"Dirty {COUNTS}", "–"],
        ["none.jpg", "No dish found", "–"],
        ["clean.jpg", "Clean 4 dishes: 4 clean", "–"],
    ]


def test_answers_of_a_batch_stand_above_the_fold_of_a_phone(
    browser: Browser, racks: Service, screenshot: Screenshot
) -> None:
    with visit(browser, racks.url, viewport=PHONE, reduced_motion="reduce") as page:
        choose(page, *[CLEAN, RACK] * 15)
        expect(page.locator("#session-rows [data-kind=dirty]")).not_to_have_count(0, timeout=30_000)
        expect(page.locator("#stop")).to_be_in_viewport()
        for number in range(3):
            expect(page.locator("#session-rows tr").nth(number)).to_be_in_viewport()
        screenshot(page, "batch-phone")
        expect(page.locator("#stop")).to_be_hidden(timeout=60_000)
        kinds = page.locator("#session-rows .badge").evaluate_all(
            "(all) => all.map((badge) => badge.dataset.kind)"
        )
        assert kinds == ["dirty"] * 15 + ["clean"] * 15
        check_accessibility(page)


def test_rack_is_accessible_and_fits(page: Page, screenshot: Screenshot) -> None:
    choose(page, RACK)
    answered(page)
    for look in looks(page):
        screenshot(page, f"rack-{look}", full_page=True)
        check_accessibility(page)
    expect(page.get_by_role("list", name="Посуд на знімку").get_by_role("button")).to_have_count(6)
