"""The camera: one photo, and watching a place where dishes come and go."""

import base64
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from page_fixtures.dishes import darker, dish, jpeg, video
from page_fixtures.service import Service
from page_fixtures.visits import Launch, Screenshot, answered, choose, photo, verdict, visit
from playwright.sync_api import Browser, Locator, Page, Request, expect

SECONDS = 5
START = "Start watching"


@pytest.fixture(scope="module")
def camera(launch: Launch, tmp_path_factory: pytest.TempPathFactory) -> Browser:
    """Chromium whose camera sees a clean dish and then a dirty one, over and over."""
    file = tmp_path_factory.mktemp("camera") / "dishes.y4m"
    file.write_bytes(video([(dish(number, size=480), SECONDS) for number in (0, 1)]))
    return launch(
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={file}",
        "--autoplay-policy=no-user-gesture-required",
    )


@pytest.fixture
def page(camera: Browser, service: Service) -> Iterator[Page]:
    with visit(camera, service.url) as page:
        yield page


@pytest.fixture
def watching(page: Page) -> Page:
    page.get_by_role("link", name="Watch").click()
    page.get_by_role("button", name=START).click()
    return page


def lines(page: Page) -> Locator:
    return page.locator("#log-lines li")


def live_tracks(page: Page, video_id: str) -> int:
    """How many cameras a video still holds."""
    script = "(video) => video.srcObject?.getTracks().filter((t) => t.readyState === 'live').length"
    return int(page.locator(video_id).evaluate(script) or 0)


def test_one_photo_is_taken_and_answered(page: Page, screenshot: Screenshot) -> None:
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    shoot = dialog.get_by_role("button", name="Take photo")
    expect(shoot).to_be_enabled()
    expect(shoot).to_be_focused()
    screenshot(page, "camera")
    shoot.click()
    expect(dialog).to_be_hidden()
    assert answered(page) in ("Clean", "Dirty")
    expect(page.locator("#photo-name")).to_contain_text("photo-")
    assert live_tracks(page, "#camera-video") == 0
    expect(page.get_by_role("button", name="Take a photo")).to_be_focused()


def test_a_tap_that_comes_twice_takes_one_photo(page: Page) -> None:
    page.get_by_role("button", name="Take a photo").click()
    shoot = page.get_by_role("button", name="Take photo")
    expect(shoot).to_be_enabled()
    shoot.evaluate("(button) => { button.click(); button.click(); }")
    answered(page)
    page.wait_for_timeout(300)  # in which a second one would come
    expect(page.locator("#session-rows tr")).to_have_count(1)


def test_closing_lets_go_of_the_camera(page: Page) -> None:
    page.get_by_role("button", name="Take a photo").click()
    expect(page.get_by_role("button", name="Take photo")).to_be_enabled()
    assert live_tracks(page, "#camera-video") == 1
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    assert live_tracks(page, "#camera-video") == 0
    expect(page.locator("#answer")).to_be_hidden()


def test_a_camera_that_is_watched_says_when_the_dish_changes(
    watching: Page, screenshot: Screenshot
) -> None:
    name = watching.locator("#watch-name")
    expect(lines(watching)).to_have_count(4, timeout=40_000)
    found = lines(watching).locator(".badge").all_inner_texts()
    assert sorted(found[:2]) == ["Clean", "Dirty"]
    assert found[:2] == found[2:]  # they take turns
    assert lines(watching).locator(".line-note").all_inner_texts() == ["New dish"] * 4
    expect(watching.locator("#dishes-seen")).to_have_text("4 dishes")
    expect(name).to_have_text(found[0])
    expect(watching.locator("#announcer")).to_have_text(
        f"New dish: {found[0]}, {lines(watching).locator('.line-sure').first.inner_text()}"
    )
    assert live_tracks(watching, "#watch-video") == 1
    screenshot(watching, "watch")


def test_one_question_at_a_time_and_about_two_a_second(watching: Page) -> None:
    expect(lines(watching)).to_have_count(1, timeout=20_000)
    asked, most = 0, 0
    under_way: set[Request] = set()  # one that had begun before is not among them

    def began(request: Request) -> None:
        nonlocal asked, most
        if "predict" in request.url:
            under_way.add(request)
            asked, most = asked + 1, max(most, len(under_way))

    def ended(request: Request) -> None:
        under_way.discard(request)

    watching.on("request", began)
    watching.on("requestfinished", ended)
    watching.wait_for_timeout(4000)
    assert most == 1
    assert 2 <= asked <= 9


