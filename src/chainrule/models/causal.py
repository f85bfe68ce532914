"""Causal decoders of transformers as x → e → h → z. The network is transformers' own code, unchanged."""

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
from chainrule.models.transformer import Network, rebuild, sharing_weights
from chainrule.models.trunk import takes, trunk_of
from chainrule.ops.gpu import PlainWhereNeeded
from chainrule.ops.linear import Linears, fastest
from chainrule.ops.matmul import ROW_COUNTS
from chainrule.ops.modules import replace_modules
from chainrule.ops.sealed import with_variable, within

T = TypeVar("T")


@dataclass(frozen=True)
class RunConfig:
    """The configuration in which a network runs. The probe finds one that agrees with the network's own forward."""

    strategy: str = "batch"  # "forest", "batch" or "single"
    by_ids: bool = False  # whether the input is token ids instead of embeddings
    own_head: bool = False  # whether the network's own code computes the logits, instead of the linear head
    first_position: int = 0  # the network's number for the first position
    unfit: tuple[int, ...] = ()  # ids that must not be in the input, since its own forward does not treat them as tokens


class PretrainedModel(Network):
    """A causal language model of transformers: its trunk, run without a cache, and its head, by tiles."""

    _own_options = {"use_cache": False}  # noqa: RUF012

    def __init__(self, lm: Any, name: str, run_config: RunConfig | None = None) -> None:
        super().__init__(lm, name)
        output = self.tables[1]
        if not isinstance(output, nn.Module):
            raise ModelError(f"{self.title} has no separate trunk and head")
        self.run_config = run_config or RunConfig(own_head=not isinstance(output, nn.Linear))  # the default before the probe
        self.by_ids, self.first_position = self.run_config.by_ids, self.run_config.first_position
        self.unfit = self.run_config.unfit
        self.first_positions = (0, self.reserved) if self.reserved else (0,)  # the candidates for the probe
        if not self.run_config.own_head and isinstance(output, nn.Linear):
            self.head = LinearHead.of(output, self.lm.config.get_text_config())

    def _head_size(self, config: Any) -> int:
        return getattr(self.tables[1], "out_features", None) or config.vocab_size

    def _constructor_arguments(self) -> tuple[Any, ...]:
        return self.lm, self.name, self.run_config

    def with_config(self, run_config: RunConfig) -> Self:
        """The same model with this configuration."""
        return rebuild(type(self), *self._constructor_arguments()[:-1], run_config, self.carried)

    @property
    def own_attention(self) -> str:
        """The attention implementation of the given network."""
        return self.lm.config._attn_implementation

    def _prepare(self, trunk: nn.Module) -> None:
        super()._prepare(trunk)
        _pass_on_positions(trunk)
        replace_modules(trunk)
        self.linears, self.functions = Linears(trunk), PlainWhereNeeded(self.device)

    def set_attention(self, implementation: str) -> bool:
        """Set a registered attention function, before the first run. Whether the network supports it."""
        self.runner.set_attn_implementation(implementation)
        return self.runner.config._attn_implementation == implementation

    def inputs(self, ids_N: Tensor) -> Tensor:
        return ids_N.to(self.device) if self.by_ids else self.embed(ids_N)

    def hidden(self, inputs_BTD: Tensor, *, same_bits: bool = True, **layout: Any) -> Tensor:
        name = "inputs_embeds" if inputs_BTD.is_floating_point() else "input_ids"
        if (positions := layout.get("position_ids")) is not None:
            layout["position_ids"] = positions = positions + self.first_position
        forward = partial(self.trunk, use_cache=False, **{name: inputs_BTD}, **layout)
        rows = inputs_BTD.shape[:2].numel()
        run = partial(self._with_products, same_bits, rows, forward)
        if self.device.type != "cpu":
            run = partial(self.functions.run, (name, *layout), forward)
        return self._run_checked(partial(with_variable, _POSITIONS, positions, run), inputs_BTD)[0]

    def _with_products(self, same_bits: bool, rows: int, forward: Callable[[], T]) -> T:
        """The result of `forward`, with matrix products suited to this number of rows."""
        if same_bits and rows > ROW_COUNTS[0]:
            return within(self.mode(), forward)
        if same_bits:
            return self.linears.with_same_bits(forward)
        return self.linears.by(fastest, forward)

    def shallow(self) -> Self | None:
        """The same model with its first layers only, up to the first of each kind; None if it has no others."""
        lm = sharing_weights(self.lm, self.name)
        return type(self)(lm, self.name) if shorten(lm, trunk_of(lm)) else None

    def integers_read(self, run: Callable[[], Any], least: int) -> list[str]:
        """Names of integers from `least` on that the reference reads from its configs and modules in `run`.

        Integers larger than the longest context are left out, since they have no effect. Only for a `trial`.
        """
        return integers_read(self.reference, run, least, self.max_rows or inf)

    def numbers_read(self, run: Callable[[], Any]) -> list[float]:
        """All numbers that the reference reads in `run`, including those in lists and dicts. Only for a `trial`."""
        return numbers_read(self.reference, run)

    def lowered(self, name: str, most: int) -> AbstractContextManager[None]:
        """Within the block, the integer of this name is at most `most` in both copies. Only for a `trial`."""
        return lowered([vars(self)[copy] for copy in ("reference", "runner") if copy in vars(self)], name, most)


_POSITIONS: ContextVar[Tensor | None] = ContextVar("positions of the rows that run", default=None)


def _pass_on_positions(trunk: nn.Module) -> None:
    """Pass positions to the parts of a trunk that takes none itself: BART and its like count them, 0 … R − 1."""
    if _takes_positions(trunk):
        return
    for part in filter(_takes_positions, trunk.modules()):
        part.register_forward_pre_hook(_with_positions, with_kwargs=True)


def _takes_positions(part: nn.Module) -> bool:
    return "position_ids" in takes(part)


def _with_positions(part: nn.Module, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    own, positions = kwargs.get("position_ids"), _POSITIONS.get()
    if positions is None or not isinstance(own, Tensor) or own.numel() != positions.numel():
        return None
    return args, kwargs | {"position_ids": positions.view(own.shape)}
