"""A check on this machine that a score does not depend on the other sequences in its batch, as the design intends.

The same factors are computed alone, next to other sequences, after a shared prefix and across the bounds of chunks, in the
model's dtype. Each kernel is tried with the shapes that the model uses. Any differing bit is reported.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np
import torch

from chainrule.engine.attention.kv_cache import KVCache
from chainrule.engine.attention.layout import Layout
from chainrule.engine.attention.sdpa import Kind, row_invariant
from chainrule.engine.engine import Engine
from chainrule.engine.execution import run_chunk
from chainrule.engine.question import Question, Settings
from chainrule.forest import Forest, chunks
from chainrule.models.base import Model
from chainrule.models.causal import PretrainedModel
from chainrule.ops import workers
from chainrule.ops.conditions import flushes_denormals, thread_state
from chainrule.ops.sealed import sealed
from chainrule.verdict import Verdict

LENGTH = 23  # tokens of the sequence that is scored alone and in a batch
SHARED = 9  # tokens at its start that it shares with another sequence
ROWS = 16  # of a chunk when it is scored alone, so that its path continues in a second chunk


def invariance_of(engine: Engine) -> Verdict:
    """Whether a factor has the same bits alone, in any batch, order and chunk, and in one thread. The first call checks it.

    The verdict holds for the current number of threads and this thread's treatment of denormal numbers.
    """
    state = thread_state()
    if state not in engine.invariances:
        engine.invariances[state] = check(engine)
        if engine.findings is not None:
            engine.findings.keep(engine)
    return engine.invariances[state]


@sealed
def check(engine: Engine) -> Verdict:
    """The verdict for this model, on this machine, with the current number of threads."""
    model = engine.model
    if (known := getattr(model, "invariance", None)) is not None:
        return known
    if engine.strategy != "forest":
        return Verdict(
            False, f"the {engine.strategy} strategy uses the model's own forward, whose bits depend on the rest of the batch"
        )
    if model.device.type != "cpu":
        return Verdict(False, f"the order of summation in kernels is not under control on {model.device.type}")
    if flushes_denormals():
        return Verdict(
            False, "this thread treats denormal numbers as 0 (torch.set_flush_denormal), and other threads may not do so"
        )
    if mixture := experts(model):
        return Verdict(False, f"in a mixture of experts ({mixture}), the number of rows of an expert depends on the batch")
    varying = [kind for kind in _kinds(model) if not row_invariant(kind)]
    if varying:
        return Verdict(False, f"the attention kernel's bits depend on the number of queries or keys here: {varying[0]}")
    in_batch, in_one = _differing(engine)
    if in_batch:
        return Verdict(False, f"in a trial, {in_batch} of {LENGTH - 1} factors had other bits in a batch than alone")
    if in_one:
        return Verdict(
            False,
            f"in a trial, {in_one} of {LENGTH - 1} factors had other bits in one thread than in {torch.get_num_threads()}, "
            "and parts of a batch are computed by one thread each; threads=1 avoids it",
        )
    return Verdict(True, "fixed row counts and keys by depth; in a trial, no bit differed between alone and in a batch")


def _differing(engine: Engine) -> tuple[int, int]:
    """The numbers of factors of a sequence that have other bits alone, in two chunks, than in a batch after a shared prefix,
    and than in one thread."""
    model, draw = engine.model, np.random.default_rng(1)
    length = min(LENGTH, model.max_rows or LENGTH)
    ids = np.setdiff1d(np.arange(model.head.size), model.unfit)
    sequence, other = ids[draw.integers(0, len(ids), (2, length))]
    related = np.concatenate([sequence[: min(SHARED, length - 1)], other])[:length]
    alone = _logprobs(engine, [sequence], rows=ROWS)
    in_batch = _logprobs(engine, [other, related, sequence], rows=4 * length)
    in_one = alone
    if torch.get_num_threads() > 1 and workers.available():
        in_one = workers.in_one_thread(partial(_logprobs, engine, [sequence], rows=ROWS))
    return int((alone != in_batch).sum()), int((alone != in_one).sum())


def _logprobs(engine: Engine, sequences: list[np.ndarray], rows: int) -> np.ndarray:
    forest = Forest.build(sequences)
    answer = engine.answer(Question(forest, forest.depth_N > 0), Settings(rows=rows))
    return answer.logprobs[forest.path(len(sequences) - 1)[1:]]


def experts(model: Model) -> str | None:
    """The class name of the model's mixture of experts; None if it has none."""
    modules = model.lm.modules() if isinstance(model, PretrainedModel) else ()
    return next((name for m in modules if re.search("experts|moe", name := type(m).__name__, re.IGNORECASE)), None)


def _kinds(model: Model) -> set[Kind]:
    """The kinds of calls of PyTorch's attention by this network, recorded on a text of two embeddings, if two fit."""
    forest = Forest.build([np.zeros(1 + min(2, model.max_rows or 2), np.int64)])
    (chunk,) = chunks(forest, forest.depth_N > 0, len(forest))
    layout = Layout(chunk, KVCache(len(forest)), model.device)
    run_chunk(model, chunk, layout, model.inputs(torch.zeros(len(chunk), dtype=torch.int64, device=model.device)))
    return layout.sdpa.kinds
