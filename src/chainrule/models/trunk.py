"""The trunk of a transformers network: which part it is, its longest context, and how its output can be replaced.

Shapes: B texts, T positions, H width of a hidden state.
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
    """The part below the head; `lm` itself if no such part can be identified."""
    if lm.base_model is not lm:
        return lm.base_model
    # The base model's prefix names no part (Llama 4's text model): use the one child that contains the embeddings.
    table = lm.get_input_embeddings()
    parts = [part for part in lm.children() if any(m is table for m in part.modules()) and part is not table]
    return parts[0] if len(parts) == 1 else lm


def takes(part: nn.Module) -> Collection[str]:
    """The parameters of a module's forward; none if they are unknown (TorchScript)."""
    try:
        return inspect.signature(type(part).forward).parameters
    except (AttributeError, ValueError, TypeError):
        return ()


def reserved_positions(trunk: nn.Module, table: Any, longest: int | None) -> int:
    """The number of unused rows of a position table: those up to the padding row, if there is one (RoBERTa)."""
    reserved = {
        m.padding_idx + 1
        for m in trunk.modules()
        if type(m) is nn.Embedding and m is not table and m.num_embeddings == longest and m.padding_idx is not None
    }
    return max(reserved, default=0)


def longest_context(config: Any) -> int | None:
    """The longest context that a model has positions for, in embeddings; None if the config names no bound.

    With LongRoPE, a text longer than the original context changes the rotations of all positions, also of the first ones. The
    factors of a prefix would depend on the tokens after it. Up to the original context the model is causal.
    """
    rope = getattr(config, "rope_parameters", None) or {}
    long = [r for r in (rope, *rope.values()) if isinstance(r, dict) and r.get("rope_type") == "longrope"]
    bounds = [r.get("original_max_position_embeddings") for r in long]
    bounds.append(next((n for key in _CONTEXT_NAMES if (n := getattr(config, key, None))), None))
    return min((int(n) for n in bounds if n and int(n) > 0), default=None)  # −1 means no bound in XLNet


class Output(SimpleNamespace):
    """A trunk's output with nothing but its last hidden state. Any other attribute that a head reads is None."""

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, item: int | slice) -> Any:
        return (self.last_hidden_state,)[item]


class _Replacement:
    """An output that replaces the trunk's, and whether it has been used."""

    def __init__(self, output: Output) -> None:
        self.output, self.used = output, False


_OUTPUT: ContextVar[_Replacement | None] = ContextVar("replacement of the trunk's output", default=None)


def with_output(hidden_BTH: Tensor, run: Callable[[], T]) -> tuple[T, bool]:
    """The result of `run` with these hidden states as the trunk's output, and whether they were used."""
    replacement = _Replacement(Output(last_hidden_state=hidden_BTH))
    return with_variable(_OUTPUT, replacement, run), replacement.used


def take_outputs(trunk: nn.Module) -> None:
    """Make a trunk return the output of `with_output` instead of running, if there is one.

    The same holds for its parts that take embeddings, since some models (BART, OPT) call the decoder within the trunk directly.
    """
    for part in trunk.modules():
        if part is trunk or "inputs_embeds" in takes(part):
            _take_output(part)


def _take_output(part: nn.Module) -> None:
    own = part.forward

    @wraps(own)
    def forward(*args: Any, **kwargs: Any) -> Any:
        replacement = _OUTPUT.get()
        if replacement is None:
            return own(*args, **kwargs)
        replacement.used = True
        return replacement.output

    part.forward = forward
