"""The numbers themselves: they are a distribution, the head's logits are the model's own, and rounding is what it must be.

Shapes: T tokens, P prefixes of them that something follows, V vocabulary.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn

from chainrule._types import Floats, Ints
from chainrule.engine.selfcheck.reference import distance
from chainrule.models.causal import PretrainedModel
from chainrule.models.dtype import name_of
from chainrule.models.head import LinearHead, all_logits
from chainrule.models.trunk import trunk_of
from chainrule.ops.sealed import sealed
from chainrule.verify.references import Subject, centred
from chainrule.verify.report import Finding

NORMALISED = {torch.float64: 1e-12}  # nats; otherwise logits are float32
WIDE = 1e-5
SPACE = 20_000  # sequences of a vocabulary that are still all scored
UNDERFLOW = -800.0  # nats: exp of less is 0 in float64
TOKENS = 600  # that a text may need to come below it


def normalisation(s: Subject) -> Finding:
    """The distribution in each place sums to 1, and so do the factors of all sequences of one length."""
    size, bound = s.model.head.size, NORMALISED.get(s.model.dtype, WIDE)
    each = [abs(_log_sum(logprob_V)) for logprob_V in s.distributions]
    behind = s.ids_T[: max(1, min(len(s.ids_T) // 2, s.longest - 1))]
    length = 1
    while size ** (length + 1) <= SPACE and length + len(behind) < s.longest:
        length += 1
    space = [np.append(behind, tail) for tail in product(range(size), repeat=length)]
    whole = abs(_log_sum(np.array([logprobs[len(behind) - 1 :].sum() for logprobs in s.given(space)])))
    return Finding(
        f"log Σ Pr over the vocabulary in {len(each)} places, and over all {size**length:,} sequences of "
        f"{length} token{'s' * (length > 1)} behind {len(behind)}",
        max(*each, whole),
        bound,
        cause="logits are summed in place of their log-softmax"
        if max(*each, whole) > 1
        else "the normaliser leaves out a part of the vocabulary (a shortlist), or is rounded to a narrow type",
        details={"places": max(each), "all sequences": whole, "length": length},
    )


def _log_sum(logprob: Floats) -> float:
    return float(np.logaddexp.reduce(np.sort(logprob)))


def head(s: Subject) -> Finding:
    """The head on the hidden states of the model's own forward gives the logits of that forward."""
    model = s.model
    if not isinstance(model, PretrainedModel):
        return Finding("the rows of a table are its logits")
    trial = s.trial(torch.float32)
    caught: list[Tensor] = []
    hook = trunk_of(trial.reference).register_forward_hook(lambda module, args, output: caught.append(output[0]))
    own_TV = trial.own_logits(torch.from_numpy(s.ids_T))
    hook.remove()  # the trial is kept for other checks
    if not caught:  # some forwards reach into their trunk and call a part of it (OPT)
        caught.append(_hidden(trial, s.ids_T))
    linear = trial.tables[1]
    head = model.head  # as it is now, on the wider weights
    head = head.on(linear) if isinstance(head, LinearHead) and isinstance(linear, nn.Linear) else trial.head
    logits_TV = sealed(all_logits)(head, caught[-1].flatten(0, -2))
    largest = float(own_TV.abs().nan_to_num(posinf=0).max())
    return Finding(
        f"{own_TV.numel():,} logits, up to {largest:.3g}, against those of the model's own forward in float32",
        distance(logits_TV.double().cpu(), own_TV.double().cpu()),
        1e-5 * max(1.0, largest),
        "logits",
        cause="the head lacks its scale, its softcap or its bias, or has those of another model",
    )


@sealed
def _hidden(model: PretrainedModel, ids_T: Ints) -> Tensor:
    return model.hidden(model.inputs(torch.from_numpy(ids_T))[None])


def dtype(s: Subject) -> Finding:
    """Log-ratios of probabilities, against the model's own forward in float64, or in the widest type that can be had."""
    if not isinstance(s.model, PretrainedModel):
        return Finding("a table is read, not computed")
    own, reference, found_PK = name_of(s.model.dtype), s.reference, centred(s.found_PK)
    said = [] if reference.dtype == s.model.dtype else [f"the model's own {own} forward is {s.own_error:.1e} off"]
    if s.model.dtype.itemsize < 4 and reference.dtype == torch.float64:
        wide_PK = centred(s.own(s.ids_T[:-1], torch.float32)[:, s.asked_K])
        said.append(f"its float32 forward and this one are {distance(found_PK, wide_PK):.1e} apart")
    said += ["with eager attention, whose softmax is float32"] if s.eager else []
    return Finding(
        f"{found_PK.size} log-ratios of probabilities in {own}, against the model's own forward in "
        f"{name_of(reference.dtype)}{reference.why}" + (f" ({'; '.join(said)})" if said else ""),
        distance(found_PK, centred(reference.logprob_PV[:, s.asked_K])),
        s.rounding,
        cause=f"something is computed in a narrower type than {own}: a product, the attention, the log-softmax",
        details={"own": s.own_error},
    )


def addition(s: Subject) -> Finding:
    """The joint is the sum of its logarithms, of long texts too, whose probability no float can hold."""
    network = isinstance(s.model, PretrainedModel)
    ids = s.stream(TOKENS if network else min(TOKENS, s.longest))  # a network takes what is too long in windows
    scores = s.lm.score_batch([ids[:2], ids], start="given")
    error = 0.0
    for i, score in enumerate(scores):
        exact = float(sum(map(Fraction, score.logprobs.tolist()))) if np.isfinite(score.logprobs).all() else -math.inf
        error = max(error, distance([score.logprob, scores.logprob[i]], [exact, exact]))
    total = float(scores.logprob[1])
    return Finding(
        f"the joint of {len(ids) - 1} factors, {total:.1f} nats, against the sum of its factors as fractions",
        error,
        1e-9,
        cause="probabilities are multiplied, and their product is 0 where a float64 ends",
        warning="" if total < UNDERFLOW or not network else f"the text is too probable to come below exp({UNDERFLOW:.0f})",
    )


def tied_weights(s: Subject) -> Finding:
    """Where the config says that head and embeddings are one table, they are."""
    if not isinstance(s.model, PretrainedModel):
        return Finding("a table has no weights")
    table, output = (weight if isinstance(weight := getattr(m, "weight", None), Tensor) else None for m in s.model.tables)
    tied = bool(getattr(s.model.lm.config.get_text_config(), "tie_word_embeddings", False))
    if not tied:
        return Finding("the config says that head and embeddings are two tables")
    if table is None or output is None or table.shape != output.shape:
        return Finding("head and embeddings are tables of different shapes")
    return Finding(
        f"{table.numel():,} weights that head and embeddings share",
        0.0 if table.data_ptr() == output.data_ptr() else distance(table.detach().float().cpu(), output.detach().float().cpu()),
        0.0,
        "",
        cause="the config ties head and embeddings, and the checkpoint, or something after loading it, gave them other weights",
    )
