"""The review page: one key per decision, undo, progress, independent reviewers, agreement."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import uvicorn
from page_fixtures.dishes import dish, jpeg
from page_fixtures.visits import (
    DESKTOP,
    Screenshot,
    check_accessibility,
    looks,
    progress,
    record_complaints,
)
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from platecheck.feedback.entry import Answer
from platecheck.feedback.reviews import review_queue
from platecheck.feedback.store import Store, open_store
from platecheck.serving.review_app import create_review

# Prediction and feedback, in the order of the queue: two complaints, one unsure, one right.
FEEDBACK = (
    (0, "dirty", 0.90, "clean"),
    (1, "clean", 0.95, "dirty"),
    (2, "unsure", 0.55, "clean"),
    (3, "dirty", 0.97, "dirty"),
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/f.db", create=True)
    for number, label, probability, right in FEEDBACK:
        top = label if label != "unsure" else "clean"
        other = "dirty" if top == "clean" else "clean"
        answer = Answer("m", label, {top: probability, other: 1 - probability})
        opened.add(jpeg(dish(number)), right, answer)
    opened.add(jpeg(dish(0)), "not a dish", opened.all()[0].answer)
    yield opened
    opened.close()


@pytest.fixture
def url(store: Store) -> Iterator[str]:
    """The URL of a review server on a thread, which starts faster than a process."""
    server = uvicorn.Server(uvicorn.Config(create_review(store), lifespan="off", log_level="error"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@contextmanager
def reviewing(browser: Browser, url: str, name: str = "Ann", **options: Any) -> Iterator[Page]:
    """Open the page and give a name; at the end nothing was wrong."""
    with browser.new_context(**{"viewport": DESKTOP, "locale": "en-GB", **options}) as context:
        complaints = record_complaints(context, url)
        page = context.new_page()
        page.goto(url)
        if name:
            page.get_by_role("textbox").fill(name)
            page.keyboard.press("Enter")
            expect(page.locator("#reviewer")).to_have_text(name)
            expect(page.locator("#item")).to_be_visible()
        yield page
        assert not complaints, complaints


@pytest.fixture
def page(browser: Browser, url: str) -> Iterator[Page]:
    with reviewing(browser, url) as page:
        yield page


def decided(store: Store, reviewer: str = "Ann") -> list[str | None]:
    """Return the decisions of a reviewer, in the order of the queue."""
    decisions = store.decisions()
    return [decisions.get(item.photo, {}).get(reviewer) for item in review_queue(store.all())]


def photo_url(page: Page) -> str:
    return page.locator("#photo-link").get_attribute("href") or ""


def press(page: Page, keys: str) -> None:
    """Press keys, each once the one before has brought the next photo, or the end."""
    for key in keys:
        before = photo_url(page)
        page.keyboard.press(key)
        page.wait_for_function(
            "(before) => document.querySelector('#photo-link').getAttribute('href') !== before"
            " || !document.querySelector('#done').hidden",
            arg=before,
        )


def test_photo_is_large_with_prediction_and_feedback(page: Page) -> None:
    photo = page.locator("#photo")
    expect(photo).not_to_have_class("loading")
    box = photo.bounding_box()
    assert box is not None
    assert min(box["width"], box["height"]) > 600
    shown = page.request.get(page.url.partition("#")[0] + photo_url(page)[1:]).body()
    assert np.abs(np.asarray(Image.open(BytesIO(shown))).astype(int) - dish(0)).mean() < 8
    expect(page.get_by_role("main")).to_match_aria_snapshot("""
      - heading "What is the correct label?" [level=1]
      - progressbar "Photos reviewed"
      - text: 0 of 4
      - figure:
        - link "Photo to review":
          - img "Photo to review"
      - article:
        - term: The service said
        - definition: Dirty 90%
        - term: Users said
        - definition: Clean Not a dish
        - group "What is the correct label?":
          - button "Clean 1"
          - button "Dirty 2"
          - button "Not a dish 0"
        - button "Skip S"
        - button "Undo U" [disabled]
    """)
    page.keyboard.press("1")
    expect(page.locator("#announcer")).to_have_text(
        "Clean. Photo 2 of 4. The service said: Clean, 95%. Users said: Dirty."
    )


def test_key_decides_and_shows_the_next_photo(page: Page, store: Store) -> None:
    progress(page, "0 of 4")
    urls = {photo_url(page)}
    for key, done in (("1", 1), ("2", 2), ("0", 3)):
        page.keyboard.press(key)
        progress(page, f"{done} of 4")
        urls.add(photo_url(page))
    assert decided(store) == ["clean", "dirty", "not a dish", None]
    assert len(urls) == 4
    page.keyboard.press("2")
    expect(page.get_by_role("heading", name="All photos are reviewed.")).to_be_visible()
    expect(page.locator("#done")).to_be_focused()
    page.keyboard.press("1")  # there is nothing left to decide
    assert decided(store) == ["clean", "dirty", "not a dish", "dirty"]


def test_key_counts_by_its_place_in_any_layout(page: Page, store: Store) -> None:
    page.evaluate(
        """() => {
          for (const [code, key] of [["KeyS", "і"], ["Digit2", "é"]]) {
            document.body.dispatchEvent(new KeyboardEvent("keydown", { code, key, bubbles: true }));
          }
        }"""
    )
    progress(page, "1 of 4")
    assert decided(store) == [None, "dirty", None, None]


def test_keys_switched_off_stay_off(page: Page, store: Store) -> None:
    page.get_by_role("checkbox").uncheck()
    expect(page.locator("kbd").first).to_be_hidden()
    page.locator("body").press("1")
    page.get_by_role("button", name="Clean").focus()
    page.keyboard.press("Enter")
    progress(page, "1 of 4")
    page.reload()
    expect(page.get_by_role("checkbox")).not_to_be_checked()
    assert decided(store) == ["clean", None, None, None]


def test_undo_takes_back_decisions_and_skips(page: Page, store: Store) -> None:
    first = photo_url(page)
    page.keyboard.press("s")
    second = photo_url(page)
    assert second != first
    page.keyboard.press("1")
    progress(page, "1 of 4")
    page.keyboard.press("u")
    progress(page, "0 of 4")
    assert photo_url(page) == second
    assert decided(store) == [None] * 4
    page.keyboard.press("u")
    assert photo_url(page) == first
    expect(page.get_by_role("button", name="Undo")).to_be_disabled()
    press(page, "2222")
    progress(page, "4 of 4")
    page.keyboard.press("u")
    progress(page, "3 of 4")
    expect(page.locator("#main")).to_be_focused()
    assert decided(store) == ["dirty", "dirty", "dirty", None]


def test_skipped_photos_can_be_reviewed_at_the_end(page: Page, store: Store) -> None:
    press(page, "s1ss")
    expect(page.get_by_role("heading", name="3 photos were skipped.")).to_be_visible()
    page.get_by_role("button", name="Review the skipped photos").click()
    for done in (2, 3, 4):
        page.get_by_role("button", name="Dirty 2").click()
        progress(page, f"{done} of 4")
    assert decided(store) == ["dirty", "clean", "dirty", "dirty"]


def test_reviewer_name_is_required_and_remembered(browser: Browser, url: str, store: Store) -> None:
    with reviewing(browser, url, name="") as page:
        for key in ("Enter", "Escape", "1"):
            page.keyboard.press(key)
        expect(page.get_by_role("dialog", name="Who is reviewing?")).to_be_visible()
        assert decided(store, "") == [None] * 4
        page.get_by_role("textbox").fill("Ann")
        page.keyboard.press("Enter")
        progress(page, "0 of 4")
        page.keyboard.press("1")
        progress(page, "1 of 4")
        page.reload()
        progress(page, "1 of 4")
        expect(page.get_by_role("dialog")).to_be_hidden()
        page.get_by_role("button", name="Ann: Change name").click()
        page.get_by_role("textbox").fill("  Bo ")
        page.get_by_role("button", name="Start").click()
        progress(page, "0 of 4")
        page.keyboard.press("2")
        progress(page, "1 of 4")
    assert decided(store, "Ann") == ["clean", None, None, None]
    assert decided(store, "Bo") == ["dirty", None, None, None]


def test_agreement_lists_pairs_and_disputed_photos(
    browser: Browser, url: str, store: Store
) -> None:
    photos = [item.photo for item in review_queue(store.all())]
    for photo, label in zip(photos, ["clean", "clean", "clean", "dirty"], strict=True):
        store.decide(photo, "Bo", label)
    with reviewing(browser, url) as page:
        page.get_by_role("link", name="Agreement").click()
        expect(page.locator("#agreement-empty")).to_be_visible()
        expect(page.locator("#disputed li")).to_have_count(0)
        page.get_by_role("link", name="Review").click()
        expect(page.locator("#item")).to_be_visible()
        for done, key in enumerate("122", 1):
            page.keyboard.press(key)
            progress(page, f"{done} of 4")
        page.get_by_role("link", name="Agreement").click()
        expect(page.locator("#disputed li")).to_have_count(2)
        expect(page.get_by_role("row", name="Ann and Bo 3 1 (33%) 0.00")).to_be_visible()
        expect(page.get_by_role("img", name="Ann: Dirty; Bo: Clean")).to_have_count(2)


def test_photo_deleted_meanwhile_is_passed_over(page: Page, store: Store) -> None:
    progress(page, "0 of 4")
    gone = review_queue(store.all())[0]
    for given in gone.feedback:
        store.delete(given.id)
    page.keyboard.press("1")
    expect(page.locator("#notice")).to_have_text("The photo was deleted in the meantime.")
    progress(page, "0 of 3")
    page.keyboard.press("2")
    progress(page, "1 of 3")
    assert decided(store) == ["dirty", None, None]


def test_stopped_server_is_reported(page: Page) -> None:
    progress(page, "0 of 4")
    page.route("**/v1/decisions/**", lambda route: route.abort())
    page.keyboard.press("1")
    expect(page.locator("#notice")).to_contain_text("no longer running")
    progress(page, "0 of 4")


def test_every_view_is_accessible_and_fits(
    browser: Browser, url: str, store: Store, screenshot: Screenshot
) -> None:
    for item in review_queue(store.all()):
        store.decide(item.photo, "Bo", "not a dish")

    def look(page: Page, name: str) -> None:
        for each in looks(page):
            screenshot(page, f"review-{name}-{each}", full_page=True)
            check_accessibility(page)

    with reviewing(browser, url, name="") as page:
        look(page, "name")
        page.get_by_role("textbox").fill("Ann")
        page.keyboard.press("Enter")
        expect(page.locator("#photo")).not_to_have_class("loading")
        look(page, "photo")
        press(page, "12s0")
        look(page, "done")
        page.locator("#to-agreement").click()
        expect(page.locator("#disputed li")).not_to_have_count(0)
        look(page, "agreement")
