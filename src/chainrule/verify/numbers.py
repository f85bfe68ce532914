"""The numbers themselves: distributions sum to 1, the head's logits are the model's own, and errors are those of rounding.

Shapes: T tokens, P proper prefixes of them, K tokens scored after each prefix, V vocabulary.
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
from chainrule.verify.references import ModelUnderTest, centred
from chainrule.verify.report import Finding

NORMALISED = {torch.float64: 1e-12}  # nats; logits of other types are float32
WIDE = 1e-5
SPACE = 20_000  # most sequences for which all sequences of a length are scored
UNDERFLOW = -800.0  # nats, below which exp is 0 in float64
TOKENS = 600  # of a text whose log Pr is to fall below UNDERFLOW


def normalisation(m: ModelUnderTest) -> Finding:
    """Each conditional distribution sums to 1, and so do the probabilities of all sequences of one length."""
    size, bound = m.model.head.size, NORMALISED.get(m.model.dtype, WIDE)
    each = [abs(_log_sum(logprob_V)) for logprob_V in m.distributions]
    context = m.ids_T[: max(1, min(len(m.ids_T) // 2, m.longest - 1))]
    length = 1
    while size ** (length + 1) <= SPACE and length + len(context) < m.longest:
        length += 1
    space = [np.append(context, tail) for tail in product(range(size), repeat=length)]
    whole = abs(_log_sum(np.array([logprobs[len(context) - 1 :].sum() for logprobs in m.factors(space)])))
    return Finding(
        f"log Σ Pr over the vocabulary at {len(each)} positions, and over all {size**length:,} sequences of "
        f"{length} token{'s' * (length > 1)} after {len(context)}",
        max(*each, whole),
        bound,
        cause="logits are used instead of their log-softmax"
        if max(*each, whole) > 1
        else "the normaliser leaves out a part of the vocabulary (a shortlist), or is rounded to a narrow type",
        details={"places": max(each), "all sequences": whole, "length": length},
    )


def _log_sum(logprob: Floats) -> float:
    return float(np.logaddexp.reduce(np.sort(logprob)))


def head(m: ModelUnderTest) -> Finding:
    """The head, applied to the hidden states of the model's own forward, gives the logits of that forward."""
    model = m.model
    if not isinstance(model, PretrainedModel):
        return Finding("the rows of a table are its logits")
    trial = m.trial(torch.float32)
    outputs: list[Tensor] = []
    hook = trunk_of(trial.reference).register_forward_hook(lambda module, args, output: outputs.append(output[0]))
    own_TV = trial.own_logits(torch.from_numpy(m.ids_T))
    hook.remove()  # other checks use the same trial network
    if not outputs:  # some forwards call a part of their trunk directly (OPT)
        outputs.append(_hidden(trial, m.ids_T))
    linear = trial.tables[1]
    head = model.head  # with its current scale and softcap, on the wider weights
    head = head.on(linear) if isinstance(head, LinearHead) and isinstance(linear, nn.Linear) else trial.head
    logits_TV = sealed(all_logits)(head, outputs[-1].flatten(0, -2))
    largest = float(own_TV.abs().nan_to_num(posinf=0).max())
    return Finding(
        f"{own_TV.numel():,} logits, up to {largest:.3g}, compared with those of the model's own forward in float32",
        distance(logits_TV.double().cpu(), own_TV.double().cpu()),
        1e-5 * max(1.0, largest),
        "logits",
        cause="the head lacks its scale, its softcap or its bias, or has those of another model",
    )


@sealed
def _hidden(model: PretrainedModel, ids_T: Ints) -> Tensor:
    return model.hidden(model.inputs(torch.from_numpy(ids_T))[None])


def dtype(m: ModelUnderTest) -> Finding:
    """Log-ratios of probabilities, against the model's own forward in float64, or in the widest type that is possible."""
    if not isinstance(m.model, PretrainedModel):
        return Finding("a table is looked up, not computed")
    own, reference, scored_PK = name_of(m.model.dtype), m.reference, centred(m.scored_PK)
    notes = [] if reference.dtype == m.model.dtype else [f"the model's own {own} forward is {m.own_error:.1e} off"]
    if m.model.dtype.itemsize < 4 and reference.dtype == torch.float64:
        wide_PK = centred(m.own(m.ids_T[:-1], torch.float32)[:, m.token_K])
        notes.append(f"its float32 forward and this one are {distance(scored_PK, wide_PK):.1e} apart")
    notes += ["with eager attention, whose softmax is float32"] if m.eager else []
    return Finding(
        f"{scored_PK.size} log-ratios of probabilities in {own}, against the model's own forward in "
        f"{name_of(reference.dtype)}{reference.why}" + (f" ({'; '.join(notes)})" if notes else ""),
        distance(scored_PK, centred(reference.logprob_PV[:, m.token_K])),
        m.rounding,
        cause=f"something is computed in a narrower type than {own}: a product, the attention, the log-softmax",
        details={"own": m.own_error},
    )


def addition(m: ModelUnderTest) -> Finding:
    """The log of the joint is the sum of the logs of its factors, also for texts whose probability underflows in float64."""
    network = isinstance(m.model, PretrainedModel)
    ids = m.stream(TOKENS if network else min(TOKENS, m.longest))  # a network scores longer texts in windows
    scores = m.lm.score_batch([ids[:2], ids], start="given")
    error = 0.0
    for i, score in enumerate(scores):
        exact = float(sum(map(Fraction, score.logprobs.tolist()))) if np.isfinite(score.logprobs).all() else -math.inf
        error = max(error, distance([score.logprob, scores.logprob[i]], [exact, exact]))
    total = float(scores.logprob[1])
    return Finding(
        f"the joint of {len(ids) - 1} factors, {total:.1f} nats, compared with their exact sum",
        error,
        1e-9,
        cause="probabilities are multiplied, and their product underflows to 0 in float64",
        warning="" if total < UNDERFLOW or not network else f"the text is too probable to fall below exp({UNDERFLOW:.0f})",
    )


def tied_weights(m: ModelUnderTest) -> Finding:
    """If the config says that head and embeddings share one table, they do."""
    if not isinstance(m.model, PretrainedModel):
        return Finding("a table has no weights")
    table, output = (weight if isinstance(weight := getattr(part, "weight", None), Tensor) else None for part in m.model.tables)
    tied = bool(getattr(m.model.lm.config.get_text_config(), "tie_word_embeddings", False))
    if not tied:
        return Finding("the config says that head and embeddings are separate tables")
    if table is None or output is None or table.shape != output.shape:
        return Finding("head and embeddings are tables of different shapes")
    return Finding(
        f"{table.numel():,} weights that head and embeddings share",
        0.0 if table.data_ptr() == output.data_ptr() else distance(table.detach().float().cpu(), output.detach().float().cpu()),
        0.0,
        "",
        cause="the config ties head and embeddings, but the checkpoint, or code run after loading, gave them other weights",
    )
