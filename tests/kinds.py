"""A tiny model of each kind, and short calls of it whose numbers are compared to the bit."""

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
from chainrule.verify import Report

Ask = Callable[[LanguageModel], Any]
Numbers = list[np.ndarray]

FEW = {"vocab_size": 3, "bos_token_id": 0, "eos_token_id": None}  # so few tokens that all texts can be summed over


@dataclass(frozen=True)
class Kind:
    """A network of transformers, each time anew with the same weights, what makes a model of it, and what that is asked."""

    network: Callable[[], Any]
    model: Callable[[Any, str], Any]
    asks: dict[str, Ask]

    def make(self) -> LanguageModel:
        return self.over(self.network())

    def over(self, network: Any) -> LanguageModel:
        return LanguageModel(self.model(network, "tiny"))


# What is asked


def _score(ids: list[int], **options: Any) -> Ask:
    return lambda lm: lm.score(ids, **options)


def _embedded(ids: list[int]) -> Ask:
    return lambda lm: lm.score(embeddings=lm.embed(ids))


LEFT_TO_RIGHT: dict[str, Ask] = {
    "one token": _score([5]),
    "twelve tokens": _score(list(range(11, 23)), top=2),
    "batch": lambda lm: lm.score_batch([[7, 8, 9, 4], [7, 8, 9, 6, 5], [5]]),
    "rank": lambda lm: lm.rank([7, 8, 9], [[4], [6, 5]]),
    "next": lambda lm: lm.conditional([7, 8, 9]),
}
EMBEDDINGS: dict[str, Ask] = {"one row": _embedded([5]), "six rows": _embedded([5, 9, 3, 8, 4, 7])}
GROWN: dict[str, Ask] = {
    "greedy": lambda lm: lm.generate([7, 8, 9], max_tokens=3),
    "sixteen samples": lambda lm: lm.generate([7, 8], max_tokens=2, method="sample", n=16, seed=1),
    "beam": lambda lm: lm.generate([7], max_tokens=2, method="beam"),
    "best": lambda lm: lm.generate([7], max_tokens=2, method="best", budget=8),
}
MASKED: dict[str, Ask] = {
    "one token": _score([5]),
    "four tokens": _score([5, 6, 7, 4], top=2),
    "batch": lambda lm: lm.score_batch([[5, 6], [7, 4, 5], [4]]),
    "orders": _score([5, 6, 7], order="random:2"),
    "pseudo": lambda lm: lm.pseudo_log_likelihood([5, 6, 7]),
    "infill": lambda lm: lm.infill([5, None, 6], top=1),
}
TWO_STREAM: dict[str, Ask] = {
    "four tokens": _score([1, 2, 3, 4], top=2),
    "backwards": _score([1, 2, 3], order="right-to-left"),
    "batch": lambda lm: lm.score_batch([[1, 2], [3, 4, 1], [2, 1]]),
    "infill": lambda lm: lm.infill([1, None, 2, None]),
}
ANY_ORDER: dict[str, Ask] = {
    "left to right": _score([1, 2, 0, 1]),
    "an order": _score([1, 2, 0, 1], order=(2, 0, 1, 3), top=2),
    "orders": _score([1, 2, 1], order="random:2"),
    "infill": lambda lm: lm.infill([1, None, 2, None]),
    "samples": lambda lm: lm.infill([1, None, 2, None], method="sample", n=4, seed=2),
}
SUMS: dict[str, Ask] = {
    "left to right": _score([1, 2, 0]),
    "an order": _score([1, 2, 0], order=(2, 0, 1)),
    "orders": _score([1, 2, 1, 0], order="random:2"),
    "pseudo": lambda lm: lm.pseudo_log_likelihood([1, 2, 0]),
    "infill": lambda lm: lm.infill([1, None, 2, None]),
    "next": lambda lm: lm.conditional([1, 2]),
}


# What is made


@cache
def _causal(name: str, dtype: str = "float32", few: bool = False) -> Any:
    config = {"xlnet": _one_way, "wide": _wide, **model_zoo.CONFIGS}[name]()
    if few:
        config.update(FEW)
    return model_zoo.untouched(config, dtype)


def _one_way() -> Any:
    """XLNet tied to one direction: a causal model that padding disturbs, so that it is run one text at a time."""
    return tf.XLNetConfig(vocab_size=model_zoo.V, d_model=32, n_layer=2, n_head=4, d_inner=48, attn_type="uni",
                          bos_token_id=0, eos_token_id=1, pad_token_id=2)  # fmt: skip


