"""The page of a text, live: the page itself at /, and its sections, which are computed when it asks for them."""

from __future__ import annotations

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from chainrule.errors import InputError
from chainrule.serving.endpoints.route import router, service_of
from chainrule.serving.errors import ApiError
from chainrule.serving.html import NO_GUESSES, html_reply
from chainrule.serving.requests.page import PageBody
from chainrule.serving.sections import section_of
from chainrule.serving.served import ServedModel
from chainrule.serving.service import Service
from chainrule.serving.shell import shell
from chainrule.serving.wire import json_reply
from chainrule.text.reading import Reading

routes = router()


@routes.head("/", include_in_schema=False)
@routes.get("/", response_class=HTMLResponse)
async def page(request: Request) -> Response:
    """The page, for a browser. It has no numbers yet, so it needs no key; the names of models need one."""
    service = service_of(request)
    closed = request.app.state.closed
    return html_reply(await service.in_thread(shell, () if closed else tuple(service.models), closed), live=True)


@routes.post("/page")
async def section(body: PageBody, request: Request) -> Response:
    """One section of the page of a text: its factors, what-ifs, continuations, or another text beside it."""
    service = service_of(request)
    served = service.model(body.model)
    tokens = await service.in_thread(_tokens, service, served, body)
    grown = body.max_tokens if body.section == "growths" else 0
    service.check_tokens(tokens + grown, "text")
    data = await service.call(served, lambda check: section_of(served, body, check), tokens + grown, request)
    return await service.in_thread(json_reply, data, headers=NO_GUESSES)


def _tokens(service: Service, served: ServedModel, body: PageBody) -> int:
    """The number of tokens of all texts, each with the context. Raises ApiError for a text of more than a page shows."""
    most, total = service.limits.page_tokens, 0
    for param, text in (("text", body.text), ("compare", body.compare)):
        if text is None:
            continue
        try:
            [asked] = served.requests([text], [body.context], Reading.of("text"))
        except InputError as error:
            named = f"{param}: {error.reason}" if param == "compare" else error.reason
            raise service.visible(InputError(named)) from None
        tokens = len(asked.context_ids) + len(asked.ids)
        total += tokens
        if tokens > most:
            message = f"{param} has {tokens} tokens, with its context, and a page shows at most {most}: shorten it"
            raise ApiError(413, message, param=param, code="too_many_tokens")
    return total
