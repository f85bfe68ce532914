"""Any decoder of transformers as x → e → h → z. The model is transformers' own code, unchanged."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from math import inf
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from chainrule.errors import ModelError
from chainrule.models.base import Head
from chainrule.models.head import LinearHead, OwnHead
from chainrule.models.linears import FEW, Linears, few_rows
from chainrule.models.products import STEPS, SameBits
from chainrule.models.stand_ins import StandIns

_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length", "seq_length")
_WINDOW_NAMES = ("sliding_window", "attention_chunk_size")


class PretrainedModel:
    """A causal language model of transformers: its trunk without head and cache, and its head on tiles."""

    dtype_reason: str = ""  # why it was loaded in this type, where that was left to choose

    def __init__(self, lm: Any, name: str) -> None:
        self.own_attention = lm.config._attn_implementation
        self.name, self.lm = name, lm.eval()
        config = lm.config.get_text_config()
        table, output = lm.get_input_embeddings(), lm.get_output_embeddings()
        self._trunk_name, self.trunk = trunk_of(lm, table)
        if self.trunk is lm or not isinstance(table, nn.Module) or not isinstance(output, nn.Module):
            raise ModelError(f"{name} ({type(lm).__name__}) has no trunk and head that can be told apart")
        self._table, weight = table, next(table.parameters())  # n × D
        self.embeddings, self.width = weight.shape
        self.pad_id = getattr(config, "pad_token_id", None)
        self.by_ids = False  # the probe finds out whether it has to be
        self.first_position = 0  # what the model calls the first place
        self.max_rows = longest_context(config)
        if (reserved := reserved_positions(self.trunk, table, self.max_rows)) and self.max_rows:
            self.max_rows -= reserved
        self.first_positions = (0, reserved) if reserved else (0,)  # which one it is, the probe finds out
        self.bos_id, self.eos_id = getattr(config, "bos_token_id", None), getattr(config, "eos_token_id", None)
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        _hand_on_positions(self.trunk)
        self.stand_ins, self.linears = StandIns(self.trunk), Linears(self.trunk)
        size = getattr(output, "out_features", None) or config.vocab_size
        self.own_head = OwnHead(self._own_head, size, self.dtype)
        self.head: Head = LinearHead.of(output, config) if isinstance(output, nn.Linear) else self.own_head

    @property
    def tables(self) -> tuple[nn.Module, nn.Module]:
        """The modules of the token embeddings and of the head."""
        return self._table, self.lm.get_output_embeddings()

    def embed(self, ids_N: Tensor) -> Tensor:
        return self._table(ids_N.to(self.device))

    def inputs(self, ids_N: Tensor) -> Tensor:
        return ids_N.to(self.device) if self.by_ids else self.embed(ids_N)

    def hidden(self, inputs_BTD: Tensor, *, same_bits: bool = True, **layout: Any) -> Tensor:
        name = "inputs_embeds" if inputs_BTD.is_floating_point() else "input_ids"
        if (places := layout.get("position_ids")) is not None:
            layout["position_ids"] = places = places + self.first_position
        token = _PLACES.set(places)
        try:
            with self._products(same_bits, inputs_BTD.shape[:2].numel()), self.stand_ins:
                return self.trunk(use_cache=False, **{name: inputs_BTD}, **layout)[0]
        finally:
            _PLACES.reset(token)

    def _products(self, same_bits: bool, rows: int) -> AbstractContextManager[None]:
        if not same_bits:
            return self.linears.by(few_rows) if rows <= FEW else nullcontext()
        return SameBits() if rows > STEPS[0] else self.linears.with_same_bits()  # type: ignore[return-value]

    def own_logits(self, ids_T: Tensor) -> Tensor:
        """The reference: the model's own whole forward of one unpadded sequence of ids. T × V, in the model's type."""
        return self.lm(input_ids=ids_T[None].to(self.device), use_cache=False).logits[0]

    @contextmanager
    def attention(self, implementation: str) -> Iterator[bool]:
        """Run with another of the registered attention functions; yields whether the model takes it."""
        before = self.lm.config._attn_implementation
        self.lm.set_attn_implementation(implementation)
        try:
            yield self.lm.config._attn_implementation == implementation
        finally:
            self.lm.set_attn_implementation(before)

    @contextmanager
    def windows_of(self, most: int) -> Iterator[bool]:
        """With sliding windows and attention chunks of at most `most` places for a while; yields whether there are any.

        One that no text the model takes is longer than hides nothing, and counts for none.
        transformers keeps them in the config, where its masks come from, and in layers, which hand them to the attention.
        """
        configs = {id(m.config): m.config for m in self.lm.modules() if hasattr(m, "config")}.values()
        found = [(owner, name, value) for owner in (*configs, *self.lm.modules()) for name in _WINDOW_NAMES
                 if isinstance(value := getattr(owner, name, None), int) and value < (self.max_rows or inf)]  # fmt: skip
        for owner, name, value in found:
            setattr(owner, name, min(most, value))
        try:
            yield bool(found)
        finally:
            for owner, name, value in found:
                setattr(owner, name, value)

    def widened(self, dtype: torch.dtype | None = torch.float32) -> AbstractContextManager[None]:
        """In a wider type for a while (None: as it is)."""
        return widened(self.lm, dtype)

    def _own_head(self, hidden_MH: Tensor) -> Tensor:
        """The model's own forward behind its trunk: whatever it does to hidden states to make logits of them."""
        stub = _Stub(hidden_MH[None])
        setattr(self.lm, self._trunk_name, stub)
        try:
            with SameBits():
                return self.lm(inputs_embeds=hidden_MH[None], use_cache=False).logits[0]
        finally:
            setattr(self.lm, self._trunk_name, self.trunk)