def test_the_answer_is_large(watching: Page, screenshot: Screenshot) -> None:
    expect(lines(watching)).to_have_count(1, timeout=20_000)
    watching.set_viewport_size({"width": 1024, "height": 768})  # a tablet
    name = watching.locator("#watch-name")
    size = name.evaluate("(element) => parseFloat(getComputedStyle(element).fontSize)")
    assert size > 100
    screenshot(watching, "watch-tablet")
    watching.get_by_role("button", name="Full screen").click()
    watching.wait_for_function("() => document.fullscreenElement !== null")
    size = name.evaluate("(element) => parseFloat(getComputedStyle(element).fontSize)")
    assert size > 180
    screenshot(watching, "watch-full-screen")


@pytest.mark.parametrize("size", [(360, 740), (740, 360)])
def test_full_screen_the_answer_fills_a_phone(watching: Page, size: tuple[int, int]) -> None:
    width, height = size
    watching.set_viewport_size({"width": width, "height": height})
    watching.get_by_role("button", name="Full screen").click()
    watching.wait_for_function("() => document.fullscreenElement !== null")
    box = watching.locator("#watch-verdict").bounding_box()
    assert box
    whole = watching.evaluate("[innerWidth, innerHeight]")
    assert [box["width"], box["height"]] == pytest.approx(whole, abs=1)


