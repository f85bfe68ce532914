"""The model under test, the texts it is checked on, and the slow references that its numbers are compared with.

Shapes: T tokens, P proper prefixes of them, K tokens scored after each prefix, V vocabulary.
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
from chainrule.errors import InputError, raise_unless
from chainrule.models.causal import PretrainedModel
from chainrule.models.dtype import name_of
from chainrule.models.head import all_logits
from chainrule.models.table import TableModel
from chainrule.ops.library.build import Kernels
from chainrule.ops.sealed import sealed
from chainrule.results.batch import Scores
from chainrule.results.conditional import Conditional
from chainrule.text.base import TokenizerLike
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
LENGTH = 24  # tokens of the text that is checked in detail
CONTEXTS = 6  # prefixes of it after which the whole distribution is checked
LEAST = 4  # the shortest context, in embeddings, that a model must allow
LONGEST = 48  # tokens used of any text
DIGITS = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 2.0**-7, torch.bfloat16: 2.0**-4}  # nats
EAGER = 1e-5  # nats: eager attention computes its softmax in float32 even in a float64 model
SLACK = 3  # allowed error, as a multiple of that of the model's own forward: other roundings, but no larger errors


class Language(Protocol):
    """The parts of `chainrule.LanguageModel` that are used here."""

    tokenizer: TokenizerLike | None
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
    def score_batch(self, *args: Any, **options: Any) -> Scores: ...
    def conditional(self, *args: Any, **options: Any) -> Conditional: ...
    def embed(self, *args: Any, **options: Any) -> torch.Tensor: ...
    def score(self, *args: Any, **options: Any) -> Any: ...


class Reference(NamedTuple):
    """The model's own forward of the text, in the widest type that is possible."""

    logprob_PV: Floats
    dtype: torch.dtype
    why: str  # the type is no wider, if it is not float64


def check_causal(lm: Language) -> None:
    """Raises InputError for a model whose engine does not predict left to right from tokens alone."""
    raise_unless(lm.predictor.accepts.left_to_right)


