"""What the tests of the page ask a browser."""

from __future__ import annotations

from typing import Any


def violations(page: Any, within: str | None = None) -> list[dict[str, Any]]:
    """The rules of accessibility that a page breaks, or the part of a selector, as axe finds them: rule and elements."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=within).response["violations"]
    return [{"rule": rule["id"], "elements": [node["html"][:200] for node in rule["nodes"]]} for rule in found]
