"""The model that is checked, the texts it is checked on, and the slow references its numbers are held against.

Shapes: T tokens, P prefixes of them that something follows, K tokens asked for in each place, V vocabulary.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import torch

from chainrule._types import Floats, Ints
from chainrule.engine.engine import Engine
from chainrule.engine.predictors.base import Predictor
from chainrule.engine.selfcheck.invariance import experts
from chainrule.engine.selfcheck.reference import distance
from chainrule.errors import InputError
from chainrule.models.causal import PretrainedModel
from chainrule.models.dtype import name_of
from chainrule.models.head import all_logits
from chainrule.models.table import TableModel
from chainrule.ops.native.build import Kernels
from chainrule.ops.sealed import sealed
from chainrule.results.batch import Scores
from chainrule.results.conditional import Conditional
from chainrule.text.base import Tokenizes
from chainrule.text.start_end import Start
from chainrule.verdict import Verdict

TEXTS = (
    "It is raining. I need an umbrella, and you need one too; the capital of France is Paris.",
    "The quick brown fox jumps over the lazy dog (1,234.5 times).",
    "Zoë's naïve café in Kraków costs 5 € — “déjà vu”, she said…",
    "def f(x):\n    return x + 1\n\n\tprint(f(2))",
    "Колмогоров сказал: 日本語のテキスト, 한국어, שלום, مرحبا.",
    "Two  spaces,\ttabs, and emoji: 👩‍👩‍👧 🎉 end.",
)
LENGTH = 24  # tokens of the text that is looked at closely
CONTEXTS = 6  # prefixes of it behind which the whole distribution is looked at
LEAST = 4  # embeddings that a model has to take
LONGEST = 48  # tokens that are taken of any text
DIGITS = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2.0**-7, torch.bfloat16: 2.0**-4}  # nats
EAGER = 1e-5  # nats: eager attention computes its softmax in float32, in a float64 model too
SLACK = 3  # how many times as far from float64 as the model's own forward: roundings differ, errors are larger


class Language(Protocol):
    """What is asked of the language model: `chainrule.LanguageModel`."""

    tokenizer: Tokenizes | None
    start: Start

    @property
    def model(self) -> Any: ...
    @property
    def predictor(self) -> Predictor: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def invariant(self) -> Verdict: ...
    @property
    def kernels(self) -> Kernels: ...
    def score_batch(self, texts: Sequence[Any], **options: Any) -> Scores: ...
    def conditional(self, context: Any = None, *, start: str | int | None = None) -> Conditional: ...
    def embed(self, ids: Sequence[int]) -> torch.Tensor: ...
    def score(self, text: Any = None, **options: Any) -> Any: ...


class Reference(NamedTuple):
    """The model's own forward of the text, in the widest type that can be had."""

    logprob_PV: Floats
    dtype: torch.dtype
    why: str  # it is no wider one


def check_causal(lm: Language) -> None:
    """Raises InputError for a model whose engine does not predict left to right from tokens alone."""
    if not (accepted := lm.predictor.accepts.left_to_right):
        raise InputError(accepted.reason)


