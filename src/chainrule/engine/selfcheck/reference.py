"""What a way through a network is held against: its own forward, on sequences that show as much of it as few tokens can."""

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
from chainrule.engine.question import Question
from chainrule.errors import ModelError
from chainrule.forest import Forest
from chainrule.models.causal import PretrainedModel
from chainrule.models.double import DoubleModel, in_float64
from chainrule.models.transformer import Network
from chainrule.ops.sealed import WeightsWritten, unless_memory

N = TypeVar("N", bound=Network)

TOLERANCE = 1e-3  # nats; agreement is 1e-5 and better, a wrong mask or position moves factors by 0.1 and more
SHARE = 1e-2  # … of what the context moves a conditional by, at most: with weak weights that is little
SURE, DOUBLE = 1e-4, 1e-7  # up to this share rounding explains it; what is off by more has to agree to so many nats in float64
ROUNDING = 2e-6  # of an ordinary log-probability, at least
LENGTH = 23  # tokens of the first sequence
BRANCHES = ((9, 17), (16, 5))  # of the others: tokens shared with the first, tokens of their own
ROWS = {"forest": 16, "batch": 4 * LENGTH, "single": 1}  # so that paths are carried over chunks, and batches are padded
REACH = 7  # what thresholds are lowered to for a while, so that these sequences come up to them
LONG, WORK = 161, 5e9  # tokens of a long text; how many of them times parameters it may take
FAR = 1024  # … that it may have where the network looks up larger numbers
LOOSE = 1e-2  # nats that roundings may add up to on a long text, at most, where float64 cannot be asked
SMALL, WIDE = 5e7, 2e8  # parameters that are widened to float64 in no time, and where it must be
SYMBOLS, TIMES = 8, 3  # that are tried within a text, at most, and how often each stands in it
_SYMBOL = re.compile(r"(_id|_ids|_index|_idx)$")
_ORDINARY = re.compile(r"^(bos|eos|decoder_start|forced)")  # ones that most texts have


