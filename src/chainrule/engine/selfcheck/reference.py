"""The reference of the probe: the model's own forward, on a few sequences chosen to exercise as much of it as possible."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from typing import Any, TypeVar

import numpy as np
import torch

from chainrule._types import Floats, Ints
from chainrule.engine.attention.layout import NAME
from chainrule.engine.engine import Engine
from chainrule.engine.question import Question, Settings
from chainrule.errors import ModelError
from chainrule.forest import Forest
from chainrule.models.causal import PretrainedModel
from chainrule.models.double import DoubleModel, in_float64
from chainrule.models.transformer import Network
from chainrule.ops.sealed import WeightsWritten, unless_memory

N = TypeVar("N", bound=Network)

TOLERANCE = 1e-3  # nats; correct strategies agree to 1e-5, and a wrong mask or position changes factors by 0.1 or more
MAX_SHARE = 1e-2  # the largest allowed error, as a share of the context effect, which is small if the weights are weak
SAFE_SHARE = 1e-4  # up to this share, rounding explains an error; beyond it, float64 decides
DOUBLE = 1e-7  # nats to which two computations must agree in float64
ROUNDING = 2e-6  # the relative rounding error of a typical log-probability, at least
LENGTH = 23  # tokens of the first sequence
BRANCHES = ((9, 17), (16, 5))  # of the other sequences: tokens shared with the first one, and own tokens
ROWS = {"forest": 16, "batch": 4 * LENGTH, "single": 1}  # small, so that paths continue across chunks and batches are padded
REACH = 7  # thresholds are lowered to this temporarily, so that the sequences reach them
LONG, WORK = 161, 5e9  # tokens of a long text; its largest tokens × parameters
FAR = 1024  # the most tokens of a long text if the network reads larger numbers
LOOSE = 1e-2  # nats, at most, that rounding may accumulate on a long text if float64 is not available
SMALL = 5e7  # parameters, at most, of a model whose layers are all checked in float64
WIDE = 2e8  # parameters, at most, of a model that is checked in float64 at all
SYMBOLS, TIMES = 8, 3  # symbols tried within a text, at most, and occurrences of each
_SYMBOL = re.compile(r"(_id|_ids|_index|_idx)$")
_ORDINARY = re.compile(r"^(bos|eos|decoder_start|forced)")  # symbols that most texts contain


class Standard:
    """Sequences, their log Pr(· | ids[:i + 1]) at every position i by the model's own forward, and the tolerances, in nats.

    safe: up to this error, rounding is the explanation. tolerance: no larger error is accepted. loose: the same where
    rounding accumulates.
    """

    def __init__(self, trial: PretrainedModel) -> None:
        self.trial, draw = trial, np.random.default_rng(0)
        self._draw = partial(draw.choice, _ordinary(trial.head.size, _named(trial)))
        self._longest = trial.max_rows or FAR
        trunk = self._draw(min(LENGTH, self._longest))
        branches = [np.append(trunk[:shared], self._draw(own)) for shared, own in BRANCHES]
        self.sequences = [trunk, *(branch[: len(trunk)] for branch in branches)]
        self.logprobs = self.own(self.sequences)
        self.context_effect = self._context_effect()
        self.safe = tolerance(SAFE_SHARE, self.context_effect, self.logprobs[0])
        self.tolerance = tolerance(MAX_SHARE, self.context_effect, self.logprobs[0])
        self.loose = max(self.tolerance, min(LOOSE, MAX_SHARE * self.context_effect))

    def own(self, sequences: Sequence[Ints]) -> list[Floats]:
        return [own_logprobs(self.trial, ids) for ids in sequences]

    def _context_effect(self) -> float:
        """The effect of another context on the conditionals, in nats; see `context_effect`."""
        ids = self.sequences[0]
        half = max(1, len(ids) // 2)
        other = np.append(self._draw(half), ids[half:])
        return context_effect(self.own([other])[0][half:], self.logprobs[0][half:])

    def check_causal(self) -> None:
        """Raises ModelError if the conditionals after a prefix depend on the tokens that follow it, or on earlier runs."""
        for off, limit in self._prefix_errors():
            if off > self.safe and off <= max(limit, TOLERANCE) and self.double:
                self.double.check_causal()
                return
            if not off <= limit:
                raise ModelError(
                    f"{self.trial.title} is not causal: its distributions over a prefix change by "
                    f"{off:.2g} nats with the tokens after it, so its factors are no conditional probabilities"
                )

    def _prefix_errors(self) -> Iterator[tuple[float, float]]:
        """The change of the conditionals of a prefix, and the largest one allowed: for a short prefix, and in a long text."""
        shared = min(BRANCHES[0][0], len(self.sequences[1]) - 1)
        yield distance(self.logprobs[0][:shared], self.logprobs[1][:shared]), self.tolerance
        if self.long is not None:
            trial, (text,), (logprobs,) = self.long
            part = 2 * len(text) // 3
            yield distance(own_logprobs(trial, text[:part]), logprobs[:part]), self.loose

    @cached_property
    def size(self) -> int:
        return size(self.trial)

    @cached_property
    def double(self) -> Standard | None:
        """The same in float64, where rounding explains no error; None if the model is too large or does not run in it.

        A large model is represented by its first layers, up to the first of each kind.
        """
        trial = self.trial if self.size <= SMALL else self.shallow or self.trial
        if size(trial) > WIDE or isinstance(trial, DoubleModel):
            return None
        double = DoubleModel.of(trial)
        try:
            standard = Standard(double)
        except Exception as error:  # kernels without float64
            double.release(trial)
            unless_memory(error)
            return None
        standard.safe = standard.tolerance = standard.loose = DOUBLE
        return standard

    def release(self, model: PretrainedModel) -> None:
        """Free the widened copies of the model's weights."""
        if double := vars(self).get("double"):
            double.release(model)
        self.trial.release(model)

    @cached_property
    def lowered(self) -> list[tuple[str, list[Floats]]]:
        """The names of thresholds beyond these sequences, and the log-probabilities with each of them lowered to REACH.

        Any integer that the forward reads may be a threshold: a window, or a position from which attention is scaled. If the
        forward fails, the integer is a size. If the results stay the same, it is no threshold that matters.
        """
        first, thresholds = self.sequences[0], []
        for name in self.trial.integers_read(partial(self.own, [first]), REACH + 1):
            if name == "num_hidden_layers":
                continue
            try:
                with self.trial.lowered(name, REACH):
                    (changed,) = self.own([first])
                    if not np.array_equal(changed, self.logprobs[0]):
                        thresholds.append((name, [changed, *self.own(self.sequences[1:])]))
            except Exception as error:  # a size
                unless_memory(error)
                continue
        return thresholds

    @cached_property
    def shallow(self) -> PretrainedModel | None:
        """The model with its first layers only, up to the first of each kind; None if these are all, or do not run alone."""
        trial = self.trial.shallow()
        try:
            return trial if trial and len(own_logprobs(trial, self.sequences[0][:2])) else None
        except ModelError:
            return None

    @cached_property
    def long(self) -> tuple[PretrainedModel, list[Ints], list[Floats]] | None:
        """A model, a long text, and its log-probabilities; None if the model takes no long text.

        The model has the first layers only if all layers would be slow. The text is longer than the numbers that the network
        reads, up to FAR tokens, so that thresholds that cannot be lowered have an effect.
        """
        trial = self.trial if LONG * self.size <= WORK else self.shallow or self.trial
        if min(LONG, self._longest) <= 2 * LENGTH:
            return None
        text, results = self._draw(min(LONG, self._longest)), []
        numbers = trial.numbers_read(lambda: results.append(own_logprobs(trial, text)))
        far = min(FAR, self._longest, int(WORK / size(trial)))
        beyond = min(far, int(max((n for n in numbers if n <= far), default=0)) + LENGTH)
        if beyond > len(text):
            text = np.append(text, self._draw(beyond - len(text)))
        return trial, [text], [results[0] if len(results) and len(results[0]) == len(text) else own_logprobs(trial, text)]

    def symbols(self) -> list[int]:
        """Ids with a special meaning in the network's configs and embeddings, padding first."""
        return _named(self.trial)[:SYMBOLS]

    def text_with(self, ids: Sequence[int]) -> Ints:
        """A text that contains each of these ids twice in a row, followed by an ordinary token, TIMES times."""
        trunk, repeated = self.sequences[0], np.tile(ids, TIMES)
        middle = np.stack([repeated, repeated, np.resize(trunk, len(repeated))], 1).reshape(-1)
        return np.concatenate([trunk[:3], middle, trunk[3:8]])[: self._longest]

    def agrees(self, candidate: PretrainedModel, ids: Ints) -> bool:
        """Whether a candidate gives the factors of the reference on a text. False if the model's own forward fails on it."""
        try:
            return largest_error(candidate, [ids], self.own([ids]))[0] <= self.tolerance
        except ModelError:  # the own forward requires the image that a symbol represents
            return False


