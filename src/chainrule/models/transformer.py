"""The common part of models from transformers: the given network, and two copies of it that share its weights.

    lm          the given network, which is never changed and never run
    reference   runs the network's own forward on whole texts, for comparison
    runner      computes the scores; its attention and some of its modules run other code (`PretrainedModel`)

A copy has its own modules and configs, so no setting of the given network is changed. Several language models may share one
network, and may be created while others score. Arguments of a single call reach modules of the runner in context variables,
so calls in several threads are independent.

Shapes: B texts, T positions, M rows, D width of an embedding, H width of a hidden state, V vocabulary.
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
from chainrule.models.identity import Identity, quantisation_of
from chainrule.models.trunk import longest_context, reserved_positions, take_outputs, trunk_of, with_output
from chainrule.ops.matmul import SameBits
from chainrule.ops.sealed import Plain, between, guarded, memory, sealed, unless_memory, within

L = TypeVar("L", bound=Any)
N = TypeVar("N", bound="Network")
T = TypeVar("T")

LARGE = 1 << 20  # a buffer with more numbers is shared, like a weight
_SYMBOLS = ("mask", "cls", "sep", "bos", "eos", "pad", "unk")


class Network:
    """A network of transformers, unchanged, as a trunk and the model's own head on hidden states."""

    dtype_reason: str = ""  # why this dtype was chosen, if the caller did not choose one
    weights_digest: Callable[[], str | None] = staticmethod(lambda: None)  # of the files loaded; not carried to copies
    by_ids = True  # whether the input is token ids, so that embeddings cannot replace them
    unfit: tuple[int, ...] = ()

    def __init__(self, lm: Any, name: str) -> None:
        lm = getattr(lm, "_orig_mod", lm)  # the module inside the result of torch.compile
        self.name, self.lm = name, lm
        config, table, trunk = lm.config.get_text_config(), lm.get_input_embeddings(), trunk_of(lm)
        if trunk is lm or not isinstance(table, nn.Module):
            raise ModelError(f"{self.title} has no separate trunk and head")
        weight = next(table.parameters())  # n × D
        self.embeddings, self.width = weight.shape
        self.device: torch.device = weight.device
        self.dtype: torch.dtype = weight.dtype
        packed = quantisation_of(getattr(lm.config, "quantization_config", None))
        self.identity = Identity.in_memory(name, self.dtype, packed)
        self.max_rows = longest_context(config)
        self.reserved = reserved_positions(trunk, table, self.max_rows)
        if self.max_rows is not None:
            self.max_rows -= self.reserved
            if self.max_rows < 1:
                raise ModelError(f"the config of {self.title} allows contexts of {self.max_rows} embeddings: none is possible")
        self.symbols = {kind: getattr(config, f"{kind}_token_id", None) for kind in _SYMBOLS}  # ids, from the config only
        self.bos_id, self.eos_id, self.pad_id = (self.symbols[kind] for kind in ("bos", "eos", "pad"))
        self.head: Head = OwnHead(self.own_head_logits, self._head_size(config), self.dtype)

    def _head_size(self, config: Any) -> int:
        return config.vocab_size

    @property
    def identity(self) -> Identity:
        """What the model is, for readers of its numbers. It is another one if the weights were changed in memory."""
        known, writes = self._identity
        return known if known.revision_is_lost or writes == self.writes() else known.changed()

    @identity.setter
    def identity(self, known: Identity) -> None:
        self._identity = known, self.writes()

    @property
    def title(self) -> str:
        """The name of the model and the class of its network."""
        return f"{self.name} ({type(self.lm).__name__})"

    def failed(self, failure: str, error: Exception) -> ModelError:
        """The error to raise if the network's code has failed, with the message of the architecture.

        Raises the original error if memory ran out or a GPU has stopped.
        """
        unless_memory(error)
        return ModelError(f"{self.title} {failure}: {type(error).__name__}: {error}")

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
        """The part of the runner that computes hidden states from embeddings or ids."""
        return trunk_of(self.runner)

    def __reduce__(self) -> tuple:
        """A copy creates its own runner and reference."""
        return rebuild, (type(self), *self._constructor_arguments(), self.carried)

    @property
    def carried(self) -> tuple[str, Identity]:
        """What a copy takes over in addition to the constructor arguments."""
        return self.dtype_reason, self.identity

    def _constructor_arguments(self) -> tuple[Any, ...]:
        return self.lm, self.name

    @property
    def tables(self) -> tuple[nn.Module, nn.Module]:
        """The modules of the token embeddings and of the head."""
        return self.lm.get_input_embeddings(), self.lm.get_output_embeddings()

    def trial(self, dtype: torch.dtype = torch.float32) -> Self:
        """The same model on a separate network, with weights of `dtype` or wider. Its settings affect no other model."""
        return type(self)(sharing_weights(self.lm, self.name, dtype), self.name)

    @contextmanager
    def temporary_trial(self, dtype: torch.dtype = torch.float32) -> Iterator[Self]:
        """A `trial` for the duration of a `with` block; its widened weights are freed at the end."""
        trial = self.trial(dtype)
        try:
            yield trial
        finally:
            trial.release(self)

    def release(self, model: Network) -> None:
        """Free the weights that this trial does not share with `model`. Its modules are in reference cycles and keep them."""
        shared = set(map(id, model.lm.parameters()))
        for parameter in self.lm.parameters():
            if id(parameter) not in shared:
                parameter.data = torch.empty(0, dtype=parameter.dtype, device=parameter.device)

    def warmed_up(self) -> Self:
        """The same model on a network with separate weights that has run once. Some networks rescale weights then (RWKV)."""
        try:
            lm = guarded(partial(_InferenceMode, False), partial(_copy_after_run, self.lm, self.device))
        except Exception as error:
            raise self.failed("changes its own weights as it runs, and does not run on one token id", error) from error
        return rebuild(type(self), lm, *self._constructor_arguments()[1:], self.carried)

    @cached_property
    def weight_memory(self) -> frozenset[int]:
        """The memory of the weights, which the copies share with the given network."""
        return frozenset(memory(tensor) for tensor in _shared_tensors(self.lm)) - {0}

    @cached_property
    def _table(self) -> Any:
        return self.runner.get_input_embeddings()

    def embed(self, ids_N: Tensor) -> Tensor:
        return self._table(ids_N.to(self.device))

    def inputs(self, ids_N: Tensor) -> Tensor:
        return ids_N.to(self.device)

    def hidden(self, inputs_BTD: Tensor, **layout: Any) -> Tensor:
        """Hidden states, B × T × H, of texts of equal length; here `inputs_BTD` are ids, B × T."""
        forward = partial(self.trunk, input_ids=inputs_BTD.to(self.device), **layout)
        return self._run_checked(partial(within, self.mode(), forward), inputs_BTD)[0]

    def mode(self, same_bits: bool = True) -> TorchFunctionMode:
        """The mode for the network's functions. On a GPU rows are not row-invariant, so the functions are not replaced."""
        if not same_bits:
            return Plain(self.weight_memory, self.device)
        return SameBits() if self.device.type == "cpu" else Plain(device=self.device)

    def _run_checked(self, forward: Callable[[], T], inputs_BTD: Tensor) -> T:
        """The result of a forward on these texts. Raises ModelError if the network's code fails, or writes to weights."""
        before = self.writes()
        try:
            result = forward()
        except ChainruleError:
            raise
        except Exception as error:
            shape = " × ".join(map(str, inputs_BTD.shape[:2]))
            raise self.failed(f"does not run on {shape} tokens", error) from error
        if self.writes() != before:
            raise ModelError(
                f"the weights of {self.title} were changed while it ran, so its results depend on earlier runs: "
                "load it again; if it changes them itself, it cannot be scored"
            )
        return result

    def writes(self) -> int:
        """The number of writes to weights, as counted by torch."""
        return sum(tensor._version for tensor in self._counted_weights)

    @cached_property
    def _counted_weights(self) -> list[Tensor]:
        return [tensor for tensor in _shared_tensors(self.lm) if not tensor.is_inference()]

    @sealed
    def own_logits(self, ids_T: Tensor) -> Tensor:
        """The reference: the model's own whole forward of one unpadded text of ids. T × V, in the model's dtype."""
        return within(
            self.mode(same_bits=False), partial(self.reference, input_ids=ids_T[None].to(self.device), **self._own_options)
        ).logits[0]

    _own_options: dict[str, Any] = {}  # noqa: RUF012

    def own_head_logits(self, hidden_MH: Tensor, *, same_bits: bool = True) -> Tensor:
        """The logits of hidden states, M × V, by the model's own forward after its trunk.

        same_bits: as in `Model.hidden`. The first call is slow, since it tries which numbers of rows give the same bits.
        Raises ModelError if the logits are not computed from the output of the trunk.
        """
        forward = partial(self.runner, inputs_embeds=hidden_MH[None], **self._own_options)
        output, used = with_output(hidden_MH[None], partial(within, self.mode(same_bits), forward))
        if not used:
            raise ModelError(f"{self.title} computes logits without the output of its trunk")
        return output.logits[0]


