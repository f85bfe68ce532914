"""The application: endpoints, errors and middleware around a service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from chainrule.language import LanguageModel
from chainrule.serving.endpoints import about, chat, completions, lessons, logprobs, page, score, tokens
from chainrule.serving.errors import ErrorReply, reply_to_api_error, reply_to_invalid_request, reply_to_unknown_error
from chainrule.serving.guard import Guard
from chainrule.serving.lessons import Lessons
from chainrule.serving.limits import Limits
from chainrule.serving.served import ServedModel
from chainrule.serving.service import Service


def create_app(
    models: dict[str, LanguageModel],
    *,
    limits: Limits | None = None,
    api_key: str | None = None,
    origins: Sequence[str] = (),
    hosts: Sequence[str] | None = None,
    log_requests: bool = False,
) -> FastAPI:
    """An ASGI application that serves language models by their names; the first is the default.

    limits: of requests. api_key: the key that clients must send as a bearer token. origins: of web pages that may use the
    server (CORS); "*": all. hosts: the names, beside localhost and addresses, that clients may call the server by, which keeps
    out pages whose names lead to this machine (DNS rebinding); None: any name. log_requests: write a line for each to the log
    "chainrule.serving".
    Raises InputError for a model that cannot be served.
    """
    limits = limits or Limits()
    service = Service([ServedModel(name, lm) for name, lm in models.items()], limits)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            await asyncio.to_thread(service.close)

    guard = {"limits": limits, "metrics": service.metrics, "api_key": api_key, "log_requests": log_requests, "hosts": hosts}
    middleware = [Middleware(Guard, **guard)]
    if origins:
        allowed = {"allow_origins": list(origins), "allow_methods": ["*"], "allow_headers": ["*"]}
        middleware.insert(0, Middleware(CORSMiddleware, **allowed))
    app = FastAPI(
        title="chainrule",
        version=version("chainrule"),
        description="The exact probability of token sequences under neural language models.",
        lifespan=lifespan,
        middleware=middleware,
        docs_url=None,  # its page loads scripts of other servers
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            RequestValidationError: reply_to_invalid_request,
            HTTPException: reply_to_api_error,
            Exception: reply_to_unknown_error,
        },
    )
    app.state.service, app.state.lessons, app.state.closed = service, Lessons(service), api_key is not None
    for routes in (completions, chat, logprobs, score, tokens, page, lessons, about):
        app.include_router(routes.routes, responses={"default": {"model": ErrorReply, "description": "An error."}})
    return app
