"""What the methods of a `LanguageModel` share: a model with its tokenizer, start symbol and predictor."""

from __future__ import annotations

from typing import Any, cast

import torch

from chainrule._checks import is_whole
from chainrule.engine.engine import Engine
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.predictors.registry import kind_of, predictor_of
from chainrule.engine.prefixes.store import PrefixCache
from chainrule.errors import InputError, of_one_text, raise_unless, short
from chainrule.models.base import Model
from chainrule.models.dtype import name_of
from chainrule.ops import native
from chainrule.ops.library.build import Kernels
from chainrule.scoring.scorer import Scorer
from chainrule.text.base import TokenizerLike
from chainrule.text.reading import Reading, Special
from chainrule.text.requests import requests
from chainrule.text.start_end import Start
from chainrule.text.types import StartPolicy, Text
from chainrule.verdict import Verdict


class Foundation:
    """A model with its tokenizer and start symbol. Log probabilities are in nats unless a name gives another unit."""

    def __init__(
        self,
        model: Model,
        tokenizer: TokenizerLike | None = None,
        *,
        start: StartPolicy | int = "auto",
        engine: Engine | None = None,
    ) -> None:
        self.tokenizer = kind_of(model).own_tokenizer(model) if tokenizer is None else tokenizer
        self.predictor: Predictor = predictor_of(model, self.tokenizer, engine)
        self.start: Start = self.predictor.start(start, self.tokenizer)

    @property
    def model(self) -> Any:
        """The network or table that maps tokens to embeddings, hidden states and logits: x → e → h → z."""
        return self.predictor.model

    @property
    def engine(self) -> Engine:
        """The engine, which scores forests. Raises InputError for models that have none, such as masked models."""
        raise_unless(self.predictor.accepts.engine)
        return cast("Any", self.predictor).engine

    @engine.setter
    def engine(self, engine: Engine) -> None:
        self.predictor = predictor_of(self.model, self.tokenizer, engine)

    def _probe_again(self) -> None:
        """Probe the network now if what is known about it comes from the cache, which then forgets it."""
        findings = getattr(getattr(self.predictor, "engine", None), "findings", None)
        if findings is not None and findings.recalled:
            findings.forget()
            memory = self.prefix_cache.memory
            self.predictor = predictor_of(self.model, self.tokenizer)
            self.cache_prefixes(memory)

    @property
    def scorer(self) -> Scorer:
        """What reads texts and symbols for this model, and makes its scores."""
        return Scorer(self.predictor, self.tokenizer, self.start)

    @property
    def invariant(self) -> Verdict:
        """Whether the bits of a factor are the same alone and in any batch; true or false, with a `reason`."""
        return self.predictor.invariance

    @property
    def kernels(self) -> Kernels:
        """Whether kernels compiled on this machine are in use; true or false, with a `reason`."""
        if not kind_of(self.model).network or self.model.device.type != "cpu":
            return Kernels(False, "the compiled kernels are for networks on the CPU")
        return native.status()

    def cache_prefixes(self, memory: int = 1 << 30) -> Verdict:
        """From now on, keep what was computed for prefixes that texts share, and reuse it in later calls.

        Results have the same bits as without. A prefix is kept if two texts share 64 tokens or more, also texts of different
        calls. `prefix_cache` counts what is kept. Returns whether prefixes are kept now; true or false, with a `reason`.

        memory: the number of bytes for keys, values and log probabilities; those that have not been used for longest are
            dropped first. 0 frees all of them, and none are kept any more.
        Raises InputError for other values.
        """
        if not is_whole(memory, 0):
            raise InputError(f"memory must be a whole number of bytes, 0 or more, not {short(memory)}; 0 keeps no prefixes")
        return self.predictor.cache_prefixes(int(memory))

    @property
    def prefix_cache(self) -> PrefixCache:
        """What `cache_prefixes` keeps: `bytes` and `contexts` in use, `memory`, and `contexts_taken` from it in all."""
        return getattr(getattr(self.predictor, "engine", None), "prefixes", PrefixCache())

    def embed(self, text: Text, *, special: Special | None = None) -> torch.Tensor:
        """The token embeddings of a text, T × D, as `score(embeddings=...)` takes them.

        text: a text, or token ids: a list, tuple, array, tensor, or the output of a tokenizer.
        special: how names of control symbols, such as <|endoftext|>, are read: "text" (default, with a warning) or "parse".
        Raises InputError for input without token ids, and for models without an embedding table.
        """
        raise_unless(self.predictor.accepts.embed)
        with of_one_text():
            request = requests([text], None, self.tokenizer, self.model.embeddings, Reading.of(special))[0]
        embedding_TD = self.model.embed(torch.from_numpy(request.ids).to(self.model.device))
        return embedding_TD.detach().clone()  # a tensor outside inference mode, which may be modified

    def __repr__(self) -> str:
        network = getattr(self.model, "own", getattr(self.model, "lm", self.model))
        return (
            f"LanguageModel({self.model.name!r}: {type(network).__name__}, {name_of(self.model.dtype)} on "
            f"{self.model.device}, {self.predictor.strategy} strategy, start {self.start.policy})"
        )
