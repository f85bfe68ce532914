"""The stable prefix of a context: the part whose tokens do not depend on the text after it.

Context and text are tokenised together to find out whether a token crosses the boundary. With one long context shared by
many texts, this would be nearly all of the work outside the network, and all but the last words would give the same tokens
each time. Some backends split a text into words by one regular expression and encode each word separately. For these, only
the last words are tokenised again.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.text.token_bytes import steps_of

_MARGIN = 64  # bytes at the end of a context that are always encoded again: later text might change these words
_CUT = re.compile(rb"[a-z] [A-Za-z]")  # encoded again from the space on: every expression in use ends a word before it
_PLAIN_GROUPS = re.compile(r"\((?:\?(?:i?:|i\)|[=!]))?")
_ONE = re.compile(r"\[\^?\]?(?:\\.|[^\[\]\\])*\]|\\[^bBAzZGKXRk0-9]")  # a class of characters, or an escaped one
_FAR = re.compile(r"\(\?|[\\.^$\[\]]")  # looks back, at the ends of the text, or at any character


class StablePrefix(NamedTuple):
    """The first `chars` characters of a text are its first `tokens` tokens, whether or not more text follows."""

    chars: int
    tokens: int


EMPTY_PREFIX = StablePrefix(0, 0)


def encodes_words_separately(backend: Any) -> bool:
    """Whether a `tokenizers.Tokenizer` splits words by one local expression and encodes each word separately."""
    steps = list(steps_of(backend.pre_tokenizer))
    cutting = [step for step in steps if step["type"] == "Split" or step.get("use_regex")]
    return (
        type(backend.model).__name__ == "BPE"
        and not backend.model.dropout
        and all(step["type"] == "NFC" for step in steps_of(backend.normalizer))
        and all(step["type"] in ("ByteLevel", "Split", "Digits") and not step.get("add_prefix_space") for step in steps)
        and len(cutting) == 1
        and is_local(cutting[0].get("pattern", {}).get("Regex", "" if cutting[0]["type"] == "ByteLevel" else "."))
        and not any(added.single_word for added in backend.get_added_tokens_decoder().values())
    )


def is_local(pattern: str) -> bool:
    """Whether a match of a regular expression depends only on the text from its start to the end of the next match."""
    return not _FAR.search(_PLAIN_GROUPS.sub("(", _ONE.sub("x", pattern)))


def find_stable_prefix(backend: Any, text: str, token_bytes: Callable[[int], bytes]) -> StablePrefix:
    """The stable prefix of a text, for a backend that passes `encodes_words_separately`; empty if no suitable cut is found.

    The cut is a space between two Latin words at which the backend also splits this text. Encoding the rest alone must
    give the same tokens.
    """
    encoding = backend.encode(text, add_special_tokens=False)
    raw, pieces = text.encode(), [token_bytes(id) for id in encoding.ids]
    if b"".join(pieces) != raw:
        return EMPTY_PREFIX
    stop_T = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    word_T = np.array(encoding.word_ids, float)  # None is NaN, which is no cut
    longest = max((len(str(added.content).encode()) for added in backend.get_added_tokens_decoder().values()), default=0)
    cuts = np.flatnonzero((np.diff(word_T) > 0) & (stop_T[:-1] < len(raw) - max(_MARGIN, 2 * longest)))
    cut = next((int(i) for i in cuts[::-1] if _CUT.match(raw, int(stop_T[i]) - 1)), None)
    if cut is None:
        return EMPTY_PREFIX
    prefix = StablePrefix(len(raw[: stop_T[cut]].decode()), cut + 1)
    rest = backend.encode(text[prefix.chars :], add_special_tokens=False)
    return prefix if rest.ids == encoding.ids[prefix.tokens :] else EMPTY_PREFIX
