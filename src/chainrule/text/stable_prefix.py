"""How much of a context keeps its tokens, whatever text comes to stand behind it.

Tokenising context and text together is what tells whether a token reaches over the boundary. Behind one long context that
many texts share this would be nearly all of the work outside the network, and all but its last words would come out the
same each time. A backend that first cuts a text into words by one regular expression, and then makes tokens of every word
by itself, can be asked about the last words alone.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from chainrule.text.token_bytes import steps_of

_MARGIN = 64  # bytes at the end of a context that are always read again: words that what follows might change
_CUT = re.compile(rb"[a-z] [A-Za-z]")  # read again from the space on: a word ends before it, to every expression in use
_PLAIN_GROUPS = re.compile(r"\((?:\?(?:i?:|i\)|[=!]))?")
_ONE = re.compile(r"\[\^?\]?(?:\\.|[^\[\]\\])*\]|\\[^bBAzZGKXRk0-9]")  # a class of characters, or an escaped one
_FAR = re.compile(r"\(\?|[\\.^$\[\]]")  # what looks back, at the ends of the text, or at anything at all


class Settled(NamedTuple):
    """The first `chars` characters of a text are its first `tokens` tokens, also where more text follows."""

    chars: int
    tokens: int


NOTHING = Settled(0, 0)


def words_alone(backend: Any) -> bool:
    """Whether a `tokenizers.Tokenizer` cuts words by one expression that looks no further than a word's end, and so on."""
    steps = list(steps_of(backend.pre_tokenizer))
    cutting = [step for step in steps if step["type"] == "Split" or step.get("use_regex")]
    return (
        type(backend.model).__name__ == "BPE"
        and not backend.model.dropout
        and all(step["type"] == "NFC" for step in steps_of(backend.normalizer))
        and all(step["type"] in ("ByteLevel", "Split", "Digits") and not step.get("add_prefix_space") for step in steps)
        and len(cutting) == 1
        and looks_near(cutting[0].get("pattern", {}).get("Regex", "" if cutting[0]["type"] == "ByteLevel" else "."))
        and not any(added.single_word for added in backend.get_added_tokens_decoder().values())
    )


def looks_near(pattern: str) -> bool:
    """Whether a regular expression finds the same matches from any match's beginning on, whatever comes after the next."""
    return not _FAR.search(_PLAIN_GROUPS.sub("(", _ONE.sub("x", pattern)))


def settled(backend: Any, text: str, token_bytes: Callable[[int], bytes]) -> Settled:
    """How much of the text is settled, for a backend that is `words_alone`: nothing where no good place to cut is found.

    The place is a space between two Latin words, where the backend has cut this very text too, and from where on it makes
    the same tokens of the rest alone.
    """
    encoding = backend.encode(text, add_special_tokens=False)
    raw, pieces = text.encode(), [token_bytes(id) for id in encoding.ids]
    if b"".join(pieces) != raw:
        return NOTHING
    stop_T = np.cumsum([len(piece) for piece in pieces], dtype=np.int64)
    word_T = np.array(encoding.word_ids, float)  # None is NaN, which is no cut
    longest = max((len(str(added.content).encode()) for added in backend.get_added_tokens_decoder().values()), default=0)
    cuts = np.flatnonzero((np.diff(word_T) > 0) & (stop_T[:-1] < len(raw) - max(_MARGIN, 2 * longest)))
    place = next((int(i) for i in cuts[::-1] if _CUT.match(raw, int(stop_T[i]) - 1)), None)
    if place is None:
        return NOTHING
    found = Settled(len(raw[: stop_T[place]].decode()), place + 1)
    rest = backend.encode(text[found.chars :], add_special_tokens=False)
    return found if rest.ids == encoding.ids[found.tokens :] else NOTHING
