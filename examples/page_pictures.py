"""``python examples/page_pictures.py``: the pictures of the page in docs/images, by Chromium.

Every dish in them is rendered. What they need is what the tests of the page have.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/browser"))

from conftest import FLAGS, chromium  # noqa: E402
from page_fixtures.dishes import (  # noqa: E402
    NO_DISH_FROM_AFAR,
    UNSURE_FROM_AFAR,
    dish,
    far_dish,
    jpeg,
    video,
)
from page_fixtures.service import Service  # noqa: E402
from page_fixtures.visits import PHONE, answered, choose, photo, visit  # noqa: E402

IMAGES = ROOT / "docs/images"
DESKTOP = {"width": 1280, "height": 800}


def main() -> None:
    """Make all of them."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        options = (f"--feedback=sqlite:///{name}/f.db",)
        with Service() as service, Service(*options) as keeping:
            browser = start(playwright)
            for make in (answer, unsure, batch, dark, phone):
                make(browser, service.url)
            feedback(browser, keeping.url)
            watch(start(playwright, *camera(folder)), service.url)


def start(playwright: Playwright, *flags: str) -> Browser:
    """A Chromium."""
    path = chromium(playwright.chromium)
    return playwright.chromium.launch(executable_path=path, args=[*FLAGS, *flags])


def camera(folder: Path) -> tuple[str, ...]:
    """A camera that sees one dish after the other."""
    file = folder / "dishes.y4m"
    file.write_bytes(video([(dish(number, size=480), 4) for number in range(4)]))
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={file}",
    )


@contextmanager
def picture(browser: Browser, url: str, name: str, **options: object) -> Iterator[Page]:
    """A page that is kept as docs/images/NAME.jpg as it is at the end."""
    with visit(browser, url, **{"viewport": DESKTOP, **options}) as page:
        yield page
        taken = page.screenshot(animations="disabled")
    with Image.open(io.BytesIO(taken)) as image:
        image.convert("RGB").save(IMAGES / f"{name}.jpg", quality=90, subsampling="4:4:4")


def sample(name: str) -> dict[str, object]:
    """A rendered dish of samples/."""
    return photo(f"{name}.jpg", (ROOT / f"samples/{name}.jpg").read_bytes())


def answer(browser: Browser, url: str) -> None:
    """A dirty dish on a screen."""
    with picture(browser, url, "page-answer") as page:
        choose(page, sample("dirty-sauce-on-wood"))
        answered(page)


def unsure(browser: Browser, url: str) -> None:
    """A dish that is too far away, and advice."""
    viewport = {"width": 1280, "height": 860}
    with picture(browser, url, "page-unsure", viewport=viewport) as page:
        choose(page, photo("from-afar.jpg", jpeg(far_dish(UNSURE_FROM_AFAR))))
        answered(page)
        expect(page.locator("#advice-trying")).to_be_hidden()


def batch(browser: Browser, url: str) -> None:
    """200 photos."""
    with picture(browser, url, "page-batch") as page:
        files = [jpeg(dish(number)) for number in range(24)] * 9
        files[3], files[5] = jpeg(far_dish(UNSURE_FROM_AFAR)), jpeg(far_dish(NO_DISH_FROM_AFAR))
        files[6] = files[6][:900]
        choose(page, *(photo(f"IMG_{2041 + i}.jpg", file) for i, file in enumerate(files[:200])))
        expect(page.locator("#progress-text")).to_contain_text("checked", timeout=90_000)


def dark(browser: Browser, url: str) -> None:
    """A dirty dish in the dark."""
    with picture(browser, url, "page-dark", color_scheme="dark") as page:
        choose(page, sample("dirty-mustard-on-cloth"))
        answered(page)


def phone(browser: Browser, url: str) -> None:
    """A clean dish on a phone."""
    with picture(browser, url, "page-phone", viewport=PHONE, device_scale_factor=1.5) as page:
        choose(page, sample("clean-patterned-rim-on-cloth"))
        answered(page)


def feedback(browser: Browser, url: str) -> None:
    """What is right, and consent."""
    with picture(browser, url, "page-feedback", viewport={**PHONE, "height": 1560}) as page:
        choose(page, sample("dirty-crumbs-on-stone"))
        answered(page)
        page.locator("#feedback-title").click()
        page.get_by_label("Dirty", exact=True).check()
        page.get_by_label("I agree").check()


def watch(browser: Browser, url: str) -> None:
    """A camera, and its log."""
    with picture(browser, url, "page-watch") as page:
        page.get_by_role("link", name="Watch").click()
        page.get_by_role("button", name="Start watching").click()
        expect(page.locator("#log-lines li")).to_have_count(4, timeout=60_000)
        expect(page.locator("#watch-map")).to_be_visible()


if __name__ == "__main__":
    main()
