"""How the page looks and behaves for everyone: phones, the dark, keyboards, screen readers."""

from collections.abc import Callable, Iterator
from itertools import product
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from page_fixtures.dishes import NO_DISH_FROM_AFAR, UNSURE_FROM_AFAR, dish, far_dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import PHONE, Screenshot, answered, choose, photo, visit
from playwright.sync_api import Browser, Page, expect

FAR = photo("from-afar.jpg", jpeg(far_dish(UNSURE_FROM_AFAR)))
NOTHING = photo("table.jpg", jpeg(far_dish(NO_DISH_FROM_AFAR)))
MANY = [photo(f"IMG_2026_11_23_{i:04}.jpg", jpeg(dish(i))) for i in range(6)]


def one(page: Page) -> None:
    choose(page, photo("dirty.jpg", jpeg(dish(1, size=512))))
    answered(page)


def unsure(page: Page) -> None:
    choose(page, FAR)
    answered(page)
    expect(page.locator("#advice-trying")).to_be_hidden()


def batch(page: Page) -> None:
    choose(page, *MANY, FAR, NOTHING, photo("broken.jpg", MANY[0]["buffer"][:700]))
    expect(page.locator("#stop")).to_be_hidden(timeout=20_000)
    page.locator("#session-rows button").nth(1).click()
    answered(page)


def stand(page: Page) -> None:
    page.locator("#to-watch").click()


def watched(page: Page) -> None:
    """A log as after watching, with no camera."""
    stand(page)
    page.evaluate(
        """async () => {
          const { Watch } = await import("/page/watch.js");
          navigator.mediaDevices.getUserMedia = async () => {
            const canvas = document.createElement("canvas");
            canvas.width = 640;
            canvas.height = 480;
            const context = canvas.getContext("2d");
            let step = 0;
            setInterval(() => {
              step += 1;
              context.fillStyle = "#777";
              context.fillRect(0, 0, 640, 480);
              context.fillStyle = "#eee";
              context.beginPath();
              context.arc(320, 240, 180, 0, 7);
              context.fill();
              context.fillStyle = "#ddd";
              context.beginPath();
              context.arc(320, 240, 120, 0, 7);
              context.fill();
            }, 50);
            return canvas.captureStream();
          };
        }"""
    )
    page.locator("#watch-toggle").click()
    expect(page.locator("#log-lines li")).not_to_have_count(0, timeout=20_000)


def settings(page: Page) -> None:
    page.locator("#open-settings").click()
    expect(page.locator("#offline-state")).not_to_be_empty()


def clearing(page: Page) -> None:
    batch(page)
    page.locator("#clear").click()


def camera(page: Page) -> None:
    page.evaluate(
        """() => {
          const refuse = () => Promise.reject(new DOMException("no", "NotAllowedError"));
          navigator.mediaDevices.getUserMedia = refuse;
        }"""
    )
    page.locator("#take-photo").click()
    expect(page.locator("#without-camera")).to_be_visible()


def key(page: Page) -> None:
    page.route("**/v1/predict*", lambda route: route.fulfill(status=401, body="{}"))
    choose(page, MANY[0])
    expect(page.locator("#key-dialog")).to_be_visible()
    page.locator("#key-input").fill("wrong")
    page.locator("#key-input").press("Enter")
    expect(page.locator("#key-wrong")).to_be_visible()


def start(page: Page) -> None:
    expect(page.locator("#take-photo")).to_be_visible()


SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
VIEWS = (start, one, unsure, batch, stand, watched, settings, clearing, camera, key)
View = Callable[[Page], None]


SCREENS = {"desktop": {"width": 1280, "height": 860}, "phone": PHONE}


@pytest.mark.parametrize("locale", ["en-GB", "uk-UA"])
@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_accessible_and_fits(
    browser: Browser, service: Service, screenshot: Screenshot, view: View, locale: str
) -> None:
    """Axe finds nothing, and nothing is wider than a phone of 360 pixels."""
    with visit(browser, service.url, locale=locale) as page:
        view(page)
        for scheme, (name, viewport) in product(SCHEMES, SCREENS.items()):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            page.set_viewport_size(viewport)  # type: ignore[arg-type]
            screenshot(page, f"{view.__name__}-{name}-{scheme}-{locale[:2]}", full_page=True)
            assert too_wide(page) == []
            found = Axe().run(page).response["violations"]
            assert found == [], [(each["id"], each["nodes"][0]["html"]) for each in found]


@pytest.mark.parametrize("locale", ["en-GB", "uk-UA"])
@pytest.mark.parametrize("view", [start, one, unsure, batch])
def test_text_twice_as_large_fits_a_phone(
    browser: Browser, service: Service, screenshot: Screenshot, view: View, locale: str
) -> None:
    with visit(browser, service.url, locale=locale, viewport=PHONE) as page:
        page.evaluate("document.documentElement.style.fontSize = '200%'")
        view(page)
        screenshot(page, f"{view.__name__}-large-text-{locale[:2]}", full_page=True)
        assert too_wide(page) == []


def test_the_systems_colours_leave_the_answer_and_the_bars(
    browser: Browser, service: Service, screenshot: Screenshot
) -> None:
    with visit(browser, service.url, forced_colors="active") as page:
        one(page)
        screenshot(page, "one-forced-colours")
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