def _named(trial: PretrainedModel) -> list[int]:
    """Ids with a special meaning in configs and embeddings: padding, images …; symbols of ordinary texts come last."""
    ids_of: dict[str, list[Any]] = {"": [getattr(part, "padding_idx", None) for part in trial.lm.modules()]}
    for config in (trial.lm.config.get_text_config(), trial.lm.config):
        for name, value in vars(config).items():
            if _SYMBOL.search(name):
                ids_of[name] = value if isinstance(value, list) else [value]
    order = sorted(ids_of, key=lambda name: bool(_ORDINARY.match(name)))
    symbols = dict.fromkeys(id for name in order for id in ids_of[name] if type(id) is int and 0 <= id < trial.embeddings)
    return list(symbols)


def _ordinary(size: int, symbols: list[int]) -> Ints:
    """The ids without a special meaning; all ids if too few would be left."""
    ids = np.setdiff1d(np.arange(size), symbols)
    return ids if 2 * len(ids) > size else np.arange(size)


def context_effect(one_NV: Floats, other_NV: Floats) -> float:
    """How far another context moves conditionals: the mean over the vocabulary, at the position where it is largest; nats."""
    if not len(one_NV):
        return TOLERANCE / MAX_SHARE
    with np.errstate(invalid="ignore"):
        gap_NV = np.abs(one_NV - other_NV)
    finite = np.isfinite(gap_NV)
    return float((np.where(finite, gap_NV, 0.0).sum(1) / np.maximum(finite.sum(1), 1)).max())


