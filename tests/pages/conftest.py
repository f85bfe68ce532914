"""Pages in a browser: Debian's chromium, driven by Playwright. Tests that need it are skipped where there is none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chainrule.pages.document import document

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser without a window. While it is open, this thread has a running event loop, which other modules must not meet."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chrome")
    if path is None:
        pytest.skip("there is no chromium: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Open a page: its data, or its HTML. The test fails if the page logs an error or makes a request."""
    faults: list[str] = []
    contexts = []

    def opened(page_of: dict[str, Any] | str, **options: Any) -> Any:
        html = page_of if isinstance(page_of, str) else document(page_of, title="A page")
        path = tmp_path / f"page{len(contexts)}.html"
        path.write_text(html, "utf-8")
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request", lambda request: faults.append(request.url) if not request.url.startswith(("file:", "data:")) else None
        )
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", timeout=20_000)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not faults, faults


@pytest.fixture
def data_of() -> Callable[[str], dict[str, Any]]:
    """The data of a page, which a test may change: "short" or "strange"."""
    return lambda name: json.loads((DATA / f"{name}.json").read_text("utf-8"))