def too_wide(page: Page) -> list[str]:
    """What reaches beyond the right edge of the screen."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("html, body *")].filter((element) => {
          const { right, width } = element.getBoundingClientRect();
          return width > 1 && right > innerWidth + 1 && !element.closest("svg");
        }).map((element) => element.outerHTML.slice(0, 80))"""
    )
    return found


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    with visit(browser, service.url) as page:
        yield page


def test_everything_that_is_touched_is_large_enough(browser: Browser, service: Service) -> None:
    with visit(browser, service.url, viewport=PHONE, has_touch=True) as page:
        for view in (start, batch, stand, settings):
            view(page)
            small = page.evaluate(
                """() => [...document.querySelectorAll("button, a, select, label.check, input")]
                  .filter((element) => {
                    const { width, height } = element.getBoundingClientRect();
                    const inLabel = element.closest("label.check") && element.tagName === "INPUT";
                    return width > 1 && !inLabel && (height < 43.5 || width < 43.5);
                  }).map((element) => element.outerHTML.slice(0, 80))"""
            )
            assert small == []


def test_the_table_is_sorted_by_buttons_in_its_header(page: Page) -> None:
    choose(page, *MANY[:2])
    header = page.get_by_role("columnheader", name="Result")
    header.get_by_role("button").click()
    expect(header).to_have_attribute("aria-sort", "ascending")


def test_with_the_keyboard_alone(page: Page) -> None:
    page.on("filechooser", lambda chooser: chooser.set_files([MANY[1], MANY[0]]))  # type: ignore[list-item]
    page.wait_for_timeout(500)  # Playwright does not say when it has begun to look for choosers
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
    expect(page.locator("#progress-text")).to_have_text("2 photos checked")
    reached = []
    for _ in range(10):
        page.keyboard.press("Tab")
        reached.append(focused.inner_text().split("\n")[0])
        outline = focused.evaluate("(element) => getComputedStyle(element).outlineStyle")
        assert outline != "none", reached
    assert reached[:2] == ["Save as CSV", "Clear"]
    assert reached[5:8] == ["Photo", "Result", "Confidence"]
    assert reached[8:10] == [MANY[1]["name"], MANY[0]["name"]]


def test_skipping_to_the_content_does_not_leave_the_view(page: Page) -> None:
    page.get_by_role("link", name="Watch").click()
    page.locator("#skip").focus()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    expect(page.locator("#watch-view")).to_be_visible()


def test_a_row_is_opened_with_the_keyboard_and_keeps_the_focus(page: Page) -> None:
    choose(page, *MANY)
    expect(page.locator("#progress-text")).to_have_text("6 photos checked")
    row = page.locator("#session-rows button").nth(3)
    row.focus()
    page.keyboard.press("Enter")
    assert answered(page) == "Dirty"
    expect(row).to_be_focused()
    page.locator("[data-sort=answer]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.locator("[data-sort=answer]")).to_be_focused()


def test_a_screen_reader_hears_the_table(page: Page) -> None:
    choose(page, *MANY[:2])
    expect(page.locator("#progress-text")).to_have_text("2 photos checked")
    expect(page.get_by_role("region", name="This session")).to_match_aria_snapshot("""
      - region "This session":
        - heading "This session" [level=2]
        - paragraph: Kept only in this tab, until you close it.
        - button "Save as CSV"
        - button "Clear"
        - progressbar "Photos checked"
        - text: 2 photos checked
        - group "Filter by result":
          - button "All 2" [pressed]
          - button "Clean 1"
          - button "Dirty 1"
        - table:
          - rowgroup:
            - row "Photo Result Confidence"
          - rowgroup:
            - row /Show IMG_2026_11_23_0000.jpg Clean .*%/
            - row /Show IMG_2026_11_23_0001.jpg Dirty .*%/
    """)


def test_nothing_moves_for_those_who_asked_for_that(browser: Browser, service: Service) -> None:
    with visit(browser, service.url, reduced_motion="reduce") as page:
        page.route("**/v1/predict*", lambda route: None)
        choose(page, MANY[0])
        expect(page.locator("#verdict")).to_have_attribute("data-kind", "waiting")
        assert page.evaluate("document.getAnimations().length") == 0


def test_shapes_tell_the_answers_apart_without_colour(page: Page) -> None:
    shapes = page.locator("symbol").evaluate_all(
        "(all) => all.map((each) => [each.id, each.firstElementChild.outerHTML])"
    )
    kinds = {f"icon-{kind}" for kind in ("clean", "dirty", "unsure", "nothing", "other")}
    outlines = {outline for name, outline in shapes if name in kinds}
    assert len(outlines) == 5


def test_it_can_be_installed(page: Page) -> None:
    session = page.context.new_cdp_session(page)
    page.evaluate("navigator.serviceWorker.ready")
    manifest = session.send("Page.getAppManifest")
    assert manifest["errors"] == []
    found = session.send("Page.getInstallabilityErrors")["installabilityErrors"]
    assert [each["errorId"] for each in found] == ["in-incognito"]  # as all pages in tests are