class ModelUnderTest:
    """A language model, the texts it is checked on, and its references."""

    def __init__(self, lm: Language, texts: Sequence[str] | None = None) -> None:
        check_causal(lm)
        if isinstance(texts, str):
            raise InputError("verify takes a list of texts, not one text: verify(texts=[text])")
        if texts is not None and not len(texts):
            raise InputError("there is no text to verify on; leave texts out to use those that come with chainrule")
        if lm.model.max_rows is not None and lm.model.max_rows < LEAST:
            raise InputError(
                f"{lm.model.name} takes {lm.model.max_rows} embeddings at a time; the properties need a context of {LEAST}"
            )
        self.lm, self.model = lm, lm.model
        self.draw = np.random.default_rng(0)
        self._trial: tuple[torch.dtype, PretrainedModel] | None = None
        self.texts, encoded = self._encode(texts)
        self.sequences = [ids[: min(LONGEST, self.longest)] for ids in encoded if len(ids) > 1] or self.random(4, LONGEST)
        self.ids_T = self._text(encoded)

    @property
    def eager(self) -> bool:
        """Whether the references run on eager attention, since no other kernel supports the model."""
        return isinstance(self.model, PretrainedModel) and self.model.own_attention == "eager"

    @cached_property
    def longest(self) -> int:
        """The most tokens that fit into one context."""
        model = self.model
        if isinstance(model, TableModel) and not model.back_off:
            return model.longest + 1
        return model.max_rows or 1 << 20

    @cached_property
    def batch_tolerance(self) -> float:
        """The allowed change of a factor with the other sequences in the batch, in nats: 0 if the model is invariant."""
        return 0.0 if self.lm.invariant else self.rounding

    @cached_property
    def content_tolerance(self) -> float:
        """The allowed change with tokens that the factor does not see, in nats: above 0 only where experts get other rows."""
        return 0.0 if self.lm.invariant or not experts(self.model) else self.rounding

    @cached_property
    def rounding(self) -> float:
        """The allowed rounding error of a factor, in nats: at least DIGITS, and SLACK times that of the model's own forward."""
        least = EAGER if self.eager and self.model.dtype == torch.float64 else DIGITS[self.model.dtype]
        return max(least, SLACK * self.own_error)

    @cached_property
    def own_error(self) -> float:
        """The largest error of the model's own forward in its own type, in log-ratios; 0 if there is no wider reference."""
        return distance(centred(self.own_PV[:, self.token_K]), centred(self.reference.logprob_PV[:, self.token_K]))

    @cached_property
    def token_K(self) -> Ints:
        """The K tokens that are scored after every prefix: those of the text and random ones, most of them improbable."""
        others = self.draw.integers(0, self.model.head.size, LENGTH)
        return np.unique(np.concatenate([self.ids_T, others]))

    @cached_property
    def own_PV(self) -> Floats:
        """log Pr(· | ids_T[:p + 1]) for every proper prefix, by the model's own forward in its own type."""
        return self.own(self.ids_T[:-1])

    @cached_property
    def scored_PK(self) -> Floats:
        """log Pr of the K tokens after each prefix of the text, as this library scores them, in one forest."""
        prefixes = [self.ids_T[: p + 1] for p in range(len(self.ids_T) - 1)]
        sequences: list[Ints] = [np.append(prefix, token) for prefix in prefixes for token in self.token_K]
        return np.array([logprobs[-1] for logprobs in self.factors(sequences)]).reshape(len(prefixes), -1)

    @cached_property
    def distributions(self) -> list[Floats]:
        """log Pr(· | a prefix of the text), V, for some prefixes, as this library computes them."""
        lengths = np.unique(np.linspace(1, len(self.ids_T) - 1, CONTEXTS).astype(int)).tolist()
        return [self.lm.conditional(self.ids_T[:length].tolist(), start="given").logprobs for length in lengths]

    @cached_property
    def reference(self) -> Reference:
        """`own_PV` in float64 if memory and the model's own code allow it, or else in float32 for a narrower model."""
        why = ""
        for dtype in (torch.float64, torch.float32):
            if not isinstance(self.model, PretrainedModel) or dtype.itemsize <= self.model.dtype.itemsize:
                continue
            try:
                self._check_memory(dtype)
                return Reference(self.own(self.ids_T[:-1], dtype), dtype, why)
            except (RuntimeError, MemoryError) as error:  # some models mix types in their own code
                why += f", since {name_of(dtype)} is not possible ({str(error).splitlines()[0][:80]})"
        return Reference(self.own_PV, self.model.dtype, why)

    def _check_memory(self, dtype: torch.dtype) -> None:
        model: Any = self.model
        needed, free = dtype.itemsize * sum(p.numel() for p in model.lm.parameters()), _memory(model.device)
        if free is not None and needed > free:
            raise MemoryError(f"it needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} are free")

    def trial(self, dtype: torch.dtype) -> PretrainedModel:
        """The model in a wider type, on a network of its own. The most recent one is cached."""
        if not isinstance(self.model, PretrainedModel):
            raise TypeError(f"a {type(self.model).__name__} has no weights to widen: only a PretrainedModel has")
        if self._trial is None or self._trial[0] != dtype:
            self.free_trial()  # free its memory first
            self._trial = dtype, self.model.trial(dtype).with_config(self.model.run_config)
        return self._trial[1]

    def free_trial(self) -> None:
        """Free the weights of the cached trial network."""
        if self._trial is not None:
            self._trial[1].release(cast("PretrainedModel", self.model))
            self._trial = None

    def own(self, ids_T: Ints, dtype: torch.dtype | None = None) -> Floats:
        """log Pr(· | ids[:i + 1]) for every i, T × V, by the model's own forward of this sequence alone, unpadded."""
        return self.own_logits(ids_T, dtype).double().log_softmax(-1).cpu().numpy()

    @sealed
    def own_logits(self, ids_T: Ints, dtype: torch.dtype | None = None) -> torch.Tensor:
        model = self.model
        if isinstance(model, PretrainedModel):
            return (model if dtype is None else self.trial(dtype)).own_logits(torch.from_numpy(ids_T))
        hidden_TH = model.hidden(model.inputs(torch.from_numpy(ids_T))[None])[0]
        return all_logits(model.head, hidden_TH)

    def factors(self, sequences: Sequence[Ints], **options: Any) -> list[Floats]:
        """The factors of each sequence given its first token, scored together."""
        scores = self.lm.score_batch([ids.tolist() for ids in sequences], start="given", **options)
        return [score.logprobs for score in scores]

    def factors_alone(self, sequences: Sequence[Ints], **options: Any) -> list[Floats]:
        """`factors`, one sequence at a time."""
        return [self.factors([ids], **options)[0] for ids in sequences]

    def random(self, count: int, length: int) -> list[Ints]:
        """Sequences of random tokens other than the start symbol that fit in the context."""
        return [np.array(self.stream(min(length, self.longest)), np.int64) for _ in range(count)]

    def stream(self, length: int) -> list[int]:
        """Random tokens other than the start symbol."""
        ids = self.draw.integers(0, self.model.head.size, length)
        return np.where(ids == self.lm.start.id, (ids + 1) % self.model.head.size, ids).tolist()

    def other_tokens(self, ids: Ints) -> Ints:
        """A different token for each of these."""
        size = self.model.head.size
        return (ids + self.draw.integers(1, size, len(ids))) % size if size > 1 else ids

    def _encode(self, texts: Sequence[str] | None) -> tuple[list[str], list[Ints]]:
        tokenizer = self.lm.tokenizer
        if tokenizer is None or (texts is None and not isinstance(self.model, PretrainedModel)):
            if texts is not None:
                raise InputError("this model came without a tokenizer, so it cannot be checked on texts: leave them out")
            return [], self.random(4, LONGEST)
        used = list(TEXTS if texts is None else texts)
        encoded = [np.asarray(ids, np.int64) for ids in tokenizer.encode_batch(used)]
        most = max((int(ids.max()) for ids in encoded if len(ids)), default=0)
        if most >= self.model.head.size:
            raise InputError(
                f"the tokenizer's ids go up to {most}, and the model's are below {self.model.head.size}: "
                "use the tokenizer of this model"
            )
        return used, encoded

    def _text(self, encoded: list[Ints]) -> Ints:
        """The first tokens of all texts together; random ones if these are too few, or nearly all the same."""
        ids_T = np.concatenate([*encoded, np.zeros(0, np.int64)])[: min(LENGTH, self.longest)]
        if len(ids_T) < 2 or len(np.unique(ids_T)) < len(ids_T) // 3:
            return self.random(1, LENGTH)[0]
        return ids_T


def farthest(several: Sequence[Floats], others: Sequence[Floats]) -> float:
    """The largest difference of any factor of any sequence; infinite if the numbers of factors differ."""
    pairs = zip(several, others, strict=True)
    return max((distance(a, b) if len(a) == len(b) else float("inf") for a, b in pairs), default=0.0)


def centred(logprob_TK: Floats) -> Floats:
    """Log-ratios of probabilities to their mean over K. The normaliser, which all K share, cancels."""
    finite_TK = np.where(np.isfinite(logprob_TK), logprob_TK, np.nan)
    with np.errstate(invalid="ignore"):
        return logprob_TK - np.nan_to_num(np.nanmean(finite_TK, -1, keepdims=True))


def _memory(device: torch.device) -> int | None:
    """Free memory in bytes; None if the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as file:
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else None
