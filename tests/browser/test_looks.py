"""How the page looks and behaves for everyone: phones, dark mode, keyboards, screen readers."""

from collections.abc import Callable

import pytest
from page_fixtures.camera import CAMERA, show
from page_fixtures.dishes import NO_DISH_FROM_AFAR, UNSURE_FROM_AFAR, dish, far_dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import (
    Screenshot,
    answered,
    check_accessibility,
    choose,
    looks,
    photo,
    progress,
    set_language,
    visit,
)
from playwright.sync_api import Browser, Page, expect

FAR = photo("from-afar.jpg", jpeg(far_dish(UNSURE_FROM_AFAR)))
NOTHING = photo("table.jpg", jpeg(far_dish(NO_DISH_FROM_AFAR)))
MANY = [photo(f"IMG_2026_11_23_{i:04}.jpg", jpeg(dish(i))) for i in range(6)]


def start(page: Page) -> None:
    expect(page.locator("#take-photo")).to_be_visible()


def one(page: Page) -> None:
    choose(page, photo("dirty.jpg", jpeg(dish(1, size=512))))
    answered(page)


def unsure(page: Page) -> None:
    choose(page, FAR)
    answered(page)
    expect(page.locator("#advice-list li")).not_to_have_count(0)


def batch(page: Page) -> None:
    choose(page, *MANY, FAR, NOTHING, photo("broken.jpg", MANY[0]["buffer"][:700]))
    expect(page.locator("#stop")).to_be_hidden(timeout=20_000)
    page.locator("#session-rows button").nth(1).click()
    answered(page)


def watched(page: Page) -> None:
    page.locator("#to-watch").click()
    show(page, 1)
    page.locator("#watch-toggle").click()
    expect(page.locator("#log-lines li")).not_to_have_count(0, timeout=20_000)


def settings(page: Page) -> None:
    page.locator("#open-settings").click()
    expect(page.locator("#offline-state")).not_to_be_empty()


def clearing(page: Page) -> None:
    choose(page, *MANY[:2])
    page.locator("#clear").click()


def camera(page: Page) -> None:
    page.evaluate("camera.error = 'NotAllowedError'")
    page.locator("#take-photo").click()
    expect(page.locator("#without-camera")).to_be_visible()


def key(page: Page) -> None:
    page.route("**/v1/inspect*", lambda route: route.fulfill(status=401, body="{}"))
    choose(page, MANY[0])
    expect(page.locator("#key-dialog")).to_be_visible()
    page.locator("#key-input").fill("wrong")
    page.locator("#key-input").press("Enter")
    expect(page.locator("#key-wrong")).to_be_visible()


VIEWS = (start, one, unsure, batch, watched, settings, clearing, camera, key)


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_and_fits(
    browser: Browser, service: Service, screenshot: Screenshot, view: Callable[[Page], None]
) -> None:
    """Axe finds nothing, nothing is wider than the screen, and a finger hits every control."""
    options = {"script": CAMERA, "offline": view is settings, "reduced_motion": "reduce"}
    with visit(browser, service.url, **options) as page:
        view(page)
        for look in looks(page):
            screenshot(page, f"{view.__name__}-{look}", full_page=True)
            check_accessibility(page)
            assert too_small(page) == []
        if view in (start, one, unsure, batch):
            page.evaluate("document.documentElement.style.fontSize = '200%'")
            for language in ("uk", "en"):
                set_language(page, language)
                screenshot(page, f"{view.__name__}-large-text-{language}", full_page=True)
                check_accessibility(page)


def too_small(page: Page) -> list[str]:
    """Return the controls that are too small to be touched."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("button, a, select, label.check, input")]
          .filter((element) => {
            const { width, height } = element.getBoundingClientRect();
            const inLabel = element.closest("label.check") && element.tagName === "INPUT";
            return width > 1 && !inLabel && (height < 43.5 || width < 43.5);
          }).map((element) => element.outerHTML.slice(0, 80))"""
    )
    return found


def test_forced_colors_keep_the_verdict_and_the_bars(
    browser: Browser, service: Service, screenshot: Screenshot
) -> None:
    with visit(browser, service.url, forced_colors="active") as page:
        one(page)
        screenshot(page, "one-forced-colors")
        panel, bar, mark = (
            page.locator(each).first.evaluate("(e) => getComputedStyle(e).backgroundColor")
            for each in ("#verdict", "#bars .bar", ".threshold")
        )
        assert panel == "rgb(168, 15, 60)"
        assert bar != mark
        drawn = page.locator("#bars .bar").last.evaluate(
            "(e) => getComputedStyle(e).backgroundImage"
        )
        assert "rgb(168, 15, 60)" in drawn or "rgb(255, 143, 172)" in drawn


