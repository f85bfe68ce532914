"""Any causal decoder of transformers as x → e → h → z. The model is transformers' own code, unchanged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any, Self, TypeVar

from torch import Tensor, nn

from chainrule.errors import ModelError
from chainrule.models.head import LinearHead
from chainrule.models.shallow import shorten
from chainrule.models.thresholds import integers_read, lowered, numbers_read
from chainrule.models.transformer import Network, again, sharing_weights
from chainrule.models.trunk import takes, trunk_of
from chainrule.ops.linear import FEW, Linears, few_rows
from chainrule.ops.matmul import STEPS
from chainrule.ops.modules import replace_modules
from chainrule.ops.sealed import with_variable, within

T = TypeVar("T")


@dataclass(frozen=True)
class Way:
    """How a network is run; the probe finds out which one gives the numbers of its own forward."""

    strategy: str = "batch"  # "forest", "batch" or "single"
    by_ids: bool = False  # whether it is fed with token ids, and not with embeddings
    own_head: bool = False  # whether its own code makes logits of hidden states, and not the linear head
    first_position: int = 0  # what it calls the first place
    unfit: tuple[int, ...] = ()  # ids that it must not be fed with, since its own forward does something else with them


class PretrainedModel(Network):
    """A causal language model of transformers: its trunk without head and cache, and its head on tiles."""

    _own_options = {"use_cache": False}  # noqa: RUF012

    def __init__(self, lm: Any, name: str, way: Way | None = None) -> None:
        super().__init__(lm, name)
        output = self.tables[1]
        if not isinstance(output, nn.Module):
            raise ModelError(f"{self.title} has no trunk and head that can be told apart")
        self.way = way or Way(own_head=not isinstance(output, nn.Linear))  # until the probe knows better
        self.by_ids, self.first_position = self.way.by_ids, self.way.first_position
        self.unfit = self.way.unfit
        self.first_positions = (0, self.reserved) if self.reserved else (0,)  # of which the probe finds out
        if not self.way.own_head and isinstance(output, nn.Linear):
            self.head = LinearHead.of(output, self.lm.config.get_text_config())

    def _head_size(self, config: Any) -> int:
        return getattr(self.tables[1], "out_features", None) or config.vocab_size

    def _made_of(self) -> tuple[Any, ...]:
        return self.lm, self.name, self.way

    def by(self, way: Way) -> Self:
        """The same model, run in this way."""
        return again(type(self), *self._made_of()[:-1], way, self.dtype_reason)

    @property
    def own_attention(self) -> str:
        """The attention of the network as it was handed over."""
        return self.lm.config._attn_implementation

    def _prepare(self, trunk: nn.Module) -> None:
        super()._prepare(trunk)
        _hand_on_positions(trunk)
        replace_modules(trunk)
        self.linears = Linears(trunk)

    def set_attention(self, implementation: str) -> bool:
        """Run with another of the registered attention functions, before anything runs; whether the network takes it."""
        self.runner.set_attn_implementation(implementation)
        return self.runner.config._attn_implementation == implementation

    def inputs(self, ids_N: Tensor) -> Tensor:
        return ids_N.to(self.device) if self.by_ids else self.embed(ids_N)

    def hidden(self, inputs_BTD: Tensor, *, same_bits: bool = True, **layout: Any) -> Tensor:
        name = "inputs_embeds" if inputs_BTD.is_floating_point() else "input_ids"
        if (places := layout.get("position_ids")) is not None:
            layout["position_ids"] = places = places + self.first_position
        forward = partial(self.trunk, use_cache=False, **{name: inputs_BTD}, **layout)
        rows = inputs_BTD.shape[:2].numel()
        multiplied = partial(self._multiplying, same_bits, rows, forward)
        return self._running(partial(with_variable, _PLACES, places, multiplied), inputs_BTD)[0]

    def _multiplying(self, same_bits: bool, rows: int, forward: Callable[[], T]) -> T:
        """`forward` with products for so many rows."""
        if self.device.type != "cpu" or (same_bits and rows > STEPS[0]):
            return within(self.mode(), forward)
        if same_bits:
            return self.linears.with_same_bits(forward)
        return self.linears.by(few_rows, forward) if rows <= FEW else forward()

    def shallow(self) -> Self | None:
        """The same with its first layers only, up to the first of each kind; None where it has no others."""
        lm = sharing_weights(self.lm, self.name)
        return type(self)(lm, self.name) if shorten(lm, trunk_of(lm)) else None

    def integers_read(self, run: Callable[[], Any], least: int) -> list[str]:
        """Names of integers from `least` on that the reference looks up in its configs and modules in `run`.

        Those that no text the model takes comes up to bend nothing, and are left out. Only for a `trial`.
        """
        return integers_read(self.reference, run, least, self.max_rows or inf)

    def numbers_read(self, run: Callable[[], Any]) -> list[float]:
        """All numbers that the reference looks up so, those in lists and dicts too. Only for a `trial`."""
        return numbers_read(self.reference, run)

    def lowered(self, name: str, most: int) -> AbstractContextManager[None]:
        """With the integer of this name at most `most` for a while, in both copies; only for a `trial`: nobody else runs it."""
        return lowered([vars(self)[copy] for copy in ("reference", "runner") if copy in vars(self)], name, most)


_PLACES: ContextVar[Tensor | None] = ContextVar("positions of the rows that run", default=None)


def _hand_on_positions(trunk: nn.Module) -> None:
    """Have the parts of a trunk that takes no positions take ours: those like BART's count for themselves, 0 … R − 1."""
    if _asks_for_positions(trunk):
        return
    for part in filter(_asks_for_positions, trunk.modules()):
        part.register_forward_pre_hook(_with_positions, with_kwargs=True)


def _asks_for_positions(part: nn.Module) -> bool:
    return "position_ids" in takes(part)


def _with_positions(part: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    given, places = kwargs.get("position_ids"), _PLACES.get()
    if places is None or not isinstance(given, Tensor) or given.numel() != places.numel():
        return None
    return args, kwargs | {"position_ids": places.view(given.shape)}