def _wide() -> Any:
    """Wide enough for PyTorch to hand its products to oneDNN, and a vocabulary whose products take their time."""
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


def _new(make: Callable[..., Any], *given: Any) -> Callable[[], Any]:
    return lambda: copy.deepcopy(make(*given))


def causal(asks: dict[str, Ask], *given: Any) -> Kind:
    return Kind(_new(_causal, *given), model_zoo.PretrainedModel, asks)


KINDS = {
    "forest": causal(LEFT_TO_RIGHT, "llama"),
    "sliding windows": causal(LEFT_TO_RIGHT, "gemma2"),
    "wide": causal(LEFT_TO_RIGHT, "wide"),
    "bfloat16": causal(LEFT_TO_RIGHT, "wide", "bfloat16"),
    "own head": causal(LEFT_TO_RIGHT, "bert_decoder"),
    "batch": causal(LEFT_TO_RIGHT, "bloom"),
    "single": causal(LEFT_TO_RIGHT, "xlnet"),
    "embeddings": causal(EMBEDDINGS, "gpt2"),
    "generating": causal(GROWN, "llama"),
    "masked": Kind(_new(_masked, "bert"), masked_zoo.MaskedModel, MASKED),
    "masked with embeddings in the head": Kind(_new(_masked, "deberta_v3"), masked_zoo.MaskedModel, MASKED),
    "two-stream": Kind(_new(_two_stream), masked_zoo.TwoStreamModel, TWO_STREAM),
    "any-order": Kind(_new(_any_order), model_zoo.AnyOrderModel, ANY_ORDER),
    "sums": causal(SUMS, "llama", "float32", True),
    "table": Kind(lambda: None, _table, SUMS),
}
NETWORKS = [kind for kind in KINDS if kind not in ("generating", "table")]  # each sort of network once


def network(lm: LanguageModel) -> Any:
    """The network of transformers that it was made of; None for a table."""
    return getattr(lm.model, "own", getattr(lm.model, "lm", None))


def another(lm: LanguageModel, deep: bool = True) -> LanguageModel:
    """A second LanguageModel of the same network, or, where `deep` is false, of the same model around it."""
    return LanguageModel(type(lm.model)(network(lm), "tiny") if deep else lm.model)  # type: ignore[call-arg]


def save(folder: Path) -> Path:
    """A folder as save_pretrained leaves it: a random Llama with a byte-level tokenizer."""
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


# What comes back


def numbers(found: Any) -> Numbers:
    """All numbers of a result."""
    if isinstance(found, Score):
        columns = [found.ids, found.logprobs, found.ranks, found.entropies, found.top_ids, found.top_logprobs]
        running = getattr(found, "running_logprobs", None)
        return [*columns, np.array([found.logprob]), *([] if running is None else [running])]
    if isinstance(found, Conditional):
        return [found.logprobs]
    if isinstance(found, PseudoScore):
        return [found.terms]
    if isinstance(found, Report):
        return [np.array([float(-1 if p.error is None else p.error) for p in found]), np.array([p.status for p in found])]
    if isinstance(found, torch.Tensor):
        return [found.detach().float().numpy().copy()]
    if isinstance(found, np.ndarray):
        return [found]
    if isinstance(found, list | tuple | Scores | Mixture):
        return [each for one in _items(found) for each in numbers(one)]
    return [np.array([found])]


def _items(found: Any) -> Iterable[Any]:
    return found if isinstance(found, list | tuple) else [found[i] for i in range(len(found))]


def everything(lm: LanguageModel, asks: dict[str, Ask]) -> Numbers:
    """All that is asked of it, and what it says of itself."""
    return [*numbers([ask(lm) for ask in asks.values()]), np.array([repr(lm), str(bool(lm.invariant)), lm.invariant.reason])]


def same(a: Numbers, b: Numbers) -> bool:
    """Whether all of them have the same bits."""
    return len(a) == len(b) and all(x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def gap(a: Numbers, b: Numbers) -> float:
    """The largest difference, in nats; infinite where they cannot be compared."""
    worst = 0.0
    if len(a) != len(b):
        return float("inf")
    for x, y in zip(a, b, strict=True):
        if x.shape != y.shape:
            return float("inf")
        if x.dtype.kind == "f" and x.size:
            with np.errstate(invalid="ignore"):
                off = np.where(x == y, 0.0, np.abs(x - y))
            worst = max(worst, float(np.where(np.isnan(off) & ~(np.isnan(x) & np.isnan(y)), np.inf, np.nan_to_num(off)).max()))
    return worst