def tolerance(share: float, effect: float, logprobs: Floats) -> float:
    """The allowed error of a factor, in nats: a share of the context effect, but at least rounding and at most TOLERANCE.

    logprobs: a sample, whose typical size gives the size of rounding errors.
    """
    finite = np.abs(logprobs)[np.isfinite(logprobs)]
    typical = float(np.median(finite)) if len(finite) else 0.0
    return min(TOLERANCE, max(share * effect, ROUNDING * typical))


def unexplained_error(model: N, off: float, safe: float, limit: float, measure: Callable[[N], float]) -> float:
    """The error of a model, in nats, if rounding cannot explain it, else 0. Float64 decides doubtful cases, if available.

    off: the error in float32. safe, limit: up to these errors, rounding is the explanation, and may be the explanation.
    measure: computes the error of a model; called with the same model in float64.
    """
    if off <= safe or not off <= limit:
        return 0.0 if off <= safe else off
    if size(model) > WIDE:
        return 0.0
    try:
        with in_float64(model) as double:
            further = measure(double)
    except Exception as error:  # kernels without float64
        unless_memory(error)
        return 0.0
    return 0.0 if further <= DOUBLE else further


def size(model: Network) -> int:
    """The number of parameters of a model."""
    return sum(p.numel() for p in model.lm.parameters())


def own_logprobs(model: PretrainedModel, ids: Ints) -> Floats:
    """log Pr(· | ids[:i + 1]) at every position i, by the model's own forward. Raises ModelError if it fails, or for NaN."""
    try:
        logits = model.own_logits(torch.from_numpy(ids))
    except WeightsWritten as error:
        raise WeightsWritten(
            f"{model.title} cannot be scored: {error}, so its results for a text depend on earlier runs"
        ) from error
    except Exception as error:
        raise model.failed("does not run on token ids alone", error) from error
    logprob = logits.double().log_softmax(-1).cpu().numpy()
    if np.isnan(logprob).any():
        raise ModelError(
            f"{model.title} gives NaN in its own forward, even in float32: its weights are damaged, or far too large"
        )
    return logprob


def largest_error(
    candidate: PretrainedModel, sequences: Sequence[Ints], reference: Sequence[Floats], *, larger: int = 1
) -> tuple[float, str]:
    """The largest difference of any factor from the reference, and its description; chunks have `larger` times ROWS rows."""
    forest, strategy = Forest.build(list(sequences)), candidate.run_config.strategy
    question = Question(forest, forest.depth_N > 0)
    try:
        if not candidate.set_attention(NAME if strategy == "forest" else candidate.own_attention):
            return np.inf, "its attention cannot be replaced"
        answer = Engine(candidate, strategy).answer(question, Settings(rows=larger * ROWS[strategy]))
    except Exception as error:  # an architecture may fail in any way on arguments that it does not know
        unless_memory(error)
        cause = error.__cause__ or error
        return np.inf, f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:120]
    worst = 0.0
    for s, (ids, logprob) in enumerate(zip(sequences, reference, strict=True)):
        own = logprob[np.arange(len(ids) - 1), ids[1:]]
        worst = max(worst, distance(answer.logprobs[forest.path(s)[1:]], own))
    return worst, f"off by {worst:.2g} nats"


def distance(a: Any, b: Any) -> float:
    """The largest difference of two arrays, 0 for equal infinities and ∞ for NaN."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))
    return float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0))