@pytest.mark.parametrize("language", ["en", "uk"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_word_fits_its_board(page: Page, language: str, width: int) -> None:
    """With the widest of common fonts (DejaVu Sans Bold)."""
    page.set_viewport_size({"width": width, "height": 740})
    page.get_by_role("link", name="Watch").click()
    page.evaluate(
        "(to) => import('/page/language.js').then(({ setLanguage }) => setLanguage(to))", language
    )
    for key in ("clean", "dirty", "unsure", "notADish"):
        over = page.evaluate(
            """async (key) => {
              const { t } = await import("/page/language.js");
              const board = document.getElementById("watch-verdict");
              const name = document.getElementById("watch-name");
              board.dataset.kind = "clean";
              board.classList.remove("text-only");
              name.style.fontFamily = "DejaVu Sans";
              name.textContent = t(key);
              name.style.setProperty("--letters", name.textContent.length);
              return name.getBoundingClientRect().right - board.getBoundingClientRect().right;
            }""",
            key,
        )
        assert over <= 0, key


def test_stopping_lets_go_of_the_camera_and_keeps_the_log(watching: Page) -> None:
    expect(lines(watching)).to_have_count(1, timeout=20_000)
    watching.get_by_role("button", name="Stop watching").click()
    assert live_tracks(watching, "#watch-video") == 0
    expect(watching.locator("#watch-name")).to_have_text("Not watching")
    expect(lines(watching)).to_have_count(1)
    expect(watching.get_by_role("button", name=START)).to_be_focused()


def test_the_screen_stays_on_while_watching(page: Page) -> None:
    page.evaluate(
        """() => {
          window.locks = [];
          Object.defineProperty(navigator, "wakeLock", { value: { request: async (kind) => {
            window.locks.push(kind);
            return { release: async () => window.locks.push("released") };
          } } });
        }"""
    )
    page.get_by_role("link", name="Watch").click()
    page.get_by_role("button", name=START).click()
    page.get_by_role("button", name="Stop watching").click()
    page.wait_for_function("() => window.locks.length === 2")
    assert page.evaluate("window.locks") == ["screen", "released"]


def test_leaving_the_view_lets_go_of_the_camera(watching: Page) -> None:
    expect(watching.get_by_role("button", name="Stop watching")).to_be_visible()
    watching.get_by_role("link", name="Photos").click()
    expect(watching.locator("#watch-view")).to_be_hidden()
    assert live_tracks(watching, "#watch-video") == 0


def test_the_log_is_saved_and_cleared(watching: Page, tmp_path: Path) -> None:
    expect(lines(watching)).to_have_count(2, timeout=30_000)
    watching.get_by_role("button", name="Stop watching").click()
    with watching.expect_download() as download:
        watching.locator("#log-csv").click()
    download.value.save_as(tmp_path / "log.csv")
    text = (tmp_path / "log.csv").read_bytes().decode("utf-8-sig")
    found = list(csv.DictReader(io.StringIO(text)))
    assert sorted(row["label"] for row in found) == ["clean", "dirty"]
    assert [row["photo"] for row in found] == ["new dish", "new dish"]
    assert found[0]["time"] < found[1]["time"]
    watching.locator("#log-clear").click()
    expect(lines(watching)).to_have_count(0)
    expect(watching.locator("#log-empty")).to_be_visible()


def test_a_camera_that_is_allowed_is_watched_from_the_start(
    camera: Browser, service: Service
) -> None:
    with visit(camera, service.url, "/#watch", permissions=["camera"]) as page:
        expect(page.get_by_role("button", name="Stop watching")).to_be_visible()
        expect(lines(page)).to_have_count(1, timeout=20_000)


def test_a_service_that_goes_away_while_watching(camera: Browser) -> None:
    with Service() as passing, visit(camera, passing.url, "/#watch") as page:
        page.get_by_role("button", name="Settings").click()
        expect(page.locator("#offline-state")).to_contain_text("Ready", timeout=30_000)
        page.keyboard.press("Escape")
        expect(lines(page)).not_to_have_count(0, timeout=20_000)
        passing.stop()
        expect(page.locator("#status")).to_have_text("On this device", timeout=20_000)
        before = lines(page).count()
        expect(lines(page)).to_have_count(before + 2, timeout=60_000)
        passing.start()
        expect(page.locator("#status")).to_have_text("Connected", timeout=20_000)
        before = lines(page).count()
        expect(lines(page)).to_have_count(before + 1, timeout=30_000)


# Cameras that cannot be used; Chromium's fake one works too well for that.
FAILS = """(name) => {
  navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException("no", name));
}"""


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NotAllowedError", "This page is not allowed to use the camera."),
        ("NotFoundError", "No camera found."),
        ("NotReadableError", "The camera did not start."),
    ],
)
def test_a_camera_that_cannot_be_used(page: Page, name: str, message: str) -> None:
    page.evaluate(FAILS, name)
    page.get_by_role("button", name="Take a photo").click()
    dialog = page.get_by_role("dialog", name="Take a photo")
    expect(dialog.get_by_role("status")).to_contain_text(message)
    expect(dialog.get_by_role("button", name="Take photo")).to_be_hidden()
    instead = dialog.get_by_role("button", name="Choose a photo instead")
    expect(instead).to_be_focused()
    with page.expect_file_chooser() as chooser:
        instead.click()
    chooser.value.set_files([photo("a.jpg", jpeg(dish(0)))])  # type: ignore[list-item]
    assert answered(page) == "Clean"

    page.get_by_role("link", name="Watch").click()
    page.get_by_role("button", name=START).click()
    expect(page.locator("#watch-name")).to_contain_text(message)
    expect(page.locator("#announcer")).to_contain_text(message)
    expect(page.get_by_role("button", name=START)).to_be_visible()


def test_a_page_that_may_not_use_the_camera_takes_the_phones(page: Page) -> None:
    page.evaluate("Object.defineProperty(window, 'isSecureContext', { value: false })")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Take a photo").click()
    assert chooser.value.element.get_attribute("capture") == "environment"
    page.get_by_role("link", name="Watch").click()
    page.get_by_role("button", name=START).click()
    expect(page.locator("#watch-name")).to_contain_text("only over HTTPS")


def test_a_camera_that_is_taken_away(watching: Page) -> None:
    expect(lines(watching)).to_have_count(1, timeout=20_000)
    watching.locator("#watch-video").evaluate(
        "(video) => video.srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))"
    )
    expect(watching.locator("#watch-name")).to_have_text("The camera was disconnected.")
    assert live_tracks(watching, "#watch-video") == 0


