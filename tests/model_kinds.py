"""A tiny model of each kind, and short calls on it whose numbers are compared to the bit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import masked_zoo
import model_zoo
import numpy as np
import torch
import transformers as tf

from chainrule import Conditional, LanguageModel, Mixture, PseudoScore, Score, Scores, TableModel
from chainrule.verify.report import Report

Call = Callable[[LanguageModel], Any]
Numbers = list[np.ndarray]

FEW = {"vocab_size": 3, "bos_token_id": 0, "eos_token_id": None}  # few enough tokens to sum over all texts


@dataclass(frozen=True)
class Kind:
    """Calls on a kind of model.

    network: returns a new network of transformers, always with the same weights; model: wraps a network in a model.
    """

    network: Callable[[], Any]
    model: Callable[[Any, str], Any]
    calls: dict[str, Call]

    def make(self) -> LanguageModel:
        return self.wrap(self.network())

    def wrap(self, network: Any) -> LanguageModel:
        return LanguageModel(self.model(network, "tiny"))


# Calls


def _score(ids: list[int], **options: Any) -> Call:
    return lambda lm: lm.score(ids, **options)


def _embedded(ids: list[int]) -> Call:
    return lambda lm: lm.score(embeddings=lm.embed(ids))


LEFT_TO_RIGHT: dict[str, Call] = {
    "one token": _score([5]),
    "twelve tokens": _score(list(range(11, 23)), top=2),
    "targets and draws": _score([7, 8, 9], targets=[[4], [], [6, 5]], draws=2, last_n=3),
    "batch": lambda lm: lm.score_batch([[7, 8, 9, 4], [7, 8, 9, 6, 5], [5]]),
    "rank": lambda lm: lm.rank([7, 8, 9], [[4], [6, 5]]),
    "next": lambda lm: lm.conditional([7, 8, 9]),
}
EMBEDDINGS: dict[str, Call] = {"one row": _embedded([5]), "six rows": _embedded([5, 9, 3, 8, 4, 7])}
GENERATED: dict[str, Call] = {
    "greedy": lambda lm: lm.generate([7, 8, 9], max_tokens=3),
    "sixteen samples": lambda lm: lm.generate([7, 8], max_tokens=2, method="sample", n=16, seed=1),
    "beam": lambda lm: lm.generate([7], max_tokens=2, method="beam"),
    "best": lambda lm: lm.generate([7], max_tokens=2, method="best", budget=8),
}
MASKED: dict[str, Call] = {
    "one token": _score([5]),
    "four tokens": _score([5, 6, 7, 4], top=2),
    "batch": lambda lm: lm.score_batch([[5, 6], [7, 4, 5], [4]]),
    "orders": _score([5, 6, 7], order="random:2"),
    "pseudo": lambda lm: lm.pseudo_log_likelihood([5, 6, 7]),
    "infill": lambda lm: lm.infill([5, None, 6], top=1),
}
TWO_STREAM: dict[str, Call] = {
    "four tokens": _score([1, 2, 3, 4], top=2),
    "right to left": _score([1, 2, 3], order="right-to-left"),
    "batch": lambda lm: lm.score_batch([[1, 2], [3, 4, 1], [2, 1]]),
    "infill": lambda lm: lm.infill([1, None, 2, None]),
}
ANY_ORDER: dict[str, Call] = {
    "left to right": _score([1, 2, 0, 1]),
    "an order": _score([1, 2, 0, 1], order=(2, 0, 1, 3), top=2),
    "orders": _score([1, 2, 1], order="random:2"),
    "infill": lambda lm: lm.infill([1, None, 2, None]),
    "samples": lambda lm: lm.infill([1, None, 2, None], method="sample", n=4, seed=2),
}
SUMS: dict[str, Call] = {
    "left to right": _score([1, 2, 0]),
    "an order": _score([1, 2, 0], order=(2, 0, 1)),
    "orders": _score([1, 2, 1, 0], order="random:2"),
    "pseudo": lambda lm: lm.pseudo_log_likelihood([1, 2, 0]),
    "infill": lambda lm: lm.infill([1, None, 2, None]),
    "next": lambda lm: lm.conditional([1, 2]),
}


# Networks and models


@cache
def _causal(name: str, dtype: str = "float32", few: bool = False) -> Any:
    config = {"xlnet": _causal_xlnet, "wide": _wide, **model_zoo.CONFIGS}[name]()
    if few:
        config.update(FEW)
    return model_zoo.untouched(config, dtype)


def _causal_xlnet() -> Any:
    """XLNet with attention in one direction: a causal model whose numbers padding changes, so it runs single texts."""
    return tf.XLNetConfig(vocab_size=model_zoo.V, d_model=32, n_layer=2, n_head=4, d_inner=48, attn_type="uni",
                          bos_token_id=0, eos_token_id=1, pad_token_id=2)  # fmt: skip


def _wide() -> Any:
    """Wide enough that PyTorch computes its products with oneDNN, and with a vocabulary whose products are slow."""
    return tf.LlamaConfig(vocab_size=2000, hidden_size=256, intermediate_size=256, num_hidden_layers=1,
                          num_attention_heads=4, max_position_embeddings=128, bos_token_id=0, eos_token_id=1)  # fmt: skip


@cache
def _masked(name: str) -> Any:
    return masked_zoo.untouched(name)


@cache
def _two_stream() -> Any:
    torch.manual_seed(0)
    return masked_zoo.strong(tf.XLNetLMHeadModel(masked_zoo.xlnet_config()))


@cache
def _any_order() -> Any:
    return model_zoo.untouched_any_order("llama", 5, **FEW)


def _table(*_: Any) -> TableModel:
    rows = {"": [0.6, 0.3, 0.1], "A": [0.7, 0.2, 0.1], "B": [0.2, 0.5, 0.3], "C": [0.1, 0.1, 0.8]}
    return TableModel(["A", "B", "C"], rows, probabilities=True, back_off=True)


def _new(make: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    return lambda: copy.deepcopy(make(*arguments))


def causal(calls: dict[str, Call], *arguments: Any) -> Kind:
    return Kind(_new(_causal, *arguments), model_zoo.PretrainedModel, calls)


KINDS = {
    "forest": causal(LEFT_TO_RIGHT, "llama"),
    "sliding windows": causal(LEFT_TO_RIGHT, "gemma2"),
    "wide": causal(LEFT_TO_RIGHT, "wide"),
    "bfloat16": causal(LEFT_TO_RIGHT, "wide", "bfloat16"),
    "own head": causal(LEFT_TO_RIGHT, "bert_decoder"),
    "batch": causal(LEFT_TO_RIGHT, "bloom"),
    "single": causal(LEFT_TO_RIGHT, "xlnet"),
    "embeddings": causal(EMBEDDINGS, "gpt2"),
    "generating": causal(GENERATED, "llama"),
    "masked": Kind(_new(_masked, "bert"), masked_zoo.MaskedModel, MASKED),
    "masked with embeddings in the head": Kind(_new(_masked, "deberta_v3"), masked_zoo.MaskedModel, MASKED),
    "two-stream": Kind(_new(_two_stream), masked_zoo.TwoStreamModel, TWO_STREAM),
    "any-order": Kind(_new(_any_order), model_zoo.AnyOrderModel, ANY_ORDER),
    "sums": causal(SUMS, "llama", "float32", True),
    "table": Kind(lambda: None, _table, SUMS),
}
NETWORKS = [kind for kind in KINDS if kind not in ("generating", "table")]  # each network once


def network(lm: LanguageModel) -> Any:
    """The network of transformers in a model; None for a table."""
    return getattr(lm.model, "own", getattr(lm.model, "lm", None))


def second_model(lm: LanguageModel, deep: bool = True) -> LanguageModel:
    """A second LanguageModel around a second model of the same network; around the same model if `deep` is false."""
    return LanguageModel(type(lm.model)(network(lm), "tiny") if deep else lm.model)  # type: ignore[call-arg]


def save_llama(folder: Path) -> Path:
    """Save a random Llama with a byte-level tokenizer to a folder, as save_pretrained does."""
    from text_zoo import byte_level

    tokenizer = byte_level()
    torch.manual_seed(0)
    config = tf.LlamaConfig(
        vocab_size=tokenizer.size, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64, bos_token_id=tokenizer.bos_id, eos_token_id=tokenizer.eos_id, initializer_range=0.3,
    )  # fmt: skip
    tf.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.hf.save_pretrained(folder)
    return folder


# Results


def numbers(result: Any) -> Numbers:
    """All numbers of a result."""
    if isinstance(result, Score):
        columns = [result.ids, result.logprobs, result.ranks, result.entropies, result.top_ids, result.top_logprobs]
        running = getattr(result, "running_logprobs", None)
        columns += [*result.target_ids, *result.target_logprobs, result.draw_ids, result.draw_logprobs]
        return [*columns, np.array([result.logprob]), *([] if running is None else [running])]
    if isinstance(result, Conditional):
        return [result.logprobs]
    if isinstance(result, PseudoScore):
        return [result.term_logprobs]
    if isinstance(result, Report):
        return [np.array([float(-1 if p.error is None else p.error) for p in result]), np.array([p.status for p in result])]
    if isinstance(result, torch.Tensor):
        return [result.detach().float().numpy().copy()]
    if isinstance(result, np.ndarray):
        return [result]
    if isinstance(result, list | tuple | Scores | Mixture):
        return [array for item in _items(result) for array in numbers(item)]
    return [np.array([result])]


def _items(result: Any) -> Iterable[Any]:
    return result if isinstance(result, list | tuple) else [result[i] for i in range(len(result))]


def all_numbers(lm: LanguageModel, calls: dict[str, Call]) -> Numbers:
    """The numbers of all calls on a model, then its repr and its invariance with the reason."""
    return [*numbers([call(lm) for call in calls.values()]), np.array([repr(lm), str(bool(lm.invariant)), lm.invariant.reason])]


def same_bits(a: Numbers, b: Numbers) -> bool:
    """Whether all numbers have the same bits."""
    return len(a) == len(b) and all(x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def largest_difference(a: Numbers, b: Numbers) -> float:
    """The largest difference, in nats; infinite if the two cannot be compared."""
    largest = 0.0
    if len(a) != len(b):
        return float("inf")
    for x, y in zip(a, b, strict=True):
        if x.shape != y.shape:
            return float("inf")
        if x.dtype.kind == "f" and x.size:
            with np.errstate(invalid="ignore"):
                difference = np.where(x == y, 0.0, np.abs(x - y))
            undefined = np.isnan(difference) & ~(np.isnan(x) & np.isnan(y))
            largest = max(largest, float(np.where(undefined, np.inf, np.nan_to_num(difference)).max()))
    return largest
