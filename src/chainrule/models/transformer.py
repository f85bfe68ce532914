"""What every network of transformers has here: the one that was handed over, and two copies of it that share its weights.

    lm          as it was handed over; it is never changed, and never run
    reference   runs transformers' own forward, whole texts at a time: what the numbers are held against
    runner      computes the scores: its attention and some of its modules run other code (`PretrainedModel`)

A copy has modules and configs of its own, so nothing is set on a network that somebody else may be using: several language
models may have one network, and any of them may be made while others score. What a single call hands down to modules of the
runner lies in context variables, so calls in several threads do not meet.

Shapes: B texts, T places, M rows, D width of an embedding, H width of a hidden state, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cached_property, partial
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch._C import _InferenceMode
from torch.overrides import TorchFunctionMode

from chainrule.errors import ChainruleError, ModelError
from chainrule.models.base import Head
from chainrule.models.head import OwnHead
from chainrule.models.trunk import longest_context, reserved_positions, take_outputs, trunk_of, with_output
from chainrule.ops.matmul import SameBits
from chainrule.ops.sealed import Plain, between, guarded, memory, sealed, unless_memory, within

L = TypeVar("L", bound=Any)
N = TypeVar("N", bound="Network")
T = TypeVar("T")

LARGE = 1 << 20  # numbers of a buffer
_SYMBOLS = ("mask", "cls", "sep", "bos", "eos", "pad", "unk")


class Network:
    """A trunk, and the model's own head on hidden states; transformers' own code, unchanged."""

    dtype_reason: str = ""  # why it was loaded in this type, where that was left to choose
    by_ids = True  # whether it is fed with token ids: then no embeddings can stand for them
    unfit: tuple[int, ...] = ()

    def __init__(self, lm: Any, name: str) -> None:
        lm = getattr(lm, "_orig_mod", lm)  # of what torch.compile made
        self.name, self.lm = name, lm
        config, table, trunk = lm.config.get_text_config(), lm.get_input_embeddings(), trunk_of(lm)
        if trunk is lm or not isinstance(table, nn.Module):
            raise ModelError(f"{self.title} has no trunk and head that can be told apart")
        weight = next(table.parameters())  # n × D
        self.embeddings, self.width = weight.shape
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        self.max_rows = longest_context(config)
        self.reserved = reserved_positions(trunk, table, self.max_rows)
        if self.max_rows is not None:
            self.max_rows -= self.reserved
            if self.max_rows < 1:
                raise ModelError(f"{self.title} says that it takes {self.max_rows} embeddings, which is no context at all")
        self.symbols = {kind: getattr(config, f"{kind}_token_id", None) for kind in _SYMBOLS}  # ids, by the config alone
        self.bos_id, self.eos_id, self.pad_id = (self.symbols[kind] for kind in ("bos", "eos", "pad"))
        self.head: Head = OwnHead(self.own_head_logits, self._head_size(config), self.dtype)

    def _head_size(self, config: Any) -> int:
        return config.vocab_size

    @property
    def title(self) -> str:
        """Its name, and the class of its network."""
        return f"{self.name} ({type(self.lm).__name__})"

    def failed(self, what: str, error: Exception) -> ModelError:
        """To be raised where the network's code failed: what an architecture asks for, it says in its own way.

        Raises the error itself where memory ran out, or a GPU has stopped.
        """
        unless_memory(error)
        return ModelError(f"{self.title} {what}: {type(error).__name__}: {error}")

    @cached_property
    def reference(self) -> Any:
        return sharing_weights(self.lm, self.name).eval()

    @cached_property
    def runner(self) -> Any:
        runner = sharing_weights(self.lm, self.name).eval()
        self._prepare(trunk_of(runner))
        return runner

    def _prepare(self, trunk: nn.Module) -> None:
        take_outputs(trunk)

    @cached_property
    def trunk(self) -> Any:
        """The part of the runner that makes hidden states of embeddings, or of ids."""
        return trunk_of(self.runner)

    def __reduce__(self) -> tuple:
        """A copy makes its own runner and reference."""
        return again, (type(self), *self._made_of(), self.dtype_reason)

    def _made_of(self) -> tuple[Any, ...]:
        return self.lm, self.name

    @property
    def tables(self) -> tuple[nn.Module, nn.Module]:
        """The modules of the token embeddings and of the head."""
        return self.lm.get_input_embeddings(), self.lm.get_output_embeddings()

    def trial(self, dtype: torch.dtype = torch.float32) -> Self:
        """The same model on a network of its own, in `dtype` at least: what is set on that one, no other sees."""
        return type(self)(sharing_weights(self.lm, self.name, dtype), self.name)

    @contextmanager
    def on_trial(self, dtype: torch.dtype = torch.float32) -> Iterator[Self]:
        """A `trial` for a while; what it has widened is freed in the end."""
        trial = self.trial(dtype)
        try:
            yield trial
        finally:
            trial.let_go(self)

    def let_go(self, model: Network) -> None:
        """Free the weights that this trial of `model` has to itself. Its modules refer to themselves, and would keep them."""
        shared = set(map(id, model.lm.parameters()))
        for parameter in self.lm.parameters():
            if id(parameter) not in shared:
                parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)

    def warmed_up(self) -> Self:
        """The same model on a network with weights of its own, that has run once: some rescale them then (RWKV)."""
        try:
            lm = guarded(partial(_InferenceMode, False), partial(_after_running, self.lm, self.device))
        except Exception as error:
            raise self.failed("changes its own weights as it runs, and does not run on one token id", error) from error
        return again(type(self), lm, *self._made_of()[1:], self.dtype_reason)

    @cached_property
    def kept(self) -> frozenset[int]:
        """Where the weights lie, which the copies have in common with the network that was handed over."""
        return frozenset(memory(tensor) for tensor in _common(self.lm)) - {0}

    @cached_property
    def _table(self) -> Any:
        return self.runner.get_input_embeddings()

    def embed(self, ids_N: Tensor) -> Tensor:
        return self._table(ids_N.to(self.device))

    def inputs(self, ids_N: Tensor) -> Tensor:
        return ids_N.to(self.device)

    def hidden(self, inputs_BTD: Tensor, **layout: Any) -> Tensor:
        """Hidden states, B × T × H, of texts of one length; here `inputs_BTD` are ids, B × T."""
        forward = partial(self.trunk, input_ids=inputs_BTD.to(self.device), **layout)
        return self._running(partial(within, self.mode(), forward), inputs_BTD)[0]

    def mode(self, same_bits: bool = True) -> TorchFunctionMode:
        """What the network's functions run within. On a GPU rows have no bits of their own, so functions stay as they are."""
        if not same_bits:
            return Plain(self.kept, self.device)
        return SameBits() if self.device.type == "cpu" else Plain(device=self.device)

    def _running(self, forward: Callable[[], T], inputs_BTD: Tensor) -> T:
        """What a forward gives of these texts. Raises ModelError where the network's code fails on them, or writes weights."""
        before = self._written()
        try:
            found = forward()
        except ChainruleError:
            raise
        except Exception as error:
            places = " × ".join(map(str, inputs_BTD.shape[:2]))
            raise self.failed(f"does not run on {places} tokens", error) from error
        if self._written() != before:
            raise ModelError(
                f"the weights of {self.title} were changed while it ran, so what it says depends on "
                "what ran before: load it again; and if it changes them itself, it cannot be scored"
            )
        return found

    def _written(self) -> int:
        """How often weights were written into, as torch counts it."""
        return sum(tensor._version for tensor in self._counted)

    @cached_property
    def _counted(self) -> list[Tensor]:
        return [tensor for tensor in _common(self.lm) if not tensor.is_inference()]

    @sealed
    def own_logits(self, ids_T: Tensor) -> Tensor:
        """The reference: the model's own whole forward of one unpadded text of ids. T × V, in the model's type."""
        return within(
            self.mode(same_bits=False), partial(self.reference, input_ids=ids_T[None].to(self.device), **self._own_options)
        ).logits[0]

    _own_options: dict[str, Any] = {}  # noqa: RUF012

    def own_head_logits(self, hidden_MH: Tensor, *, same_bits: bool = True) -> Tensor:
        """The model's own forward after its trunk: what it does to hidden states to make logits of them. M × V.

        same_bits: as in `Model.hidden`; which numbers of rows have them is tried out at the first call, which takes time.
        Raises ModelError where it makes logits of something else than what its trunk gives.
        """
        forward = partial(self.runner, inputs_embeds=hidden_MH[None], **self._own_options)
        output, taken = with_output(hidden_MH[None], partial(within, self.mode(same_bits), forward))
        if not taken:
            raise ModelError(f"{self.title} makes logits without the output of its trunk")
        return output.logits[0]


