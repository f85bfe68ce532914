"""All properties in order, and which failure explains which.

Each check is for one kind of error. Where an error has to show in others too (a network that sees later tokens has factors
that move with the batch), they name it in `after`: they are told to follow from it, and the one that failed by itself is the
one to look at.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from chainrule.errors import ChainruleError
from chainrule.models.dtype import name_of
from chainrule.verify import batch_invariance, conditioning, numbers, process, vocabulary
from chainrule.verify.references import Language, Subject
from chainrule.verify.report import Finding, Property, Report, versions

Progress = Callable[[str, int, int], None]  # the property that comes next, properties done, properties in all


class Check(NamedTuple):
    name: str
    run: Callable[[Subject], Finding]
    after: tuple[str, ...] = ()  # properties whose failure would show here too


BASE = ("repeatability", "causality", "batch and order")
CHECKS = (
    Check("repeatability", batch_invariance.repeatability),
    Check("causality", conditioning.causality, ("repeatability",)),
    Check("batch and order", batch_invariance.batch_and_order, ("repeatability", "causality")),
    Check("padding", batch_invariance.padding, BASE),
    Check("path carry", batch_invariance.path_carry, BASE),
    Check("chunk sizes", batch_invariance.chunk_sizes, (*BASE, "path carry")),
    Check("embeddings = ids", conditioning.embeddings, BASE),
    Check("head", numbers.head),
    Check("shift", conditioning.shift, (*BASE, "padding")),
    Check("dtype", numbers.dtype, (*BASE, "padding", "head", "shift")),
    Check("normalisation", numbers.normalisation, (*BASE, "padding", "shift", "dtype")),
    Check("sum", numbers.addition),
    Check("start symbol", conditioning.start_symbol, (*BASE, "head", "shift", "dtype", "normalisation")),
    Check("windows", batch_invariance.windows, (*BASE, "padding", "path carry", "chunk sizes", "start symbol")),
    Check("process state", process.state, ("repeatability",)),
    Check("threads", process.threads, ("repeatability",)),
    Check("unreachable vocabulary", vocabulary.unreachable),
    Check("tokenizer", vocabulary.tokenizer),
    Check("tied weights", numbers.tied_weights),
)


def verify(lm: Language, texts: Sequence[str] | None = None, progress: Progress | None = None) -> Report:
    """Try every property on this model and machine; see `LanguageModel.verify`."""
    begin = time.perf_counter()
    subject = Subject(lm, texts)
    found: dict[str, Property] = {}
    try:
        for done, check in enumerate(CHECKS):
            if progress is not None:
                progress(check.name, done, len(CHECKS))
            because = next((name for name in check.after if found[name].status == "fail"), "")
            found[check.name] = Property.judged(check.name, _run(check, subject), because)
    finally:
        subject.let_go()
    if progress is not None:
        progress("", len(CHECKS), len(CHECKS))
    return Report(lm.model.name, found.values(), about(lm), time.perf_counter() - begin)


def about(lm: Language) -> dict[str, object]:
    """What the report holds for: the model's way of being run, the machine and the versions."""
    return {
        "network": type(getattr(lm.model, "lm", lm.model)).__name__,
        "path": lm.engine.strategy,
        "dtype": name_of(lm.model.dtype),
        "device": str(lm.model.device),
        "threads": torch.get_num_threads(),
        "invariant": _invariant(lm),
        "start": lm.start.to_dict(),
        "machine": platform.machine(),
        "versions": versions(),
    }


def _invariant(lm: Language) -> dict[str, object]:
    try:
        return {"holds": bool(lm.invariant), "reason": lm.invariant.reason}
    except ChainruleError as error:
        return {"holds": False, "reason": str(error)}


def _run(check: Check, subject: Subject) -> Finding:
    try:
        return check.run(subject)
    except ChainruleError as error:
        return Finding("it could not be computed", float("inf"), cause=str(error))