def rebuild(cls: type[N], *arguments: Any) -> N:
    """A model of this class from its constructor arguments, followed by what it has `carried`."""
    model = cls(*arguments[:-1])
    model.dtype_reason, model.identity = arguments[-1]
    return model


def sharing_weights(lm: L, name: str = "the network", dtype: torch.dtype | None = None) -> L:
    """A copy of a network that shares its weight tensors. Weights narrower than `dtype` are widened copies.

    Small buffers are copied, since forwards write to them (rotations of positions in LongRoPE). Large ones are weights and
    shared. Raises ModelError if the network cannot be copied.
    """
    shared = {id(tensor): tensor for tensor in _shared_tensors(lm)}
    if dtype is not None:
        shared |= {id(p): _widened(p, dtype) for p in lm.parameters() if _narrower(p.dtype, dtype)}
    try:
        return guarded(partial(_InferenceMode, False), partial(deepcopy, lm, shared))  # gradients may pass through its buffers
    except Exception as error:  # a module may hold an object that cannot be copied
        unless_memory(error)
        raise ModelError(f"{name} ({type(lm).__name__}) cannot be copied: {type(error).__name__}: {error}") from error


def _shared_tensors(lm: Any) -> Iterator[Tensor]:
    """The tensors that copies of a network share: its weights."""
    yield from lm.parameters()
    yield from (buffer for buffer in lm.buffers() if buffer.numel() > LARGE)


def _copy_after_run(lm: L, device: torch.device) -> L:
    """A copy of a network with separate weights, after a run on one token."""
    copied = deepcopy(lm).eval()
    run = partial(copied, input_ids=torch.zeros(1, 1, dtype=torch.int64, device=device))
    gradients = partial(partial, torch._C._set_grad_enabled)
    between(gradients(False), gradients(True), partial(within, Plain(device=device), run))
    return copied


def _widened(parameter: nn.Parameter, dtype: torch.dtype) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to(dtype), requires_grad=False)


def _narrower(dtype: torch.dtype, than: torch.dtype) -> bool:
    return dtype in (torch.bfloat16, torch.float16, torch.float32) and dtype.itemsize < than.itemsize
