"""Conversion between characters and tokens: the lowest layer. It depends on tokenizers and on no model.

Read in this order: `token_bytes` (the bytes of a token), `spans` (its position in a text), `tokenizer` (both, for a
transformers tokenizer), `start_end` (start and end symbols), `continuation` (a text after a context, and pairs of texts).
"""

from chainrule.text.base import Spans
from chainrule.text.continuation import Continuation, Pair, Segment, encode_after, encode_after_batch, encode_pair
from chainrule.text.spans import align, spells
from chainrule.text.start_end import Start, resolve_end, resolve_start
from chainrule.text.tokenizer import Tokenizer

__all__ = [
    "Continuation",
    "Pair",
    "Segment",
    "Spans",
    "Start",
    "Tokenizer",
    "align",
    "encode_after",
    "encode_after_batch",
    "encode_pair",
    "resolve_end",
    "resolve_start",
    "spells",
]