def again(cls: type[N], *made_of: Any) -> N:
    """A model of this class, of what another one was made of, and with its reason for its dtype."""
    model = cls(*made_of[:-1])
    model.dtype_reason = made_of[-1]
    return model


def sharing_weights(lm: L, name: str = "the network", dtype: torch.dtype | None = None) -> L:
    """A copy of a network, whose weights are the same tensors; those narrower than `dtype` are widened copies.

    Small buffers are copied, since forwards write into them (LongRoPE: the turns of its positions); large ones hold weights.
    Raises ModelError for a network that cannot be copied.
    """
    common = {id(tensor): tensor for tensor in _common(lm)}
    if dtype is not None:
        common |= {id(p): _widened(p, dtype) for p in lm.parameters() if _narrower(p.dtype, dtype)}
    try:
        return guarded(partial(_InferenceMode, False), partial(deepcopy, lm, common))  # gradients may go through its buffers
    except Exception as error:  # a module may hold something that cannot be copied
        unless_memory(error)
        raise ModelError(f"{name} ({type(lm).__name__}) cannot be copied: {type(error).__name__}: {error}") from error


def _common(lm: Any) -> Iterator[Tensor]:
    """What copies of a network share: its weights."""
    yield from lm.parameters()
    yield from (buffer for buffer in lm.buffers() if buffer.numel() > LARGE)


def _after_running(lm: L, device: torch.device) -> L:
    own = deepcopy(lm).eval()
    run = partial(own, input_ids=torch.zeros(1, 1, dtype=torch.int64, device=device))
    gradients = partial(partial, torch._C._set_grad_enabled)
    between(gradients(False), gradients(True), partial(within, Plain(device=device), run))
    return own


def _widened(parameter: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to(dtype), requires_grad=False)


def _narrower(dtype: torch.dtype, than: torch.dtype) -> bool:
    return dtype in (torch.bfloat16, torch.float16, torch.float32) and dtype.itemsize < than.itemsize
