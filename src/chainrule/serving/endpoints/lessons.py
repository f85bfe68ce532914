"""The lessons, with the numbers of a model that is served. Each is computed once, when it is first asked for."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.html import html_reply

routes = router()


@routes.head("/lessons", include_in_schema=False)
@routes.get("/lessons", include_in_schema=False)
async def without_slash(request: Request) -> Response:
    """To the list of lessons, whose links are relative."""
    query = request.url.query
    return RedirectResponse(f"lessons/?{query}" if query else "lessons/")


@routes.head("/lessons/", include_in_schema=False)
@routes.get("/lessons/", response_class=HTMLResponse)
async def index(request: Request, model: str | None = None) -> Response:
    """The list of lessons, for a browser."""
    return html_reply(await service_of(request).in_thread(request.app.state.lessons.index, model))


@routes.head("/lessons/{file}", include_in_schema=False)
@routes.get("/lessons/{file}", response_class=HTMLResponse)
async def lesson(file: str, request: Request, model: str | None = None) -> Response:
    """A lesson, for a browser."""
    return html_reply(await request.app.state.lessons.page(file, model, request))
