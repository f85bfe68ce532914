"""Servers for tests: on a free port of this machine, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from chainrule import LanguageModel
from chainrule.serving.app import create_app
from chainrule.serving.limits import Limits
from chainrule.serving.server import address_of, listening_socket, server_of


@contextmanager
def serving(models: dict[str, LanguageModel], limits: Limits | None = None, **options: Any) -> Iterator[str]:
    """A server of these models, which has started. Gives its address."""
    app, bound, started = create_app(models, limits=limits, **options), listening_socket("127.0.0.1", 0), threading.Event()
    server = server_of(app, (limits or Limits()).connections, started.set)
    thread = threading.Thread(target=server.run, args=([bound],))
    thread.start()
    try:
        assert started.wait(30), "the server did not start"
        yield address_of(bound)
    finally:
        server.should_exit = True
        thread.join(60)
        bound.close()