@contextmanager
def widened(lm: nn.Module, dtype: torch.dtype | None = torch.float32) -> Iterator[None]:
    """A model in a wider type for a while (None: as it is). Widening and narrowing again is exact, so nothing is lost."""
    narrower = [d for d in (torch.bfloat16, torch.float16, torch.float32) if dtype and d.itemsize < dtype.itemsize]
    narrow = [p for p in lm.parameters() if p.dtype in narrower]
    narrow_types = [p.dtype for p in narrow]
    with torch.inference_mode(False):  # a tensor made in inference mode could never be trained again
        for p in narrow:
            p.data = p.data.to(dtype)
    try:
        yield
    finally:
        with torch.inference_mode(False):
            for p, dtype in zip(narrow, narrow_types, strict=True):
                p.data = p.data.to(dtype)


def trunk_of(lm: Any, table: Any) -> tuple[str, Any]:
    """What runs below the head, and by which name; `lm` itself where nothing can be told apart."""
    if lm.base_model is not lm:
        return lm.base_model_prefix, lm.base_model
    # A prefix that names nothing (Llama 4's text model): the part that has a forward of its own and holds the embeddings.
    parts = [
        (name, part) for name, part in lm.named_children() if any(m is table for m in part.modules()) and part is not table
    ]
    return parts[0] if len(parts) == 1 else ("", lm)


def reserved_positions(trunk: nn.Module, table: Any, longest: int | None) -> int:
    """How many rows of a table of positions are never used: those up to the padding's, where it has one (RoBERTa)."""
    found = {
        m.padding_idx + 1
        for m in trunk.modules()
        if type(m) is nn.Embedding and m is not table and m.num_embeddings == longest and m.padding_idx is not None
    }
    return max(found, default=0)


_PLACES: ContextVar[Tensor | None] = ContextVar("positions of the rows that run", default=None)


def _hand_on_positions(trunk: nn.Module) -> None:
    """Have the parts of a trunk that takes no positions take ours: those like BART's count for themselves, 0 … R − 1."""
    if _asks_for_positions(trunk):
        return
    for part in filter(_asks_for_positions, trunk.modules()):
        if _with_positions not in part._forward_pre_hooks.values():
            part.register_forward_pre_hook(_with_positions, with_kwargs=True)


def _asks_for_positions(part: nn.Module) -> bool:
    return "position_ids" in inspect.signature(type(part).forward).parameters


def _with_positions(part: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    given, places = kwargs.get("position_ids"), _PLACES.get()
    if places is None or not isinstance(given, Tensor) or given.numel() != places.numel():
        return None
    return args, kwargs | {"position_ids": places.view(given.shape)}


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


class _Stub(nn.Module):
    """Stands in for a trunk that has run already."""

    def __init__(self, hidden_1MH: Tensor) -> None:
        super().__init__()
        self.output = Output(last_hidden_state=hidden_1MH)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.output


class Output(SimpleNamespace):
    """A trunk's output that holds its last hidden state and nothing else: whatever more a head asks for is None."""

    def __getattr__(self, name: str) -> None:
        return None

    def __getitem__(self, item: int | slice) -> Any:
        return (self.last_hidden_state,)[item]
