"""What the service may answer instead of an answer, and what the page makes of it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service, make_key
from page_fixtures.visits import answered, choose, photo, rows, verdict, visit
from playwright.sync_api import Browser, Page, Route, expect

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    with visit(browser, service.url) as page:
        yield page


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service that asks for a key, and the key."""
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    key = make_key(file)
    with Service("--keys", str(file)) as running:
        yield running, key


def problem(route: Route, status: int, detail: str, **headers: str) -> None:
    """Answer with problem details."""
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail}
    route.fulfill(
        status=status,
        body=json.dumps(body),
        headers={"Content-Type": "application/problem+json", **headers},
    )


def test_a_busy_service_is_asked_again_after_the_time_it_names(page: Page) -> None:
    asked: list[int] = []

    def busy(route: Route) -> None:
        asked.append(1)
        if len(asked) < 3:
            problem(route, 503, "the queue is full", **{"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/v1/predict*", busy)
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    assert len(asked) == 3


def test_a_busy_service_holds_up_a_batch_and_loses_nothing(page: Page) -> None:
    asked: list[int] = []

    def busy(route: Route) -> None:
        asked.append(1)
        if len(asked) % 2:
            problem(route, 503, "the queue is full", **{"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/v1/predict*", busy)
    choose(page, *([CLEAN, DIRTY] * 12))
    expect(page.locator("#progress-text")).to_have_text("24 photos checked", timeout=30_000)
    assert [answer for _, answer, _ in rows(page)] == ["Clean", "Dirty"] * 12


def test_a_request_that_is_too_large_is_split(browser: Browser) -> None:
    limits = ("--max-photos", "8", "--max-request-bytes", "40000", "--max-photo-bytes", "30000")
    with Service(*limits) as strict, visit(browser, strict.url) as page:
        statuses: list[int] = []
        page.on("response", lambda answer: statuses.append(answer.status))
        choose(page, *([CLEAN, DIRTY] * 8))
        expect(page.locator("#progress-text")).to_have_text("16 photos checked")
        assert 413 in statuses
        assert [answer for _, answer, _ in rows(page)] == ["Clean", "Dirty"] * 8


def test_a_photo_that_is_too_large_even_alone_says_so(page: Page) -> None:
    page.route("**/v1/predict*", lambda route: problem(route, 413, "too many bytes"))
    choose(page, DIRTY)
    expect(verdict(page)).to_have_text("No result")
    expect(page.locator("#confidence")).to_have_text("the photo is too large")


def test_a_fault_of_the_service_is_told_and_the_rest_goes_on(page: Page) -> None:
    page.route(
        "**/v1/predict*", lambda route: problem(route, 500, "the service has a fault"), times=1
    )
    choose(page, DIRTY)
    expect(page.locator("#confidence")).to_have_text("the service failed (HTTP 500)")
    choose(page, CLEAN)
    assert answered(page) == "Clean"


def test_a_map_that_cannot_be_had_costs_no_answer(page: Page) -> None:
    """A batch is asked about without maps; one is asked for when its photo is opened."""
    choose(page, CLEAN, DIRTY)
    expect(page.locator("#progress-text")).to_have_text("2 photos checked")
    before = rows(page)
    page.route("**/v1/predict*", lambda route: problem(route, 500, "a fault"))
    page.get_by_role("button", name="Show dirty.jpg").click()
    assert answered(page) == "Dirty"
    assert rows(page) == before
    expect(page.locator("#map")).to_be_hidden()


def test_a_failed_photo_is_asked_about_again_when_its_row_is_opened(page: Page) -> None:
    page.route("**/v1/predict*", lambda route: problem(route, 500, "a fault"), times=1)
    choose(page, CLEAN, DIRTY)
    expect(page.locator("#progress-text")).to_have_text("0 photos checked, 2 failed")
    assert {answer for _, answer, _ in rows(page)} == {"No result the service failed (HTTP 500)"}
    page.get_by_role("button", name="Show dirty.jpg").click()
    assert answered(page) == "Dirty"
    assert [answer for _, answer, _ in rows(page)][1] == "Dirty"


def test_the_key_is_asked_for_kept_and_forgotten(
    browser: Browser, locked: tuple[Service, str]
) -> None:
    service, key = locked
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(service.url)
        dialog = page.get_by_role("dialog", name="API key required")
        field = dialog.get_by_label("API key")
        expect(field).to_be_focused()
        field.fill("pck_wrong")
        dialog.get_by_role("button", name="Use key").click()
        expect(dialog.get_by_role("alert")).to_have_text("This key was not accepted.")
        field.fill(key)
        field.press("Enter")
        expect(dialog).to_be_hidden()
        expect(page.locator("#status")).to_have_text("Connected")
        choose(page, DIRTY)
        assert answered(page) == "Dirty"

        page.reload()
        expect(page.locator("#status")).to_have_text("Connected")
        expect(dialog).to_be_hidden()
        page.get_by_role("button", name="Settings").click()
        expect(page.locator("#offline-state")).to_contain_text("Ready", timeout=30_000)
        page.get_by_role("button", name="Forget the key").click()
        expect(page.locator("#announcer")).to_contain_text("deleted")
        assert page.evaluate("localStorage.getItem('platecheck.key')") is None
        kept = page.evaluate(
            """async () => {
              const names = await caches.keys();
              const cache = await caches.open(names[0]);
              return (await cache.keys()).map(({ url }) => new URL(url).pathname);
            }"""
        )
        assert "/page/main.js" in kept
        assert not [path for path in kept if path.startswith("/v1")]
        page.reload()
        expect(dialog).to_be_visible()


def test_without_a_key_nothing_is_answered_and_it_can_be_given_later(
    browser: Browser, locked: tuple[Service, str]
) -> None:
    service, key = locked
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(service.url)
        dialog = page.get_by_role("dialog", name="API key required")
        dialog.get_by_role("button", name="Cancel").click()
        expect(page.locator("#notice")).to_have_text("The service requires an API key.")
        choose(page, DIRTY)
        expect(dialog).to_be_visible()  # the question is asked again with the photo
        page.keyboard.press("Escape")
        expect(page.locator("#confidence")).to_have_text("The service requires an API key.")
        choose(page, DIRTY)
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button", name="Use key").click()
        assert answered(page) == "Dirty"


def test_a_key_is_asked_for_once_however_many_requests_need_it(
    browser: Browser, locked: tuple[Service, str], tmp_path: Path
) -> None:
    service, key = locked
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(service.url)
        dialog = page.get_by_role("dialog", name="API key required")
        dialog.get_by_role("button", name="Cancel").click()
        choose(page, *([CLEAN, DIRTY] * 10))
        dialog.get_by_label("API key").fill(key)
        dialog.get_by_role("button", name="Use key").click()
        expect(page.locator("#progress-text")).to_have_text("20 photos checked")
        expect(dialog).to_be_hidden()


def test_an_answer_that_breaks_off_is_no_answer(page: Page) -> None:
    page.route("**/v1/predict*", lambda route: route.fulfill(body='{"model": "pl'), times=1)
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
