"""The page of the chain rule: how large it is, how long it takes to make and to draw, and how smoothly 1,000 tokens scroll.

python benchmarks/page.py [--tokens 10 200 1000] [--model smollm2-135m] [--output FILE]

Needs playwright and a chromium. The page scrolls by a wheel for some seconds, from its top to its end; a frame is the time
between two calls of requestAnimationFrame. A browser without a window draws by the processor alone.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import machine
from playwright.sync_api import Browser, sync_playwright
from texts import book

import chainrule

SCREEN = {"width": 1280, "height": 800}
STEP, EVERY = 120, 0.016  # pixels of one turn of the wheel, and the seconds between two
LATE = 1000 / 60 * 1.5  # milliseconds: a frame that took longer left one out
RECORD = """() => { window.frames_ = []; let last = null;
  const next = (t) => { if (last !== null) window.frames_.push(t - last); last = t; requestAnimationFrame(next); };
  requestAnimationFrame(next); }"""


def text_of(lm: chainrule.LanguageModel, tokens: int) -> str:
    """The beginning of a book, of about this number of tokens."""
    text = book()
    score = lm.score(text[: 8 * tokens])
    spans = score.spans
    return text[: spans.char_spans[min(tokens, len(score)) - 1][1]] if spans else text[: 4 * tokens]


def scrolled(browser: Browser, file: Path) -> dict[str, float]:
    """How long the page takes to be ready, and the frames while it scrolls from its top to its end."""
    page = browser.new_page(viewport=SCREEN)
    began = time.perf_counter()
    page.goto(file.as_uri())
    page.wait_for_selector("html[data-ready]")
    ready = time.perf_counter() - began
    page.mouse.move(SCREEN["width"] / 2, SCREEN["height"] / 2)
    page.wait_for_timeout(500)
    height = page.evaluate("document.documentElement.scrollHeight")
    page.evaluate(RECORD)
    for _ in range(min(400, int(height / STEP) + 1)):
        page.mouse.wheel(0, STEP)
        time.sleep(EVERY)
    frames = page.evaluate("window.frames_")
    page.close()
    return {
        "ready_s": round(ready, 3),
        "height_px": height,
        "frames": len(frames),
        "median_ms": round(statistics.median(frames), 2),
        "p99_ms": round(sorted(frames)[int(len(frames) * 0.99)], 2),
        "late_share": round(sum(frame > LATE for frame in frames) / len(frames), 4),
    }


def measure(lm: chainrule.LanguageModel, browser: Browser, tokens: int, folder: Path) -> dict[str, Any]:
    """One page: its size, and the times."""
    text = text_of(lm, tokens)
    began = time.perf_counter()
    page = lm.page(text)
    made = time.perf_counter() - began
    file = folder / f"{tokens}.html"
    page.write(file)
    return {"tokens": len(lm.score(text)), "bytes": file.stat().st_size, "made_s": round(made, 2)} | scrolled(browser, file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, nargs="+", default=[10, 200, 1000])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    lm = chainrule.load(arguments.model)
    lm.page("A warm-up.")
    results = []
    path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for tokens in arguments.tokens:
            results.append(measure(lm, browser, tokens, Path(folder)))
            print(json.dumps(results[-1]), flush=True)
        browser.close()
    if arguments.output:
        arguments.output.write_text(json.dumps({"machine": machine.describe(), "pages": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
