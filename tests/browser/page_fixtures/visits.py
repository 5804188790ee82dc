"""Visits to the page, checked for everything that a page must not do."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

# Chromium's messages for an error status and for no response, which the page handles; for a header
# that has no effect over plain HTTP; Playwright's for a service worker that a test blocks.
EXPECTED = (
    "Failed to load resource",
    "The Cross-Origin-Opener-Policy header has been ignored",
    "Service Worker registration blocked by Playwright",
)
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}
OTHER_HOST = "kitchen.test"  # the service's, besides 127.0.0.1
POLL = 4_000  # milliseconds between the page's checks whether the service is back

LOOKS: tuple[tuple[str, str, Literal["light", "dark"]], ...] = (
    ("en", "desktop", "light"),
    ("uk", "desktop", "dark"),
    ("en", "phone", "dark"),
    ("uk", "phone", "light"),
)

File = Mapping[str, Any]
Launch = Callable[..., Browser]
Screenshot = Callable[..., None]


@contextmanager
def visit(
    browser: Browser,
    url: str,
    path: str = "/",
    *,
    offline: bool = False,
    script: str = "",
    **options: Any,
) -> Iterator[Page]:
    """Open the page in a new browser context, and wait until it is connected.

    At the end: only the service was asked, no script failed, and the page's policy was not broken.

    Args:
        browser: to open it in.
        url: of the service.
        path: of the page.
        offline: whether a service worker may save the page and the model.
        script: runs before the page's own.
        options: of the context.
    """
    workers = "allow" if offline else "block"
    with browser.new_context(
        **{"viewport": DESKTOP, "locale": "en-GB", "service_workers": workers, **options}
    ) as context:
        complaints = record_complaints(context, url)
        context.clock.install()
        page = context.new_page()
        if script:
            page.add_init_script(script)
        page.goto(url + path)
        expect(page.locator("#status")).not_to_have_attribute("data-status", "connecting")
        if offline:
            keep_model(page)
        yield page
        assert not complaints, complaints


def record_complaints(context: BrowserContext, url: str) -> list[str]:
    """Return a list that collects what is wrong from now on with all pages of a context."""
    complaints: list[str] = []
    own = urlsplit(url).netloc

    def on_request(address: str) -> None:
        parts = urlsplit(address)
        if parts.scheme not in ("data", "blob") and parts.netloc != own:
            complaints.append(f"asked {address}")

    def on_console(kind: str, text: str) -> None:
        if kind in ("error", "warning") and not text.startswith(EXPECTED):
            complaints.append(text)

    context.on("request", lambda request: on_request(request.url))
    context.on("console", lambda message: on_console(message.type, message.text))
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    return complaints


def keep_model(page: Page) -> None:
    """Wait until the model is on the device."""
    page.locator("#open-settings").click()
    expect(page.locator("#offline-state")).to_have_text(
        "Ready: this page also works when the service is unreachable.", timeout=30_000
    )
    page.keyboard.press("Escape")


def requests(page: Page, part: str = "/v1/inspect") -> list[str]:
    """Return a list that collects the URLs with this part that are requested from now on."""
    found: list[str] = []
    page.on("request", lambda request: found.append(request.url) if part in request.url else None)
    return found


def set_language(page: Page, language: str) -> None:
    page.evaluate(
        "(to) => import('/page/language.js').then(({ setLanguage }) => setLanguage(to))", language
    )


def cached(page: Page) -> list[str]:
    """Return the paths that the service worker has cached."""
    paths: list[str] = page.evaluate(
        """async () => {
          const cache = await caches.open((await caches.keys())[0]);
          return (await cache.keys()).map(({ url }) => new URL(url).pathname);
        }"""
    )
    return paths


def looks(page: Page) -> Iterator[str]:
    """Show the page in both languages, on both screens, in both color schemes."""
    for language, screen, scheme in LOOKS:
        set_language(page, language)
        page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        page.set_viewport_size(PHONE if screen == "phone" else DESKTOP)  # type: ignore[arg-type]
        yield f"{screen}-{scheme}-{language}"


def check_accessibility(page: Page) -> None:
    """Check the page with axe, and that nothing but the row of filters is wider than the screen."""
    wide = page.evaluate(
        """() => [...document.querySelectorAll("html, body *")].filter((element) => {
          const { right, width } = element.getBoundingClientRect();
          return width > 1 && right > innerWidth + 1 && !element.closest("svg, .chips");
        }).map((element) => element.outerHTML.slice(0, 80))"""
    )
    assert wide == []
    found = Axe().run(page).response["violations"]
    assert found == [], [(each["id"], each["nodes"][0]["html"]) for each in found]


def photo(name: str, content: bytes, kind: str = "image/jpeg") -> dict[str, Any]:
    """A file to give to the page."""
    return {"name": name, "mimeType": kind, "buffer": content}


def choose(page: Page, *files: File) -> None:
    """Choose photos, as the button and the system's dialog do."""
    page.locator("#files").set_input_files(list(files))  # type: ignore[arg-type]