class Subject:
    """One language model and what it is checked on."""

    def __init__(self, lm: Language, texts: Sequence[str] | None = None) -> None:
        check_causal(lm)
        if isinstance(texts, str):
            raise InputError("verify takes a list of texts, not one text: verify(texts=[text])")
        if texts is not None and not len(texts):
            raise InputError("there is no text to verify on; leave texts out for some that come with chainrule")
        if lm.model.max_rows is not None and lm.model.max_rows < LEAST:
            raise InputError(
                f"{lm.model.name} takes {lm.model.max_rows} embeddings at a time; the properties need a context of {LEAST}"
            )
        self.lm, self.model = lm, lm.model
        self.draw = np.random.default_rng(0)
        self._trial: tuple[torch.dtype, PretrainedModel] | None = None
        self.texts, encoded = self._encoded(texts)
        self.sequences = [ids[: min(LONGEST, self.longest)] for ids in encoded if len(ids) > 1] or self.random(4, LONGEST)
        self.ids_T = self._text(encoded)

    @property
    def eager(self) -> bool:
        """Whether the references run on eager attention, for want of a kernel that does what the model asks for."""
        return isinstance(self.model, PretrainedModel) and self.model.own_attention == "eager"

    @cached_property
    def longest(self) -> int:
        """The most tokens that fit into one context."""
        model = self.model
        if isinstance(model, TableModel) and not model.back_off:
            return model.longest + 1
        return model.max_rows or 1 << 20

    @cached_property
    def company(self) -> float:
        """How far factors may move with their company, in nats: not at all where they have the same bits in any."""
        return 0.0 if self.lm.invariant else self.rounding

    @cached_property
    def same_shape(self) -> float:
        """How far they may move with other tokens in places that they cannot see: experts get other numbers of rows."""
        return 0.0 if self.lm.invariant or not experts(self.model) else self.rounding

    @cached_property
    def rounding(self) -> float:
        """What rounding can come to in a factor, in nats: no more than SLACK times what it does in the model's own forward."""
        least = EAGER if self.eager and self.model.dtype == torch.float64 else DIGITS[self.model.dtype]
        return max(least, SLACK * self.own_error)

    @cached_property
    def own_error(self) -> float:
        """The largest error of the model's own forward in its own type, in log-ratios; 0 where nothing is more exact."""
        return distance(centred(self.own_PV[:, self.asked_K]), centred(self.reference.logprob_PV[:, self.asked_K]))

    @cached_property
    def asked_K(self) -> Ints:
        """K tokens that are asked for in every place: those of the text and others, most of them improbable."""
        others = self.draw.integers(0, self.model.head.size, LENGTH)
        return np.unique(np.concatenate([self.ids_T, others]))

    @cached_property
    def own_PV(self) -> Floats:
        """log Pr(· | ids_T[:p + 1]) for every prefix that something follows, by the model's own forward, in its own type."""
        return self.own(self.ids_T[:-1])

    @cached_property
    def found_PK(self) -> Floats:
        """log Pr of the tokens that are asked for, behind each prefix of the text, through the library: one forest."""
        prefixes = [self.ids_T[: p + 1] for p in range(len(self.ids_T) - 1)]
        sequences: list[Ints] = [np.append(prefix, token) for prefix in prefixes for token in self.asked_K]
        return np.array([logprobs[-1] for logprobs in self.given(sequences)]).reshape(len(prefixes), -1)

    @cached_property
    def distributions(self) -> list[Floats]:
        """log Pr(· | a prefix of the text), V, for some prefixes, through the library."""
        places = np.unique(np.linspace(1, len(self.ids_T) - 1, CONTEXTS).astype(int)).tolist()
        return [self.lm.conditional(self.ids_T[:place].tolist(), start="given").logprobs for place in places]

    @cached_property
    def reference(self) -> Reference:
        """The same in float64, where memory and the model's own code allow, or else in float32 for a narrower model."""
        why = ""
        for dtype in (torch.float64, torch.float32):
            if not isinstance(self.model, PretrainedModel) or dtype.itemsize <= self.model.dtype.itemsize:
                continue
            try:
                self._check_memory(dtype)
                return Reference(self.own(self.ids_T[:-1], dtype), dtype, why)
            except (RuntimeError, MemoryError) as error:  # some models mix types by themselves
                why += f", for want of {name_of(dtype)} ({str(error).splitlines()[0][:80]})"
        return Reference(self.own_PV, self.model.dtype, why)

    def _check_memory(self, dtype: torch.dtype) -> None:
        model: Any = self.model
        needed, there = dtype.itemsize * sum(p.numel() for p in model.lm.parameters()), _memory(model.device)
        if there is not None and needed > there:
            raise MemoryError(f"it needs {needed / 2**30:.1f} GiB, and {there / 2**30:.1f} are free")

    def trial(self, dtype: torch.dtype) -> PretrainedModel:
        """The model in a wider type, on a network of its own; the last one that was asked for is kept."""
        if not isinstance(self.model, PretrainedModel):
            raise TypeError(f"a {type(self.model).__name__} has no weights to widen: only a PretrainedModel has")
        if self._trial is None or self._trial[0] != dtype:
            self.let_go()  # its memory first
            self._trial = dtype, self.model.trial(dtype).by(self.model.way)
        return self._trial[1]

    def let_go(self) -> None:
        """Free the weights of the network that was asked for."""
        if self._trial is not None:
            self._trial[1].let_go(cast("PretrainedModel", self.model))
            self._trial = None

    def own(self, ids_T: Ints, dtype: torch.dtype | None = None) -> Floats:
        """log Pr(· | ids[:i + 1]) for every i, T × V: the model's own whole forward of this sequence alone, unpadded."""
        return self.own_logits(ids_T, dtype).double().log_softmax(-1).cpu().numpy()

    @sealed
    def own_logits(self, ids_T: Ints, dtype: torch.dtype | None = None) -> torch.Tensor:
        model = self.model
        if isinstance(model, PretrainedModel):
            return (model if dtype is None else self.trial(dtype)).own_logits(torch.from_numpy(ids_T))
        hidden_TH = model.hidden(model.inputs(torch.from_numpy(ids_T))[None])[0]
        return all_logits(model.head, hidden_TH)

    def given(self, sequences: Sequence[Ints], **options: Any) -> list[Floats]:
        """The factors of each sequence, scored together, behind its first token."""
        scores = self.lm.score_batch([ids.tolist() for ids in sequences], start="given", **options)
        return [score.logprobs for score in scores]

    def alone(self, sequences: Sequence[Ints], **options: Any) -> list[Floats]:
        """The same, one sequence at a time."""
        return [self.given([ids], **options)[0] for ids in sequences]

    def random(self, count: int, length: int) -> list[Ints]:
        """Sequences of random tokens that fit into the context; the start symbol is none of them."""
        return [np.array(self.stream(min(length, self.longest)), np.int64) for _ in range(count)]

    def stream(self, length: int) -> list[int]:
        """Random tokens, as many as are wanted."""
        found = self.draw.integers(0, self.model.head.size, length)
        return np.where(found == self.lm.start.id, (found + 1) % self.model.head.size, found).tolist()

    def others(self, ids: Ints) -> Ints:
        """A different token for each."""
        size = self.model.head.size
        return (ids + self.draw.integers(1, size, len(ids))) % size if size > 1 else ids

    def _encoded(self, texts: Sequence[str] | None) -> tuple[list[str], list[Ints]]:
        tokenizer = self.lm.tokenizer
        if tokenizer is None or (texts is None and not isinstance(self.model, PretrainedModel)):
            if texts is not None:
                raise InputError("this model came without a tokenizer, so it cannot be checked on texts: leave them out")
            return [], self.random(4, LONGEST)
        found = list(TEXTS if texts is None else texts)
        encoded = [np.asarray(ids, np.int64) for ids in tokenizer.encode_batch(found)]
        most = max((int(ids.max()) for ids in encoded if len(ids)), default=0)
        if most >= self.model.head.size:
            raise InputError(
                f"the tokenizer gives ids up to {most}, and the model knows those below {self.model.head.size}: they do not "
                "belong together"
            )
        return found, encoded

    def _text(self, encoded: list[Ints]) -> Ints:
        """The first tokens of all texts together; random ones where those are too few, or nearly all the same."""
        ids_T = np.concatenate([*encoded, np.zeros(0, np.int64)])[: min(LENGTH, self.longest)]
        if len(ids_T) < 2 or len(np.unique(ids_T)) < len(ids_T) // 3:
            return self.random(1, LENGTH)[0]
        return ids_T


def farthest(several: Sequence[Floats], others: Sequence[Floats]) -> float:
    """The largest difference of any factor of any sequence; without bound where one has more factors than the other."""
    pairs = zip(several, others, strict=True)
    return max((distance(a, b) if len(a) == len(b) else float("inf") for a, b in pairs), default=0.0)


def centred(logprob_TK: Floats) -> Floats:
    """Log probabilities but for the normaliser, which all K of a place have in common: log-ratios to their mean."""
    finite_TK = np.where(np.isfinite(logprob_TK), logprob_TK, np.nan)
    with np.errstate(invalid="ignore"):
        return logprob_TK - np.nan_to_num(np.nanmean(finite_TK, -1, keepdims=True))


def _memory(device: torch.device) -> int | None:
    """Free bytes; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
