"""``python -m experiments.feedback_loop FOLDER``: from wrong predictions to a better model.

Rendered dishes of a kind that the shipped model gets wrong go through the page, in Chromium, where
what is right is said of each; someone reviews them on the review page; and the commands of
docs/feedback.md make another model of them, compare it with the shipped one on other dishes of this
kind and on those of before, and put it in its place. Every command is printed as it is run.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, Page, expect, sync_playwright

from platecheck.data.folders import list_photos
from platecheck.data.render import write_dataset
from platecheck.feedback.store import open_store

KEYS = {"clean": "1", "dirty": "2"}
KIND = "splashed"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
PATIENCE = 60_000  # milliseconds

Labelled = tuple[Path, str]  # a photo and what is right of it


@dataclass(frozen=True)
class Plan:
    """What is done.

    Attributes:
        folder: where everything is written.
        recipe: to train.
        model: the shipped one that is to become better.
        said: photos that people say what is right of.
        tested: other photos of the kind, and of the other kinds, on which the models are compared.
        training: more options of ``platecheck train``.
        exporting: more options of ``platecheck export``.
        known: folder of photos that the model knew; they are put beside the new ones.
        before: more folders of photos that it knew, and options of ``compare`` for them.
    """

    folder: Path
    recipe: str = "plate"
    model: str = "plate"
    said: int = 120
    tested: int = 400
    training: Sequence[str] = ()
    exporting: Sequence[str] = ("--int8",)
    known: Path | None = None
    before: Sequence[tuple[Path, Sequence[str]]] = ()


@dataclass(frozen=True)
class Outcome:
    """What came of it.

    Attributes:
        collected: as ``platecheck data collect --json`` says.
        kind: as ``compare --json`` says, on other dishes of the kind.
        before: the same on photos of before, by folder.
        answers: of the service, by what was right and what was answered, on the kind's dishes:
            with the old model, and with the new one in its place.
    """

    collected: dict[str, Any]
    kind: dict[str, Any]
    before: dict[str, dict[str, Any]]
    answers: tuple[Counter[tuple[str, str]], Counter[tuple[str, str]]]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.feedback_loop")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--photos", type=int, default=120, help="that people say something of")
    parser.add_argument(
        "--data", type=Path, help="real photos: their train is learnt too, their test compared"
    )
    parser.add_argument("--precision", default="32-true", help="of platecheck train")
    options = parser.parse_args()
    before = [(options.data, ())] if options.data else []
    training = ("--precision", options.precision)
    known = options.data and options.data / "train"
    plan = Plan(options.folder, said=options.photos, training=training, known=known, before=before)
    print(table(run(plan)))


def run(plan: Plan) -> Outcome:
    """Do all of it."""
    plan.folder.mkdir(parents=True)
    shown, tests, others = (plan.folder / name for name in ("dishes", "tests", "others"))
    one = {"test": 1.0}
    write_dataset(shown, photos=plan.said, seed=11, kind=KIND, splits=one)
    # Other seeds than those on which fine-tuning was worked out.
    write_dataset(tests, photos=plan.tested, seed=101, kind=KIND, splits=one)
    write_dataset(others, photos=plan.tested, seed=102, splits=one)
    database = f"sqlite:///{plan.folder}/feedback.db"
    feedback = ("--feedback", database)
    with serving("serve", "--model", plan.model, *feedback, "--port", "0") as url:
        old = Counter(ask(url, labelled(tests)))
        with chromium() as browser:
            say_what_is_right(browser, url, labelled(shown))
    address = serving("review", database, "--port", "0")
    with address as url, chromium() as browser:
        # Of photos in which the page finds several dishes, it sends a cut-out.
        with closing(open_store(database)) as store:
            right = {each.photo: each.true_label for each in store.all()}
        review(browser, url, right)
    folder, trained = plan.folder / "new-dishes", plan.folder / "run"
    ours = plan.folder / "ours.onnx"
    collected = command("data", "collect", database, folder, "--json")
    if plan.known:
        print("$", shlex.join(["cp", "-r", str(plan.known), str(folder)]), flush=True)
        shutil.copytree(plan.known, folder / "train", dirs_exist_ok=True)
    start = ("--from", plan.model, "--out", trained, *plan.training)
    command("train", plan.recipe, "--data", folder, *start)
    command("export", trained, "-o", ours, *plan.exporting)
    kind = command("compare", plan.model, ours, "--data", tests, "--json")
    before = {
        str(data): command(
            *("compare", plan.model, ours, "--data", data, *more, "--margin", "0.05", "--json")
        )
        for data, more in ((others, ()), *plan.before)
    }
    model = plan.folder / "model.onnx"
    shutil.copy(ours, model)
    with serving("serve", "--model", str(model), "--port", "0") as url:
        new = Counter(ask(url, labelled(tests)))
    return Outcome(json.loads(collected), json.loads(kind), read(before), (old, new))


def read(answers: dict[str, str]) -> dict[str, dict[str, Any]]:
    """JSON of several commands."""
    return {name: json.loads(answer) for name, answer in answers.items()}


def command(*arguments: object) -> str:
    """Run platecheck and give what it prints; it may end with 1, which says no."""
    words = ["platecheck", *map(str, arguments)]
    print("$", shlex.join(words), flush=True)
    program = [sys.executable, "-m", *words]
    done = subprocess.run(program, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode > 1:
        raise SystemExit(f"{shlex.join(words)}: exit code {done.returncode}")
    return done.stdout


@contextmanager
def serving(*arguments: str) -> Iterator[str]:
    """A server in a process of its own; where it answers."""
    print("$", shlex.join(["platecheck", *arguments]), flush=True)
    with subprocess.Popen(
        [sys.executable, "-m", "platecheck", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
    ) as process:
        assert process.stdout
        found = re.search(r"http://[\w.:]+", process.stdout.readline())
        assert found, "it has not started"
        try:
            yield found[0]
        finally:
            process.terminate()


@contextmanager
def chromium() -> Iterator[Browser]:
    """The system's Chromium, else Playwright's."""
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def labelled(folder: Path) -> list[Labelled]:
    """All photos of a folder."""
    found = list_photos(folder)
    return [(photo.path, found.classes[photo.label]) for photo in found.photos]


def ask(url: str, photos: Sequence[Labelled]) -> Iterator[tuple[str, str]]:
    """What is right and what the service answers, photo by photo."""
    with httpx.Client(base_url=url, timeout=60) as client:
        for path, label in photos:
            answer = client.post("/v1/predict", content=path.read_bytes()).raise_for_status()
            yield label, answer.json()["photos"][0]["label"]


def say_what_is_right(browser: Browser, url: str, photos: Sequence[Labelled]) -> None:
    """Give each photo to the page, and say what is right of it."""
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(url)
        for number, (path, label) in enumerate(photos):
            page.locator("#files").set_input_files(path)
            expect(page.locator("#photo-name")).to_have_text(path.name)
            expect(page.locator("#predicted-by")).not_to_be_empty(timeout=PATIENCE)
            page.locator(f"#feedback-choices [data-label={label}]").click()
            if number == 0:  # asked once
                page.get_by_role("button", name="I agree").click()
            expect(page.locator("#feedback-message")).to_have_text("Thank you.", timeout=PATIENCE)


def review(browser: Browser, url: str, right: Mapping[str, str]) -> None:
    """Decide each photo on the review page with its key; `right` are labels by SHA-256."""
    with browser.new_context(locale="en-GB") as context:
        page = context.new_page()
        page.goto(url)
        page.get_by_role("textbox").fill("Ann")
        page.keyboard.press("Enter")
        for done in range(len(right)):
            expect(page.locator("#progress-text")).to_have_text(f"{done} of {len(right)}")
            page.keyboard.press(KEYS[right[shown(page)]])
        expect(page.locator("#done")).to_be_visible()


def shown(page: Page) -> str:
    """Hash of the photo that is to be decided."""
    address = page.locator("#photo-link").get_attribute("href") or ""
    found = re.search("[0-9a-f]{64}", address)
    assert found, address
    return found[0]


def table(found: Outcome) -> str:
    """As Markdown."""
    lines = ["| photos | before | after | difference | McNemar's p |", "|---|---|---|---|---|"]
    kinds = {f"other {KIND} dishes": found.kind, **found.before}
    for name, each in kinds.items():
        low, high = each["difference_ci95"]
        before, after = (each["both"] + each[only] for only in ("only_a", "only_b"))
        lines.append(
            f"| {Path(name).name} | {before}/{each['photos']} | {after}/{each['photos']} |"
            f" {each['difference']:+.1%} ({low:+.1%} to {high:+.1%}) | {each['p_value']:.2g} |"
        )
    lines += ["", "| right | answered | before | after |", "|---|---|---|---|"]
    old, new = found.answers
    for right, answer in sorted(old.keys() | new.keys()):
        lines.append(f"| {right} | {answer} | {old[right, answer]} | {new[right, answer]} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
