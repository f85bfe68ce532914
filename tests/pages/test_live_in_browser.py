"""The page of a server in a browser: a text is typed and computed, and everything comes from this server."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import violations
from served import serving

import chainrule
from chainrule import LanguageModel
from chainrule.serving import sections
from chainrule.serving.limits import Limits

MARKUP = '</script><img src="x" onerror="document.title = 1">🙂 שלום'
DONE = re.compile(r"The page shows the text: \d+ factors\.")


@pytest.fixture(scope="module")
def model(tiny_folder: Path) -> LanguageModel:
    """A model of these tests alone, since a server keeps prefixes."""
    return chainrule.load(tiny_folder)


@pytest.fixture(scope="module")
def address(model: LanguageModel) -> Iterator[str]:
    """A server without a key."""
    with serving({"tiny": model}, Limits(page_tokens=100)) as address:
        yield address


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a server's page. The test fails on errors in its console, and on requests to anybody else."""
    faults: list[str] = []
    contexts = []

    def visited(address: str, refused: tuple[str, ...] = (), **options: Any) -> Any:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        expected = [f"Failed to load resource: {each}" for each in refused]  # the browser logs replies that are errors
        page.on(
            "console",
            lambda said: (
                faults.append(said.text)
                if said.type in ("error", "warning") and not any(each in said.text for each in expected)
                else None
            ),
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda asked: faults.append(asked.url) if not asked.url.startswith((address, "data:")) else None)
        page.goto(address)
        page.wait_for_selector("html[data-ready]", timeout=20_000)
        return page

    yield visited
    for context in contexts:
        context.close()
    assert not faults, faults


def form_of(page: Any) -> Any:
    """The form; a panel may have buttons of the same names."""
    return page.locator("#live")


def compute(page: Any, text: str) -> str:
    """Compute a text, and wait for the end. Returns what the status says."""
    form_of(page).get_by_label("Text", exact=True).fill(text)
    form_of(page).get_by_role("button", name="Compute").click()
    page.wait_for_selector("#live form button:has-text('Stop')", state="hidden", timeout=30_000)
    return page.locator("#live [role=status]").inner_text()


def says(page: Any, words: str) -> None:
    """Wait until the status has these words."""
    page.locator("#live [role=status]", has_text=words).wait_for(timeout=30_000)


def test_a_text_is_computed_and_shown(visit: Callable[..., Any], address: str, model: LanguageModel):
    page = visit(address)
    assert form_of(page).get_by_label("Text", exact=True).input_value() == "It is raining. I need an umbrella."
    said = compute(page, "It is dark.")
    assert DONE.fullmatch(said)
    assert said == f"The page shows the text: {len(model.score('It is dark.'))} factors."
    assert page.locator("#page > header .note").inner_text() == "tiny · float32"  # as it is served
    for name in ("text", "grid"):
        assert "dark" in page.locator(f"[data-panel={name}]").inner_text()
    for panel in page.locator("[data-panel]").all():
        assert "has been computed yet" not in panel.inner_text()
        assert "is being computed" not in panel.inner_text()


def test_panels_ask_for_more(visit: Callable[..., Any], address: str):
    page = visit(address)
    compute(page, "It is dark.")
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda asked: bodies.append(asked.post_data_json) if asked.method == "POST" else None)
    panel = page.locator("#what-if")
    panel.get_by_label("the text is").fill("x")
    panel.get_by_role("button", name="Compute").click()
    panel.locator(".summary", has_text="becomes x").wait_for()
    assert [(body["section"], body["text"], body["change"]["token"]) for body in bodies] == [("variant", "It is dark.", "x")]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_live_page_is_accessible_and_fits_a_small_screen(visit: Callable[..., Any], address: str, scheme: str):
    page = visit(address, color_scheme=scheme, viewport={"width": 320, "height": 800})
    assert violations(page) == []
    form_of(page).get_by_text("Context, start symbol").click()
    compute(page, "It is dark.")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 320


def test_the_keyboard_computes_a_pair_after_a_context(visit: Callable[..., Any], address: str):
    page = visit(address)
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda asked: bodies.append(asked.post_data_json) if asked.method == "POST" else None)
    form_of(page).get_by_label("Another text").fill("It is dark.")
    form_of(page).get_by_text("Context, start symbol").click()
    form_of(page).get_by_label("Context:").fill("Well. ")
    form_of(page).get_by_label("Start symbol").select_option("given")
    form_of(page).get_by_label("Tokens to continue by").fill("3")
    form_of(page).get_by_label("Text", exact=True).focus()
    page.keyboard.press("Control+Enter")
    says(page, "The page shows")
    own = {"text": "It is raining. I need an umbrella.", "context": "Well. ", "start": "given"}
    assert bodies == [
        own | {"section": "text"},
        own | {"section": "comparison", "compare": "It is dark."},
        own | {"section": "variants"},
        own | {"section": "growths", "max_tokens": 3},
    ]


