"""Every architecture as a tiny model, loaded in the ordinary way, and compared with its own forward."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as tf
from architecture_configs import NOT_BUILT, ROPES, TYPES, Sizes, kinds, reaches, small_config, thresholds
from architecture_texts import LOUD_IDS, Floats, OwnRaised, long_pairs, short_pairs, symbol_pairs
from model_zoo import untouched
from text_zoo import byte_level, llama, unigram, wordpiece
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

import chainrule
from chainrule import LanguageModel, ModelError
from chainrule.models.double import in_double
from chainrule.models.head import OwnHead

TOLERANCE = 1e-4  # nats; where the factors themselves are spread over less than a nat, of that spread
LEAST = 1e-6  # nats, a few roundings of a factor in float32
SLACK = 1.5  # how far from float64 float32 factors may be, on average, as a multiple of those of the model's own forward
BEYOND = 5  # rows of the embedding table without a token of the tokenizer
FAMILIES = {"byte-level BPE": byte_level, "SentencePiece BPE": llama, "unigram": unigram, "WordPiece": wordpiece}
SCORED = ("forest", "batch", "single")
LONG_CONTEXT = 320
SYMBOLS = -1


@dataclass(frozen=True)
class Variant:
    """The weights, sizes, tokenizer and texts of one trial of an architecture."""

    name: str
    family: str
    weights: str  # see WEIGHTS
    sizes: Sizes
    near: int = 0  # long texts, and texts of about this many tokens; 0: short texts; SYMBOLS: short texts with symbols

    @classmethod
    def all_of(cls, model_type: str) -> tuple[Variant, ...]:
        """Tied and untied heads; thresholds shorter and longer than the probe's sequences, and default ones."""
        turn = TYPES.index(model_type)
        first, second, third, fourth = (list(FAMILIES)[(turn + k) % len(FAMILIES)] for k in range(4))
        rope, long = ROPES[turn % len(ROPES)], LONG_CONTEXT
        return (
            cls("low", first, "strong", Sizes(True, reach=6, cap=2.0)),
            cls("middle", second, "strong", Sizes(False, reach=30)),
            cls("weak", third, "weak", Sizes(True, long, reach=None), near=128),
            cls("fair", fourth, "fair", Sizes(False, long, reach=50, cap=8.0), near=50),
            cls("edge", third, "strong", Sizes(True, long, reach=100, cap=5.5), near=100),
            cls("outliers", second, "outliers", Sizes(False, long, reach=None), near=128),
            cls("stretched", first, "strong", Sizes(False, long, reach=60, scale=1.5, rope=rope), near=60),
            cls("symbols", second, "strong", Sizes(True, reach=30), near=SYMBOLS),
            *(cls(name, first, "strong", Sizes(True, long, reach=90, only=name), near=90) for name in reaches(model_type)),
            *(
                cls(f"{kind} layers", third, "strong", Sizes(False, long, reach=None, kind=kind), near=128)
                for kind in kinds(model_type)
            ),
        )


@dataclass(frozen=True)
class Trial:
    """The outcome of one variant: scored with one of the strategies, refused, not built here, or wrong."""

    variant: str
    family: str
    outcome: str  # forest, batch, single, refused, "can't be built here", wrong
    error: float = 0.0  # nats, the largest
    spread: float = 0.0  # nats, the standard deviation of the factors, which small errors are compared with
    factors: int = 0  # that were compared
    head: str = ""
    thresholds: tuple[str, ...] = ()  # names in the config
    path: str = ""  # the strategy that the probe chose, if the outcome is "wrong"
    reason: str = ""

    @property
    def relative(self) -> float:
        return self.error / self.spread if self.spread else 0.0


@dataclass(frozen=True)
class Outcome:
    """The outcome of all variants of an architecture."""

    model_type: str
    name: str
    trials: tuple[Trial, ...] = field(default=())

    @property
    def scored(self) -> list[Trial]:
        return [trial for trial in self.trials if trial.outcome in SCORED]

    @property
    def deciding(self) -> Trial:
        """A wrong trial if there is one, otherwise the slowest strategy; a refused trial only if none is scored."""
        order = ("wrong", *reversed(SCORED), "refused", "can't be built here")
        return min(self.trials, key=lambda trial: order.index(trial.outcome))

    @property
    def outcome(self) -> str:
        return self.deciding.outcome

    @property
    def error(self) -> float:
        return max((trial.error for trial in self.trials), default=0.0)

    @property
    def factors(self) -> int:
        return sum(trial.factors for trial in self.trials)

    @property
    def reason(self) -> str:
        """The reason for the outcome, and the variants with other outcomes."""
        others = [f"{t.variant}: {t.outcome}" for t in self.trials if t.outcome != self.outcome]
        return self.deciding.reason + (f" (otherwise {', '.join(others)})" if others else "")

    def distinct(self, name: str) -> list[str]:
        """The distinct values of a field of the trials, in order."""
        return list(dict.fromkeys(getattr(trial, name) for trial in self.trials if getattr(trial, name)))


