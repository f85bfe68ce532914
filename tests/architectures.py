"""Every architecture, tiny, through the ordinary way of loading: what comes of it, and is it exact?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from architecture_configs import NOT_BUILT, TYPES, small_config
from model_zoo import untouched
from numpy.typing import NDArray
from oracle import factors, factors_in_windows
from text_zoo import byte_level, llama, unigram, wordpiece
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import chainrule
from chainrule import LanguageModel, ModelError

TOLERANCE = 1e-4  # nats
BEYOND = 5  # rows of the vocabulary beyond the tokenizer's
FAMILIES = {"byte-level BPE": byte_level, "SentencePiece BPE": llama, "unigram": unigram, "WordPiece": wordpiece}
Floats = NDArray[np.float64]
SCORED = ("forest", "batch", "single")
TEXTS = (
    "Hello world, how are you today?",
    "The quick brown fox jumps over five dozen lazy jugs.",
    "Hello world!",
    "naïve café",
)


@dataclass(frozen=True)
class Outcome:
    """What became of an architecture: scored on one of the paths, refused, not built here, or wrong."""

    model_type: str
    name: str
    outcome: str  # forest, batch, single, refused, "can't be built here", wrong
    error: float = 0.0  # nats, the largest
    factors: int = 0  # … of so many that were compared
    heads: tuple[str, ...] = ()
    families: tuple[str, ...] = ()  # of tokenizers
    reason: str = ""


@dataclass(frozen=True)
class Variant:
    """One of the ways in which an architecture is tried."""

    family: str
    tied: bool
    reach: int  # of attention that does not see everything

    @classmethod
    def all_of(cls, model_type: str) -> tuple[Variant, Variant]:
        """Tied and untied heads; a reach below the probe's sequences, which it sees for itself, and one beyond."""
        turn = TYPES.index(model_type)
        first, second = (list(FAMILIES)[(turn + k) % len(FAMILIES)] for k in (0, 1))
        return cls(first, True, 6), cls(second, False, 30)


def examine(model_type: str) -> Outcome:
    """Build, save, load and score it in every variant; the slowest path counts, the largest error, and all factors."""
    found: Outcome | None = None
    for variant in Variant.all_of(model_type):
        each = _examine(model_type, variant)
        if each.outcome not in SCORED:
            return each
        found = each if found is None else _both(found, each)
    assert found is not None
    return found


def _both(a: Outcome, b: Outcome) -> Outcome:
    faster, slower = sorted((a, b), key=lambda each: SCORED.index(each.outcome))
    return replace(
        slower,
        error=max(a.error, b.error),
        factors=a.factors + b.factors,
        heads=tuple(dict.fromkeys(a.heads + b.heads)),
        families=a.families + b.families,
        reason=slower.reason if a.outcome == b.outcome else f"{slower.reason} (with other sizes: {faster.outcome})",
    )


def _examine(model_type: str, variant: Variant) -> Outcome:
    name = MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type]
    with tempfile.TemporaryDirectory() as folder:
        try:
            own = build(model_type, variant, Path(folder))
        except Exception as error:  # anything may not fit together in a config, or not be installed
            return Outcome(model_type, name, "can't be built here", reason=NOT_BUILT.get(model_type) or _first_line(error))
        try:
            lm = chainrule.load(folder)
        except ModelError as error:
            return Outcome(model_type, name, "refused", reason=str(error).replace(folder, model_type))
        found, want = compare(lm, own)
        error, note = worst(found, want), ""
        if error > TOLERANCE:
            error, note = in_float64(folder, own, found, want)
        outcome = lm.engine.path if error <= TOLERANCE else "wrong"
        reason = "; ".join(filter(None, (lm.engine.reason.replace(folder, model_type), note)))
        return Outcome(model_type, name, outcome, error, found.size, (_head(lm),), (variant.family,), reason)


