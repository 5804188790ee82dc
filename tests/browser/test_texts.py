"""The texts of both pages: complete, the same in every language, correctly inflected."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from page_fixtures.dishes import dish, jpeg
from page_fixtures.service import Service
from page_fixtures.visits import answered, choose, photo, visit
from playwright.sync_api import Browser, Page, expect

from platecheck.serving.static import WEB


@pytest.fixture(scope="module")
def page(browser: Browser, service: Service) -> Iterator[Page]:
    with visit(browser, service.url) as page:
        yield page


def forms(text: Any) -> list[str]:
    """Return the plural forms of a text, or its only form."""
    return [text] if isinstance(text, str) else list(text.values())


@pytest.mark.parametrize("name", ["page", "review"])
def test_texts_languages_have_the_same_keys_values_and_plural_forms(page: Page, name: str) -> None:
    source = read(WEB / name / "texts.js")
    url = f"/page/texts.js?{name}"
    page.route(f"**{url}", lambda route: route.fulfill(path=WEB / name / "texts.js"))
    texts = page.evaluate("(url) => import(url).then(({ TEXTS }) => TEXTS)", url)
    assert list(texts) == ["en", "uk"]
    assert list(texts["en"]) == list(texts["uk"])
    for key in texts["en"]:
        both = [*forms(texts["en"][key]), *forms(texts["uk"][key])]
        assert len({frozenset(re.findall(r"{(\w+)}", form)) for form in both}) == 1, key
    for tag, by_key in texts.items():
        categories = page.evaluate(
            "(tag) => new Intl.PluralRules(tag).resolvedOptions().pluralCategories", tag
        )
        for text in by_key.values():
            assert isinstance(text, str) or set(text) == set(categories), text
    in_html = set(re.findall(r'data-t(?:-label|-title)?="(\w+)"', read(WEB / name / "index.html")))
    assert in_html <= set(texts["en"])
    folders = (WEB / name, WEB / "shared")
    sources = [p for folder in folders for p in folder.glob("*.js") if p.name != "texts.js"]
    code = "\n".join(map(read, sources))
    # Others are chosen by a name that stands in a table.
    named = set(re.findall(r'"(\w+)"', code + source.partition("REASONS")[2]))
    assert set(texts["en"]) <= in_html | named | {"languageName"}
    if name == "page":
        assert set(re.findall(r'\bt\(\s*"(\w+)"', code)) <= set(texts["en"])


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (1, "Є відповідь на 1 знімок"),
        (3, "Є відповідь на 3 знімки"),
        (11, "Є відповідь на 11 знімків"),
        (21, "Є відповідь на 21 знімок"),
        (1200, "Є відповідь на 1\u00a0200 знімків"),
    ],
)
def test_t_ukrainian_count_selects_the_plural_form(page: Page, count: int, text: str) -> None:
    script = """async (count) => {
      const { setLanguage, t } = await import("/page/language.js");
      setLanguage("uk");
      const text = t("progressDone", { count });
      setLanguage("en");
      return text;
    }"""
    assert page.evaluate(script, count) == text


@pytest.mark.parametrize(
    ("probability", "english", "ukrainian", "threshold"),
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
def test_percent_rounds_down_and_thresholds_up(
    page: Page, probability: float, english: str, ukrainian: str, threshold: str
) -> None:
    script = """async (probability) => {
      const { setLanguage, percent, formatThreshold } = await import("/page/language.js");
      setLanguage("uk");
      const ukrainian = percent(probability);
      setLanguage("en");
      return [percent(probability), ukrainian, formatThreshold(probability)];
    }"""
    assert page.evaluate(script, probability) == [english, ukrainian, threshold]


def test_likelihood_phrase_follows_the_bands(page: Page) -> None:
    script = """(probabilities) => import("/page/labels.js").then(({ likelihoodPhrase }) =>
      probabilities.map(likelihoodPhrase))"""
    assert page.evaluate(script, [0.991, 0.95, 0.7, 0.55, 0.4]) == [
        "almost certain",
        "very likely",
        "probably",
        "more likely than not",
        "the most likely of several",
    ]


@pytest.mark.parametrize(
    ("locale", "language", "title"),
    [("uk-UA", "uk", "Чи чистий посуд?"), ("fr-FR", "en", "Are the dishes clean?")],
)
def test_language_of_the_browser_is_used(
    browser: Browser, service: Service, locale: str, language: str, title: str
) -> None:
    with visit(browser, service.url, locale=locale) as page:
        expect(page.locator("html")).to_have_attribute("lang", language)
        expect(page.locator("h1").first).to_have_text(title)


def test_language_is_switched_everywhere_and_remembered(browser: Browser, service: Service) -> None:
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
            expect(page.locator("h1").first).to_have_text("Чи чистий посуд?")
            page.get_by_role("link", name="Спостереження").click()


def test_classes_of_other_models_are_shown_as_they_are(
    browser: Browser, write_model: Any, tmp_path: Path
) -> None:
    classes = ("cup", "чаша", "a <b>jug</b>")
    model = write_model(tmp_path / "cups.onnx", classes=classes)
    with Service("--model", str(model)) as other, visit(browser, other.url) as page:
        choose(page, photo("a.jpg", jpeg(dish(1))))
        assert answered(page) in classes
        expect(page.locator("#verdict")).to_have_attribute("data-kind", "other")
        assert page.locator("#bars-list .bar-name").all_inner_texts() == list(classes)
        expect(page.locator("#map")).to_be_hidden()
        expect(page.locator("#bars-mark")).to_be_hidden()
