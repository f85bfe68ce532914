"""Characters ⇄ tokens: the lowest layer, which knows tokenizers and no model.

Read in this order: `pieces` (a token's bytes), `spans` (where they lie in a text), `tokenizer` (both, on a transformers
tokenizer), `policy` (the start and end symbols), `segments` (a text behind a context, and pairs of texts).
"""

from chainrule.text.base import Spans
from chainrule.text.continuation import Continuation, Pair, Segment, after, after_batch, pair
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
    "after",
    "after_batch",
    "align",
    "pair",
    "resolve_end",
    "resolve_start",
    "spells",
]
