"""What one request may take, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True)
class Limits:
    """Limits of a server; a request beyond one is refused with a status of HTTP that says which."""

    body: int = 4 * MEBIBYTE  # bytes of a request (413)
    bodies: int = 256 * MEBIBYTE  # bytes of all requests that have come and are not answered (429)
    tokens: int = 65_536  # of all its texts together, with those to generate (413)
    page_tokens: int = 2_000  # of a text that the page shows, with its context (413)
    logprobs: int = 250_000  # log probabilities in its reply (413)
    waiting: int = 512  # requests that wait for the model (429, with the seconds after which to try again)
    seconds: float = 600.0  # from the request to the reply (504); a client that sends its request slower gets 408
    connections: int = 4096  # open at a time; further ones are closed at once
    prefix_memory: int = 1 << 30  # bytes for prefixes that successive requests share
