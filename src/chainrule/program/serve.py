"""chainrule serve: the command."""

# Heavy imports are inside functions, after the arguments have been parsed.

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from typer import Argument, Option

from chainrule.cli.app import command
from chainrule.cli.model_names import complete_model
from chainrule.cli.options import ModelOptions
from chainrule.cli.output import note
from chainrule.errors import InputError, require, short

if TYPE_CHECKING:
    from chainrule.language import LanguageModel
    from chainrule.serving.limits import Limits

_MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class LimitOptions:
    """What one request may take, and how many may wait."""

    panel: ClassVar = "Limits"
    max_request_tokens: Annotated[
        int, Option(min=1, metavar="N", help="The most tokens of one request, with those to generate (413).")
    ] = 65_536
    max_body: Annotated[int, Option(min=1, metavar="MB", help="The largest body of a request, in mebibytes (413).")] = 4
    max_waiting: Annotated[int, Option(min=1, metavar="N", help="The most requests that wait for the model (429).")] = 512
    timeout: Annotated[float, Option(min=1, metavar="SECONDS", help="The longest time from a request to its reply (504).")] = (
        600
    )
    prefix_memory: Annotated[
        int, Option(min=0, metavar="MB", help="Memory of each model for prefixes that requests share, in mebibytes; 0: none.")
    ] = 1024

    def limits(self) -> Limits:
        """As the server takes them."""
        from chainrule.serving.limits import Limits

        return Limits(
            body=self.max_body * _MEBIBYTE,
            tokens=self.max_request_tokens,
            waiting=self.max_waiting,
            seconds=self.timeout,
            prefix_memory=self.prefix_memory * _MEBIBYTE,
        )


@command("Score texts", omit=["model"])
def serve(
    *,
    name: Annotated[
        str | None, Argument(metavar="MODEL", autocompletion=complete_model, help="The model. Default: smollm2-135m.")
    ] = None,
    models: Annotated[
        list[str] | None,
        Option("--model", "-m", metavar="MODEL", help="A further model; NAME=MODEL gives the name that requests use."),
    ] = None,
    host: Annotated[
        str, Option(metavar="ADDRESS", help="The address to listen on. Default: this machine alone.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65_535, metavar="PORT", help="The port; 0: any that is free.")] = 8000,
    api_key: Annotated[
        str | None,
        Option(
            metavar="KEY",
            envvar="CHAINRULE_API_KEY",
            help="The key that clients must send. The variable CHAINRULE_API_KEY keeps it out of lists of processes.",
        ),
    ] = None,
    cors: Annotated[
        list[str] | None, Option(metavar="ORIGIN", help="Let web pages of this origin use the server; *: of all.")
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        Option(
            metavar="NAME", help="Answer under this name, too, such as that of a proxy, where this machine alone is served."
        ),
    ] = None,
    log_requests: Annotated[bool, Option("--log-requests", help="Write a line for each request to standard error.")] = False,
    limits: LimitOptions,
    model: ModelOptions,
) -> None:
    """Answer scoring clients over HTTP. The server speaks to clients of OpenAI, vLLM, SGLang and llama.cpp, and to
    lm-evaluation-harness; requests that come together share their prefixes. SIGTERM and Ctrl-C finish the requests in hand."""
    require("serve", "chainrule serve", InputError)
    if api_key is not None and not api_key.strip():
        raise InputError("--api-key is empty: give a key, or leave it out")
    allowed, named = limits.limits(), _names([*([name] if name is not None or not models else []), *(models or [])])
    from chainrule.serving.server import address_of, is_open, listening_socket

    options = {served: replace(model, model=path) for served, path in named.items()}
    for each in options.values():
        each.check()
    bound = listening_socket(host, port)
    hosts = None if is_open(bound) or api_key is not None or "*" in (cors or ()) else _hosts(allow_host, cors)
    _show_log()
    try:
        if is_open(bound) and api_key is None:
            note("chainrule: warning: other machines can reach the server, and need no key; --api-key sets one")
        loaded: dict[str, LanguageModel] = {}
        for served, each in options.items():
            loaded[served] = each.load()
        from chainrule.serving.app import create_app
        from chainrule.serving.server import server_of

        app = create_app(loaded, limits=allowed, api_key=api_key, origins=cors or (), hosts=hosts, log_requests=log_requests)
        address = address_of(bound)
        ready = f"chainrule: serving {', '.join(loaded)} at {address}\nchainrule: the page for a browser is {address}/"
        server = server_of(app, allowed.connections, lambda: note(ready))
        try:
            server.run([bound])
        except KeyboardInterrupt:
            note("chainrule: stopped")
    finally:
        bound.close()


def _hosts(allowed: list[str] | None, origins: list[str] | None) -> list[str]:
    """The names that clients may call the server by: those that are allowed, and those of web pages that may use it."""
    from urllib.parse import urlsplit

    return [*(allowed or []), *(host for origin in origins or () if (host := urlsplit(origin).hostname))]


def _show_log() -> None:
    """Write what the server logs to standard error, also where that is no terminal."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("chainrule: %(message)s"))
    for name, level in (("chainrule.serving", logging.INFO), ("uvicorn.error", logging.ERROR)):
        logger = logging.getLogger(name)
        logger.setLevel(level)
        logger.propagate = False
        logger.handlers = [handler]


def _names(given: list[str | None]) -> dict[str, str | None]:
    """The models by the names that requests use. Raises InputError for a name that is given twice, and for an empty one."""
    named: dict[str, str | None] = {}
    for each in given:
        name, model = _name(each)
        if name in named:
            raise InputError(f"two models have the name {name}: give one of them another, as in --model other={model}")
        named[name] = model
    return named


def _name(given: str | None) -> tuple[str, str | None]:
    """The name and the model of NAME=MODEL. Without a name: that of the folder or file, or the model's own."""
    from chainrule.models.packaged import DEFAULT

    if given is None:
        return DEFAULT, None
    name, equals, model = given.partition("=")
    if equals and "/" not in name and not Path(given).exists():
        if not name or not model:
            raise InputError(f"--model takes a model, or NAME=MODEL, not {short(given)}")
        return name, model
    path = Path(given)
    if path.exists():
        return (path.resolve().stem if path.is_file() else path.resolve().name) or given, given
    return given, given
