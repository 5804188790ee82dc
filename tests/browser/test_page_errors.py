"""Errors of the service, API keys, and what the page makes of them."""

import json
from collections.abc import Iterator

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service, make_key
from page_fixtures.visits import answered, cached, choose, photo, rows, verdict
from playwright.sync_api import Browser, Page, Route, expect

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))
PREDICT = "**/v1/inspect*"


def problem(route: Route, status: int, detail: str, **headers: str) -> None:
    """Respond with problem details."""
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail}
    headers = {"Content-Type": "application/problem+json", **headers}
    route.fulfill(status=status, body=json.dumps(body), headers=headers)


def test_busy_service_is_asked_again_after_the_time_it_names(page: Page) -> None:
    asked: list[int] = []

    def busy(route: Route) -> None:
        asked.append(1)
        if len(asked) % 3:
            problem(route, 503, "the queue is full", **{"Retry-After": "1"})
        else:
            route.continue_()

    page.route(PREDICT, busy)
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    assert len(asked) == 3
    choose(page, *([CLEAN, DIRTY] * 8))
    expect(page.locator("#progress-text")).to_have_text("16 photos checked", timeout=30_000)
    assert [label for _, label, _ in rows(page)] == ["Dirty"] * 9 + ["Clean"] * 8


def test_request_that_is_too_large_is_split(page: Page) -> None:
    counts: list[int] = []

    def limit(route: Route) -> None:
        counts.append((route.request.post_data_buffer or b"").count(b"filename="))
        if counts[-1] > 3:
            problem(route, 413, "too many bytes")
        else:
            route.continue_()

    page.route(PREDICT, limit)
    choose(page, *([CLEAN, DIRTY] * 4))
    expect(page.locator("#progress-text")).to_have_text("8 photos checked")
    assert sorted(counts) == [2, 2, 2, 2, 4, 4, 8]
    assert [label for _, label, _ in rows(page)] == ["Dirty"] * 4 + ["Clean"] * 4


@pytest.mark.parametrize(
    ("status", "text"),
    [(413, "the photo is too large"), (500, "the service failed (HTTP 500)")],
)
def test_failed_photo_says_why_and_the_next_is_classified(
    page: Page, status: int, text: str
) -> None:
    page.route(PREDICT, lambda route: problem(route, status, "a fault"), times=1)
    choose(page, DIRTY)
    expect(verdict(page)).to_have_text("No result")
    expect(page.locator("#confidence")).to_have_text(text)
    choose(page, CLEAN)
    assert answered(page) == "Clean"


def test_failed_photo_is_classified_when_its_row_is_opened(page: Page) -> None:
    page.route(PREDICT, lambda route: problem(route, 500, "a fault"), times=1)
    choose(page, CLEAN, DIRTY)
    expect(page.locator("#progress-text")).to_have_text("0 photos checked, 2 failed")
    assert {label for _, label, _ in rows(page)} == {"No result the service failed (HTTP 500)"}
    page.get_by_role("button", name="Show dirty.jpg").click()
    assert answered(page) == "Dirty"
    expect(page.locator("#session-rows .badge").first).to_have_text("Dirty")


def test_failed_heatmap_keeps_the_prediction(page: Page) -> None:
    """A batch is classified without heatmaps; one is requested when its photo is opened."""
    choose(page, CLEAN, DIRTY)
    expect(page.locator("#progress-text")).to_have_text("2 photos checked")
    before = rows(page)
    page.route(PREDICT, lambda route: problem(route, 500, "a fault"))
    page.get_by_role("button", name="Show dirty.jpg").click()
    assert answered(page) == "Dirty"
    assert rows(page) == before
    expect(page.locator("#map")).to_be_hidden()


def test_truncated_response_is_replaced_by_the_device(page: Page) -> None:
    page.route(PREDICT, lambda route: route.fulfill(body='{"model": "pl'), times=1)
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    expect(page.locator("#predicted-by")).to_have_text("Checked on this device")


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, str]]:
    """A service that requires a key, and the key."""
    file = tmp_path_factory.mktemp("keys") / "keys.txt"
    key = make_key(file)
    with Service("--keys", str(file)) as running:
        yield running, key


@pytest.fixture
def asking(browser: Browser, locked: tuple[Service, str]) -> Iterator[Page]:
    """The page, which asks for a key."""
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(locked[0].url)
        expect(page.get_by_role("dialog", name="API key required")).to_be_visible()
        yield page


def test_key_is_requested_saved_and_forgotten(asking: Page, locked: tuple[Service, str]) -> None:
    page, dialog = asking, asking.get_by_role("dialog", name="API key required")
    field = dialog.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("pck_wrong")
    dialog.get_by_role("button", name="Use key").click()
    expect(dialog.get_by_role("alert")).to_have_text("This key was not accepted.")
    field.fill(locked[1])
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
    assert "/page/main.js" in cached(page)
    assert not [path for path in cached(page) if path.startswith("/v1")]
    page.reload()
    expect(dialog).to_be_visible()


def test_key_is_requested_once_with_each_action_that_needs_it(
    asking: Page, locked: tuple[Service, str]
) -> None:
    page, dialog = asking, asking.get_by_role("dialog", name="API key required")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#notice")).to_have_text("The service requires an API key.")
    choose(page, DIRTY)
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#confidence")).to_have_text("The service requires an API key.")
    choose(page, *([CLEAN, DIRTY] * 10))
    dialog.get_by_label("API key").fill(locked[1])
    dialog.get_by_role("button", name="Use key").click()
    expect(page.locator("#progress-text")).to_have_text("21 photos checked", timeout=30_000)
    expect(dialog).to_be_hidden()
