"""Make what the repository has of pages: docs/page.png, and the data of three pages for tests, in tests/pages/data/.

Needs the small model, playwright and a chromium.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import chainrule

ROOT = Path(__file__).resolve().parent.parent
TEXT, OTHER = "It is raining. I need an umbrella.", "It is raining. I need a umbrella."
STRANGE = (
    'Emoji 👩‍👩‍👧 🌧️, עברית and العربية, <b onclick="alert(1)">bold</b> </script><script>alert(2)</script>\n\ttab & "quotes"'
)
SCREEN = {"width": 1040, "height": 1400}


def picture(page: chainrule.Page) -> None:
    """The top of a page, as a browser shows it."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.html"
        page.write(file)
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        shown = browser.new_page(viewport=SCREEN, color_scheme="light")
        shown.goto(file.as_uri())
        shown.wait_for_selector("html[data-ready]")
        shown.locator('[data-panel="text"] [role="option"]').nth(8).click()
        shown.mouse.move(0, 0)
        first, last = (shown.locator(f'[data-panel="{name}"]').bounding_box() for name in ("text", "grid"))
        clip = {"x": 0, "y": first["y"] - 8, "width": SCREEN["width"], "height": last["y"] + last["height"] - first["y"] + 16}
        shown.screenshot(path=ROOT / "docs" / "page.png", clip=clip)
        browser.close()


def main() -> None:
    lm = chainrule.load("smollm2-135m")
    pages = {
        "short": lm.page(TEXT, compare=OTHER),
        "story": lm.page("Once upon a time", max_tokens=4),  # greedy and best part
        "strange": lm.page(STRANGE),
    }
    for name, page in pages.items():
        data = json.dumps(page.to_dict(), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        (ROOT / "tests" / "pages" / "data" / f"{name}.json").write_text(data + "\n", encoding="utf-8")
    picture(pages["short"])


if __name__ == "__main__":
    main()