class Standard:
    """Sequences, log Pr(· | ids[:i + 1]) at every place i of each by the model's own forward, and how close is close."""

    def __init__(self, trial: PretrainedModel) -> None:
        self.trial, draw = trial, np.random.default_rng(0)
        self._draw = partial(draw.choice, _ordinary(trial.head.size, _named(trial)))
        self._most = trial.max_rows or FAR
        trunk = self._draw(min(LENGTH, self._most))
        branches = [np.append(trunk[:shared], self._draw(own)) for shared, own in BRANCHES]
        self.sequences = [trunk, *(branch[: len(trunk)] for branch in branches)]
        self.logprobs = self.own(self.sequences)
        self.moved = self._moved()
        self.sure = tolerance(SURE, self.moved, self.logprobs[0])  # no further off than rounding takes it
        self.tolerance = tolerance(SHARE, self.moved, self.logprobs[0])
        self.loose = max(self.tolerance, min(LOOSE, SHARE * self.moved))  # where roundings add up

    def own(self, sequences: Sequence[Ints]) -> list[Floats]:
        return [own_logprobs(self.trial, ids) for ids in sequences]

    def _moved(self) -> float:
        """How far another context moves the conditionals, on average at the place where it does most; nats."""
        ids = self.sequences[0]
        half = max(1, len(ids) // 2)
        other = np.append(self._draw(half), ids[half:])
        return moved(self.own([other])[0][half:], self.logprobs[0][half:])

    def check_causal(self) -> None:
        """What the model says of a prefix must not depend on how it goes on, nor on when it is asked."""
        for off, most in self._prefixes():
            if off > self.sure and off <= max(most, TOLERANCE) and self.double:
                self.double.check_causal()
                return
            if not off <= most:
                raise ModelError(
                    f"{self.trial.title} is not causal: what it says of a prefix changes by "
                    f"{off:.2g} nats with the tokens after it, so its factors are no conditional probabilities"
                )

    def _prefixes(self) -> Iterator[tuple[float, float]]:
        """How far what is said of a prefix changes, and how far rounding may take that: a short one, and one of a long text."""
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
        """The same in float64, where the model takes it: there only another function is off.

        A large model is taken by its first layers, where these are all of its kinds.
        """
        trial = self.trial if self.size <= SMALL else self.shallow or self.trial
        if size(trial) > WIDE or isinstance(trial, DoubleModel):
            return None
        double = DoubleModel.of(trial)
        try:
            found = Standard(double)
        except Exception as error:  # kernels that know no float64
            double.let_go(trial)
            unless_memory(error)
            return None
        found.sure = found.tolerance = found.loose = DOUBLE
        return found

    def let_go(self, model: PretrainedModel) -> None:
        """Free what it has widened of the model's weights."""
        if double := vars(self).get("double"):
            double.let_go(model)
        self.trial.let_go(model)

    @cached_property
    def lowered(self) -> list[tuple[str, list[Floats]]]:
        """Thresholds beyond these sequences, and the log-probabilities with each of them lowered to REACH.

        Any integer that the forward looks up may be one: a window, a number of places from which attention is scaled. The
        forward does not survive that sizes are changed, and what does not change it is none either.
        """
        first, found = self.sequences[0], []
        for name in self.trial.integers_read(partial(self.own, [first]), REACH + 1):
            if name == "num_hidden_layers":
                continue
            try:
                with self.trial.lowered(name, REACH):
                    (changed,) = self.own([first])
                    if not np.array_equal(changed, self.logprobs[0]):
                        found.append((name, [changed, *self.own(self.sequences[1:])]))
            except Exception as error:  # a size
                unless_memory(error)
                continue
        return found

    @cached_property
    def shallow(self) -> PretrainedModel | None:
        """The model's first layers, up to the first of each kind; None where it has no others, or does not run without."""
        trial = self.trial.shallow()
        try:
            return trial if trial and len(own_logprobs(trial, self.sequences[0][:2])) else None
        except ModelError:
            return None

    @cached_property
    def long(self) -> tuple[PretrainedModel, list[Ints], list[Floats]] | None:
        """A long text, where the model takes one, and what runs it: the first layers where all of them would be slow.

        It goes beyond the numbers that the network looks up, up to FAR: where one of them cannot be lowered, it shows there.
        """
        trial = self.trial if LONG * self.size <= WORK else self.shallow or self.trial
        if min(LONG, self._most) <= 2 * LENGTH:
            return None
        text, found = self._draw(min(LONG, self._most)), []
        numbers = trial.numbers_read(lambda: found.append(own_logprobs(trial, text)))
        far = min(FAR, self._most, int(WORK / size(trial)))
        beyond = min(far, int(max((n for n in numbers if n <= far), default=0)) + LENGTH)
        if beyond > len(text):
            text = np.append(text, self._draw(beyond - len(text)))
        return trial, [text], [found[0] if len(found) and len(found[0]) == len(text) else own_logprobs(trial, text)]

    def symbols(self) -> list[int]:
        """Ids that the network's configs and embeddings name for something, those of padding first."""
        return _named(self.trial)[:SYMBOLS]

    def around(self, ids: Sequence[int]) -> Ints:
        """A text with these ids in it, twice each and an ordinary token after that."""
        trunk, often = self.sequences[0], np.tile(ids, TIMES)
        within = np.stack([often, often, np.resize(trunk, len(often))], 1).reshape(-1)
        return np.concatenate([trunk[:3], within, trunk[3:8]])[: self._most]

    def agrees(self, run: PretrainedModel, ids: Ints) -> bool:
        """Whether this way gives the factors of a text; it does not where the model's own forward gives none."""
        try:
            return largest_error(run, [ids], self.own([ids]))[0] <= self.tolerance
        except ModelError:  # its own forward asks for the image that the symbol stands for
            return False


def _named(trial: PretrainedModel) -> list[int]:
    """Ids that configs and embeddings name for something: padding, images …, and those of most texts last."""
    named: dict[str, list[Any]] = {"": [getattr(part, "padding_idx", None) for part in trial.lm.modules()]}
    for config in (trial.lm.config.get_text_config(), trial.lm.config):
        for name, value in vars(config).items():
            if _SYMBOL.search(name):
                named[name] = value if isinstance(value, list) else [value]
    order = sorted(named, key=lambda name: bool(_ORDINARY.match(name)))
    found = dict.fromkeys(id for name in order for id in named[name] if type(id) is int and 0 <= id < trial.embeddings)
    return list(found)


def _ordinary(size: int, symbols: list[int]) -> Ints:
    """Ids that texts may be made of: none that stands for something, where enough others are left."""
    ids = np.setdiff1d(np.arange(size), symbols)
    return ids if 2 * len(ids) > size else np.arange(size)


def moved(one_NV: Floats, other_NV: Floats) -> float:
    """How far another context moves conditionals, on average over the vocabulary, at the place where it does most; nats."""
    if not len(one_NV):
        return TOLERANCE / SHARE
    with np.errstate(invalid="ignore"):
        gap_NV = np.abs(one_NV - other_NV)
    finite = np.isfinite(gap_NV)
    return float((np.where(finite, gap_NV, 0.0).sum(1) / np.maximum(finite.sum(1), 1)).max())


def tolerance(share: float, moved: float, logprobs: Floats) -> float:
    """How far a factor may be off, in nats: that share of what another context moves it by, but rounding at least.

    logprobs: some, for how large they are.
    """
    finite = np.abs(logprobs)[np.isfinite(logprobs)]
    ordinary = float(np.median(finite)) if len(finite) else 0.0
    return min(TOLERANCE, max(share * moved, ROUNDING * ordinary))


def surely_off(model: N, off: float, sure: float, most: float, measure: Callable[[N], float]) -> float:
    """How far a model is off where that is no rounding, and 0 where it may be one: float64 tells, where that can be asked.

    off: how far in float32, in nats; sure, most: up to where rounding explains it, and may explain it.
    measure: how far a model is off, of the same one in float64.
    """
    if off <= sure or not off <= most:
        return 0.0 if off <= sure else off
    if size(model) > WIDE:
        return 0.0
    try:
        with in_float64(model) as double:
            further = measure(double)
    except Exception as error:  # kernels that know no float64
        unless_memory(error)
        return 0.0
    return 0.0 if further <= DOUBLE else further


def size(model: Network) -> int:
    """How many parameters a model has."""
    return sum(p.numel() for p in model.lm.parameters())


def own_logprobs(model: PretrainedModel, ids: Ints) -> Floats:
    """log Pr(· | ids[:i + 1]) at every place i, by the model's own forward."""
    try:
        logits = model.own_logits(torch.from_numpy(ids))
    except WeightsWritten as error:
        raise WeightsWritten(
            f"{model.title} cannot be scored: {error}, so what it says of a text depends on what it ran on before"
        ) from error
    except Exception as error:
        raise model.failed("does not run on token ids alone", error) from error
    logprob = logits.double().log_softmax(-1).cpu().numpy()
    if np.isnan(logprob).any():
        raise ModelError(
            f"{model.title} gives NaN in its own forward, in float32 at that: its weights are damaged, or far too large"
        )
    return logprob


def largest_error(
    run: PretrainedModel, sequences: Sequence[Ints], reference: Sequence[Floats], *, larger: int = 1
) -> tuple[float, str]:
    """The largest difference of any factor from the reference, and what to say of it; chunks are `larger` times ROWS."""
    forest, strategy = Forest.build(list(sequences)), run.way.strategy
    question = Question(forest, forest.depth_N > 0)
    try:
        if not run.set_attention(NAME if strategy == "forest" else run.own_attention):
            return np.inf, "its attention cannot be replaced"
        answer = Engine(run, strategy).answer(question, rows=larger * ROWS[strategy])
    except Exception as error:  # whatever an architecture does with arguments it does not know
        unless_memory(error)
        cause = error.__cause__ or error
        return np.inf, f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"[:120]
    worst = 0.0
    for s, (ids, logprob) in enumerate(zip(sequences, reference, strict=True)):
        own = logprob[np.arange(len(ids) - 1), ids[1:]]
        worst = max(worst, distance(answer.logprob_N[forest.path(s)[1:]], own))
    return worst, f"off by {worst:.2g} nats"


def distance(a: Any, b: Any) -> float:
    """The largest difference of two arrays; equal infinities agree, and NaN agrees with nothing."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))
    return float(np.where(np.isnan(gap), np.inf, gap).max(initial=0.0))
