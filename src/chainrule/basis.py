"""What a language model is made of: a network, a tokenizer, what predicts with it, and where a text begins and ends."""

from __future__ import annotations

from typing import Any

from chainrule.engine.engine import Engine
from chainrule.engine.predictors.base import Chain
from chainrule.engine.predictors.masked import MaskedChain
from chainrule.engine.predictors.registry import chain_for, chain_of, engine_of
from chainrule.engine.predictors.two_stream import NEEDS_A_TOKEN, TwoStreamChain
from chainrule.errors import InputError
from chainrule.models.base import Model
from chainrule.models.dtype import name_of
from chainrule.models.table import TableModel
from chainrule.ops import native
from chainrule.ops.native.build import Kernels
from chainrule.text.arguments import as_ids, kind_of
from chainrule.text.reading import Reading
from chainrule.text.requests import Request, requests
from chainrule.text.start_end import Start, framed_start, given_start, resolve_end, resolve_start
from chainrule.text.table_tokenizer import Vocabulary
from chainrule.text.tokenizer import Tokenizes, naming
from chainrule.verdict import Verdict


class Basis:
    """A model, its tokenizer and its start policy."""

    def __init__(
        self,
        model: Model,
        tokenizer: Tokenizes | None = None,
        *,
        start: str | int = "auto",
        engine: Engine | None = None,
    ) -> None:
        if tokenizer is None and isinstance(model, TableModel):
            tokenizer = Vocabulary(model.vocabulary)
        self._engine = engine or engine_of(model)  # None: of a model that has no distribution of a next token
        self.model: Model = self._engine.model if self._engine is not None else model
        self.tokenizer = tokenizer
        self.chain = chain_of(self.model, tokenizer, self._engine)  # None: of a causal model, which predicts left to right
        self._any_order = self.chain
        self.start = self._start(start)

    @property
    def engine(self) -> Engine:
        """What scores forests of a causal model. Raises InputError for a model that is none."""
        if self._engine is None:
            raise InputError(f"{self._no_next_token()}, so it cannot be asked that")
        return self._engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self._engine, self._any_order = engine, None

    @property
    def any_order(self) -> Chain:
        """What predicts in any order: the model's own chain, or sums over all texts where these are few."""
        if self._any_order is None:
            self._any_order = chain_for(self.engine)
        return self._any_order

    @property
    def predictor(self) -> Engine | Chain:
        """The engine of a causal model, or what another predicts with."""
        return self.chain or self.engine

    @property
    def invariant(self) -> Verdict:
        """Whether a factor has the same bits alone, in any batch, order and chunk; true or false, with its `reason`."""
        return self.predictor.invariance

    @property
    def kernels(self) -> Kernels:
        """Whether kernels compiled on this machine run beside PyTorch's; true or false, with its `reason`."""
        if isinstance(self.model, TableModel) or self.model.device.type != "cpu":
            return Kernels(False, "the compiled kernels are for networks on the CPU")
        return native.status()

    @property
    def causal(self) -> bool:
        """Whether it predicts left to right, from the tokens before, and has no other order of its own."""
        return self.chain is None

    def __repr__(self) -> str:
        network = getattr(self.model, "own", getattr(self.model, "lm", self.model))
        return (
            f"LanguageModel({self.model.name!r}: {type(network).__name__}, {name_of(self.model.dtype)} on "
            f"{self.model.device}, {self.predictor.path} path, start {self.start.policy})"
        )

    def _given(self, context: Any, special: str | None) -> Request | None:
        """One text or one sequence of token ids that stands before; None for none."""
        reading = Reading.of(special)
        if (
            context is None
            or (kind_of(context) == "ids" and not len(as_ids(context)))
            or (isinstance(context, str) and not context)
        ):
            return None
        request = requests([context], None, self.tokenizer, self.model.head.size, reading)[0]
        if request.segments:
            raise InputError("what stands before is one text or one sequence of token ids, not a pair of texts")
        return request

    def _end(self, requested: bool | int | None) -> int | None:
        """The end symbol to stop at: None is the model's own, if it has one."""
        try:
            return self._resolved_end(True if requested is None else requested)
        except InputError:
            if requested is None:
                return None
            raise

    def _resolved_end(self, requested: bool | int | None) -> int | None:
        eos = self.tokenizer.eos_id if self.tokenizer else None
        return resolve_end(requested, vocab_size=self.model.head.size, tokenizer_eos=eos, config_eos=self.model.eos_id)

    def _start(self, requested: str | int) -> Start:
        tokenizer = self.tokenizer
        if isinstance(self.chain, MaskedChain):
            frame = self.chain.frame
            return framed_start(requested, frame.before, frame.token(frame.before))
        if isinstance(self.chain, TwoStreamChain):
            return given_start(requested, NEEDS_A_TOKEN)
        return resolve_start(
            requested,
            vocab_size=self.model.embeddings,
            tokenizer_bos=tokenizer.bos_id if tokenizer else None,
            tokenizer_eos=tokenizer.eos_id if tokenizer else None,
            config_bos=self.model.bos_id,
            config_eos=self.model.eos_id,
            token=naming(tokenizer),
        )

    def _no_next_token(self) -> str:
        return f"{self.model.name} is no causal model ({self.any_order.path}): it has no distribution of a next token alone"

    def _chosen(self, start: str | int | None) -> Start:
        return self.start if start is None else self._start(start)
