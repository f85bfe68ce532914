"""HTML on the wire, with headers that keep a page from being framed, guessed at, or kept by others."""

from __future__ import annotations

from starlette.responses import Response

from chainrule.pages.document import policy

NO_GUESSES = {"X-Content-Type-Options": "nosniff"}  # the type of a reply is what it says
_HEADERS = NO_GUESSES | {
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def html_reply(html: str, *, live: bool = False) -> Response:
    """A reply with this document. live: its scripts may send requests to this server, and to no other."""
    own = {"Content-Security-Policy": f"{policy(live)}; frame-ancestors 'none'"}
    return Response(html, 200, _HEADERS | own, "text/html; charset=utf-8")
