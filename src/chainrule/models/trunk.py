"""The trunk of a network of transformers: which part it is, how long a text it takes, and an output given in its place.

Shapes: B texts, T places, H width of a hidden state.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from contextvars import ContextVar
from functools import wraps
from types import SimpleNamespace
from typing import Any, TypeVar

from torch import Tensor, nn

from chainrule.ops.sealed import with_variable

T = TypeVar("T")

_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")


def trunk_of(lm: Any) -> Any:
    """What runs below the head; `lm` itself where nothing can be told apart."""
    if lm.base_model is not lm:
        return lm.base_model
    # A prefix that names nothing (Llama 4's text model): the part that has a forward of its own and holds the embeddings.
    table = lm.get_input_embeddings()
    parts = [part for part in lm.children() if any(m is table for m in part.modules()) and part is not table]
    return parts[0] if len(parts) == 1 else lm


def takes(part: nn.Module) -> Collection[str]:
    """What a module's forward takes; nothing where that cannot be told (TorchScript)."""
    try:
        return inspect.signature(type(part).forward).parameters
    except (AttributeError, ValueError, TypeError):
        return ()


def reserved_positions(trunk: nn.Module, table: Any, longest: int | None) -> int:
    """How many rows of a table of positions are never used: those up to the padding's, where it has one (RoBERTa)."""
    found = {
        m.padding_idx + 1
        for m in trunk.modules()
        if type(m) is nn.Embedding and m is not table and m.num_embeddings == longest and m.padding_idx is not None
    }
    return max(found, default=0)


def longest_context(config: Any) -> int | None:
    """The most embeddings that the positions of a model are made for; None where the config names no bound.

    With LongRoPE a text longer than the original context turns every position another way, those of its beginning too: the
    factors of a prefix would depend on what follows. Up to the original context it is causal.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    long = [r for r in (rope, *rope.values()) if isinstance(r, dict) and r.get("rope_type") == "longrope"]
    bounds = [r.get("original_max_position_embeddings") for r in long]
    bounds.append(next((n for key in _CONTEXT_NAMES if (n := getattr(config, key, None))), None))
    return min((int(n) for n in bounds if n and int(n) > 0), default=None)  # XLNet says −1 where there is no bound


class Output(SimpleNamespace):
    """A trunk's output that holds its last hidden state and nothing else: anything else that a head asks for is None."""

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, item: int | slice) -> Any:
        return (self.last_hidden_state,)[item]


class _Given:
    """A trunk's output that is there before it runs, and whether anybody has taken it."""

    def __init__(self, output: Output) -> None:
        self.output, self.taken = output, False


_OUTPUT: ContextVar[_Given | None] = ContextVar("what the trunk has given already", default=None)


def with_output(hidden_BTH: Tensor, run: Callable[[], T]) -> tuple[T, bool]:
    """What `run` gives where these hidden states are the trunk's output; and whether anybody took them."""
    given = _Given(Output(last_hidden_state=hidden_BTH))
    return with_variable(_OUTPUT, given, run), given.taken


def take_outputs(trunk: nn.Module) -> None:
    """Have a trunk give what is handed down in place of running, where something is. Some heads also use its parts.

    So do its parts that take embeddings as it does: some models (BART, OPT) run the decoder within the trunk.
    """
    for part in trunk.modules():
        if part is trunk or "inputs_embeds" in takes(part):
            _take_output(part)


def _take_output(part: nn.Module) -> None:
    own = part.forward

    @wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        given = _OUTPUT.get()
        if given is None:
            return own(*args, **kwargs)
        given.taken = True
        return given.output

    part.forward = forward
