"""Does a score depend on its company? By construction it does not; here the construction is tried out on this machine.

The same factors are computed alone, beside others, behind a shared prefix and over the bounds of chunks, in the model's own
type, and every kernel is tried with the shapes that the model uses. Where a bit differs, that is said, not hidden.
"""

from __future__ import annotations

import re

import numpy as np
import torch

from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout
from chainrule.engine.attention.sdpa import Kind, row_invariant
from chainrule.engine.engine import Engine
from chainrule.engine.execution import run_chunk
from chainrule.engine.question import Question
from chainrule.forest import Forest, chunks
from chainrule.models.base import Model
from chainrule.models.causal import PretrainedModel
from chainrule.ops.sealed import sealed
from chainrule.verdict import Verdict

LENGTH = 23  # tokens of the sequence that is scored in different company
SHARED = 9  # how many of them another sequence begins with
ROWS = 16  # of the chunks in which it is scored alone, so that its path is carried


def flushes_denormals() -> bool:
    """Whether this thread takes the smallest numbers for 0 (torch.set_flush_denormal): others of the process may not."""
    return _SMALLEST * _ONE == 0.0


_SMALLEST, _ONE = [5e-324, 1.0]


def invariance_of(engine: Engine) -> Verdict:
    """Whether a factor has the same bits alone, in any batch, order and chunk; tried out when it is first asked for.

    It holds for the present number of threads, and for how this thread treats denormal numbers.
    """
    state = torch.get_num_threads(), flushes_denormals()
    if state not in engine.invariances:
        engine.invariances[state] = check(engine)
    return engine.invariances[state]


@sealed
def check(engine: Engine) -> Verdict:
    """What can be promised of this model on this machine with this number of threads."""
    model = engine.model
    if (known := getattr(model, "invariance", None)) is not None:
        return known
    if engine.strategy != "forest":
        return Verdict(False, f"on the {engine.strategy} path the model's own forward is used, whose bits move with its batch")
    if model.device.type != "cpu":
        return Verdict(False, f"the order in which kernels add up is not under control on {model.device.type}")
    if flushes_denormals():
        return Verdict(
            False, "this thread takes denormal numbers for 0 (torch.set_flush_denormal), and other threads may not do so"
        )
    if mixture := experts(model):
        return Verdict(False, f"a mixture of experts ({mixture}) gives an expert as many rows as the batch happens to send it")
    varying = [kind for kind in _kinds(model) if not row_invariant(kind)]
    if varying:
        return Verdict(False, f"the attention kernel's bits move with the number of queries or keys here: {varying[0]}")
    differing = _differing(engine)
    if differing:
        return Verdict(False, f"{differing} of {LENGTH - 1} factors had other bits alone than in company when this was tried")
    return Verdict(True, "fixed row counts and keys by depth; tried out, no bit differed alone and in company")


def _differing(engine: Engine) -> int:
    """How many factors of a sequence have other bits alone, in two chunks, than behind a shared prefix and beside others."""
    model, draw = engine.model, np.random.default_rng(1)
    length = min(LENGTH, model.max_rows or LENGTH)
    ids = np.setdiff1d(np.arange(model.head.size), model.unfit)
    sequence, other = ids[draw.integers(0, len(ids), (2, length))]
    related = np.concatenate([sequence[: min(SHARED, length - 1)], other])[:length]
    alone = _logprobs(engine, [sequence], rows=ROWS)
    company = _logprobs(engine, [other, related, sequence], rows=4 * length)
    return int((alone != company).sum())


def _logprobs(engine: Engine, sequences: list[np.ndarray], rows: int) -> np.ndarray:
    forest = Forest.build(sequences)
    answer = engine.answer(Question(forest, forest.depth_N > 0), rows=rows)
    return answer.logprob_N[forest.path(len(sequences) - 1)[1:]]


def experts(model: Model) -> str | None:
    """The name of the model's mixture of experts; None where it has none."""
    modules = model.lm.modules() if isinstance(model, PretrainedModel) else ()
    return next((name for m in modules if re.search("experts|moe", name := type(m).__name__, re.IGNORECASE)), None)


def _kinds(model: Model) -> set[Kind]:
    """The calls of PyTorch's attention that this network makes, noted while two embeddings go through it, if two fit."""
    forest = Forest.build([np.zeros(1 + min(2, model.max_rows or 2), np.int64)])
    (chunk,) = chunks(forest, forest.depth_N > 0, len(forest))
    layout = Layout(chunk, KVCache(len(forest)), model.device)
    run_chunk(model, chunk, layout, model.inputs(torch.zeros(len(chunk), dtype=torch.int64, device=model.device)))
    return layout.sdpa.kinds
