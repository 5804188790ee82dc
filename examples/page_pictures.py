"""Take the screenshots of the page in docs/images: ``python examples/page_pictures.py``.

Every dish in them is rendered.
"""

import io
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/browser"))

from conftest import FLAGS, chromium  # noqa: E402
from page_fixtures.camera import CAMERA, show  # noqa: E402
from page_fixtures.dishes import (  # noqa: E402
    NO_DISH_FROM_AFAR,
    UNSURE_FROM_AFAR,
    dish,
    far_dish,
    jpeg,
)
from page_fixtures.service import Service  # noqa: E402
from page_fixtures.visits import PHONE, answered, choose, photo, visit  # noqa: E402

IMAGES = ROOT / "docs/images"
DESKTOP = {"width": 1280, "height": 800}


def main() -> None:
    """Take all of them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = chromium(playwright.chromium)
        browser = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        options = (f"--feedback=sqlite:///{folder}/f.db",)
        with Service() as service, Service(*options) as keeping:
            for take in (answer, unsure, batch, dark, phone, watch):
                take(browser, service.url)
            feedback(browser, keeping.url)


@contextmanager
def picture(browser: Browser, url: str, name: str, **options: object) -> Iterator[Page]:
    """Open the page, and save docs/images/NAME.jpg at the end."""
    with visit(browser, url, **{"viewport": DESKTOP, **options}) as page:
        yield page
        taken = page.screenshot(animations="disabled")
    with Image.open(io.BytesIO(taken)) as image:
        image.convert("RGB").save(IMAGES / f"{name}.jpg", quality=90, subsampling="4:4:4")


def classify_sample(page: Page, name: str) -> None:
    """Choose a rendered dish of samples/."""
    choose(page, photo(f"{name}.jpg", (ROOT / f"samples/{name}.jpg").read_bytes()))
    answered(page)


def answer(browser: Browser, url: str) -> None:
    """Show a dirty dish on a desktop."""
    with picture(browser, url, "page-answer") as page:
        classify_sample(page, "dirty-sauce-on-wood")


def unsure(browser: Browser, url: str) -> None:
    """Show a dish that is too far away, and advice."""
    viewport = {"width": 1280, "height": 860}
    with picture(browser, url, "page-unsure", viewport=viewport) as page:
        choose(page, photo("from-afar.jpg", jpeg(far_dish(UNSURE_FROM_AFAR))))
        answered(page)
        expect(page.locator("#advice-trying")).to_be_hidden()


def batch(browser: Browser, url: str) -> None:
    """Show 200 photos."""
    with picture(browser, url, "page-batch") as page:
        files = [jpeg(dish(number)) for number in range(24)] * 9
        files[3], files[5] = jpeg(far_dish(UNSURE_FROM_AFAR)), jpeg(far_dish(NO_DISH_FROM_AFAR))
        files[6] = files[6][:900]
        choose(page, *(photo(f"IMG_{2041 + i}.jpg", file) for i, file in enumerate(files[:200])))
        expect(page.locator("#progress-text")).to_contain_text("checked", timeout=90_000)


def dark(browser: Browser, url: str) -> None:
    """Show a dirty dish in dark mode."""
    with picture(browser, url, "page-dark", color_scheme="dark") as page:
        classify_sample(page, "dirty-mustard-on-cloth")


def phone(browser: Browser, url: str) -> None:
    """Show a clean dish on a phone."""
    with picture(browser, url, "page-phone", viewport=PHONE, device_scale_factor=1.5) as page:
        classify_sample(page, "clean-patterned-rim-on-cloth")


def feedback(browser: Browser, url: str) -> None:
    """Show the feedback form, filled in."""
    with picture(browser, url, "page-feedback", viewport={**PHONE, "height": 1560}) as page:
        classify_sample(page, "dirty-crumbs-on-stone")
        page.locator("#feedback-title").click()
        page.get_by_label("Dirty", exact=True).check()
        page.get_by_label("I agree").check()


def watch(browser: Browser, url: str) -> None:
    """Show a camera that has seen four dishes."""
    with picture(browser, url, "page-watch", script=CAMERA) as page:
        page.get_by_role("link", name="Watch").click()
        for number in range(4):
            show(page, number)
            if number == 0:
                page.get_by_role("button", name="Start watching").click()
            expect(page.locator("#log-lines li")).to_have_count(number + 1, timeout=60_000)
        expect(page.locator("#watch-map")).to_be_visible()


if __name__ == "__main__":
    main()