def build(model_type: str, variant: Variant, folder: Path) -> Any:
    """Save a tiny model with strong random weights and its tokenizer; returns transformers' own copy of it."""
    tokenizer = FAMILIES[variant.family]()
    start = 0 if tokenizer.bos_id is None else tokenizer.bos_id
    end = start + 1 if tokenizer.eos_id is None else tokenizer.eos_id
    symbols = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config = small_config(model_type, tokenizer.size + BEYOND, symbols, variant.tied, variant.reach)
    own = untouched(config)
    own.save_pretrained(folder)
    if own.config.model_type != config.model_type:  # checkpoints with more than a text model have the whole config
        config.save_pretrained(folder)
    tokenizer.hf.save_pretrained(folder)
    return tf.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@torch.inference_mode()
def compare(lm: LanguageModel, own: Any) -> tuple[Floats, Floats]:
    """Factors as chainrule gives them, and as the model's own unpadded forward does."""
    found, want = zip(*_pairs(lm, own), strict=True)
    return np.concatenate(found), np.concatenate(want)


def worst(found: Floats, want: Floats) -> float:
    """The largest difference, in nats; what is no number differs from everything."""
    gaps = np.abs(found - want)
    return float(np.where(np.isnan(gaps), np.inf, gaps).max())


def in_float64(folder: str, own: Any, found: Floats, want: Floats) -> tuple[float, str]:
    """Once more in float64: is chainrule wrong, or does float32 not determine these numbers?

    It does not where, against float64, chainrule is on average no further off than the model's own float32 forward (within
    half as much again: largest errors are a matter of chance). Then the error is that in float64, else it stays.
    """
    if own._can_set_experts_implementation():
        own.set_experts_implementation("eager")  # grouped products know no float64
    exact, exact_own = compare(chainrule.load(folder, dtype="float64"), own.double())
    off, off_own = float(np.abs(found - exact).mean()), float(np.abs(want - exact_own).mean())
    said = (
        f"in float32 {worst(found, want):.1e} apart, and on average {off:.1e} (chainrule) and {off_own:.1e} (its own forward) "
        "from float64"
    )
    return (worst(exact, exact_own), f"{said}; compared in float64") if off <= 1.5 * off_own else (worst(found, want), said)


def _pairs(lm: LanguageModel, own: Any) -> Iterator[tuple[Floats, Floats]]:
    """The same, text by text."""
    random, start = np.random.default_rng(7), lm.start.id
    draw = partial(random.integers, 3, lm.model.head.size - 1)  # the first are symbols, the last one may stand for an image

    def whole(ids: list[int]) -> Floats:
        return factors(own, [*([] if start is None else [start]), *ids])

    trunk = draw(size=52).tolist()
    forest = [
        trunk,
        trunk[:34] + draw(size=14).tolist(),
        trunk[:34] + draw(size=3).tolist(),
        trunk[:7],
        trunk[:20] + trunk[5:30],
    ]
    uneven = [draw(size=n).tolist() for n in (2, 13, 74, 41, 29)]
    for texts, rows in ((forest, 16), (uneven, 200)):
        yield from zip((s.logprobs for s in lm.score_batch(texts, rows=rows)), map(whole, texts), strict=True)
    yield lm.score(trunk).logprobs, whole(trunk)

    long = draw(size=75).tolist()
    score = lm.score(long, window=33, stride=11)
    yield score.logprobs[::3], factors_in_windows(own, long, score.contexts, start, range(0, len(long), 3))

    scores = lm.score_batch(list(TEXTS))
    yield from ((s.logprobs, whole(s.ids.tolist())) for s in scores)


def _head(lm: LanguageModel) -> str:
    table, output = lm.model.lm.get_input_embeddings(), lm.model.lm.get_output_embeddings()
    tied = getattr(output, "weight", None) is getattr(table, "weight", ...)
    return f"{'own' if lm.model.head is lm.model.own_head else 'linear'}, {'tied' if tied else 'untied'}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {(lines or [''])[-1 if len(lines) > 1 and 'validat' in lines[0] else 0]}"[:200]