def examine(model_type: str, variants: Sequence[Variant] = (), device: str = "cpu") -> Outcome:
    """Build, save, load and score every variant. The reference, the model's own forward, runs on the CPU."""
    trials = tuple(attempt(model_type, variant, device) for variant in variants or Variant.all_of(model_type))
    return Outcome(model_type, MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[model_type], trials)


def attempt(model_type: str, variant: Variant, device: str = "cpu") -> Trial:
    """Build, save, load and score one variant."""

    def unscored(outcome: str, **fields: Any) -> Trial:
        return Trial(variant.name, variant.family, outcome, **fields)

    with tempfile.TemporaryDirectory() as folder:
        try:
            own = build(model_type, variant, Path(folder))
        except Exception as error:  # values of the config do not match, or a package is missing
            return unscored("can't be built here", reason=NOT_BUILT.get(model_type) or _first_line(error))
        try:
            lm = chainrule.load(folder, device=device)
        except ModelError as error:
            return unscored("refused", reason=str(error).replace(folder, model_type))
        reason = lm.engine.reason.replace(folder, model_type)
        try:
            trial = _compared(lm, own, variant, folder)
        except OwnRaised as error:
            return unscored("wrong", path=lm.engine.strategy, reason=f"{reason}; {error}")
        except ModelError as error:
            return unscored("refused", reason=str(error).replace(folder, model_type))
        except Exception as error:  # it was loaded, but is not scored
            return unscored("wrong", path=lm.engine.strategy, reason=f"{reason}; {_first_line(error)}")
    return trial


def _compared(lm: LanguageModel, own: Any, variant: Variant, folder: str) -> Trial:
    logprobs, want = compare(lm, own, variant)
    error, note, spread = worst(logprobs, want), "", float(want.std())
    tolerance = max(TOLERANCE * min(1.0, spread), LEAST)
    if error > tolerance:
        error, note = in_float64(folder, variant, logprobs, want, str(lm.model.device))
    path = lm.engine.strategy
    reason = "; ".join(filter(None, (lm.engine.reason.replace(folder, lm.model.name), note)))
    outcome, names = path if error <= tolerance else "wrong", tuple(thresholds(own.config))
    return Trial(variant.name, variant.family, outcome, error, spread, logprobs.size, _head(lm), names, path, reason)


def build(model_type: str, variant: Variant, folder: Path) -> Any:
    """Save a tiny model with random weights and its tokenizer. Returns it as transformers loads it."""
    tokenizer = FAMILIES[variant.family]()
    start = 0 if tokenizer.bos_id is None else tokenizer.bos_id
    end = start + 1 if tokenizer.eos_id is None else tokenizer.eos_id
    symbols = {"bos_token_id": start, "eos_token_id": end, "pad_token_id": end}
    config, own = _config_and_model(model_type, tokenizer.size + BEYOND, symbols, variant)
    own.save_pretrained(folder)
    if own.config.model_type != config.model_type:  # a checkpoint of more than a text model has the whole config
        config.save_pretrained(folder)
    tokenizer.hf.save_pretrained(folder)
    return _own(folder, torch.float32)


def _config_and_model(model_type: str, size: int, symbols: dict[str, int], variant: Variant) -> tuple[Any, Any]:
    """The config and the model. If the architecture does not support the kind of RoPE, another kind, or none, is used."""
    try:
        config = small_config(model_type, size, symbols, variant.sizes)
        own = WEIGHTS[variant.weights](config)
        if variant.sizes.rope:
            own(input_ids=torch.tensor([[3, 4, 5, 6]]))
        return config, own
    except Exception:
        if rope := variant.sizes.rope:
            other = None if rope == "longrope" else "longrope"  # the only one that Phi takes
            return _config_and_model(model_type, size, symbols, replace(variant, sizes=replace(variant.sizes, rope=other)))
        raise


