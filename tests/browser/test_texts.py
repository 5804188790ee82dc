"""The texts: complete, the same in every language, rightly declined."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import answered, choose, photo, visit
from playwright.sync_api import Browser, Page, expect

from platecheck.serving.static import PAGE

TEXTS = "import('/page/texts.js').then(({ TEXTS }) => TEXTS)"


@pytest.fixture(scope="module")
def page(browser: Browser, service: Service) -> Iterator[Page]:
    with visit(browser, service.url) as page:
        yield page


@pytest.fixture(scope="module")
def texts(page: Page) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = page.evaluate(TEXTS)
    return found


def test_both_languages_have_the_same_texts(texts: dict[str, dict[str, Any]]) -> None:
    assert list(texts) == ["en", "uk"]
    assert list(texts["en"]) == list(texts["uk"])


def test_both_languages_fill_in_the_same_values(texts: dict[str, dict[str, Any]]) -> None:
    def values(text: Any) -> set[str]:
        forms = [text] if isinstance(text, str) else list(text.values())
        found = {frozenset(re.findall(r"{(\w+)}", form)) for form in forms}
        assert len(found) == 1, forms
        return set(found.pop())

    for key, english in texts["en"].items():
        assert values(english) == values(texts["uk"][key]), key


def test_every_plural_form_that_a_language_has_is_there(
    page: Page, texts: dict[str, dict[str, Any]]
) -> None:
    for tag, by_key in texts.items():
        forms = page.evaluate(
            "(tag) => new Intl.PluralRules(tag).resolvedOptions().pluralCategories", tag
        )
        plurals = [text for text in by_key.values() if not isinstance(text, str)]
        assert plurals
        for text in plurals:
            assert set(text) == set(forms)


def test_every_text_that_is_used_is_there_and_every_one_is_used(
    texts: dict[str, dict[str, Any]],
) -> None:
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    in_html = set(re.findall(r'data-t(?:-label|-title)?="(\w+)"', html))
    assert in_html <= set(texts["en"])
    sources = [path for path in PAGE.glob("*.js") if path.name != "texts.js"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    direct = set(re.findall(r'\bt\(\s*"(\w+)"', code))
    assert direct <= set(texts["en"])
    # Others are chosen by a name that stands in a table.
    reasons = (PAGE / "texts.js").read_text(encoding="utf-8").partition("REASONS")[2]
    named = set(re.findall(r'"(\w+)"', code + reasons))
    assert set(texts["en"]) <= in_html | direct | named | {"languageName"}


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "Є відповідь на 1 знімок"),
        (3, "Є відповідь на 3 знімки"),
        (5, "Є відповідь на 5 знімків"),
        (11, "Є відповідь на 11 знімків"),
        (21, "Є відповідь на 21 знімок"),
        (1200, "Є відповідь на 1\u00a0200 знімків"),
    ],
)
def test_ukrainian_plural_forms(page: Page, count: int, text: str) -> None:
    said = page.evaluate(
        """async (count) => {
          const { setLanguage, t } = await import("/page/language.js");
          setLanguage("uk");
          const text = t("progressDone", { count });
          setLanguage("en");
          return text;
        }""",
        count,
    )
    assert said == text


@pytest.mark.parametrize(
    ("probability", "english", "ukrainian", "needed"),
    [
        (0.62, "62%", "62%", "62%"),
        (0.6199, "61%", "61%", "62%"),
        (0.29, "29%", "29%", "29%"),
        (0.9899, "98%", "98%", "99%"),
        (0.9949, "99.4%", "99,4%", "100%"),
        (0.99951, "over 99.9%", "понад 99,9%", "100%"),
        (0.0049, "0.4%", "0,4%", "1%"),
        (0.0002, "under 0.1%", "менше 0,1%", "1%"),
    ],
)
def test_percentages_never_promise_more_than_there_is(
    page: Page, probability: float, english: str, ukrainian: str, needed: str
) -> None:
    said = page.evaluate(
        """async (probability) => {
          const { setLanguage, percent, formatThreshold } = await import("/page/language.js");
          setLanguage("uk");
          const ukrainian = percent(probability);
          setLanguage("en");
          return [percent(probability), ukrainian, formatThreshold(probability)];
        }""",
        probability,
    )
    assert said == [english, ukrainian, needed]


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.991, "almost certain"),
        (0.95, "very likely"),
        (0.7, "probably"),
        (0.55, "more likely than not"),
        (0.4, "the most likely of several"),
    ],
)
def test_how_sure_in_words(page: Page, probability: float, words: str) -> None:
    script = "(p) => import('/page/labels.js').then(({ likelihoodPhrase }) => likelihoodPhrase(p))"
    assert page.evaluate(script, probability) == words


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [
        ("uk-UA", "uk", "Чи чистий цей посуд?"),
        ("en-GB", "en", "Is this dish clean?"),
        ("fr-FR", "en", "Is this dish clean?"),
    ],
)
def test_the_browsers_language_is_used(
    browser: Browser, service: Service, locale: str, language: str, title: str
) -> None:
    with visit(browser, service.url, locale=locale) as page:
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("h1").first).to_have_text(title)


def test_the_language_is_switched_everywhere_and_remembered(
    browser: Browser, service: Service
) -> None:
    with visit(browser, service.url) as page:
        choose(page, photo("a.jpg", jpeg(dish(1))))
        assert answered(page) == "Dirty"
        choose(page, photo("b.jpg", jpeg(dish(0))), photo("c.jpg", b"no"))
        expect(page.locator("#progress-text")).to_have_text("1 photo checked, 1 failed")
        page.get_by_role("button", name="Show a.jpg").click()
        answered(page)
        page.get_by_role("button", name="Settings").click()
        page.get_by_label("Language").select_option("uk")
        page.get_by_role("button", name="Закрити").click()
        expect(page.locator("html")).to_have_attribute("lang", "uk")
        expect(page.locator("#verdict-name")).to_have_text("Брудно")
        expect(page.locator("#predicted-by")).to_have_text("Відповів сервіс")
        expect(page.locator("#progress-text")).to_have_text(
            "Є відповідь на 1 знімок, 1 без відповіді"
        )
        for _ in range(2):
            visible = page.locator("body").inner_text()
            left = set(re.findall(r"[A-Za-z]{2,}", visible))
            assert left <= {"platecheck", "CSV", "jpg"}, left
            names = page.locator("[aria-label]").evaluate_all(
                "(all) => all.map((element) => element.getAttribute('aria-label'))"
            )
            left = set(re.findall(r"[A-Za-z]{2,}", " ".join(names)))
            assert left <= {"jpg"}, left
            page.reload()
            expect(page.locator("h1").first).to_have_text("Чи чистий цей посуд?")
            page.get_by_role("link", name="Спостереження").click()


def test_a_model_with_other_classes_shows_them_as_they_are(
    browser: Browser, write_model: Any, tmp_path: Any
) -> None:
    model = write_model(tmp_path / "cups.onnx", classes=("cup", "чаша", "a <b>jug</b>"))
    with Service("--model", str(model)) as other, visit(browser, other.url) as page:
        choose(page, photo("a.jpg", jpeg(dish(1)[:, :, :] // 8 * 8)))
        name = answered(page)
        assert name in ("cup", "чаша", "a <b>jug</b>")
        expect(page.locator("#verdict")).to_have_attribute("data-kind", "other")
        bars = page.locator("#bars-list .bar-name").all_inner_texts()
        assert bars == ["cup", "чаша", "a <b>jug</b>"]
        expect(page.locator("#map")).to_be_hidden()
        expect(page.locator("#bars-mark")).to_be_hidden()
