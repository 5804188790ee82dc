"""A browser's visit to the page, watched for everything that a page must not do."""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

# Chromium's own words for an answer such as 503, and for none, which the page deals with; for plain
# HTTP, where a header says nothing; Playwright's for a service worker that a test does not let in.
EXPECTED = (
    "Failed to load resource",
    "The Cross-Origin-Opener-Policy header has been ignored",
    "Service Worker registration blocked by Playwright",
)
DESKTOP = {"width": 1280, "height": 860}
PHONE = {"width": 360, "height": 740}

File = Mapping[str, Any]
Launch = Callable[..., Browser]
Screenshot = Callable[..., None]


@contextmanager
def visit(browser: Browser, url: str, path: str = "/", **options: Any) -> Iterator[Page]:
    """The page, in a browser that knows nothing yet, until the service was found (or not).

    At the end: nothing outside the service was asked, no script failed, and the policy of the page
    was not broken.
    """
    options = {"viewport": DESKTOP, "locale": "en-GB", **options}
    with browser.new_context(**options) as context:
        complaints = watch(context, url)
        page = context.new_page()
        page.goto(url + path)
        expect(page.locator("#status")).not_to_have_attribute("data-status", "connecting")
        yield page
        assert not complaints, complaints


def watch(context: BrowserContext, url: str) -> list[str]:
    """What is wrong from now on with all pages of a context."""
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
        [event, [[f["name"], f["mimeType"], _base64(f["buffer"])] for f in files]],
    )


def uploads(page: Page) -> Callable[[], list[bytes]]:
    """From now on, the files that the page sends; Playwright itself does not see them."""
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
    """The answer in large letters."""
    return page.locator("#verdict-name")


def answered(page: Page) -> str:
    """The answer in large letters, once it is there."""
    expect(page.locator("#predicted-by")).not_to_be_empty(timeout=30_000)
    return verdict(page).inner_text()


def rows(page: Page) -> list[list[str]]:
    """Name, answer and confidence of the table's rows, in their order."""
    return page.locator("#session-rows tr").evaluate_all(
        """(lines) => lines.map((line) => [
          line.querySelector(".name").textContent,
          line.querySelector("td:nth-child(2)").innerText.replaceAll("\\n", " ").trim(),
          line.querySelector(".number").textContent,
        ])"""
    )


def groups(page: Page) -> dict[str, int]:
    """The counts beside the answers."""
    found: Iterable[list[str]] = page.locator("#session-groups button").evaluate_all(
        """(chips) => chips.map((chip) => {
          const count = chip.querySelector(".count").textContent;
          return [chip.textContent.slice(0, -count.length), count];
        })"""
    )
    return {name: int(count) for name, count in found}


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
