"""Tiny masked models and a two-stream model, with strong random weights. Only 4 or 5 tokens can occur in their texts."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import Any

import numpy as np
import torch
import transformers as tf
from model_zoo import DTYPES

from chainrule import LanguageModel
from chainrule.forest.permutations import OrderedSequence
from chainrule.models.masked import MaskedModel
from chainrule.models.two_stream import TwoStreamModel

PAD, CLS, SEP, MASK = 0, 1, 2, 3
V, MOST = 8, 24
TOKENS = range(4, V)  # that can occur
NO_POSITIONS = np.zeros(0, np.int64)

_SYMBOLS: dict[str, Any] = {"pad_token_id": PAD, "cls_token_id": CLS, "sep_token_id": SEP, "mask_token_id": MASK,
                            "bos_token_id": None, "eos_token_id": None}  # fmt: skip
_WIDTHS = {"vocab_size": V, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_BERT = _WIDTHS | _SYMBOLS | {"max_position_embeddings": MOST}
MASKED = {
    "bert": lambda: tf.BertConfig(**_BERT),
    "roberta": lambda: tf.RobertaConfig(**_BERT),  # its first position is the id of the padding plus 1
    "modernbert": lambda: tf.ModernBertConfig(**_BERT, local_attention=4),
    "distilbert": lambda: tf.DistilBertConfig(
        vocab_size=V, dim=16, hidden_dim=24, n_layers=2, n_heads=2, max_position_embeddings=MOST, **_SYMBOLS
    ),
    "electra": lambda: tf.ElectraConfig(**_BERT, embedding_size=8),
    "deberta_v2": lambda: tf.DebertaV2Config(**_BERT, relative_attention=True, pos_att_type=["p2c", "c2p"]),
    "deberta_v3": lambda: tf.DebertaV2Config(**_BERT, relative_attention=True, legacy=False),  # its head uses the embeddings
    "albert": lambda: tf.AlbertConfig(**_BERT, embedding_size=8),
}


@dataclass(frozen=True)
class Tiny:
    """A model as chainrule runs it, and its unchanged network, for the oracle."""

    lm: LanguageModel
    own: Any


def strong(own: Any, dtype: str = "float32") -> Any:
    """Adds random numbers of about ¼ to all weights, biases and norms included."""
    with torch.no_grad():
        for parameter in own.parameters():
            parameter += 0.25 * torch.randn_like(parameter)
    return own.to(DTYPES[dtype]).eval()


def untouched(name: str, dtype: str = "float32") -> Any:
    """A masked network of transformers with strong random weights."""
    torch.manual_seed(0)
    return strong(tf.AutoModelForMaskedLM.from_config(MASKED[name]()), dtype)


@cache
def masked(name: str, dtype: str = "float32") -> Tiny:
    own = untouched(name, dtype)
    return Tiny(LanguageModel(MaskedModel(copy.deepcopy(own), name)), own)


def xlnet_config(**options: Any) -> Any:
    return tf.XLNetConfig(vocab_size=5, d_model=16, n_layer=2, n_head=2, d_inner=24, **options)


@cache
def two_stream(dtype: str = "float32") -> Tiny:
    torch.manual_seed(0)
    own = strong(tf.XLNetLMHeadModel(xlnet_config()), dtype)
    lm = LanguageModel(TwoStreamModel(copy.deepcopy(own), "xlnet"))
    positions = own.transformer.relative_positional_encoding  # always float32, which its own forward then refuses
    own.transformer.relative_positional_encoding = lambda *args, **options: positions(*args, **options).to(own.dtype)
    return Tiny(lm, own)


def ordered(ids: Any, order: Any, given: Any = (), start_id: int | None = None) -> OrderedSequence:
    return OrderedSequence(np.array(ids, np.int64), np.array(order, np.int64), np.array(given, np.int64), start_id)


def whole_space(
    tokens: Any, length: int, given: int = 0, start_id: int | None = None
) -> dict[tuple[int, ...], list[OrderedSequence]]:
    """Every order of the positions, with every text in that order. The first `given` positions of an order are given."""
    texts = list(product(tokens, repeat=length))
    return {
        order: [ordered(ids, order[given:], order[:given], start_id) for ids in texts] for order in permutations(range(length))
    }