def test_one_of_several_cameras_is_chosen_and_remembered(launch: Launch, service: Service) -> None:
    several = launch(
        "--use-fake-device-for-media-stream=device-count=3", "--use-fake-ui-for-media-stream"
    )
    with visit(several, service.url) as page:
        page.get_by_role("button", name="Take a photo").click()
        choice = page.get_by_role("dialog").get_by_label("Camera")
        expect(choice).to_be_visible()
        ids = choice.locator("option").evaluate_all("(options) => options.map((o) => o.value)")
        assert len(ids) == 3
        first, second, _ = ids
        choice.select_option(second)
        expect(page.get_by_role("button", name="Take photo")).to_be_enabled()
        used = "(video) => video.srcObject.getVideoTracks()[0].getSettings().deviceId"
        assert page.locator("#camera-video").evaluate(used) == second
        page.keyboard.press("Escape")
        page.get_by_role("link", name="Watch").click()
        page.get_by_role("button", name=START).click()
        expect(page.locator("#watch-camera")).to_have_value(second)

        page.evaluate("localStorage.setItem('platecheck.camera', 'one that is gone')")
        page.get_by_role("button", name="Stop watching").click()
        page.get_by_role("button", name=START).click()
        expect(page.locator("#watch-camera")).to_have_value(first)


MOTION = """async ({ frames }) => {
  const { MotionDetector } = await import("/page/motion.js");
  const { greyThumbnail } = await import("/page/thumbnail.js");
  const motion = new MotionDetector();
  const events = [];
  for (const [text, label] of frames) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const bitmap = await createImageBitmap(new Blob([bytes]));
    events.push([motion.update(greyThumbnail(bitmap), { label }), motion.changed]);
  }
  return events;
}"""


def steps(page: Page, frames: list[tuple[bytes, str]]) -> list[tuple[str | None, bool]]:
    """What the watcher makes of frames and their answers: the event, and whether it is changing."""
    given = [[base64.b64encode(frame).decode(), label] for frame, label in frames]
    return [tuple(step) for step in page.evaluate(MOTION, {"frames": given})]


def test_an_answer_counts_when_two_in_a_row_agree(page: Page) -> None:
    same = jpeg(dish(0))
    labels = ["clean", "dirty", "clean", "clean", "dirty", "clean", "dirty", "dirty"]
    events = [event for event, _ in steps(page, [(same, label) for label in labels])]
    assert events == [None, None, None, "new dish", None, None, None, "new label"]


def test_a_dish_that_comes_to_rest_is_a_new_one(page: Page) -> None:
    first, moving, second = jpeg(dish(0)), jpeg(dish(6)), jpeg(dish(2))
    frames = [(first, "clean")] * 3 + [(moving, "dirty")] + [(second, "clean")] * 3
    assert steps(page, frames) == [
        (None, True),
        ("new dish", False),
        (None, False),
        (None, True),  # what is shown no longer holds
        (None, True),
        (None, True),
        ("new dish", False),
    ]


def test_a_hand_that_passes_by_and_a_lamp_are_no_new_dish(page: Page) -> None:
    plate, hand = jpeg(dish(0)), jpeg(dish(7))
    lamp = jpeg(darker(dish(0), 0.7))
    frames = [plate, plate, hand, plate, plate, lamp, lamp, plate]
    events = [event for event, _ in steps(page, [(frame, "clean") for frame in frames])]
    assert events == [None, "new dish", None, None, None, None, None, None]


def test_a_tone_for_each_kind_of_answer_if_wanted(page: Page) -> None:
    page.evaluate(
        """() => {
          window.tones = [];
          const Real = OscillatorNode;
          window.OscillatorNode = class extends Real {
            constructor(context, options) {
              super(context, options);
              window.tones.push(options.frequency);
            }
          };
        }"""
    )
    for number in (0, 1):
        choose(page, photo(f"{number}.jpg", jpeg(dish(number))))
        expect(verdict(page)).to_have_text(("Clean", "Dirty")[number])
    assert page.evaluate("window.tones") == []  # off unless it is wanted
    page.get_by_role("button", name="Settings").click()
    page.get_by_label("Sound for each result").check()
    page.keyboard.press("Escape")
    assert page.evaluate("window.tones.splice(0)") == [660, 990]
    for number in (0, 1):
        choose(page, photo(f"{number}.jpg", jpeg(dish(number))))
        expect(verdict(page)).to_have_text(("Clean", "Dirty")[number])
    assert page.evaluate("window.tones") == [660, 990, 220, 220]
