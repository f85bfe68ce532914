"""Build the documentation into site/, and check it: links and anchors lead somewhere, and pages load nothing from elsewhere.

python scripts/build_site.py            # make docs
python scripts/build_site.py --check    # check the site that is there
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
    """The links, the anchors, and what is loaded of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors = {""}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.anchors |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") not in STAYS:
            self.loads.append(found.get("href", ""))
        self.loads += [found[name] for name in LOADS.get(tag, ()) if found.get(name)]


def build() -> None:
    """Run Sphinx; a warning, such as a link to nowhere, is an error. Raises SystemExit."""
    shutil.rmtree(SITE, ignore_errors=True)
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "--doctree-dir", scratch]
        done = subprocess.run([*command, str(ROOT / "docs"), str(SITE)], cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit("the documentation was not built: see the warnings above")


def problems(site: Path) -> Iterator[str]:
    """Links of the built pages that lead nowhere, and what they would load from another host."""
    pages = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        yield f"{site} holds no pages: run make docs"
    for path, page in pages.items():
        name = path.relative_to(site.resolve())
        yield from (f"{name}: loads {target}" for target in page.loads if elsewhere(target))
        for link in {*page.links, *page.loads}:
            if not elsewhere(link) and not leads_somewhere(path, link, pages):
                yield f"{name}: {link} leads nowhere"
    for style in sorted([*site.rglob("*.css"), *site.rglob("*.svg")]):
        found = re.findall(r"url\(\s*[\"']?((?:https?:)?//[^)\"']+)", style.read_text(encoding="utf-8"))
        yield from (f"{style.relative_to(site)}: loads {target}" for target in found)


def elsewhere(target: str) -> bool:
    """Whether a link leads to another host, or to none (mailto:, data:)."""
    parts = urlsplit(target)
    return bool(parts.netloc) or parts.scheme not in ("", "file")


def leads_somewhere(path: Path, link: str, pages: dict[Path, Page]) -> bool:
    """Whether there is such a file, with such an anchor where it is a page."""
    parts = urlsplit(link)
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if target in pages:
        return unquote(parts.fragment) in pages[target].anchors
    return target.exists()


def main() -> None:
    if "--check" not in sys.argv:
        build()
    if found := list(problems(SITE)):
        raise SystemExit("\n".join(found))
    print(f"{SITE / 'index.html'}: {len(list(SITE.rglob('*.html')))} pages, every link leads somewhere")


if __name__ == "__main__":
    main()