def _own(folder: str | Path, dtype: torch.dtype) -> Any:
    return tf.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


def weak(config: Any) -> Any:
    """The initial weights of the architecture: logits near 0, and no activation near a cap."""
    torch.manual_seed(0)
    return tf.AutoModelForCausalLM.from_config(config).eval()


def fair(config: Any) -> Any:
    """Weights between weak and strong: a cap changes the logits by less than the probe detects in a few rows."""
    own = weak(config)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += 0.08 * torch.randn_like(parameter)
    return own


def outliers(config: Any) -> Any:
    """Outliers as in trained models: norms amplify one channel of a few tokens, and only these tokens reach caps and clamps."""
    own = untouched(config)
    table = own.get_input_embeddings().weight
    with torch.no_grad():
        table[list(LOUD_IDS), 0] += 30.0
        for norm in _norms(own):
            norm[0] += 6.0
    return own


def _norms(own: Any) -> Iterator[torch.Tensor]:
    return (weight for name, weight in own.named_parameters() if name.endswith("weight") and weight.ndim == 1)


WEIGHTS = {"weak": weak, "fair": fair, "strong": untouched, "outliers": outliers}


@torch.inference_mode()
def compare(lm: LanguageModel, own: Any, variant: Variant) -> tuple[Floats, Floats]:
    """The factors by chainrule, and those by the model's own unpadded forward."""
    if variant.near == SYMBOLS:
        pairs = list(symbol_pairs(lm, own))
    else:
        pairs = list(long_pairs(lm, own, variant.near) if variant.near else short_pairs(lm, own))
    return np.concatenate([pair.logprobs for pair in pairs]), np.concatenate([pair.want for pair in pairs])


def worst(logprobs: Floats, want: Floats) -> float:
    """The largest difference, in nats; infinite for NaN."""
    gaps = np.abs(logprobs - want)
    return float(np.where(np.isnan(gaps), np.inf, gaps).max())


def in_float64(folder: str, variant: Variant, logprobs: Floats, want: Floats, device: str) -> tuple[float, str]:
    """The error in nats, and a note, after a comparison in float64: float32 may not determine the numbers of a model.

    It does not if the factors by chainrule are, on average, as close to float64 as those of the model's own float32 forward
    (up to 1.5 times as far). A few factors can decide the average, so it also does not if the median is as close, and no
    factor is further off than the own forward moves when its weights are replaced by neighbouring numbers of float32, in 16
    draws. The error is then the one in float64. Otherwise it is the one in float32.
    """
    lm, own = chainrule.load(folder, dtype="float64", device=device), in_double(_own(folder, torch.float64))
    in_double(lm.model.runner)
    exact, exact_own = compare(lm, own, variant)
    off, off_own = np.abs(logprobs - exact), np.abs(want - exact_own)
    note = (
        f"in float32 {worst(logprobs, want):.1e} apart, and on average {off.mean():.1e} (chainrule) and {off_own.mean():.1e} "
        "(its own forward) from float64"
    )
    undetermined = off.mean() <= SLACK * off_own.mean()
    if not undetermined and np.median(off) <= SLACK * np.median(off_own):
        moved = max(worst(compare(lm, _moved(folder, seed), variant)[1], want) for seed in range(16))
        undetermined = off.max() <= moved
        note += f"; its own forward moves by {moved:.1e} if each weight moves to the next number of float32"
    return (worst(exact, exact_own), f"{note}; compared in float64") if undetermined else (worst(logprobs, want), note)


def _moved(folder: str, seed: int) -> Any:
    """The model in float32, each weight replaced by the next number above or below it."""
    torch.manual_seed(seed)
    own = _own(folder, torch.float32)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.copy_(torch.nextafter(parameter, torch.inf * (2 * torch.randint(2, parameter.shape) - 1)))
    return own


def _head(lm: LanguageModel) -> str:
    table, output = lm.model.lm.get_input_embeddings(), lm.model.lm.get_output_embeddings()
    tied = getattr(output, "weight", None) is getattr(table, "weight", ...)
    return f"{'own' if isinstance(lm.model.head, OwnHead) else 'linear'}, {'tied' if tied else 'untied'}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {(lines or [''])[-1 if len(lines) > 1 and 'validat' in lines[0] else 0]}"[:200]
