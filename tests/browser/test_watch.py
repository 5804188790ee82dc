"""Watching a place where dishes come and go, also with a camera that is stuck."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from page_fixtures.camera import CAMERA, show, wait_for_end
from page_fixtures.dishes import darker, dish, jpeg, rack
from page_fixtures.service import Service
from page_fixtures.visits import POLL, Screenshot, encode, requests, set_language, visit
from playwright.sync_api import Browser, Locator, Page, Request, Route, expect

START, STOP = "Start watching", "Stop watching"
STUCK = "The camera is not sending new images."
ENDED = "The camera was disconnected."
VIDEO = "document.getElementById('watch-video')"
TRACK = f"{VIDEO}.srcObject.getVideoTracks()[0]"

# What keeps a camera from delivering frames, and how it resumes.
FREEZES = {
    "paused, and it cannot play": (
        f"{VIDEO}.play = () => Promise.reject(new Error('in the background')); {VIDEO}.pause()",
        f"delete {VIDEO}.play",
    ),
    "muted": (
        f"Object.defineProperty({TRACK}, 'muted', {{ value: true, configurable: true }})",
        f"delete {TRACK}.muted",
    ),
    "switched off": (f"{TRACK}.enabled = false", f"{TRACK}.enabled = true"),
    "without new frames": ("camera.frozen = true", "camera.frozen = false"),
}


@pytest.fixture
def page(browser: Browser, service: Service) -> Iterator[Page]:
    with visit(browser, service.url, script=CAMERA) as page:
        page.get_by_role("link", name="Watch").click()
        yield page


@pytest.fixture
def watching(page: Page) -> Page:
    """The page, which has seen a dirty dish."""
    show(page, 1)
    page.get_by_role("button", name=START).click()
    expect(name(page)).to_have_text("Dirty", timeout=20_000)
    expect(lines(page)).to_have_count(1)
    return page


def name(page: Page) -> Locator:
    return page.locator("#watch-name")


def lines(page: Page) -> Locator:
    return page.locator("#log-lines li")


def test_watch_logs_each_new_dish(watching: Page, tmp_path: Path, screenshot: Screenshot) -> None:
    for number, label in ((2, "Clean"), (1, "Dirty")):
        show(watching, number)
        expect(name(watching)).to_have_text(label)
    expect(lines(watching)).to_have_count(3)
    assert lines(watching).locator(".badge").all_inner_texts() == ["Dirty", "Clean", "Dirty"]
    notes = lines(watching).locator(".line-note + .line-note")
    assert notes.all_inner_texts() == ["No. 3", "No. 2", "No. 1"]
    assert totals(watching) == ["1 Clean", "2 Dirty", "0 Unsure"]
    sure = lines(watching).locator(".line-note").first.inner_text()
    expect(watching.locator("#announcer")).to_have_text(f"New dish: Dirty, {sure}")
    screenshot(watching, "watch")

    track = watching.evaluate_handle(TRACK)
    watching.get_by_role("button", name=STOP).click()
    wait_for_end(watching, track)
    expect(name(watching)).to_have_text("Not watching")
    expect(watching.get_by_role("button", name=START)).to_be_focused()
    with watching.expect_download() as download:
        watching.locator("#log-csv").click()
    download.value.save_as(tmp_path / "log.csv")
    text = (tmp_path / "log.csv").read_bytes().decode("utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text)))
    assert [row["label"] for row in found] == ["dirty", "clean", "dirty"]
    assert [row["photo"] for row in found] == ["1", "2", "3"]
    assert found[0]["time"] < found[1]["time"]
    watching.locator("#log-clear").click()
    expect(lines(watching)).to_have_count(0)
    expect(watching.locator("#log-empty")).to_be_visible()


def test_watch_sends_one_request_at_a_time(watching: Page) -> None:
    under_way: set[Request] = set()  # one that had begun before is not among them
    counts = []

    def began(request: Request) -> None:
        under_way.add(request)
        counts.append(len(under_way))

    def ended(request: Request) -> None:
        under_way.discard(request)

    watching.on("request", began)
    watching.on("requestfinished", ended)
    while len(counts) < 4:
        watching.wait_for_event("requestfinished")
    assert set(counts) == {1}


def test_watch_verdict_is_large_and_full_screen_can_be_left(
    watching: Page, screenshot: Screenshot
) -> None:
    font = "(element) => parseFloat(getComputedStyle(element).fontSize)"
    watching.set_viewport_size({"width": 1024, "height": 768})  # a tablet
    assert name(watching).evaluate(font) > 100
    watching.get_by_role("button", name="Full screen").click()
    watching.wait_for_function("() => document.fullscreenElement !== null")
    assert name(watching).evaluate(font) > 100
    screenshot(watching, "watch-full-screen")
    for width, height in ((360, 740), (740, 360)):
        watching.set_viewport_size({"width": width, "height": height})
        box = watching.locator("#watch-verdict").bounding_box()
        assert box
        assert box["width"] * box["height"] > 0.15 * width * height
        expect(watching.get_by_role("button", name="Leave full screen")).to_be_in_viewport()
    watching.get_by_role("button", name="Leave full screen").click()
    watching.wait_for_function("() => document.fullscreenElement === null")


def test_watch_every_label_fits_its_board(page: Page) -> None:
    """With the widest of common fonts (DejaVu Sans Bold)."""
    for language, width in (("en", 360), ("en", 1280), ("uk", 360), ("uk", 1280)):
        page.set_viewport_size({"width": width, "height": 740})
        set_language(page, language)
        over = page.evaluate(
            """async () => {
              const { t } = await import("/page/language.js");
              const board = document.getElementById("watch-verdict");
              const name = document.getElementById("watch-name");
              board.dataset.kind = "clean";
              board.classList.remove("text-only");
              name.style.fontFamily = "DejaVu Sans";
              return ["clean", "dirty", "unsure", "notADish"].map((key) => {
                name.textContent = t(key);
                name.style.setProperty("--letters", name.textContent.length);
                return name.getBoundingClientRect().right - board.getBoundingClientRect().right;
              });
            }"""
        )
        assert max(over) <= 0, (language, width)


def test_watch_keeps_the_screen_on_and_leaving_stops_it(page: Page) -> None:
    page.evaluate(
        """() => {
          window.locks = [];
          Object.defineProperty(navigator, "wakeLock", { value: { request: async (kind) => {
            window.locks.push(kind);
            return { release: async () => window.locks.push("released") };
          } } });
        }"""
    )
    show(page, 1)
    page.get_by_role("button", name=START).click()
    page.wait_for_function("() => window.locks.length === 1")
    track = page.evaluate_handle(TRACK)
    page.get_by_role("link", name="Photos").click()
    page.wait_for_function("() => window.locks.length === 2")
    assert page.evaluate("window.locks") == ["screen", "released"]
    wait_for_end(page, track)


def test_watch_starts_at_once_and_survives_the_service(browser: Browser, service: Service) -> None:
    options = {"permissions": ["camera"], "script": CAMERA}
    with visit(browser, service.url, "/#watch", offline=True, **options) as page:
        show(page, 1)
        expect(page.get_by_role("button", name=STOP)).to_be_visible()
        expect(name(page)).to_have_text("Dirty", timeout=20_000)
        page.context.set_offline(True)
        expect(page.locator("#status")).to_have_text("On this device")
        show(page, 2)
        expect(name(page)).to_have_text("Clean", timeout=60_000)
        page.context.set_offline(False)
        page.clock.fast_forward(POLL)
        expect(page.locator("#status")).to_have_text("Connected")
        show(page, 1)
        expect(name(page)).to_have_text("Dirty", timeout=20_000)
        expect(lines(page)).to_have_count(3)


@pytest.mark.parametrize("how", FREEZES)
def test_watch_stuck_camera_hides_the_result_until_it_resumes(watching: Page, how: str) -> None:
    freeze, resume = FREEZES[how]
    watching.evaluate(f"() => {{ {freeze} }}")
    watching.clock.run_for(3500)
    expect(name(watching)).to_have_text(STUCK)
    expect(watching.locator("#announcer")).to_have_text(STUCK)
    expect(watching.locator("#watch-sure")).to_contain_text("Watching resumes")
    expect(watching.locator("#watch-boxes li")).to_have_count(0)
    asked = requests(watching)
    watching.clock.run_for(3000)
    expect(name(watching)).to_have_text(STUCK)
    assert asked == []
    expect(watching.get_by_role("button", name=STOP)).to_be_visible()
    watching.evaluate(f"() => {{ {resume} }}")
    expect(name(watching)).to_have_text("Dirty")
    expect(lines(watching)).to_have_count(1)  # the same dish
    assert totals(watching) == ["0 Clean", "1 Dirty", "0 Unsure"]


def test_watch_identical_frames_are_not_stuck(watching: Page) -> None:
    watching.evaluate("camera.noise = 0")
    for _ in range(10):  # longer than a camera may send nothing
        watching.clock.run_for(500)
        expect(name(watching)).to_have_text("Dirty")


def test_watch_paused_video_plays_again(watching: Page) -> None:
    watching.evaluate(f"{VIDEO}.pause()")
    watching.wait_for_function(f"() => !{VIDEO}.paused")
    expect(name(watching)).to_have_text("Dirty")
    expect(lines(watching)).to_have_count(1)


def test_watch_stuck_camera_is_reopened(watching: Page) -> None:
    watching.evaluate("camera.frozen = true")
    watching.clock.run_for(3500)
    expect(name(watching)).to_have_text(STUCK)
    assert watching.evaluate("camera.opened") == 1
    watching.clock.run_for(7500)
    watching.wait_for_function("() => camera.opened > 1")
    watching.evaluate("camera.frozen = false")
    expect(name(watching)).to_have_text("Dirty", timeout=20_000)
    expect(lines(watching)).to_have_count(1)


def test_watch_ended_camera_is_reopened_once_it_is_back(watching: Page) -> None:
    watching.evaluate("camera.error = 'NotFoundError'")
    watching.evaluate(f"{TRACK}.stop()")
    expect(name(watching)).to_have_text(ENDED)
    watching.clock.run_for(7000)
    watching.wait_for_function("() => camera.opened > 1")  # in vain
    expect(name(watching)).to_have_text(ENDED)
    watching.evaluate("camera.error = null")
    watching.clock.run_for(4000)
    expect(name(watching)).to_have_text("Dirty", timeout=20_000)
    expect(lines(watching)).to_have_count(1)


def test_watch_camera_that_is_forbidden_is_not_requested_again(watching: Page) -> None:
    watching.evaluate("camera.error = 'NotAllowedError'")
    watching.evaluate(f"{TRACK}.stop()")
    watching.clock.run_for(4000)
    expect(name(watching)).to_contain_text("not allowed")
    expect(watching.get_by_role("button", name=START)).to_be_visible()
    watching.clock.run_for(4000)
    assert watching.evaluate("camera.opened") == 2


def test_watch_page_that_was_hidden_shows_no_old_result(watching: Page) -> None:
    hide = """(hidden) => {
      Object.defineProperty(document, "visibilityState", {
        value: hidden ? "hidden" : "visible", configurable: true,
      });
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    watching.evaluate(hide, True)
    expect(name(watching)).to_have_text("Checking …")
    watching.evaluate(hide, False)
    expect(name(watching)).to_have_text("Dirty")
    expect(lines(watching)).to_have_count(1)


def test_watch_laptop_that_slept_shows_no_old_result(watching: Page) -> None:
    watching.evaluate("() => { window.fetch = () => new Promise(() => 0); }")
    watching.clock.fast_forward(3_600_000)
    expect(name(watching)).not_to_have_text("Dirty")


def test_watch_service_without_response_hides_the_result(watching: Page) -> None:
    held: list[Route] = []
    watching.route("**/v1/inspect*", lambda route: held.append(route))  # noqa: PLW0108
    watching.wait_for_event("request")
    watching.clock.run_for(6500)
    expect(name(watching)).to_have_text("This is taking longer than usual. Is the network slow?")
    expect(lines(watching)).to_have_count(1)
    watching.unroute("**/v1/inspect*")
    watching.clock.run_for(8000)
    expect(name(watching)).to_have_text("Dirty", timeout=30_000)


def test_watch_busy_service_hides_the_result(watching: Page) -> None:
    headers = {"Retry-After": "1", "Content-Type": "application/problem+json"}
    busy = {"status": 503, "headers": headers, "body": '{"detail": "busy"}'}
    watching.route("**/v1/inspect*", lambda route: route.fulfill(**busy))  # type: ignore[arg-type]
    expect(name(watching)).to_contain_text("is busy")
    set_language(watching, "uk")
    expect(name(watching)).not_to_contain_text("Брудно")


TRACK_DISHES = """async (frames) => {
  const { lookAt, Tracker } = await import("/page/tracker.js");
  const tracker = new Tracker();
  const events = [];
  for (const [text, dishes] of frames) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    const found = tracker.update(
      dishes.map(([label, box]) => ({ label, box })),
      (box) => lookAt(bitmap, box),
    );
    events.push(found.map(({ event, track }) => `${event}: ${track.label}`));
  }
  return events;
}"""
PLATE, HAND, OTHER = dish(0), dish(7), dish(2)
ALL = (0, 0, 256, 256)


def conveyor(left: int) -> NDArray[np.uint8]:
    """A belt with two dishes, moved by so many pixels."""
    belt = np.full((256, 1024, 3), 60, np.uint8)
    for place, number in ((left, 0), (left + 400, 1)):
        belt[:, place : place + 256] = dish(number)
    return belt


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        (  # a label counts when two in a row agree
            [
                (PLATE, [(label, ALL)])
                for label in ["clean", "dirty", "clean", "clean", "dirty", "dirty"]
            ],
            [[], [], [], ["new dish: clean"], [], ["new label: dirty"]],
        ),
        (  # a new dish is one that has come to rest
            [(PLATE, [("clean", ALL)])] * 3
            + [(HAND, [("dirty", ALL)])]
            + [(OTHER, [("clean", ALL)])] * 3,
            [[], ["new dish: clean"], [], [], [], ["new dish: clean"], []],
        ),
        (  # neither a hand that passes by nor another light is a new dish
            [
                (each, [("clean", ALL)])
                for each in (PLATE, PLATE, HAND, PLATE, darker(PLATE, 0.7), PLATE)
            ],
            [[], ["new dish: clean"], [], [], [], []],
        ),
        (  # dishes that move are followed, each counted once
            [
                (
                    conveyor(left),
                    [
                        ("clean", (left, 0, left + 256, 256)),
                        ("dirty", (left + 400, 0, left + 656, 256)),
                    ],
                )
                for left in range(0, 300, 60)
            ],
            [[], ["new dish: clean", "new dish: dirty"], [], [], []],
        ),
    ],
    ids=["agreement", "new dish", "hand and lamp", "conveyor"],
)
def test_tracker_counts_each_dish_once(
    page: Page, frames: list[tuple[Any, Any]], expected: list[list[str]]
) -> None:
    sent = [[encode(jpeg(frame, 90)), dishes] for frame, dishes in frames]
    assert page.evaluate(TRACK_DISHES, sent) == expected


