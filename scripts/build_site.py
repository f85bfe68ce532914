"""Build the documentation into site/ and check it: links and anchors have targets, and pages load nothing from other hosts.

python scripts/build_site.py            # make docs
python scripts/build_site.py --check    # check the existing site
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
LOADS = {"script": ("src",), "img": ("src", "srcset"), "iframe": ("src",), "source": ("src", "srcset"), "video": ("src",)}
STAYS = {"canonical", "next", "prev", "search", "index", "author", "license"}  # <link> elements that load nothing


class Page(HTMLParser):
    """The links, anchors and loaded resources of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if name in values}
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        elif tag == "link" and values.get("rel") not in STAYS:
            self.loads.append(values.get("href", ""))
        self.loads += [values[name] for name in LOADS.get(tag, ()) if values.get(name)]


def build() -> None:
    """Run Sphinx. Raises SystemExit at any warning, such as a broken link."""
    shutil.rmtree(SITE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", scratch]
        done = subprocess.run([*command, str(ROOT / "docs"), str(SITE)], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit("the documentation was not built: see the warnings above")


def problems(site: Path) -> Iterator[str]:
    """Broken links of the built pages, and resources that they would load from other hosts."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} has no pages: run make docs"
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        yield from (f"{name}: loads {target}" for target in page.loads if elsewhere(target))
        for link in {*page.links, *page.loads}:
            if not elsewhere(link) and not leads_somewhere(path, link, pages):
                yield f"{name}: {link} is a broken link"
    for style in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        targets = re.findall(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)", style.read_text(encoding="utf-8"))
        yield from (f"{style.relative_to(site)}: loads {target}" for target in targets)


def elsewhere(target: str) -> bool:
    """Whether a link is to another host, or to none (mailto:, data:)."""
    parts = urlsplit(target)
    return bool(parts.netloc) or parts.scheme not in ("", "file")


def leads_somewhere(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether the target file exists and, if it is a page, has the anchor."""
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target in pages:
        return unquote(parts.fragment) in pages[target].anchors
    return target.exists()


def main() -> None:
    if "--check" not in sys.argv:
        build()
    if lines := list(problems(SITE)):
        raise SystemExit("\n".join(lines))
    print(f"{SITE / 'index.html'}: {len(list(SITE.rglob('*.html')))} pages, no broken links")


if __name__ == "__main__":
    main()