def test_keyboard_reaches_everything_in_order(browser: Browser, service: Service) -> None:
    script = "HTMLInputElement.prototype.click = function () { window.opened = this.id; };"
    with visit(browser, service.url, script=script) as page:
        focused = page.locator(":focus")
        page.keyboard.press("Tab")
        expect(focused).to_have_text("Skip to content")
        expect(focused).to_be_in_viewport()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.keyboard.press("Tab")
        expect(focused).to_have_text("Take a photo")
        page.keyboard.press("Tab")
        expect(focused).to_have_text("Choose photos")
        page.keyboard.press("Enter")
        assert page.evaluate("window.opened") == "files"
        choose(page, MANY[1], MANY[0])
        progress(page, "2 photos checked")
        reached = []
        for _ in range(10):
            page.keyboard.press("Tab")
            reached.append(focused.inner_text().split("\n")[0])
            outline = focused.evaluate("(element) => getComputedStyle(element).outlineStyle")
            assert outline != "none", reached
        assert reached[:2] == ["Save as CSV", "Clear"]
        assert reached[5:8] == ["Photo", "Result", "Confidence"]
        assert reached[8:10] == [MANY[1]["name"], MANY[0]["name"]]

        page.keyboard.press("Enter")  # opens the photo of the row
        assert answered(page) == "Clean"
        expect(page.locator("#session-rows button").nth(1)).to_be_focused()
        page.locator("[data-sort=answer]").focus()
        page.keyboard.press("Enter")
        page.keyboard.press("Enter")
        expect(page.locator("[data-sort=answer]")).to_be_focused()


def test_skip_link_does_not_leave_the_view(page: Page) -> None:
    page.get_by_role("link", name="Watch").click()
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.locator("#watch-view")).to_be_visible()


def test_screen_reader_hears_the_table(page: Page) -> None:
    choose(page, *MANY[:2])
    progress(page, "2 photos checked")
    expect(page.get_by_role("region", name="This session")).to_match_aria_snapshot("""
      - region "This session":
        - heading "This session" [level=2]
        - paragraph: Photos are kept only in this tab, until you close it.
        - button "Save as CSV"
        - button "Clear"
        - progressbar "Photos checked"
        - text: 2 photos checked
        - group "Filter by result":
          - button "All 2" [pressed]
          - button "Dirty 1"
          - button "Clean 1"
        - table:
          - rowgroup:
            - row "Photo Result Confidence"
          - rowgroup:
            - row /Show IMG_2026_11_23_0001.jpg Dirty .*%/
            - row /Show IMG_2026_11_23_0000.jpg Clean .*%/
    """)


def test_reduced_motion_stops_all_animations(browser: Browser, service: Service) -> None:
    with visit(browser, service.url, reduced_motion="reduce") as page:
        page.route("**/v1/inspect*", lambda route: None)
        choose(page, MANY[0])
        expect(page.locator("#verdict")).to_have_attribute("data-kind", "waiting")
        assert page.evaluate("document.getAnimations().length") == 0


def test_icons_each_result_has_a_shape_of_its_own(page: Page) -> None:
    expect(page.locator("symbol")).not_to_have_count(0)
    shapes = page.locator("symbol").evaluate_all(
        "(all) => all.map((each) => [each.id, each.firstElementChild.outerHTML])"
    )
    kinds = {f"icon-{kind}" for kind in ("clean", "dirty", "unsure", "nothing", "other")}
    assert len({outline for name, outline in shapes if name in kinds}) == 5
    used = page.locator("use").evaluate_all("(all) => all.map((e) => e.getAttribute('href'))")
    assert {href.removeprefix("#") for href in used} <= {name for name, _ in shapes}


def test_page_can_be_installed(browser: Browser, service: Service) -> None:
    with visit(browser, service.url, offline=True) as page:
        session = page.context.new_cdp_session(page)
        manifest = session.send("Page.getAppManifest")
        assert manifest["errors"] == []
        found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
        assert [each["errorId"] for each in found] == ["in-incognito"]  # as in all tests