def test_watch_follows_and_counts_all_dishes_of_a_rack(
    browser: Browser, racks: Service, screenshot: Screenshot
) -> None:
    with visit(browser, racks.url, "/#watch", script=CAMERA) as page:
        put(page, rack(8, 2, *[None] * 6, 1, 4, None, None))
        page.get_by_role("button", name=START).click()
        expect(name(page)).to_have_text("Dirty", timeout=20_000)
        expect(page.locator("#watch-sure")).to_have_text("4 dishes: 3 clean, 1 dirty")
        expect(page.locator("#watch-boxes li")).to_have_count(4)
        assert totals(page) == ["3 Clean", "1 Dirty", "0 Unsure"]
        put(page, rack(None, 2, *[None] * 6, 1, None, None, None))
        expect(page.locator("#watch-boxes li")).to_have_count(2)
        put(page, rack(*[None] * 12))
        expect(name(page)).to_have_text("No dish found")
        expect(lines(page)).to_have_count(4)
        put(page, rack(3, 6, *[None] * 10))
        expect(lines(page)).to_have_count(6)
        assert totals(page) == ["4 Clean", "2 Dirty", "0 Unsure"]
        assert lines(page).locator("img").count() == 6
        page.get_by_role("button", name="Full screen").click()
        page.wait_for_function("() => document.fullscreenElement !== null")
        expect(page.locator("#watch-strip img")).to_have_count(6)
        screenshot(page, "watch-rack-full-screen")
        page.get_by_role("button", name="Leave full screen").click()
        page.wait_for_function("() => document.fullscreenElement === null")


def put(page: Page, pixels: NDArray[np.uint8]) -> None:
    """Put dishes in front of the camera."""
    page.evaluate("(text) => camera.show(text)", encode(jpeg(pixels)))


def totals(page: Page) -> list[str]:
    return [" ".join(each.split()) for each in page.locator("#watch-totals li").all_inner_texts()]
