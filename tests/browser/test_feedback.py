"""Feedback on the page: with consent, stored as it was sent, deleted on request."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import (
    PHONE,
    POLL,
    Screenshot,
    answered,
    check_accessibility,
    choose,
    photo,
    requests,
    set_language,
    visit,
)
from playwright.sync_api import Browser, Page, Route, expect

from platecheck import Classifier
from platecheck.feedback.entry import encode_photo
from platecheck.feedback.store import Store, open_store

CLEAN, DIRTY = photo("clean.jpg", jpeg(dish(0))), photo("dirty.jpg", jpeg(dish(1)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback")


@pytest.fixture(scope="module")
def keeping(folder: Path) -> Iterator[Service]:
    """A service that stores feedback."""
    options = (f"--feedback=sqlite:///{folder}/f.db",)
    with Service(*options, "--feedback-days", "30") as running:
        yield running


@pytest.fixture
def store(folder: Path, keeping: Service) -> Iterator[Store]:
    """What the service has stored; empty at first."""
    opened = open_store(f"sqlite:///{folder}/f.db")
    for entry in opened.all():
        opened.delete(entry.id)
    yield opened
    opened.close()


@pytest.fixture
def page(browser: Browser, keeping: Service) -> Iterator[Page]:
    with visit(browser, keeping.url) as page:
        yield page


@pytest.fixture
def classified(page: Page) -> Page:
    """The page, which has taken a dirty dish for one."""
    choose(page, DIRTY)
    assert answered(page) == "Dirty"
    return page


def message(page: Page, text: str) -> None:
    expect(page.locator("#feedback-message")).to_have_text(text)


def fill_in(page: Page, true_label: str) -> None:
    """Say what the correct label is, and agree."""
    page.locator("#feedback-title").click()
    page.get_by_label(true_label, exact=True).check()
    page.get_by_label("I agree").check()


def send(page: Page) -> None:
    page.get_by_role("button", name="Send").click()


def test_feedback_without_a_store_or_service_is_not_offered(
    browser: Browser, service: Service, keeping: Service
) -> None:
    with visit(browser, service.url) as page:
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#feedback")).to_be_hidden()
    with visit(browser, keeping.url) as page:
        page.locator("#open-settings").click()
        page.locator("#device-only").check()
        page.keyboard.press("Escape")
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#feedback")).to_be_hidden()


def test_feedback_is_stored_and_deleted(classified: Page, store: Store) -> None:
    expect(classified.locator("#feedback-title")).to_have_text("Is this right?")
    choices = classified.locator("#feedback-choices label").all_text_contents()
    assert choices == ["Clean", "Dirty", "Not a dish"]
    fill_in(classified, "Clean")
    set_language(classified, "uk")  # keeps what was filled in
    expect(classified.locator("#feedback-title")).to_have_text("Це правильно?")
    expect(classified.get_by_label("Чисто", exact=True)).to_be_checked()
    expect(classified.get_by_label("Я погоджуюся")).to_be_checked()
    set_language(classified, "en")
    send(classified)
    message(classified, "Thank you.")
    expect(classified.locator("#feedback-thanks")).to_contain_text("Correct result: Clean")
    (kept,) = store.all()
    assert classified.locator("#feedback-id").inner_text() == kept.id
    assert (kept.true_label, kept.answer.label, kept.client) == ("clean", "dirty", None)
    assert store.photo(kept.photo) == encode_photo(DIRTY["buffer"])

    classified.get_by_role("button", name="Delete").click()
    message(classified, "Deleted: the photo and your feedback.")
    assert store.all() == []
    expect(classified.locator("#feedback-form")).to_be_visible()


def test_feedback_without_consent_is_not_sent(classified: Page, store: Store) -> None:
    sent = requests(classified, "feedback")
    expect(classified.locator("#feedback-terms")).to_contain_text("for 30 days")
    fill_in(classified, "Clean")
    classified.get_by_label("I agree").uncheck()
    send(classified)
    assert sent == []
    assert store.all() == []


def test_feedback_belongs_to_its_photo(page: Page, store: Store) -> None:
    choose(page, CLEAN, DIRTY)
    for name, true_label in (("clean.jpg", "Dirty"), ("dirty.jpg", "Not a dish")):
        page.get_by_role("button", name=name).click()
        answered(page)
        fill_in(page, true_label)
        send(page)
        message(page, "Thank you.")
    page.get_by_role("button", name="clean.jpg").click()
    expect(page.locator("#feedback-thanks")).to_contain_text("Correct result: Dirty")
    assert sorted(kept.true_label for kept in store.all()) == ["dirty", "not a dish"]


def test_feedback_that_is_not_stored_says_why_and_can_be_sent_again(
    classified: Page, store: Store
) -> None:
    unavailable = "Not stored: the service cannot do that now; try again later."
    fill_in(classified, "Clean")

    def refuse(status: int, route: Route) -> None:
        route.fulfill(status=status, json={"detail": "the disk is full"})

    for status, text in ((503, unavailable), (413, "Not stored: the photo is too large")):
        classified.route("**/v1/feedback", partial(refuse, status), times=1)
        send(classified)
        message(classified, text)
    classified.route("**/v1/feedback", lambda route: route.abort(), times=1)
    send(classified)
    message(
        classified,
        "The service became unreachable, so it is unknown whether this worked."
        " Try again when it is back.",
    )
    send(classified)
    message(classified, "Thank you.")
    assert len(store.all()) == 1


def test_feedback_on_a_prediction_of_the_device_stores_both(
    browser: Browser, keeping: Service, store: Store
) -> None:
    with visit(browser, keeping.url, offline=True) as page:
        page.context.set_offline(True)
        choose(page, DIRTY)
        answered(page)
        expect(page.locator("#predicted-by")).to_have_text("Checked on this device")
        expect(page.locator("#feedback")).to_be_hidden()
        page.context.set_offline(False)
        page.clock.fast_forward(POLL)
        expect(page.locator("#feedback")).to_be_visible()
        fill_in(page, "Clean")
        send(page)
        message(page, "Thank you.")
    (kept,) = store.all()
    assert kept.client
    assert kept.client.model == kept.answer.model == Classifier.load().id
    assert kept.client.label == "dirty"


@pytest.mark.parametrize(
    ("scheme", "locale", "thanks"),
    [("light", "en-GB", "Thank you."), ("dark", "uk-UA", "Дякуємо.")],
)
def test_feedback_is_accessible_and_fits_a_phone(
    browser: Browser,
    keeping: Service,
    scheme: str,
    locale: str,
    thanks: str,
    screenshot: Screenshot,
) -> None:
    options = {"viewport": PHONE, "color_scheme": scheme, "locale": locale}
    with visit(browser, keeping.url, **options) as page:
        choose(page, DIRTY)
        answered(page)
        page.locator("#feedback-title").click()
        page.locator("#feedback-form").scroll_into_view_if_needed()
        screenshot(page, f"feedback-{scheme}", full_page=True)
        check_accessibility(page)
        for key in ("Tab", "Space", "Tab", "Space", "Enter"):
            page.keyboard.press(key)
        message(page, thanks)
        expect(page.locator("#feedback-delete")).to_be_focused()
        check_accessibility(page)
        screenshot(page, f"feedback-given-{scheme}", full_page=True)