def test_markup_is_shown_as_text(visit: Callable[..., Any], address: str):
    page = visit(address)
    assert DONE.fullmatch(compute(page, MARKUP))
    assert page.title() == "chainrule"
    assert page.locator("img").count() == 0


def test_errors_are_shown_in_words_and_the_text_before_remains(visit: Callable[..., Any], address: str):
    page = visit(address, refused=("the server responded with a status of 413",))
    compute(page, "It is dark.")
    shown = page.locator("[data-panel=text]").inner_text()
    said = compute(page, "a" * 101)
    assert said == "Text has 101 tokens, with its context, and a page shows at most 100: shorten it."
    assert page.locator("[data-panel=text]").inner_text() == shown
    form_of(page).get_by_label("Another text").fill("b" * 101)
    said = compute(page, "It is new.")  # the other parts are computed
    assert said == "Compare has 101 tokens, with its context, and a page shows at most 100: shorten it."
    assert "being computed" not in page.locator("#page").inner_text()


def test_a_second_text_takes_the_place_of_the_first(
    visit: Callable[..., Any], address: str, model: LanguageModel, monkeypatch: pytest.MonkeyPatch
):
    asked, go_on = threading.Event(), threading.Event()
    score = sections.text_section

    def slow(lm: LanguageModel, own: Any, **more: Any) -> Any:
        if own.text == "slow":
            asked.set()
            go_on.wait(30)
        return score(lm, own, **more)

    monkeypatch.setattr(sections, "text_section", slow)
    page = visit(address)
    bodies: list[dict[str, Any]] = []
    page.on("request", lambda asked: bodies.append(asked.post_data_json) if asked.method == "POST" else None)
    form_of(page).get_by_label("Text", exact=True).fill("slow")
    form_of(page).get_by_role("button", name="Compute").click()
    assert asked.wait(30)
    form_of(page).get_by_role("button", name="Stop").click()
    says(page, "Stopped.")
    form_of(page).get_by_role("button", name="Compute").click()
    form_of(page).get_by_label("Text", exact=True).fill("quick")
    form_of(page).get_by_role("button", name="Compute").click()
    go_on.set()
    says(page, "The page shows")
    assert page.locator("#live [role=status]").inner_text() == f"The page shows the text: {len(model.score('quick'))} factors."
    assert [body["section"] for body in bodies if body["text"] == "slow"] == ["text", "text"]


def test_a_key_gives_the_names_of_the_models(visit: Callable[..., Any], model: LanguageModel):
    with serving({"one": model, "two": model}, api_key="secret") as address:
        page = visit(address, refused=("the server responded with a status of 401",))
        assert form_of(page).get_by_label("Model").is_hidden()
        assert compute(page, "It is dark.") == "The key is wrong or missing: write it in the form."
        form_of(page).get_by_label("Key of the server").fill("secret")
        form_of(page).get_by_label("Key of the server").press("Tab")
        form_of(page).get_by_label("Model").select_option("two")
        assert DONE.fullmatch(compute(page, "It is dark."))
        page.reload()
        form_of(page).get_by_label("Model").select_option("two")  # the tab keeps the key
        assert "chainrule lessons writes them" in page.locator("#live").inner_text()


def test_lessons_are_of_the_chosen_model(visit: Callable[..., Any], model: LanguageModel):
    with serving({"one": model, "two": model}) as address:
        page = visit(address)
        form_of(page).get_by_label("Model").select_option("two")
        form_of(page).get_by_role("link", name="Lessons").click()
        page.wait_for_url("**/lessons/?model=two")
        page.locator("a[href*=model]").first.click()
        page.wait_for_url("**.html?model=two")
        page.wait_for_selector("html[data-ready]")


def test_a_server_that_has_stopped(visit: Callable[..., Any], model: LanguageModel):
    with serving({"tiny": model}) as address:
        page = visit(address, refused=("net::ERR_INTERNET_DISCONNECTED",))
        page.context.set_offline(True)
        assert compute(page, "x") == "The server does not answer. Is chainrule serve still running?"
