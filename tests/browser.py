"""What tests of pages ask a browser."""

from __future__ import annotations

from typing import Any


def violations(page: Any, within: str | None = None) -> list[str]:
    """What axe-core finds wrong with the accessibility of a page, or of a part of it: rule, and the elements."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, context=within).response["violations"]
    return [f"{each['id']}: {each['help']}: {[node['html'][:120] for node in each['nodes'][:3]]}" for each in found]