def give(page: Page, event: str, *files: File) -> None:
    """Drop files on the page, or paste them (``event``)."""
    page.evaluate(
        """([event, files]) => {
          const transfer = new DataTransfer();
          for (const [name, type, text] of files) {
            const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
            transfer.items.add(new File([bytes], name, { type }));
          }
          const options = { bubbles: true, cancelable: true };
          const made = event === "paste"
            ? new ClipboardEvent("paste", { ...options, clipboardData: transfer })
            : new DragEvent(event, { ...options, dataTransfer: transfer });
          document.body.dispatchEvent(made);
        }""",
        [event, [[f["name"], f["mimeType"], encode(f["buffer"])] for f in files]],
    )


def uploads(page: Page) -> Callable[[], list[bytes]]:
    """Return a function that returns the files sent from now on; Playwright does not see them."""
    page.evaluate(
        """() => {
          window.sent = [];
          const append = FormData.prototype.append;
          FormData.prototype.append = function (name, blob, ...more) {
            window.sent.push(blob);
            return append.call(this, name, blob, ...more);
          };
        }"""
    )

    def sent() -> list[bytes]:
        texts = page.evaluate(
            """() => Promise.all(window.sent.map((blob) => new Promise((resolve) => {
              const reader = new FileReader();
              reader.onload = () => resolve(reader.result.split(",")[1]);
              reader.readAsDataURL(blob);
            })))"""
        )
        return [base64.b64decode(text) for text in texts]

    return sent


def verdict(page: Page) -> Locator:
    """The result in large letters."""
    return page.locator("#verdict-name")


def answered(page: Page) -> str:
    """Wait for a result and return it."""
    expect(page.locator("#predicted-by")).not_to_be_empty(timeout=30_000)
    return verdict(page).inner_text()


def progress(page: Page, text: str) -> None:
    """Wait until the page says how far it is."""
    expect(page.locator("#progress-text")).to_have_text(text, timeout=60_000)


def rows(page: Page) -> list[list[str]]:
    """Return name, result and confidence of the table's rows."""
    return page.locator("#session-rows tr").evaluate_all(
        """(lines) => lines.map((line) => [
          line.querySelector(".name").textContent,
          line.querySelector("td:nth-child(2)").innerText.replaceAll("\\n", " ").trim(),
          line.querySelector(".number").textContent,
        ])"""
    )


def groups(page: Page) -> dict[str, int]:
    """Return the counts on the filter buttons."""
    found: Iterable[list[str]] = page.locator("#session-groups button").evaluate_all(
        """(chips) => chips.map((chip) => {
          const count = chip.querySelector(".count").textContent;
          return [chip.textContent.slice(0, -count.length), count];
        })"""
    )
    return {name: int(count) for name, count in found}


def encode(content: bytes) -> str:
    return base64.b64encode(content).decode()
