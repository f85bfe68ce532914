"""All properties in order, and which failures explain others.

Each check is designed to detect one kind of error. Checks that must also fail when it does (a network that sees later tokens
has factors that depend on the batch) name it in `after` and are reported as *follows*, so a single bug yields a single FAIL.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from chainrule.errors import ChainruleError
from chainrule.models.dtype import name_of
from chainrule.models.identity import identity_of
from chainrule.verify import batch_invariance, conditioning, numbers, process, vocabulary
from chainrule.verify.references import Language, ModelUnderTest
from chainrule.verify.report import Finding, Property, Report, versions

Progress = Callable[[str, int, int], None]  # the next property, properties done, properties in total


class Check(NamedTuple):
    name: str
    run: Callable[[ModelUnderTest], Finding]
    after: tuple[str, ...] = ()  # properties whose failure makes this one fail too


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
    """Check every property on this model and machine; see `LanguageModel.verify`."""
    begin = time.perf_counter()
    under_test = ModelUnderTest(lm, texts)
    properties: dict[str, Property] = {}
    try:
        for done, check in enumerate(CHECKS):
            if progress is not None:
                progress(check.name, done, len(CHECKS))
            because = next((name for name in check.after if properties[name].status == "fail"), "")
            properties[check.name] = Property.judged(check.name, _run(check, under_test), because)
    finally:
        under_test.free_trial()
    if progress is not None:
        progress("", len(CHECKS), len(CHECKS))
    return Report(identity_of(lm.model), properties.values(), about(lm), time.perf_counter() - begin)


def about(lm: Language) -> dict[str, object]:
    """The conditions under which the report holds: how the model is run, the machine and the versions."""
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


def _run(check: Check, under_test: ModelUnderTest) -> Finding:
    try:
        return check.run(under_test)
    except ChainruleError as error:
        return Finding("it could not be computed", float("inf"), cause=str(error))
